"""How the tests run: one torch thread each, and side by side on the processors that there are (pytest-xdist).

The networks here are too small for more threads, and threads that wait on each other beside another busy program cost
minutes. Files of one family go to one process, so that their kernels are compiled once; what families share the
processes take from one store beside the sources, which programs and later runs of the tests use as well.

    python -m pytest -n 0 tests/test_replay.py        one process: for --pdb, for timings, for one file

A test that needs a program or a package which is missing is skipped. SKIPPED=FILE collects the names of these tests,
one on each line, for `pytest @FILE` once the programs are installed; CI_RUN=1 makes such a skip a failure.
JOYPAD_AT_LENGTH=1 makes more repetitions of some slow tests (`lengths`).
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["JOYPAD_REFERENCE"] = ""  # what a test finds does not depend on what the repository holds
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background of a shell: programs that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)  # would inherit it, and never hear of a Ctrl-C
if os.name == "posix" and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # started by nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a training would go on after it, as it should there
worker = os.environ.get("PYTEST_XDIST_WORKER")


if worker:
    from envs.kernels import one_writes_at_a_time

    one_writes_at_a_time()

FAMILIES = {  # beginnings of file names -> the process that runs them
    "kart": ("kart", "augment", "clone", "data", "drives", "driving", "play", "record", "tub", "watch", "saliency"),
    "go": ("go", "gtp", "search", "tournament"),
}


def family(nodeid: str) -> str:
    """Of a test: the game in its name, else that of its file: ``tests/test_tub.py::test_x[y]`` -> ``kart``."""
    file, _, test = nodeid.partition("::")
    name = Path(file).stem.removeprefix("test_")
    named = next((game for game in ("kart", "flappy") if game in test.lower()), None)
    return named or next((f for f, starts in FAMILIES.items() if name.startswith(starts)), name)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before the processes of a whole run begin: each would compile the same kernels as soon as it reads the files."""
    config = session.config
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    if worker or named or config.option.collectonly or not getattr(config.option, "numprocesses", None):
        return
    program = Path(__file__).with_name("kernels.py")
    for part in [subprocess.Popen([sys.executable, program, name]) for name in ("go", "kart")]:
        part.wait()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """By family. (Marks of `xdist_group` would say so too, but pytest 9.2 and xdist 3.8 do not pass them on.)"""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Families(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return family(nodeid)

    return Families(config, log)


MISSING = re.compile(r"is not installed|could not import")  # reasons of skips that an installation takes away


def missing(report: Any) -> str:
    """Why a test was skipped, if something is not installed; else nothing."""
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    return reason if MISSING.search(reason) else ""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    report = (yield).get_result()
    if os.environ.get("CI_RUN") and (reason := missing(report)):
        report.outcome, report.longrepr = "failed", reason


def pytest_runtest_logreport(report: Any) -> None:
    path = os.environ.get("SKIPPED")
    if path and not worker and missing(report):  # a report of another process comes to the first one, too
        with open(path, "a") as file:
            file.write(f"{report.nodeid}\n")


@pytest.fixture(scope="module")
def dummy_display():
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A tiny finished run of CartPole."""
    from experiments import train

    root = tmp_path_factory.mktemp("runs")
    argv = ["gym:CartPole-v1", "--steps", "1500", "--rollout", "16", "--num-envs", "4", "--runs", str(root)]
    argv += ["--checkpoint-every", "600", "--eval-episodes", "3", "--no-video", "--hidden", "16"]
    with pytest.raises(SystemExit) as stop:
        train.main(argv)
    assert not stop.value.code
    return root / "gym-CartPole-v1" / "ppo" / "default-s0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A tiny PPO on Breakout-like pictures and a tiny DQN on vectors, with all their stages."""
    from experiments import train

    root = tmp_path_factory.mktemp("runs")
    common = ["--eval-episodes", "0", "--no-video", "--runs", str(root)]
    for argv in (
        ["flappy", "--agent", "ppo", "--steps", "400", "--num-envs", "4", "--rollout", "8", "--hidden", "16",
         "--checkpoint-every", "200", "--frame-skip", "1", "--reward", "seed", "--evaluation", "sampled"],
        ["gym:CartPole-v1", "--agent", "dqn", "--steps", "400", "--num-envs", "4", "--hidden", "16", "--warmup", "50",
         "--checkpoint-every", "200"],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as stop:
            train.main([*argv, *common])
        assert not stop.value.code
    return root


@pytest.fixture
def seat():
    """A function that makes a table of Go."""
    from gotables import seats

    yield from seats()
