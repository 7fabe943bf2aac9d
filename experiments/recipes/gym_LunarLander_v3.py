"""Gymnasium's LunarLander-v3 (extra box2d): it counts as solved from a mean of 200."""

from experiments.recipes import Recipe

RECIPES = {
    "default": Recipe(
        agent="ppo",
        note="PPO with a value network of its own: 230 to 275 points after two to four minutes of two cores",
        steps=400_000,
        num_envs=16,
        checkpoint_every=200_000,
        config=dict(
            rollout=256,
            epochs=8,
            minibatch=256,
            lr=1e-3,
            gamma=0.997,
            lam=0.97,
            clip=0.2,
            hidden=64,
            critic="own",
            entropy_coef=0.005,
            reward_clip=0.0,
            reward_scale=0.02,
            evaluation="greedy",
        ),
    ),
}
