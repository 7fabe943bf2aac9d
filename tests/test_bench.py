"""`python -m experiments.bench` from outside: every benchmark runs, tells finite figures and writes them down."""

import json
import math
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("flappy", "pixels over their picture"),
        pytest.param("kart", "kart_160x120 / car_racing", marks=pytest.mark.slow),
        pytest.param("search", "go 9x9, no network, microseconds per visit", marks=pytest.mark.slow),
        pytest.param("atari", "loop with random agent", marks=pytest.mark.slow),
        pytest.param("agents", "qrdqn", marks=pytest.mark.slow),
    ],
)
def test_a_benchmark_prints_its_table_and_writes_json(what: str, told: str, tmp_path) -> None:
    words = [sys.executable, "-m", "experiments.bench", what, "--seconds", "0.1", "--rounds", "1"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=600)
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
