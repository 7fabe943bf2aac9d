"""What agents learn from in place of the game's own rewards."""

from __future__ import annotations

from typing import Any, NamedTuple


class Shaping(NamedTuple):
    """Clipping (Mnih et al. 2015), then scaling. Scores are always of the game's own rewards."""

    clip: float = 0.0  # bound of the rewards in both directions; 0: none
    scale: float = 1.0  # factor after the clipping, so that values are not large

    def __call__(self, reward: Any) -> Any:
        """A tensor or an array of rewards, of any shape."""
        if self.clip:
            reward = reward.clip(-self.clip, self.clip)
        return reward * self.scale if self.scale != 1 else reward
