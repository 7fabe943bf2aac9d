"""Any game on the screen: one recipe for all of them (--game names which), since a person's hour has few frames in it.

python -m experiments.train screen --game lbreakout2 --xvfb --minutes 30
python -m experiments.train screen --game xracer --agent clone --data DATA
"""

from experiments.recipes import Recipe

RECIPES = {
    "default": Recipe(
        agent="dqn",
        note="Double DQN with 3-step returns that learns as often as one core allows between two frames: 30 minutes",
        steps=27_000,
        num_envs=1,
        checkpoint_every=4_500,
        config=dict(
            double=True, n_step=3, replay=30_000, warmup=600, batch=32, ratio=64.0, lr=2.5e-4, gamma=0.98,
            epsilon=1.0, epsilon_end=0.03, epsilon_decay=6_000, target_period=500, reward_clip=0.0,
            encoder="small", hidden=256,
        ),
    ),
    "clone": Recipe(
        agent="clone",
        note="the keys of a recording (--data DATA), of a person or of a script that sees the same window",
        steps=4_000,
        num_envs=1,
        checkpoint_every=2_000,
        config=dict(encoder="small", hidden=256),
    ),
    "dagger": Recipe(
        agent="dagger",
        note="rounds in which a scripted player that sees the same window tells what it would do (--expert-info)",
        steps=20_000,
        num_envs=1,
        checkpoint_every=5_000,
        config=dict(encoder="small", hidden=256, rows_per_round=2_000, updates_per_round=2_000, pretrain_updates=0),
    ),
}  # fmt: skip
