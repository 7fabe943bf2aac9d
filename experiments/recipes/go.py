"""Go: AlphaZero from nothing but the rules, on two processor cores. `--size 5` and `--size 7` choose their recipes."""

from typing import Any

from experiments.recipes import Recipe

SELF_PLAY: dict[str, Any] = dict(komi_spread=3.0, settle=True)


def recipe(size: int, komi: float, note: str, steps: int, **config: Any) -> Recipe:
    """Self-play on one size of the board, 256 games in lock-step."""
    env = dict(size=size, komi=komi, **SELF_PLAY)
    return Recipe(
        "alphazero", note, steps, num_envs=256, checkpoint_every=1_000_000, config=config, env=env,
        chosen_by=() if size == 9 else ("size",),
    )  # fmt: skip


RECIPES = {
    "default": recipe(9, 7.5, "9x9, 4 blocks of 32 channels", 10_000_000, blocks=4, channels=32, replay=600_000),
    "7x7": recipe(7, 8.5, "7x7, 4 blocks of 32 channels", 8_000_000, blocks=4, channels=32, replay=600_000),
    "5x5": recipe(5, 24.5, "5x5, 3 blocks of 32 channels", 4_000_000, blocks=3, channels=32, replay=600_000),
}
