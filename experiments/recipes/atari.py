"""Any Atari game."""

from experiments.recipes import Recipe

RECIPES = {
    "default": Recipe(
        agent="ppo",
        note="PPO for two processor cores: small minibatches, learning beside the emulators",
        steps=10_000_000,
        num_envs=64,
        config=dict(rollout=32, epochs=3, minibatch=128, lr=5e-4, hidden=256),
    ),
    "dqn": Recipe(
        agent="dqn",
        note="Double DQN with 3-step returns at Nature's replay ratio",
        steps=10_000_000,
        num_envs=16,
        config=dict(double=True, n_step=3, replay=200_000, warmup=20_000, epsilon_end=0.01, epsilon_decay=0.05),
    ),
    "nature2015": Recipe(
        agent="dqn",
        note="Mnih et al. (2015) with Adam; schedules in steps as in the paper's code",
        steps=50_000_000,
        num_envs=4,
        config=dict(replay=1_000_000, warmup=50_000, epsilon_decay=1_000_000, target_period=10_000),
    ),
}
