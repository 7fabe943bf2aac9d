"""Gymnasium's CartPole-v1: a pole to be balanced for 500 steps."""

from experiments.recipes import Recipe

RECIPES = {
    "default": Recipe(
        agent="ppo",
        note="PPO with short rollouts that are learned from 20 times: 500 of 500 within four minutes of one core",
        steps=100_000,
        num_envs=8,
        checkpoint_every=100_000,
        config=dict(
            rollout=32,
            epochs=20,
            minibatch=256,
            lr=1e-3,
            gamma=0.98,
            lam=0.8,
            clip=0.2,
            hidden=64,
            entropy_coef=0.0,
            reward_clip=0.0,
            evaluation="greedy",
        ),
    ),
}
