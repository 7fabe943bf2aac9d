"""Gymnasium's LunarLanderContinuous-v3 (extra box2d): it counts as solved from a mean of 200."""

from experiments.recipes import Recipe

RECIPES = {
    "default": Recipe(
        agent="sac",
        note="SAC from four environments",
        steps=120_000,
        num_envs=4,
        checkpoint_every=60_000,
        config=dict(replay=120_000, warmup=5_000, batch=256, ratio=64.0, lr=1e-3, hidden=256, tau=0.01, gamma=0.99),
    ),
}
