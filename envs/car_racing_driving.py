"""How the car of CarRacing is driven and recorded (`envs.driving`). Its tracks have no names, so none is scored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.car_racing_driver import HALF
from envs.driving import Driving, Frame, Wheel

if TYPE_CHECKING:
    from envs.car_racing import CarRacing, CarRacingOptions

FRAMES = 50  # frames of the game per second
FASTEST = 100.0  # speed at about full throttle, units of the game's length per second; a unit counts as a metre


class CarRacingDriving(Driving):
    """One car with these options."""

    top_speed = FASTEST
    columns = {
        "game/race": "int", "game/lap": "int", "game/time": "float", "game/progress": "float", "game/speed": "float",
        "game/lateral": "float", "game/heading": "float", "game/off_road": "boolean",
    }  # fmt: skip
    bounds = {"user/angle": (-1.0, 1.0), "user/throttle": (-1.0, 1.0)}
    labels = {"lateral": (), "heading": ()}
    start = {"obs": "rgb"}
    unused = frozenset(("control", "patience", "limit", "steer_noise", "expert_info"))
    option_helps = {"obs": "rgb: 96x96 in colours"}

    def __init__(self, options: CarRacingOptions):
        self.options = options
        self.rate = FRAMES / options.frame_skip
        if options.control != "pedal":
            self.refusal = f"--control {options.control}: recordings hold one pedal, so it must be pedal"
        elif options.obs != "rgb":
            self.refusal = f"--obs {options.obs} has no colour picture; use rgb"

    def hands(self, wheel: Wheel) -> np.ndarray:
        """Returns steering and pedal, or steering, gas and brake with `--control raw`, float32 [D]."""
        gas, brake = max(wheel.pedal, 0.0), max(-wheel.pedal, 0.0)
        if self.options.control == "raw":
            return np.array([wheel.steer, 2.0 * gas - 1.0, 2.0 * brake - 1.0], np.float32)
        return np.array([wheel.steer, gas - brake], np.float32)

    def held(self, games: CarRacing) -> Wheel:
        """Returns the present steering and speed of the car, where a person's hands take over."""
        return Wheel(float(np.clip(games.steering, -1.0, 1.0)), 0.0, self.speed(games))

    def speed(self, games: CarRacing) -> float:
        """Returns the speed along the car's axis, in units of the game's length per second."""
        vx, vy, angle = *games.game.car.hull.linearVelocity, games.game.car.hull.angle
        return vy * math.cos(angle) - vx * math.sin(angle)

    def expert(self, games: CarRacing) -> np.ndarray:
        """Returns the action of the scripted driver in this state, float32 [D]."""
        return games.driver.act()

    def controls(self, games: CarRacing, action: np.ndarray, who: str = "user") -> dict[str, Any]:
        """Returns an action as the columns user/angle and user/throttle (or pilot/...) of a record."""
        return {f"{who}/angle": float(action[0]), f"{who}/throttle": float(action[1])}

    def figures(self, games: CarRacing, race: int) -> dict[str, Any]:
        """Returns the columns game/... of the present state; `race` is the race's number in the recording."""
        lateral, heading = games.driver.place()
        progress = games.game.tile_visited_count / len(games.game.track)
        return {
            "game/race": race,
            "game/lap": int(progress >= 1.0),
            "game/time": games.frames / FRAMES,
            "game/progress": progress,
            "game/speed": self.speed(games),
            "game/lateral": lateral,
            "game/heading": heading,
            "game/off_road": abs(lateral) > HALF,
        }

    def about(self) -> dict[str, Any]:
        """Returns the protocol and the observation of the drives in a dataset."""
        return {"protocol": f"CarRacing-v3 frame_skip={self.options.frame_skip}", "obs": self.options.obs}

    def frame(self) -> Frame:
        """The recorded picture is the game's own, 96x96, and nothing is cut off."""
        return Frame(96, 96)

    def view(self, games: CarRacing) -> np.ndarray:
        """Returns the picture for the person who drives, uint8 [H, W, 3]."""
        return games.render()
