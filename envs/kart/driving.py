"""How a kart is driven, recorded and scored (`envs.driving`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.driving import Course, Driving, Frame, Wheel, pack
from envs.kart import columns as c
from envs.kart.columns import CONTROL, MAX_STEER, TOP_SPEED, WHEEL
from envs.kart.options import DISCRETE, DRIVABLE, KartOptions
from envs.kart.splits import parse_tracks

MANY = 1000  # tracks at most, as they are driven side by side


class Tracks(Course):
    """The kart's tracks."""

    fixed = frozenset(
        ("tracks", "laps", "time_limit", "order", "start", "on_stuck", "karts", "expert_info", "drivable_info")
    )
    example = "karts=4,rival_speed=1.0,laps=3"

    def __init__(self, options: KartOptions):
        self._options = options

    def count(self, tracks: str) -> int:
        """Returns the number of tracks that a text names. Raises ValueError for more than MANY."""
        count = len(parse_tracks(tracks))
        if count > MANY:
            raise ValueError(f"--tracks {tracks}: are {count}; name how many, such as test:20")
        return count

    def options(self, values: Mapping[str, Any], tracks: str, seconds: float) -> dict[str, Any]:
        """Returns options of a batch whose game i drives track i alone, for `seconds`; `values`: the other ones."""
        mine = dict(tracks=tracks, karts=1, expert_info=True, drivable_info=False)
        mine |= dict(order="cycle", laps=0, time_limit=float(seconds), start="grid", on_stuck="rescue")
        return {**values, **mine}

    def steering(self, actions: np.ndarray) -> np.ndarray:
        """Returns the steering, float64 [N], in the actions of a batch."""
        return (DISCRETE[actions] if self._options.control == "discrete" else actions)[:, 0].astype(np.float64)

    def straight(self, count: int) -> np.ndarray:
        """Straight on at 8 m/s: whoever is no better has learned nothing."""
        if self._options.control != "speed":
            raise ValueError(f"holds a speed, and the driver has control={self._options.control}, not speed")
        return np.zeros((count, 2), np.float32)


class KartDriving(Driving):
    """One kart with these options."""

    rate, top_speed = round(1.0 / CONTROL), TOP_SPEED
    columns = {
        "game/race": "int", "game/lap": "int", "game/time": "float", "game/lap_time": "float",
        "game/progress": "float", "game/track": "int", "game/place": "int", "game/speed": "float",
        "game/lateral": "float", "game/heading": "float", "game/off_road": "boolean", "game/drivable": "str",
    }  # fmt: skip
    bounds = {"user/angle": (-1.0, 1.0), "user/target_speed": (0.0, TOP_SPEED)}
    labels = {"lateral": (), "heading": (), "drivable": DRIVABLE}
    start = {"laps": 1, "threads": 1}
    unused = frozenset(
        ("control", "action_repeat", "stack", "view", "reward_progress", "reward_finish", "cost_off_road",
         "cost_margin", "cost_contact", "expert_info", "privileged_info", "drivable_info", "threads")
    )  # fmt: skip
    option_helps = {"obs": "trunk 60x80, pilotnet 66x200, frame height x width"}

    def __init__(self, options: KartOptions):
        self.options, self.course = options, Tracks(options)
        self.refusal, self.several_cameras = _refusal(options), options.random_camera > 0

    def hands(self, wheel: Wheel) -> np.ndarray:
        """Returns steering and target speed, or steering, pedal and hand brake with `--control raw`, float32 [D]."""
        if self.options.control == "raw":
            return np.array([wheel.steer, wheel.pedal, 1.0 if wheel.hand else -1.0], np.float32)
        return np.array([wheel.steer, 2.0 * wheel.target / self.top_speed - 1.0], np.float32)

    def held(self, games: Any) -> Wheel:
        """Returns the present steering and speed of the kart, where a person's hands take over."""
        return Wheel(float(games.batch.karts[0, 0, WHEEL]) / MAX_STEER, 0.0, self.speed(games))

    def speed(self, games: Any) -> float:
        """Returns the speed of the kart along its axis, m/s."""
        from envs.kart.physics import speed_of  # compiled

        return float(speed_of(games.batch.karts[0, 0]))

    def expert(self, games: Any) -> np.ndarray:
        """Returns the action of the scripted driver in this state, float32 [D]."""
        return games.batch.expert()[0]

    def controls(self, games: Any, action: np.ndarray, who: str = "user") -> dict[str, Any]:
        """Returns an action as the columns user/... (or pilot/...) of a record: angle, throttle and target speed."""
        from envs.kart.physics import speed_control  # compiled

        target = (float(action[1]) + 1.0) * 0.5 * self.top_speed
        return {
            f"{who}/angle": float(action[0]),
            f"{who}/throttle": float(speed_control(games.batch.karts[0, 0], target)),
            f"{who}/target_speed": target,
        }

    def figures(self, games: Any, race: int) -> dict[str, Any]:
        """Returns the columns game/... of the present state; `race` is the race's number in the recording."""
        batch = games.batch
        kart, times = batch.karts[0, 0], batch.race[0]
        length = batch.scene.count[0] * batch.scene.step[0]
        return {
            "game/race": race,
            "game/lap": int(times[c.GATE] // c.GATES),
            "game/time": float(times[c.CLOCK]),
            "game/lap_time": float(np.nan_to_num(times[c.LAST_LAP])),
            "game/progress": float(kart[c.PROGRESS] / length),
            "game/track": int(batch.track[0]),
            "game/place": int(times[c.PLACE]),
            "game/speed": self.speed(games),
            "game/lateral": float(kart[c.LATERAL]),
            "game/heading": float(kart[c.HEADING]),
            "game/off_road": bool(times[c.OFF_NOW] > 0.0),
            "game/drivable": pack(batch.drivable()[0]),
        }

    def about(self) -> dict[str, Any]:
        """Returns the protocol, the camera and the observation of the drives in a dataset."""
        return {"protocol": self.options.protocol, "camera": self.options.camera, "obs": self.options.obs}

    def frame(self) -> Frame:
        """Returns the size of the recorded picture and the fractions of it that are cut off."""
        height, width, _, top, bottom = self.options.picture
        return Frame(height, width, top, bottom)

    def view(self, games: Any) -> np.ndarray:
        """Returns the picture for the person who drives, uint8 [H, W, 3], through the camera that records."""
        from envs.kart.batch import RENDERED  # compiled
        from envs.kart.camera import CAMERAS, rays
        from envs.kart.hud import with_figures

        batch = games.batch
        eyes = rays(CAMERAS[self.options.camera], RENDERED[1], RENDERED[0])
        return with_figures(batch.pictures(eyes, batch.poses)[0], batch, 0)


def _refusal(options: KartOptions) -> str | None:
    if options.control != "speed":
        return f"--control {options.control}: recordings hold a target speed, so it must be speed"
    if options.action_repeat != 1:
        message = f"recordings have {KartDriving.rate} records a second, each with its own steering"
        return f"--action-repeat {options.action_repeat}: {message}"
    if options.picture is None or not options.picture[2]:
        return f"--obs {options.obs} has no colour picture; use trunk, pilotnet or frame"
    return None
