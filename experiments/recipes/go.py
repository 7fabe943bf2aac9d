"""Go: AlphaZero from nothing but the rules, on two processor cores. `--size 5` and `--size 7` choose their recipes."""

from typing import Any

from experiments.recipes import Recipe

SELF_PLAY: dict[str, Any] = dict(komi_spread=3.0, settle=True)
# Of 16 visits on 16 moves each is looked at once: nothing is halved. The figures are in docs/log.md.
FEW_VISITS: dict[str, Any] = dict(considered=8, c_scale=0.3, search_share=0.5)


def recipe(size: int, komi: float, note: str, steps: int, **config: Any) -> Recipe:
    """Self-play on one size of the board, 256 games in lock-step."""
    env = dict(size=size, komi=komi, **SELF_PLAY)
    return Recipe(
        "alphazero", note, steps, num_envs=256, checkpoint_every=1_000_000, config={**FEW_VISITS, **config}, env=env,
        chosen_by=() if size == 9 else ("size",),
    )  # fmt: skip


RECIPES = {
    "default": recipe(9, 7.5, "9x9, 4 blocks of 32 channels", 10_000_000, blocks=4, channels=32, replay=600_000),
    "7x7": recipe(7, 8.5, "7x7, 4 blocks of 32 channels", 8_000_000, blocks=4, channels=32, replay=600_000),
    "5x5": recipe(5, 24.5, "5x5, 3 blocks of 32 channels", 8_000_000, blocks=3, channels=32, replay=600_000),
}
RECIPES["clone"] = Recipe(
    "clone", "policy and value from records (--data GAMES), 4 blocks of 32 channels", 10_000, num_envs=1,
    checkpoint_every=5_000, config=dict(batch=256, lr=2e-3), env=dict(size=9),
)  # fmt: skip
SEARCHLESS: dict[str, Any] = dict(gamma=1.0, lam=0.9, blocks=3, evaluation="greedy", lr_end=0.05)
FROM_THE_MIDDLE: dict[str, Any] = dict(size=5, komi=7.5, komi_spread=6.0, settle=True, restarts=0.5)
RECIPES["ppo"] = Recipe(
    "ppo", "self-play without search, half of the games from the middle of earlier ones; with --opponents 0.2",
    5_000_000, num_envs=128, checkpoint_every=250_000, env=FROM_THE_MIDDLE,
    config=dict(
        rollout=32, epochs=1, minibatch=512, lr=1.5e-3, clip=0.2, entropy_coef=0.015, entropy_end=0.2, **SEARCHLESS,
    ),
)  # fmt: skip
RECIPES["reinforce"] = Recipe(
    "reinforce", "AlphaGo's second stage: self-play from a clone (--init RUN) against earlier selves (--opponents 0.5)",
    1_000_000, num_envs=128, checkpoint_every=250_000, env=dict(size=9),
    config=dict(rollout=64, lr=2e-4, lam=1.0, **{k: v for k, v in SEARCHLESS.items() if k not in ("lam", "blocks")}),
)  # fmt: skip
