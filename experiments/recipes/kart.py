"""Kart: a driver cloned from a recording, corrected in rounds, and made faster by reinforcement.

python -m experiments.record kart --driver expert --minutes 10 --theme day,desert,rain --random-looks 1 \\
    --laps 0 --time-limit 10 --start random --out DATA
python -m experiments.train kart --agent clone --data DATA
python -m experiments.train kart --agent dagger --data DATA --init RUN --pretrain-updates 0 --steps 5400
python -m experiments.train kart --agent ppo --recipe race --init RUN

Faster than its teacher: what the expert does is learned from the game's numbers, made faster by reinforcement among
rivals, and taught to a driver that sees pictures.

python -m experiments.train kart --recipe numbers-clone
python -m experiments.train kart --recipe numbers --init kart/clone
python -m experiments.train kart --recipe pupil --teacher-run kart/ppo
"""

from experiments.recipes import Recipe

DRIVER = dict(
    flip=0.5, shift=0.08, colour=1.0, brightness=0.5, noise=15.0, exposure=2.3, shade=0.8, invert=0.25, road=0.3,
    steering_weight=1.0, batch=96,
)  # fmt: skip
RACE = dict(obs="trunk", laps=0, time_limit=40.0, start="random", on_stuck="end")
RIVALS = dict(RACE, karts=4, rival_speed=1.0)
PPO = dict(
    rollout=64, epochs=3, minibatch=256, lr=2e-4, hidden=64, clip=0.1, entropy_coef=0.0, reward_clip=0.0, gamma=0.99,
    evaluation="greedy", overlap=False,
)  # fmt: skip
# overlap: fine continuous actions do not bear data that is one policy old, see docs/log.md
RECIPES = {
    "default": Recipe(
        agent="ppo",
        note="PPO from nothing: steering and target speed from 60x80 pixels; --recipe race starts from a clone",
        steps=2_000_000,
        num_envs=32,
        checkpoint_every=200_000,
        config=PPO,
        env=RACE,
    ),
    "race": Recipe(
        agent="ppo",
        note="PPO from a clone (--init RUN): it explores closely around it, and its critic knows what the game knows",
        steps=500_000,  # longer trainings wander off so far, see docs/log.md
        num_envs=64,
        checkpoint_every=200_000,
        config={
            **PPO, "critic": "privileged", "policy_lr_scale": 0.1, "lr": 3e-4, "gamma": 0.98, "lam": 0.9,
            "minibatch": 2_048,
            "reward_scale": 0.2, "critic_warmup": 0.04, "initial_std": 0.1,
        },
        env=dict(**RACE, action_repeat=2, privileged_info=True),
    ),
    "clone": Recipe(
        agent="clone",
        note="a driver cloned from a recording (--data DATA): steering and target speed from 60x80 pixels",
        steps=6_000,
        num_envs=1,
        checkpoint_every=3_000,
        config=DRIVER,
        env=dict(obs="trunk", theme="day,desert,rain", random_looks=1.0),
    ),
    "dagger": Recipe(
        agent="dagger",
        note="two rounds of 1,200 frames that the driver itself collects and the expert labels, after a recording",
        steps=8_400,
        num_envs=4,
        checkpoint_every=3_000,
        config=dict(
            **DRIVER, pretrain_updates=3_000, rows_per_round=1_200, updates_per_round=1_500, teacher_share=0.0,
            replay=20_000,
        ),
        env=dict(
            obs="trunk", theme="all", random_looks=1.0, laps=0, time_limit=60.0, expert_info=True, drivable_info=True,
        ),
    ),
    "numbers-clone": Recipe(
        agent="clone",
        note="what the expert does, from the game's 21 numbers: the start of --recipe numbers",
        steps=400_000,
        num_envs=64,
        config=dict(batch=1_024, ratio=16.0),
        env=dict(RIVALS, obs="state", expert_info=True),
    ),
    "numbers": Recipe(
        agent="ppo",
        note="PPO from the game's 21 numbers, among rivals (--init RUN of numbers-clone): a teacher for --recipe pupil",
        steps=24_000_000,
        num_envs=128,
        checkpoint_every=2_000_000,
        config={
            **PPO, "minibatch": 2_048, "lr": 1e-3, "reward_scale": 0.2, "critic_warmup": 0.01, "initial_std": 0.3,
        },
        env=dict(RIVALS, obs="state", action_repeat=2, cost_off_road=3.0, cost_margin=0.8),
    ),
    "pupil": Recipe(
        agent="dagger",
        note="rounds in which a driver from pixels learns what --teacher-run RUN would do, a driver from numbers",
        steps=84_000,
        num_envs=16,
        checkpoint_every=14_000,
        config=dict(
            flip=0.5, brightness=0.1, noise=5.0, exposure=0.2, road=0.3, steering_weight=1.0, batch=128, lr_end=0.02,
            pretrain_updates=0,
            rows_per_round=10_000, updates_per_round=4_000, teacher_share=0.0, replay=60_000,
        ),
        env=dict(RIVALS, obs="trunk", stack=2, steer_noise=0.05, expert_info=True, drivable_info=True),
    ),
}  # fmt: skip
