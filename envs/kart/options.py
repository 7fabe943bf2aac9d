"""The settings of the kart game, their checks, and the actions and observations that they choose between."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from envs.kart.cameras import CAMERAS
from envs.kart.columns import MAX_DELAY
from envs.kart.splits import parse_tracks

# Observation name -> height, width, channels (0: grey), fractions of the 4:3 frame cut off at top and bottom.
PICTURES = {
    "trunk": (60, 80, 3, 0.0, 0.0),  # the small network of the car
    "pilotnet": (66, 200, 3, 0.36, 0.2),  # PilotNet's band; pixels stay square
    "grey": (84, 84, 0, 0.0, 0.0),  # for agents that stack four
}
OBSERVATIONS = (*PICTURES, "frame", "state")
THEMES = ("day", "night", "rain", "snow", "desert")
CONTROLS = {"speed": 2, "raw": 3, "discrete": 0}
DRIVABLE = (15, 20)  # height and width of the drivable-area label
# The discrete actions: steering, pedal, hand brake.
DISCRETE = np.array(
    [
        (0.0, 1.0, -1.0),  # 0 full throttle
        (-0.2, 1.0, -1.0),  # 1 throttle, a little left
        (0.2, 1.0, -1.0),  # 2 throttle, a little right
        (-0.5, 0.8, -1.0),  # 3 throttle, left
        (0.5, 0.8, -1.0),  # 4 throttle, right
        (-1.0, 0.6, -1.0),  # 5 throttle, hard left
        (1.0, 0.6, -1.0),  # 6 throttle, hard right
        (0.0, 0.0, -1.0),  # 7 roll
        (-0.5, 0.0, -1.0),  # 8 roll, left
        (0.5, 0.0, -1.0),  # 9 roll, right
        (0.0, -1.0, -1.0),  # 10 brake (from standstill: reverse)
        (-0.5, -0.6, -1.0),  # 11 brake, left
        (0.5, -0.6, -1.0),  # 12 brake, right
        (-1.0, 0.6, 1.0),  # 13 drift left: throttle and hand brake
        (1.0, 0.6, 1.0),  # 14 drift right
    ],
    np.float32,
)
CHOICES = {
    "order": ("random", "cycle"),
    "camera": tuple(CAMERAS),
    "view": tuple(CAMERAS),
    "obs": OBSERVATIONS,
    "control": tuple(CONTROLS),
    "start": ("grid", "random"),
    "on_stuck": ("rescue", "end"),
}
RANGES = {
    "stack": (0, 16),
    "width": (16, 1920),
    "height": (12, 1440),
    "karts": (1, 8),
    "rival_speed": (0.2, 1.2),
    "laps": (0, 100),
    "time_limit": (1.0, 3600.0),
    "grip": (0.3, 1.5),
    "action_repeat": (1, 20),
    "latency": (0, MAX_DELAY),
    "random_latency": (0, MAX_DELAY),
    "steer_noise": (0.0, 1.0),
    "random_looks": (0.0, 1.0),
    "random_camera": (0.0, 1.0),
    "random_dynamics": (0.0, 1.0),
    "reward_progress": (0.0, 100.0),
    "reward_finish": (0.0, 1000.0),
    "cost_off_road": (0.0, 100.0),
    "cost_margin": (0.0, 2.0),
    "cost_contact": (0.0, 100.0),
    "threads": (1, 256),
}
SILENT = (  # options that do not change what a score means
    "order", "view", "obs", "stack", "width", "height", "control", "reward_progress", "reward_finish", "cost_off_road",
    "cost_margin", "cost_contact", "action_repeat", "expert_info", "privileged_info", "drivable_info", "threads",
)  # fmt: skip
SHOWN = ("tracks", "laps", "time_limit")
TRAINING = {"training": True}  # metadata of options that games for a score do not have


@dataclass(frozen=True)
class KartOptions:
    """The game's settings. A bad value is refused by name: ValueError."""

    game: ClassVar[str] = "kart"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = CHOICES
    ranges: ClassVar[Mapping[str, tuple[Any, Any]]] = RANGES

    tracks: str = "train"  # split, SPLIT:K (first K seeds), SPLIT#I, named, a name, or a list with commas
    order: str = "random"  # random; cycle: environment i drives track i, i + N, i + 2 N, ... of the list
    theme: str = "day"  # day, night, rain, snow, desert, a list with commas (one per episode), or all
    random_looks: float = 0.0  # 0 a theme as designed .. 1 colours, kerbs, fog, hills hard to recognise
    camera: str = "kart"  # kart (1.15 m high, clean), wide (112 degrees), picam (low, blur, noise, JPEG) or chase
    random_camera: float = 0.0  # 0 mounted as designed .. 1 height, tilt, zoom, exposure, noise vary widely
    obs: str = "trunk"  # trunk 60x80x3, pilotnet 66x200x3, grey 84x84, frame height x width x 3, state 21 numbers
    stack: int = 0  # frame stack, frames 50 ms apart; 0: 4 for grey observations, 1 for all others
    width: int = 160  # width of the observation `frame`, pixels
    height: int = 120  # height of the observation `frame`, pixels
    view: str = "chase"  # camera of `render`
    control: str = "speed"  # speed: steering, target speed; raw: steering, pedal, hand brake; discrete: 15 actions
    karts: int = 1  # karts on the track: the player and up to 7 scripted rivals
    rival_speed: float = 0.9  # fraction of the expert's speed; rivals differ by up to 4 % around it
    laps: int = 2  # the race ends after so many; 0: only the time limit ends it
    time_limit: float = 120.0  # seconds of a game, 20 steps each, after which it is truncated
    start: str = "grid"  # grid: standing, behind the line; random: anywhere, rolling, a little askew
    on_stuck: str = "rescue"  # end of 3 s stuck or off the road: rescue puts the kart back; end terminates
    grip: float = 1.0  # grip of the road, 1 is dry
    weather_grip: bool = False  # rain and snow are slippery too (0.8 and 0.65 of the grip), not only to look at
    random_dynamics: float = 0.0  # 0 the kart as designed .. 1 grip, engine, brakes, steering vary by up to a fifth
    latency: int = 0  # control steps (50 ms) from action to wheels
    random_latency: int = 0  # largest number of further control steps of latency, drawn per episode
    steer_noise: float = 0.0  # standard deviation of slowly changing noise on the steering, 1 is full lock
    reward_progress: float = 0.1  # reward per metre along the track; negative backwards
    reward_finish: float = 10.0  # reward at the end of the last lap
    cost_off_road: float = 1.0  # cost per second with the kart's middle 0.5 m or more beyond the edge
    cost_margin: float = 0.0  # m before that edge at which the cost begins, so that drivers keep away from the grass
    cost_contact: float = 0.5  # cost per step with an impact on wall, kart or cone above 0.5 m/s
    expert_info: bool = False  # info `expert`: the teacher's action; it knows of `latency`, not of `steer_noise`
    action_repeat: int = field(default=1, metadata=TRAINING)  # control steps per action, while training
    privileged_info: bool = field(default=False, metadata=TRAINING)  # info `numbers`: the simulator's state
    drivable_info: bool = False  # info `drivable`: uint8 [N, 15, 20], 1 where the picture shows road within 60 m
    threads: int = 1  # threads that share the environments of a batch

    def __post_init__(self):
        for known in fields(self):
            name, value = known.name, getattr(self, known.name)
            wanted = (int, float) if known.type is float else known.type
            if not isinstance(value, wanted) or (isinstance(value, bool) and known.type is not bool):
                raise ValueError(f"{name} must be {known.type.__name__}, not {value!r}")
            if name in self.choices and value not in self.choices[name]:
                raise ValueError(f"{name} must be one of {', '.join(self.choices[name])}, not {value!r}")
            if name in self.ranges and not self.ranges[name][0] <= value <= self.ranges[name][1]:
                low, high = self.ranges[name]
                raise ValueError(f"{name} must be from {low} to {high}, not {value}")
        if self.latency + self.random_latency > MAX_DELAY:
            total = self.latency + self.random_latency
            raise ValueError(f"latency + random_latency must be at most {MAX_DELAY}, not {total}")
        if self.drivable_info and self.obs == "state":
            raise ValueError("drivable_info needs an observation with a picture, not obs='state'")
        parse_tracks(self.tracks)
        self.themes  # noqa: B018  (checks the names)

    @property
    def themes(self) -> tuple[str, ...]:
        """Themes that an episode may have."""
        names = THEMES if self.theme == "all" else tuple(part.strip() for part in self.theme.split(","))
        for name in names:
            if name not in THEMES:
                raise ValueError(f"theme: {name!r} is unknown; allowed are {', '.join(THEMES)}, lists of them, and all")
        return names

    @property
    def rules(self) -> np.ndarray:
        """The numbers that the step's kernel needs, see `race.py`."""
        from envs.kart import race  # compiled

        row = np.zeros(race.RULES)
        row[race.LAPS], row[race.TIME_LIMIT], row[race.RESCUE] = self.laps, self.time_limit, self.on_stuck == "rescue"
        row[race.STEER_NOISE] = self.steer_noise
        row[race.REWARD_PROGRESS], row[race.REWARD_FINISH] = self.reward_progress, self.reward_finish
        row[race.COST_OFF_ROAD], row[race.COST_MARGIN] = self.cost_off_road, self.cost_margin
        row[race.COST_CONTACT] = self.cost_contact
        return row

    @property
    def picture(self) -> tuple[int, int, int, float, float] | None:
        """Height, width, channels, top and bottom cut of the observation; None for `state`."""
        if self.obs == "frame":
            return self.height, self.width, 3, 0.0, 0.0
        return PICTURES.get(self.obs)

    @property
    def protocol(self) -> str:
        """Label of scores: everything that changes what they mean."""
        standard = type(self)()
        parts = [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if field.name in SHOWN
            or (field.name not in SILENT and getattr(self, field.name) != getattr(standard, field.name))
        ]
        return f"{self.game} " + " ".join(parts)
