"""How the toy car is driven, recorded and scored (`envs.driving`): simulated, or in recordings of a real one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from envs.car_game.options import OBSERVED, CarOptions
from envs.driving import Frame, Wheel
from envs.kart.driving import KartDriving

HIGHEST = 4.0  # throttles and target speeds of a recording beyond this, in caps, are damage; below it they are cut off


class CarDriving(KartDriving):
    """One car with these options."""

    start = {"laps": 0, "threads": 1}
    option_helps: Mapping[str, str] = {}

    def __init__(self, options: CarOptions):
        super().__init__(options)
        self.refusal, self.top_speed = None, options.top_speed
        if options.control == "throttle":
            self.bounds = {"user/angle": (-1.0, 1.0), "user/throttle": (0.0, options.throttle_cap)}
        else:
            self.bounds = {"user/angle": (-1.0, 1.0), "user/target_speed": (0.0, options.top_speed)}
        if options.signs:
            self.columns = {**KartDriving.columns, "game/sign": "int", "game/sign_distance": "float"}
            self.labels = {**KartDriving.labels, "sign": ()}

    def hands(self, wheel: Wheel) -> np.ndarray:
        """Returns steering and target speed or throttle, float32 [2]."""
        if self.options.control == "throttle":
            return np.array([wheel.steer, 2.0 * max(wheel.pedal, 0.0) - 1.0], np.float32)
        return np.array([wheel.steer, 2.0 * min(wheel.target / self.top_speed, 1.0) - 1.0], np.float32)

    def controls(self, games: Any, action: np.ndarray, who: str = "user") -> dict[str, Any]:
        """Returns an action as the columns user/... (or pilot/...) of a record: angle, throttle and target speed."""
        share = (float(action[1]) + 1.0) * 0.5
        found = {f"{who}/angle": float(action[0]), f"{who}/throttle": share * self.options.throttle_cap}
        return found if self.options.control == "throttle" else {**found, f"{who}/target_speed": share * self.top_speed}

    def figures(self, games: Any, race: int) -> dict[str, Any]:
        """Returns the columns game/... of the present state."""
        found = super().figures(games, race)
        if self.options.signs:
            kind, away = games.batch.signs()
            found["game/sign"] = int(kind[0])
            found["game/sign_distance"] = float(away[0]) if kind[0] else None
        return found

    def about(self) -> dict[str, Any]:
        """Returns what a dataset says of its drives. A car's camera is whatever it is: none is refused."""
        return {"protocol": self.options.protocol}

    def frame(self) -> Frame:
        """Returns the size of the pictures that the network sees; those of a recording are reduced to it."""
        return Frame(*OBSERVED[:2])

    def fitting(self, columns: Collection[str]) -> Mapping[str, Any]:
        """Returns the option to learn a throttle where a recording holds no target speed: no sensor told one."""
        lacks = "user/target_speed" not in columns and "user/throttle" in columns
        return {"control": "throttle"} if lacks and self.options.control == "speed" else {}

    def actions(self, records: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the actions, float32 [T, 2], of recorded columns; what is above the cap counts as the cap."""
        (name, (low, high)) = list(self.bounds.items())[1]
        return super().actions({**records, name: np.clip(records[name], low, high)})

    def fault(self, record: Mapping[str, Any]) -> str | None:
        """What keeps the controls of one record from being an action; None: nothing."""
        (name, (low, high)) = list(self.bounds.items())[1]
        value = record.get(name)
        within = value is not None and -high * HIGHEST <= value <= high * HIGHEST
        return super().fault({**record, name: min(max(value, low), high)} if within else record)
