"""The toy car: a driver cloned from a recording, of the simulator or of a real car.

python -m experiments.record car --driver expert --minutes 15 --theme all --random-looks 1 --random-camera 0.5 \\
    --time-limit 10 --start random --latency 1 --random-latency 2 --out DATA
python -m experiments.train car --data DATA
python -m experiments.evaluate car --tracks test:20

From a real car's recording of few frames, with the trunk of a run in a game:

python -m experiments.train car --data TUB --init kart/clone --recipe few

With what a person did who took over while that driver drove:

python -m experiments.train car --data TUB CORRECTIONS --init car/clone --recipe corrections
"""

from experiments.recipes import Recipe

DRIVER = dict(
    flip=0.5, shift=0.08, colour=0.5, brightness=0.5, noise=15.0, exposure=1.5, shade=0.8, road=0.3,
    steering_weight=1.0, batch=96,
)  # fmt: skip
SEEN = dict(theme="all", random_looks=1.0)
RECIPES = {
    "default": Recipe(
        agent="clone",
        note="a driver cloned from recordings (--data DATA): steering, target speed or throttle, traffic signs",
        steps=8_000,
        num_envs=1,
        checkpoint_every=4_000,
        config=dict(DRIVER, sign=0.3),
        env=SEEN,
    ),
    "few": Recipe(
        agent="clone",
        note="a head alone, on the trunk of --init RUN, which stays as it is: for recordings of few frames",
        steps=2_000,
        num_envs=1,
        checkpoint_every=2_000,
        config=dict(DRIVER, freeze_trunk=True),
        env=SEEN,
    ),
    "corrections": Recipe(
        agent="clone",
        note="DAgger by a person: recordings in which you took over, beside the one before (--data A B --init RUN)",
        steps=4_000,
        num_envs=1,
        checkpoint_every=2_000,
        config=dict(DRIVER, sign=0.3),
        env=SEEN,
    ),
    "dagger": Recipe(
        agent="dagger",
        note="two rounds of 1,200 frames that the simulated car collects and its expert labels, after a recording",
        steps=11_400,
        num_envs=4,
        checkpoint_every=4_000,
        config=dict(
            **DRIVER, sign=0.3, pretrain_updates=6_000, rows_per_round=1_200, updates_per_round=1_500,
            teacher_share=0.0, replay=20_000,
        ),
        env=dict(SEEN, expert_info=True, drivable_info=True, sign_info=True, latency=1, random_latency=2),
    ),
}
