"""Flappy Bird."""

from experiments.recipes import Recipe

# It starts by flapping once in 20 decisions, about what keeps a bird in the air: at one in two it only ever sees the
# ceiling. Two frames per decision, each pipe and each crash counted, no noise in the policy that is scored. A good bird
# crashes so rarely that nearly all advantages are noise: they are not blown up to deviation 1. Gaps up to 15 % narrower
# teach a margin, and half of the frames are played from before earlier crashes (docs/log.md has what each brings).
PPO = dict(
    rollout=32, epochs=3, minibatch=128, lr=5e-4, encoder="small", hidden=256, entropy_coef=0.005, entropy_end=0.0,
    normalize_advantages=False, reward_clip=0.0, initial_noop_probability=0.95, evaluation="greedy",
)  # fmt: skip

RECIPES = {
    "default": Recipe(
        agent="ppo",
        note="PPO from 84x84 pixels on two processor cores",
        steps=1_800_000,
        num_envs=64,
        checkpoint_every=400_000,
        config=PPO,
        env=dict(frame_skip=2, reward="score_crash", narrow_gap=0.15, restart_before_crash=0.5),
    ),
    "looks": Recipe(
        agent="ppo",
        note="the default in random light, colours and landscapes, with pipes from 20 % slower to 20 % faster",
        steps=3_600_000,
        num_envs=64,
        checkpoint_every=400_000,
        config=PPO,
        env=dict(
            frame_skip=2, reward="score_crash", narrow_gap=0.15, restart_before_crash=0.5, speed_spread=0.2,
            light="random",
            random_colours=True, random_background=True,
        ),
    ),
    "dqn": Recipe(
        agent="dqn",
        note="Double DQN with 3-step returns",
        steps=1_000_000,
        num_envs=16,
        checkpoint_every=100_000,
        config=dict(
            double=True, n_step=3, replay=200_000, warmup=10_000, epsilon=0.1, epsilon_end=0.001, epsilon_decay=0.3,
            target_period=2_000, reward_clip=0.0, encoder="small", hidden=256,
        ),
    ),
    "seed": Recipe(
        agent="dqn",
        note="the agent of the project that this game replaces: its view, network and numbers, in our loop",
        steps=3_000_000,
        num_envs=1,
        checkpoint_every=100_000,
        config=dict(
            replay=50_000, warmup=10_000, batch=32, ratio=32.0, optimizer="adam", lr=1e-6, gamma=0.99,
            target_period=1,  # its code has no target network: a copy at every step comes next to none
            epsilon=0.1, epsilon_end=0.0001, epsilon_decay=3_000_000, huber=0.0, max_grad_norm=0.0, reward_clip=0.0,
            encoder="deepflappy", hidden=512,
        ),
        env=dict(obs="seed", reward="seed"),
    ),
}  # fmt: skip
