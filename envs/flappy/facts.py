"""What Flappy Bird is, told without its kernels: its sizes, its options, and its description."""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.description import Description

if TYPE_CHECKING:
    from envs.flappy.rules import FlappyRules

WIDTH, HEIGHT = 288, 512  # size of the picture, px
FPS = 30
GREY_SIZE = 84  # side of the grey view, px
SEED_SIZE = 80  # side of the seed project's view, px
STATE_SIZE = 9  # numbers of the observation `state`
HARDEST_GAP, HARDEST_SPEED = 0.8, 1.25  # factors at the end of the difficulty ramp
REWARDS = ("seed", "score", "score_crash")
SHAPES = {  # observation -> shape of a frame
    "pixels": (GREY_SIZE, GREY_SIZE),
    "rgb": (HEIGHT, WIDTH, 3),
    "state": (STATE_SIZE,),
    "seed": (SEED_SIZE, SEED_SIZE),
}
LIGHTS = ("day", "night", "random")
CHOICES = {"obs": tuple(SHAPES), "light": LIGHTS, "reward": REWARDS}
RANGES = {  # option -> smallest and largest value
    "gap": (50, 280),
    "speed": (0.5, 8.0),
    "speed_spread": (0.0, 0.5),
    "narrow_gap": (0.0, 0.5),
    "restart_before_crash": (0.0, 0.9),
    "spacing": (100, 400),
    "flap": (2.0, 20.0),
    "gravity": (0.1, 4.0),
    "ramp": (0, 100_000),
    "cap": (0, 1_000_000_000),
    "frame_skip": (1, 8),
}
MAX_SPEED = 10.0  # largest speed, px per frame: a faster pipe would appear inside the picture
TRAINING = {"training": True}  # metadata of options that scored games are without (`envs.scored`)


@dataclass(frozen=True)
class FlappyOptions:
    """The game's settings; the defaults are the original's. A bad value is refused by name: ValueError."""

    obs: str = "pixels"  # pixels (84x84 grey), rgb (512x288x3), state (9 numbers), seed (80x80, two-valued)
    gap: int = 100  # px between upper and lower pipe; with the default flap no play passes 60
    speed: float = 4.0  # px per frame that the pipes move
    speed_spread: float = 0.0  # each episode's speed is uniform in speed * [1 - this, 1 + this]
    spacing: int = 0  # px from pipe to pipe; 0: the original's rule, 144 to 152
    flap: float = 9.0  # px per frame upwards after a flap
    gravity: float = 1.0  # px per frame and frame
    ramp: int = 0  # pipes over which the gap shrinks to 80 % and the speed grows to 125 %; 0: no ramp
    light: str = "day"  # day, night or random per episode
    random_colours: bool = False  # a new palette for every episode
    random_background: bool = False  # one of four landscapes for every episode
    reward: str = "seed"  # seed (+0.1 a frame, +1 a pipe, -1 a crash), score (+1), score_crash (+1, -1)
    cap: int = 1000  # pipes after which an episode is truncated, which is not death; 0: never
    frame_skip: int = 1  # frames per action, a flap acts in the first; 1 as in the original: all are choices
    narrow_gap: float = field(default=0.0, metadata=TRAINING)  # gap of an episode: uniform in gap * [1 - this, 1]
    restart_before_crash: float = field(default=0.0, metadata=TRAINING)  # share of frames in restarts before crashes

    def __post_init__(self):
        for option in fields(self):
            name, value = option.name, getattr(self, option.name)
            wanted = (int, float) if option.type is float else option.type
            if not isinstance(value, wanted) or (isinstance(value, bool) and option.type is not bool):
                raise ValueError(f"{name} must be {option.type.__name__}, not {value!r}")
            if name in CHOICES and value not in CHOICES[name]:
                raise ValueError(f"{name} must be one of {', '.join(CHOICES[name])}, not {value!r}")
            if name in RANGES and not (name == "spacing" and value == 0):
                low, high = RANGES[name]
                if not low <= value <= high:
                    also = " (or 0, the original's rule)" if name == "spacing" else ""
                    raise ValueError(f"{name} must be from {low} to {high}{also}, not {value}")
        narrowest = self.gap * (1 - self.narrow_gap)
        if narrowest < RANGES["gap"][0]:
            raise ValueError(
                f"gap {self.gap} with narrow_gap {self.narrow_gap} reaches {narrowest:g} px;"
                f" at least {RANGES['gap'][0]} is allowed"
            )
        fastest = self.speed * (1 + self.speed_spread) * (HARDEST_SPEED if self.ramp else 1)
        if fastest > MAX_SPEED:
            raise ValueError(
                f"speed {self.speed} with speed_spread {self.speed_spread} and ramp {self.ramp} reaches "
                f"{fastest:g} px per frame; at most {MAX_SPEED:g} is allowed"
            )

    @property
    def rules(self) -> "FlappyRules":
        """The numbers that the kernels need, in the kernels' types."""
        from envs.flappy.rules import FlappyRules  # compiled

        return FlappyRules(
            gap=self.gap, speed=float(self.speed), speed_spread=float(self.speed_spread),
            spacing=float(self.spacing), flap=float(self.flap), gravity=float(self.gravity), ramp=self.ramp,
            cap=self.cap, frame_skip=self.frame_skip, practice=float(self.narrow_gap),
            drill=float(self.restart_before_crash),
            reward=REWARDS.index(self.reward), light=LIGHTS.index(self.light),
            random_colours=self.random_colours, random_background=self.random_background,
        )  # fmt: skip

    @property
    def protocol(self) -> str:
        """Label of scores: everything that changes them, and for the rest the original's rules."""
        standard = FlappyOptions()
        shown = ("gap", "speed", "cap", "frame_skip")
        silent = ("obs", "reward", "narrow_gap", "restart_before_crash")
        parts = [
            f"{option.name}={getattr(self, option.name)}"
            for option in fields(self)
            if option.name in shown
            or (option.name not in silent and getattr(self, option.name) != getattr(standard, option.name))
        ]
        return "flappy " + " ".join([*parts, "collision=pixels ceiling=stops"])


Options = FlappyOptions  # name under which every game's module offers its own


def describe(options: FlappyOptions) -> Description:
    """The game with these options."""
    shape, numbers = SHAPES[options.obs], options.obs == "state"
    return Description(
        observation=Box(-8.0, 8.0, shape, np.float32) if numbers else Box(0, 255, shape, np.uint8),
        actions=Discrete(2),
        frame_stack=1 if numbers else 4,
        frame_skip=options.frame_skip,
        protocol=options.protocol,
        chance=True,
        saves=True,
        two_players=False,
        memory=2**16,
        controls="0: nothing; 1: flap",
        reward="by the option `reward`; its default is +0.1 a frame, +1 for a pipe that is passed, -1 for a crash",
        score="pipes passed, whatever the reward",
    )
