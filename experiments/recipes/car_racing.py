"""Gymnasium's CarRacing-v3 from pixels."""

from experiments.recipes import Recipe

RECIPES = {
    "default": Recipe(
        agent="ppo",
        note="PPO from 84x84 grey pixels, four frames per decision",
        steps=1_500_000,
        num_envs=16,
        checkpoint_every=100_000,
        config=dict(
            rollout=128, epochs=4, minibatch=256, lr=3e-4, hidden=256, clip=0.15, entropy_coef=0.0, reward_clip=0.0,
            reward_scale=0.05, encoder="nature", evaluation="greedy",
        ),
        env=dict(patience=120),
    ),
}  # fmt: skip
