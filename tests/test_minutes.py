"""`--minutes`: a budget in steps that follows the speed, so that a training ends when it was told to."""

import json
from pathlib import Path

import pytest

from agents.core.clock import Clock
from agents.core.run import Run
from agents.core.training import Moment
from experiments.training.hooks import Minutes


def spent(tmp_path: Path, speed, minutes: float = 10.0, begun: tuple[float, int] = (0.0, 0)) -> tuple[Clock, list[int]]:
    """A training of 64 games that makes `speed(seconds)` steps/s: its clock at the end, and the budgets it had."""
    clock, budgets = Clock(), []
    clock.seconds, clock.steps = begun
    run = Run(tmp_path, {"steps": None})
    hook = Minutes(run, minutes)
    while clock.budget is None or clock.steps < clock.budget:
        clock.seconds += 64 / speed(clock.seconds)
        clock.steps += 64
        clock.updates = clock.steps // 1024
        hook(Moment(clock, [], [], None))
        if clock.budget is not None and clock.budget not in budgets[-1:]:
            budgets.append(clock.budget)
            assert json.loads((tmp_path / "config.json").read_text())["steps"] == clock.budget
    return clock, budgets


def test_a_steady_training_keeps_its_budget(tmp_path: Path):
    clock, budgets = spent(tmp_path, lambda s: 1_000)
    assert clock.steps == pytest.approx(600_000, rel=0.001) and clock.seconds == pytest.approx(600, rel=0.001)
    assert max(budgets) - min(budgets) <= 64


@pytest.mark.parametrize("later", [500, 900, 1_300, 3_000])
def test_a_training_whose_speed_changes_ends_in_time(tmp_path: Path, later: int):
    clock, budgets = spent(tmp_path, lambda s: 1_000 if s < 200 else later)
    assert clock.seconds == pytest.approx(600, rel=0.02)
    once = 200 + 400_000 / later  # s, with the budget that the first minute gives
    assert abs(once - 600) > 5 * abs(clock.seconds - 600)
    assert len(budgets) > 5


def test_after_a_resume_the_time_spent_before_counts(tmp_path: Path):
    clock, _ = spent(tmp_path, lambda s: 800, begun=(300.0, 240_000))
    assert clock.seconds == pytest.approx(600, rel=0.01) and clock.steps == pytest.approx(480_000, rel=0.01)


def test_minutes_that_end_before_anything_is_learned_end_the_training(tmp_path: Path):
    clock, _ = spent(tmp_path, lambda s: 1.0, minutes=0.5)
    assert clock.seconds <= 64 and clock.updates == 0
