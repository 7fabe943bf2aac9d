"""Gymnasium's CarRacing-v3 from pixels.

python -m experiments.train car-racing                       reinforcement from nothing
python -m experiments.train car-racing --recipe dagger       what a scripted driver does that knows the track
python -m experiments.train car-racing --recipe race --init car-racing/dagger
"""

from experiments.recipes import Recipe

PPO = dict(
    rollout=128, epochs=4, minibatch=256, lr=3e-4, hidden=256, clip=0.15, entropy_coef=0.0, reward_clip=0.0,
    reward_scale=0.05, encoder="nature", evaluation="greedy", overlap=False,
)  # fmt: skip
RECIPES = {
    "default": Recipe(
        agent="ppo",
        note="PPO from 84x84 grey pixels, four frames per decision",
        steps=1_500_000,
        num_envs=16,
        checkpoint_every=100_000,
        config=PPO,
        env=dict(patience=120),
    ),
    "dagger": Recipe(
        agent="dagger",
        note="rounds in which a driver from 84x84 grey pixels learns what a scripted one does that knows the track",
        steps=72_000,
        num_envs=16,
        checkpoint_every=12_000,
        config=dict(
            flip=0.5, brightness=0.05, steering_weight=1.0, batch=128, lr_end=0.02, pretrain_updates=0,
            rows_per_round=8_000, updates_per_round=4_000,
            teacher_share=0.5, replay=80_000, encoder="small", hidden=256,
        ),
        # Short games: more tracks, and more beginnings. Noise: more of what it should come back from.
        env=dict(patience=240, limit=400, steer_noise=0.05, expert_info=True),
    ),
    "race": Recipe(
        agent="ppo",
        note="PPO from a driver of --recipe dagger (--init RUN): it explores closely around it",
        steps=500_000,
        num_envs=16,
        checkpoint_every=100_000,
        config={**PPO, "encoder": "small", "clip": 0.1, "lr": 1e-4, "critic_warmup": 0.05, "initial_std": 0.1},
        env=dict(patience=120),
    ),
}  # fmt: skip
