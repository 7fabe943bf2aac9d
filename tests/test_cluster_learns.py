"""Breakout, Flappy Bird and Go learn with actors on two hosts, of which the second one is killed without a word.

Some minutes for each game on two quiet cores, so only where somebody asks (`lengths`):

    JOYPAD_AT_LENGTH=1 python -m pytest -n 0 -s -m slow tests/test_cluster_learns.py

The check has the same in short, on CartPole: `test_cluster.py`. Thresholds are those that the loop of one process
passes within the same steps.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import hosts
import lengths
import pytest

ASKED = bool(lengths.repeats(0, 1))
LIMIT = 3_600.0  # seconds
QUIET = ("--actors", "2", "--eval-episodes", "0", "--no-video")
LEARNERS = {  # by game: its options and the mean return of 100 training games that it must pass
    "breakout": (("breakout", "--num-envs", "32", "--steps", "500000"), 10.0),
    "flappy": (("flappy", "--obs", "state", "--encoder", "auto", "--num-envs", "32", "--lr", "0.001",
                "--steps", "600000"), 10.0),
}  # fmt: skip
SELF_PLAY = ("go", "--recipe", "5x5", "--num-envs", "32", "--visits", "12", "--visits-start", "8", "--warmup", "2000",
             "--replay", "60000", "--checkpoint-every", "20000", "--steps", "100000", "--name", "go")  # fmt: skip


def lines(run: Path) -> list[dict[str, float]]:
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def trained(words: tuple[str, ...], folder: Path, killed_at: int) -> tuple[list[dict[str, float]], str]:
    """Trains on two hosts, the second of which is killed once so many steps have come. Its metrics and messages."""
    with hosts.Hosts() as two:
        log = folder / "log"
        with log.open("w") as err:
            process = two.run("experiments.train", *words, *QUIET, "--cluster", two.address, "--runs", folder,
                              stdout=subprocess.DEVNULL, stderr=err)  # fmt: skip
        end, killed, found = time.monotonic() + LIMIT, False, []
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.5)
            found = next((lines(path.parent) for path in folder.glob("*/*/*/metrics.jsonl")), [])
            if not killed and found and found[-1]["steps"] >= killed_at and found[-1].get("cluster/actors_alive") == 2:
                two.kill(1)
                killed = True
        assert process.poll() == 0 and killed, log.read_text()
        return next(lines(path.parent) for path in folder.glob("*/*/*/metrics.jsonl")), log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(LIMIT + 200)
@pytest.mark.parametrize("game", LEARNERS)
@pytest.mark.skipif(not ASKED, reason="JOYPAD_AT_LENGTH=1: some minutes for each game")
def test_a_game_is_learned_on_two_hosts_one_of_which_dies(game: str, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words, threshold = LEARNERS[game]
    found, told = trained((*words, "--stop-at", str(threshold), "--name", game), tmp_path, 50_000)
    print(f"{game}: mean {found[-1]['train/return']:.1f} of the newest games after {found[-1]['steps']:,} steps")
    assert "plays again, after " in told, told
    assert found[-1]["train/return"] >= threshold


@pytest.mark.slow
@pytest.mark.timeout(LIMIT + 200)
@pytest.mark.skipif(not ASKED, reason="JOYPAD_AT_LENGTH=1: some minutes")
def test_go_is_learned_on_two_hosts_one_of_which_dies(tmp_path: Path) -> None:
    """The value on games that were held out, whose loss is about 1 where nothing is known: a quarter of it is gone."""
    pytest.importorskip("ray")
    found, told = trained(SELF_PLAY, tmp_path, 5_000)
    errors = [line["learn/held_value_loss"] for line in found if "learn/held_value_loss" in line]
    print(
        f"go: loss of the value on held-out games {errors[0]:.2f}, after {found[-1]['steps']:,} steps {errors[-1]:.2f}"
    )
    assert "plays again, after " in told, told
    assert errors[-1] < 0.75 * errors[0]
