"""Scripted players that see nothing but the window: what a game can look like, and teachers to learn from."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from envs.screen.profile import ScreenProfile


class ScreenPlayer(Protocol):
    """A player of one game."""

    def begin(self) -> None:
        """A game begins."""

    def act(self, picture: np.ndarray) -> int:
        """The action for a window's picture, uint8 [H, W, 3], of the profile's size."""


def player_of(profile: ScreenProfile) -> ScreenPlayer:
    """The player that a profile names. Raises ValueError for one that there is not."""
    if profile.player not in PLAYERS:
        known = ", ".join(PLAYERS)
        raise ValueError(f"the profile {profile.name} names the player {profile.player!r}; there are {known}")
    return PLAYERS[profile.player](profile)


PLAYERS: dict[str, type] = {}
