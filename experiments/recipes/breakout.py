"""Breakout. How the default was found is in docs/log.md."""

from experiments.recipes import Recipe

RECIPES = {
    "default": Recipe(
        agent="ppo",
        note="PPO with half-width convolutions and minibatches of 128: above 50 after 20 minutes on two cores",
        steps=2_500_000,
        num_envs=64,
        checkpoint_every=400_000,
        config=dict(rollout=32, epochs=3, minibatch=128, lr=5e-4, encoder="small", hidden=256),
    ),
}
