"""The settings of the car game: the kart's where they mean something here, with other defaults, and its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from envs.kart.columns import FREE_SPEED
from envs.kart.options import CHOICES, RANGES, KartOptions

CAMERA = (120, 160)  # height and width of the camera's pictures, as toy cars record them
OBSERVED = (60, 80, 3)  # shape of the part that an agent sees (`agents.perception.preprocess.band`)
CONTROLS = ("speed", "throttle")
ABSENT = {"karts": 1, "stack": 1, "weather_grip": False, "obs": "trunk", "width": 160, "height": 120}  # kart's alone


@dataclass(frozen=True)
class CarOptions(KartOptions):
    """The game's settings. A bad value is refused by name: ValueError."""

    game: ClassVar[str] = "car"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {**CHOICES, "control": CONTROLS, "obs": ("trunk",)}
    ranges: ClassVar[Mapping[str, tuple[Any, Any]]] = {
        **RANGES, "karts": (1, 1), "throttle_cap": (0.05, 1.0), "pace": (0.2, 1.0), "stack": (0, 4),
    }  # fmt: skip

    camera: str = "picam"  # picam (low, 112 degrees, blur, noise, JPEG), or one of the kart's
    control: str = "speed"  # speed: steering, target speed; throttle: steering, throttle up to the cap
    laps: int = 0  # the drive ends after so many; 0: only the time limit ends it
    time_limit: float = 60.0  # seconds of a drive, 20 steps each, after which it is truncated
    view: str = "picam"  # camera of `render`
    throttle_cap: float = 0.25  # highest throttle; 1 would be 32 m/s
    pace: float = 0.75  # share of a racing driver's speed at which the expert drives
    signs: bool = True  # stop signs, and signs to give way, beside the road
    sign_info: bool = field(default=False)  # info `sign`: 0 none, 1 stop, 2 another one, as the picture shows it

    @property
    def top_speed(self) -> float:
        """The speed of a motor without load at the throttle's cap, m/s: the highest target."""
        return self.throttle_cap * FREE_SPEED
