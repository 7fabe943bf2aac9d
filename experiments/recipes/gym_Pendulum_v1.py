"""Gymnasium's Pendulum-v1: -200 or more is as good as it gets from a random start (about -150)."""

from experiments.recipes import Recipe

RECIPES = {
    "default": Recipe(
        agent="sac",
        note="SAC, one environment: swings up and balances within some thousand steps",
        steps=10_000,
        num_envs=1,
        checkpoint_every=10_000,
        config=dict(replay=10_000, warmup=500, batch=128, ratio=128.0, lr=1e-3, hidden=128, tau=0.01),
    ),
}
