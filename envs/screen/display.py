"""A display server behind one small interface, so that another one than X11 (a portal, libei) is one more file.

Seeing is here; pressing keys is `envs.screen.keeper`'s alone, in a process of its own. (What that one leaves pressed
when it is killed is let go of here.)
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from envs.screen.faults import ScreenFault

XVFB = "--xvfb starts the game in a virtual display of its own"


class Place(NamedTuple):
    """Where a window stands on its display, and whether all of it can be seen."""

    x: int  # px from the left edge of the display
    y: int  # px from the top edge of the display
    width: int
    height: int
    shown: bool  # False for a window that is minimised or not mapped
    covered: bool  # True where another window lies over a part of it


class Desktop(ABC):
    """One display. Every method raises DisplayLost once the server has gone."""

    name: str  # name of the display, such as :0
    size: tuple[int, int]  # width and height, px

    @abstractmethod
    def find(self, pattern: str, largest: bool = False) -> Any | None:
        """Returns the window whose title or class fits the regular expression, None where there is none.

        largest: where none fits, the largest window that is shown.
        """

    @abstractmethod
    def titles(self) -> list[str]:
        """Returns the titles of all windows that are shown, for people."""

    @abstractmethod
    def place(self, window: Any) -> Place | None:
        """Returns where a window stands now; None once it is closed."""

    @abstractmethod
    def grab(self, place: Place) -> np.ndarray:
        """Returns the picture there, RGB uint8 [height, width, 3]; black where it lies beside the display."""

    @abstractmethod
    def title(self, window: Any) -> str:
        """Returns the window's title; empty once it is closed."""

    @abstractmethod
    def restore(self, window: Any, size: tuple[int, int] | None = None) -> None:
        """Shows a window, lifts it above all others, gives it the keyboard, and its size back."""

    @abstractmethod
    def focused(self, window: Any) -> bool:
        """Tells whether the keyboard is the window's."""

    @abstractmethod
    def identity(self, window: Any) -> str:
        """Returns what names the window on this machine, for the lock that keeps a second lab away."""

    @abstractmethod
    def codes(self, keys: tuple[str, ...]) -> Mapping[str, int]:
        """Returns the code of each key by its name. Raises ScreenFault for one that the keyboard has not."""

    @abstractmethod
    def held(self) -> frozenset[int]:
        """Returns the codes of the keys that are down now, whoever pressed them."""

    @abstractmethod
    def let_go(self, codes: Iterable[int]) -> None:
        """Lets go of those of the keys that are down: only for what a keeper that was killed has left pressed."""

    @abstractmethod
    def close(self) -> None:
        """Leaves the display. Calling it again does nothing."""


def open_display(name: str | None = None, own: bool = False) -> Desktop:
    """The display of that name, by default the person's own. Raises ScreenFault, in a sentence, where there is none.

    own: True for a display that the lab has started for itself: windows keep what they show while they are covered.
    """
    from envs.screen.x11 import X11Desktop

    wanted = name or os.environ.get("DISPLAY", "")
    if not wanted:
        if os.environ.get("WAYLAND_DISPLAY"):
            raise ScreenFault(f"Wayland lets no program watch another one's window or press its keys; {XVFB}")
        raise ScreenFault(f"there is no display here; {XVFB}")
    return X11Desktop(wanted, own)
