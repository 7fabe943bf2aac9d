"""What a game on the screen is, told without a display: its options, and its description from the profile."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.description import Description
from envs.screen import profile as profiles
from envs.screen.players import PLAYERS
from envs.screen.profile import ScreenProfile

SHAPES = {"grey": (84, 84), "rgb": (84, 84, 3), "trunk": (60, 80, 3)}  # observation -> its shape
CONTROLS = ("keys", "axes")


@dataclasses.dataclass(frozen=True)
class ScreenOptions:
    """Which game, and how it is seen and played. A bad value is refused by name: ValueError."""

    game: str = "kart"  # name of a profile, or a file .toml of your own
    xvfb: bool = False  # start the game in a virtual display of its own, unseen; several games need it
    window: str = ""  # title of a window that is there already (a regular expression), which is played as it is
    keys: str = ""  # keys of a window without a profile, such as left=Left,right=Right,jump=space+Up
    obs: str = "grey"  # grey 84x84, rgb 84x84x3, or trunk 60x80x3 as networks that drive see it
    stack: int = 0  # newest frames that an agent sees; 0: four for grey pictures, else one
    control: str = "keys"  # keys: sets of keys that are held; axes: keys held for a share of each step, in -1..1
    rate: float = 0.0  # decisions a second; 0: the profile's
    seconds: float = 0.0  # longest episode in seconds; 0: the profile's
    expert_info: bool = False  # info `expert`: what the game's scripted player would do, which sees the same window

    def __post_init__(self) -> None:
        if self.obs not in SHAPES:
            raise ValueError(f"--obs {self.obs}: choose {', '.join(SHAPES)}")
        if self.control not in CONTROLS:
            raise ValueError(f"--control {self.control}: choose {', '.join(CONTROLS)}")
        if not 0 <= self.stack <= 16:
            raise ValueError(f"--stack {self.stack}: must lie in 0..16")
        if self.rate and not profiles.RATES[0] <= self.rate <= profiles.RATES[1]:
            raise ValueError(f"--rate {self.rate:g}: must be 0, or lie in {profiles.RATES[0]:g}..{profiles.RATES[1]:g}")
        if not 0 <= self.seconds <= 3600:
            raise ValueError(f"--seconds {self.seconds:g}: must lie in 0..3600")
        if self.window and self.xvfb:
            raise ValueError("--window plays a window that is there, --xvfb starts one: name one of them")
        if self.keys and not self.window:
            raise ValueError("--keys are those of a window without a profile: name it with --window TITLE")
        found = self.profile
        if self.control == "axes" and not found.axes:
            raise ValueError(f"--control axes: the profile {found.name} has none")
        if found.player and found.player not in PLAYERS:
            known = ", ".join(PLAYERS)
            raise ValueError(f"--game {self.game}: its profile names the player {found.player!r}; there is {known}")
        if self.expert_info and not found.player:
            raise ValueError(f"--expert-info: {found.name} has no scripted player")
        if self.expert_info and self.control == "axes":
            raise ValueError("--expert-info: scripted players press sets of keys, without --control axes")

    @property
    def profile(self) -> ScreenProfile:
        """The profile with these options in the place of its own. Raises ValueError."""
        found = profiles.of_words(self.window, self.keys) if self.keys else profiles.load(self.game)
        changes: dict[str, Any] = {name: value for name in ("rate", "seconds") if (value := getattr(self, name))}
        if self.window:
            changes |= {"window": self.window, "command": ()}
        return dataclasses.replace(found, **changes) if changes else found


Options = ScreenOptions  # name under which every game's module offers its own


def describe(options: ScreenOptions) -> Description:
    """The game with these options."""
    found = options.profile
    count = len(found.axes)
    keys = options.control == "keys"
    box = spaces.Box(-1.0, 1.0, (max(count, 1),), np.float32)
    label = f"screen {Path(found.name).stem} rate={found.rate:g} seconds={found.seconds:g}"
    held = "sets of keys" if keys else "axes, whose keys are held for that share of a step"
    what = ", ".join(found.actions if keys else found.axes)
    return Description(
        observation=spaces.Box(0, 255, SHAPES[options.obs], np.uint8),
        actions=spaces.Discrete(len(found.actions)) if keys else box,
        frame_stack=options.stack or (4 if options.obs == "grey" else 1),
        frame_skip=1,
        protocol=label + ("" if keys else " axes"),
        chance=True,
        saves=False,
        two_players=False,
        real_time=True,
        step_seconds=1.0 / found.rate,
        window=True,
        most=0 if options.xvfb else 1,
        info={"expert": "expert_info"} if found.player and keys else {},
        scripted="expert" if found.player and keys else "",
        controls=f"{held}: {what}",
        reward="the profile's: so much for each by which a number on the window grows",
        score=f"the number `{found.score}` on the window" if found.score else "the sum of the rewards",
        memory=2**26,
    )
