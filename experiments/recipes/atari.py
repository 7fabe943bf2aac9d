"""Any Atari game."""

from experiments.recipes import Recipe

# Agents whose preset is all there is: how many games they play side by side (their authors', where those name it).
SIDE_BY_SIDE = {
    "pqn": 128, "a2c": 16, "impala": 32, "reinforce": 64, "rainbow": 16, "c51": 16, "qrdqn": 16, "iqn": 16, "btr": 64,
    "sb3-ppo": 8, "sb3-a2c": 16, "sb3-dqn": 1, "sb3-qrdqn": 1,
}  # fmt: skip
# Steps between their checkpoints, where they learn more slowly than others.
CHECKPOINTS = {"rainbow": 40_000, "c51": 60_000, "qrdqn": 60_000, "iqn": 40_000, "btr": 100_000}
RECIPES = {
    **{
        agent: Recipe(
            agent=agent, note="its preset", steps=10_000_000, num_envs=games,
            checkpoint_every=CHECKPOINTS.get(agent, Recipe.checkpoint_every),
        )
        for agent, games in SIDE_BY_SIDE.items()
    },
    "default": Recipe(
        agent="ppo",
        note="PPO for two processor cores: small minibatches, learning beside the emulators",
        steps=10_000_000,
        num_envs=64,
        config=dict(rollout=32, epochs=3, minibatch=128, lr=5e-4, hidden=256),
    ),
    "gpu": Recipe(
        agent="ppo",
        note="PPO for one GPU with 16 cores: many games, large minibatches (not measured on a GPU yet)",
        steps=12_000_000,
        num_envs=128,
        config=dict(rollout=32, epochs=3, minibatch=512, lr=5e-4, hidden=512, encoder="nature"),
    ),
    "dqn": Recipe(
        agent="dqn",
        note="Double DQN with 3-step returns at Nature's replay ratio",
        steps=10_000_000,
        num_envs=16,
        checkpoint_every=60_000,
        config=dict(double=True, n_step=3, replay=200_000, warmup=20_000, epsilon_end=0.01, epsilon_decay=0.05),
    ),
    "nature2015": Recipe(
        agent="dqn",
        note="Mnih et al. (2015): centred RMSProp, ring of 1 M, schedules in steps as in the paper's code",
        steps=50_000_000,
        num_envs=1,
        checkpoint_every=50_000,
        config=dict(
            replay=1_000_000, warmup=50_000, batch=32, ratio=8.0, epsilon=1.0, epsilon_end=0.1,
            epsilon_decay=1_000_000, target_period=10_000, gamma=0.99, huber=1.0, max_grad_norm=0.0,
            encoder="nature", hidden=512,
            # The loss is a mean over the batch, the paper's a sum: the gradient is 1/32, its square 1/32^2.
            optimizer="centred-rmsprop", lr=2.5e-4, eps=0.01 / 32**2,
        ),
    ),
    "nips2013": Recipe(
        agent="dqn",
        note="Mnih et al. (2013): smaller network, no target network, squared error; what it leaves open as in 2015",
        steps=2_500_000,
        num_envs=1,
        checkpoint_every=50_000,
        # The paper names no learning rate, no constants of RMSProp, no warm-up. Its "frames" are read as emulated for
        # the budget, as decisions for epsilon and the ring. Its protocol is another: pictures cropped to the playing
        # area, no maximum of two frames, no word of lost lives, scores with epsilon 0.05 over a fixed number of steps.
        config=dict(
            replay=1_000_000, warmup=50_000, batch=32, ratio=32.0, epsilon=1.0, epsilon_end=0.1,
            epsilon_decay=1_000_000, gamma=0.99,
            target_period=1,  # there was no target network: a copy at every update comes next to none
            huber=0.0, max_grad_norm=0.0,
            encoder="nips", hidden=256, optimizer="centred-rmsprop", lr=2.5e-4, eps=0.01 / 32**2,
        ),
    ),
}  # fmt: skip
