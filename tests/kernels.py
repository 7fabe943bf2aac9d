"""A program that compiles the kernels of most tests into numba's store: ``python tests/kernels.py go|kart``.

The processes of a whole run would otherwise begin by compiling the same ones, all of them at once.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def played(batch) -> None:
    batch.reset(seed=0)
    batch.step(batch.action_space.sample() * 0)
    batch.close()


def go() -> None:
    import envs
    import experiments.go.players  # noqa: F401  search and rules are compiled when they are imported

    played(envs.make_vec("go", 2))


def kart() -> None:
    import envs

    played(envs.make_vec("flappy", 2))
    for options in ({"obs": "state"}, {"expert_info": True}, {"karts": 2}):
        played(envs.make_vec("kart", 2, tracks="oval", **options))
    single = envs.make("kart", render_mode="rgb_array", tracks="oval")
    single.reset(seed=0)
    single.render()


if __name__ == "__main__":
    {"go": go, "kart": kart}[sys.argv[1]]()
