"""Kart: a driver cloned from a recording, corrected in rounds, and made faster by reinforcement.

    python -m experiments.record kart --driver expert --minutes 10 --out drives/expert
    python -m experiments.train kart --agent clone --data drives/expert
    python -m experiments.train kart --agent dagger --data drives/expert
    python -m experiments.train kart --agent ppo --init kart/clone
"""

from experiments.recipes import Recipe

DRIVER = dict(flip=0.5, shift=0.08, colour=0.5, light=0.4, noise=10.0, road=0.3, balance=1.0, encoder="auto")
RECIPES = {
    "clone": Recipe(
        agent="clone",
        note="a driver cloned from a recording: steering and target speed from 60x80 pixels",
        steps=8_000,
        num_envs=1,
        checkpoint_every=4_000,
        config=dict(**DRIVER, batch=96),
        env=dict(obs="trunk", theme="day"),
    ),
}
