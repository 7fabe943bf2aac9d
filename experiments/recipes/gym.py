"""Any Gymnasium id: small control tasks."""

from experiments.recipes import Recipe

RECIPES = {
    "default": Recipe(
        agent="ppo",
        note="PPO for vectors and small pictures",
        steps=200_000,
        num_envs=8,
        checkpoint_every=100_000,
        config=dict(
            rollout=128, epochs=4, minibatch=256, lr=7e-4, hidden=64, clip=0.2, entropy_coef=0.0, reward_clip=0.0
        ),
    ),
    "dqn": Recipe(
        agent="dqn",
        note="Double DQN for vectors and small pictures",
        steps=100_000,
        num_envs=4,
        checkpoint_every=50_000,
        config=dict(
            double=True, replay=50_000, warmup=1_000, batch=64, ratio=16.0, lr=5e-4, target_period=500, hidden=128,
            epsilon_end=0.05, epsilon_decay=0.2, reward_clip=0.0,
        ),
    ),
}  # fmt: skip
