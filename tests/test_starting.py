"""The first seconds: what is compiled or loaded is told, on standard error, and a refusal does not wait for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from envs import kernels

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


def test_a_library_is_silent_and_a_program_is_not() -> None:
    code = "import envs; from envs import kernels; envs.options('kart'); print(kernels._heard)"
    for before, heard in (("", "False"), ("from experiments import cli; cli.starting();", "True")):
        done = subprocess.run([sys.executable, "-c", before + code], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.strip() == heard and not done.stderr
