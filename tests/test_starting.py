"""The first seconds: what is compiled or loaded is told, on standard error, and a refusal does not wait for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from envs import kernels
from experiments.__main__ import PROGRAMS

ROOT = Path(__file__).resolve().parents[1]


def test_compiling_is_told_once_and_then_as_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that says it is of a game (of no game here, whose kernels others may have compiled), really compiled."""
    from numba import njit

    heard: list[str] = []
    monkeypatch.setattr(kernels, "PERIOD", 0.0)
    monkeypatch.setattr(kernels, "_say", None)
    kernels.tell(heard.append)
    kernels.listen()
    kernels.listen()  # asked for by every game that is loaded

    def one(x: float) -> float:
        return x + 1.0

    def two(x: float) -> float:
        return x + 2.0

    for function in (one, two):
        function.__module__ = "envs.ludo.race"
        njit(function)(1.0)
    assert heard[0] == "compiling ludo once, about half a minute ..."
    assert heard.count(heard[0]) == 1 and heard[-1].startswith("compiling ludo: 2 functions, ")
    compiled = njit(one)
    compiled(1.0)
    count = len(heard)
    compiled(2.0)  # nothing is compiled
    assert len(heard) == count


@pytest.mark.parametrize(
    ("module", "told"),
    [("envs.go.board", "go"), ("envs.flappy.batch", "flappy"), ("agents.search.rave", "the tree search"),
     ("numba.np.arrayobj", ""), ("envs.batches", ""), ("mine", "")],
)  # fmt: skip
def test_who_is_compiled(module: str, told: str) -> None:
    assert kernels.subject(module) == told


def test_stored_kernels_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    folder = tmp_path / "envs/kart/__pycache__"
    folder.mkdir(parents=True)
    assert not kernels.stored("envs/kart", tmp_path)
    (folder / "race.step-1.py311.nbi").touch()
    assert kernels.stored("envs/kart", tmp_path) and not kernels.stored("envs/go", tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert not kernels.stored("envs/kart", tmp_path)


def test_programs_that_start_at_once_wait_for_the_one_that_compiles(tmp_path: Path, monkeypatch) -> None:
    """Two threads with files of their own hold locks as two programs do."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    heard: list[str] = []
    order: list[str] = []
    folder, inside, asked = tmp_path / "envs/kart/__pycache__", threading.Event(), threading.Event()
    monkeypatch.setattr(kernels, "_say", lambda text: (heard.append(text), asked.set()))

    folder.parent.mkdir(parents=True)

    def first() -> None:
        with kernels.alone("envs/kart", tmp_path):
            inside.set()
            assert asked.wait(30)
            (folder / "race.step-1.py311.nbi").touch()
            order.append("compiled")

    def second() -> None:
        with kernels.alone("envs/kart", tmp_path):
            order.append("used")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(30)
    threads[1].start()
    for thread in threads:
        thread.join(30)
    assert order == ["compiled", "used"] and heard == ["another program compiles already, waiting for it ..."]
    with kernels.alone("envs/kart", tmp_path), kernels.alone("envs/kart", tmp_path):
        pass  # all is compiled: nobody waits
    source = tmp_path / "envs/kart/race.py"
    source.touch()
    with kernels.alone("envs/kart", tmp_path):  # changed: whoever comes waits again
        thread = threading.Thread(target=second)
        asked.clear()
        thread.start()
        assert asked.wait(30) and order == ["compiled", "used"]
    thread.join(30)
    assert order == ["compiled", "used", "used"]


def test_kernels_that_cannot_be_stored_are_compiled_all_the_same(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file/place"))
    (tmp_path / "file").touch()
    with kernels.alone("envs/kart", tmp_path):
        pass
    with pytest.raises(OSError, match="of the body"), kernels.alone("envs/kart", tmp_path):
        raise OSError("of the body")


def test_a_refused_player_waits_for_nothing() -> None:
    code = (
        "import sys, runpy; sys.argv = {argv}\n"
        "try: runpy.run_module('experiments.{program}', run_name='__main__')\n"
        "finally: print('numba' in sys.modules)"
    )
    for program, argv in (("gtp", ["gtp", "--player", "nobody"]), ("play", ["play", "go", "--player", "nobody"]),
                          ("gtp", ["gtp", "--rules", "mine"])):  # fmt: skip
        script = code.format(argv=argv, program=program)
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and done.stdout.strip() == "False", (argv, done)
        assert done.stderr.startswith("joypad: ") and done.stderr.count("\n") == 1


def test_a_library_is_silent_and_a_program_is_not() -> None:
    code = "import envs; from envs import kernels; envs.make_vec('kart', 1); print(kernels._heard)"
    for before, heard in (("", "False"), ("from experiments import cli; cli.starting();", "True")):
        done = subprocess.run([sys.executable, "-c", before + code], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.strip() == heard and not done.stderr


LOADED = """
import contextlib, importlib, io, sys
main = importlib.import_module("experiments." + sys.argv[1]).main
shown = sys.stdout
sys.argv = sys.argv[1:]
with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.suppress(SystemExit):
    main()
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=shown)
"""


def loaded(*words: str) -> set[str]:
    """The packages that a program has loaded when it ends."""
    done = subprocess.run([sys.executable, "-c", LOADED, *words], cwd=ROOT, capture_output=True, text=True, input="")
    assert not done.returncode, done.stderr
    return {*done.stdout.split()}


RARE = {"stable_baselines3", "sb3_contrib", "aiohttp", "matplotlib", "optuna", "pygame", "av"}  # where they are used


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_comes_without_torch(name: str) -> None:
    assert not {"torch", *RARE} & loaded(name, "--help")


@pytest.mark.parametrize(
    "words", [("train", "breakout", "--agent", "dqn", "--help"), ("runs", "list", "--runs", "none"), ("gtp",)]
)
def test_what_needs_no_network_comes_without_torch(words: tuple[str, ...]) -> None:
    assert not {"torch", *RARE} & loaded(*words)


def test_the_general_help_loads_no_library_of_numbers() -> None:
    assert not {"torch", "numpy", "numba", "gymnasium", "scipy", *RARE} & loaded("train", "--help")


def test_a_training_loads_what_it_uses(tmp_path: Path) -> None:
    words = ["train", "breakout", "--steps", "32", "--num-envs", "2", "--rollout", "8", "--eval-episodes", "0"]
    words += ["--encoder", "small", "--hidden", "8", "--no-video", "--no-milestones", "--device", "cpu"]
    found = loaded(*words, "--runs", str(tmp_path))
    assert "torch" in found and not RARE & found
