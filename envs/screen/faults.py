"""What can go wrong with a game on the screen, each in one sentence."""

from envs.gym_check import GameFault


class ScreenFault(GameFault):
    """A window, a game's process or a display that cannot be played any more."""


class DisplayLost(ScreenFault):
    """The display server has gone, and every window with it."""


class KeeperLost(ScreenFault):
    """The process that presses keys and starts games has ended, or does not answer."""
