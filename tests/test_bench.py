"""`python -m experiments.bench` from outside: every benchmark runs, tells finite figures and writes them down."""

import json
import math
import subprocess
import sys

import pytest
import torch

from experiments.benchmarks import atari


@pytest.mark.parametrize(
    ("what", "told"),
    [
        pytest.param("flappy", "pixels over their picture", marks=pytest.mark.slow),
        pytest.param("kart", "kart_160x120 / car_racing", marks=pytest.mark.slow),
        pytest.param("throughput", "dqn, batch 256, steps/s", marks=pytest.mark.slow),
        pytest.param("search", "go 9x9, no network, microseconds per visit", marks=pytest.mark.slow),
    ],
)
def test_a_benchmark_prints_its_table_and_writes_json(what: str, told: str, tmp_path) -> None:
    words = [sys.executable, "-m", "experiments.bench", what, "--seconds", "0.1", "--rounds", "1"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "runs" / "bench").glob(f"{what}-*.json")
    assert str(file.relative_to(tmp_path)) in done.stdout
    result = json.loads(file.read_text())
    assert told in result["figures"]
    assert result["commit"]
    for name, value in result["figures"].items():
        assert name in done.stdout
        assert not isinstance(value, float) or (math.isfinite(value) and value > 0), name


def test_a_benchmark_that_is_not_there_is_refused(tmp_path) -> None:
    words = [sys.executable, "-m", "experiments.bench", "breakout"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no benchmark 'breakout'" in done.stderr
    assert "atari" in done.stderr
    assert not list(tmp_path.iterdir())


class Steady:
    """A meter that makes `rate` steps a second, at least `least` seconds at a time."""

    def __init__(self, rate: int, least: float):
        self.rate, self.least, self.asked, self.closed = rate, least, 0, False

    def __call__(self, seconds: float) -> tuple[int, float]:
        self.asked += 1
        seconds = max(seconds, self.least)
        return round(self.rate * seconds), seconds

    def close(self) -> None:
        self.closed = True


def test_two_take_turns_until_each_has_had_its_seconds() -> None:
    quick, slow = Steady(600, 0.0), Steady(200, 7.0)
    assert atari.in_turns([quick, slow], 5.0) == [600, 200]
    assert quick.asked == 5 and slow.asked == 1
    alone = Steady(50, 0.0)
    rows = atari.compared({"quick": quick, "slow": slow, "alone": alone}, [("quick", "slow")], 0.5, 3)
    assert rows == {
        "quick, steps/s": 600, "slow, steps/s": 200, "alone, steps/s": 50, "quick": "3.00x slow (3.00 to 3.00)"
    }  # fmt: skip
    assert quick.closed and slow.closed and alone.closed


@pytest.mark.slow
def test_contenders_in_processes_of_their_own() -> None:
    """Ours and stable-baselines3's, of the agent that needs the shortest warm-up."""
    cpu = torch.device("cpu")
    meters = {"a2c": atari.Apart(atari.loop, "a2c", cpu), "sb3-a2c": atari.Apart(atari.sb3_meter, "a2c", cpu, False, 1)}
    rows = atari.compared(meters, [("a2c", "sb3-a2c")], 1.0, 1)
    assert rows["a2c, steps/s"] > 50 and rows["sb3-a2c, steps/s"] > 50


def test_a_contender_that_dies_is_told(capfd) -> None:
    meter = atari.Apart(json.loads, "{")
    with pytest.raises(RuntimeError, match="process has died"):
        meter(1.0)
    assert "JSONDecodeError" in capfd.readouterr().err
    meter.close()
