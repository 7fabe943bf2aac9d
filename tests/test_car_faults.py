"""What the toy car does when something breaks; the table of all faults with more repeats: tests/car_faults.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import car_faults
import pytest
from car_faults import BROWSER, FAULTS, KINDS, Bench, Verdict, judge, table
from programs import tool

pytest.importorskip("gpiozero", reason="gpiozero is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")
REPEATS = 3


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Bench]]:
    made = {kind: Bench(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}
    yield made
    for bench in made.values():
        bench.end()


@pytest.mark.parametrize("fault", ["page-closed", "camera-silent"])
def test_two_faults_of_many(benches: dict[str, Bench], fault: str) -> None:
    assert (verdict := judge(benches["sim"], fault)).passed, verdict


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_on_every_driver(benches: dict[str, Bench], kind: str, fault: str) -> None:
    if fault in BROWSER:
        tool("chromium", "chromium-browser", "google-chrome")
    for _ in range(REPEATS):
        verdict = judge(benches[kind], fault)
        assert verdict.passed, verdict


def test_there_are_enough_faults() -> None:
    assert len(FAULTS) >= 14 and len(KINDS) == 3


def test_the_judge_sees_a_car_that_does_not_stop(tmp_path: Path) -> None:
    """A log of a car that goes on, and one of a car that stops and starts again."""
    lines = ['[{}, "sim", [0.0, {}]]'.format(*row) for row in ((1.0, 0.2), (1.2, 0.2), (1.3, 0.0), (2.0, 0.2))]
    log = tmp_path / "wires"
    log.write_text("\n".join(lines[:2]))
    assert car_faults.stopped_after(log, "sim", 1.1) == float("inf")
    log.write_text("\n".join(lines[:3]))
    assert car_faults.stopped_after(log, "sim", 1.1) == pytest.approx(0.2) and not car_faults.moving(log, "sim", 1.35)
    log.write_text("\n".join(lines))
    assert car_faults.stopped_after(log, "sim", 1.1) == float("inf") and car_faults.moving(log, "sim", 1.35)


def test_the_table_counts_what_passed() -> None:
    told = table([Verdict("page-closed", "gpio", 0.01, True), Verdict("page-closed", "gpio", 0.3, False)])
    assert "| page-closed | 1/2, 155 / 300 ms |" in told
