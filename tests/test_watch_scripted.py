"""Players that need no training: what `watch` shows of a game before anything was trained."""

from pathlib import Path

import pytest
import torch

from experiments.watching.seat import Seat
from experiments.watching.source import find


@pytest.mark.parametrize(
    "game", ["kart", pytest.param("car-racing", marks=pytest.mark.slow), pytest.param("go", marks=pytest.mark.slow)]
)
def test_without_a_run_the_best_that_there_is_plays(game: str, tmp_path: Path) -> None:
    source = find(game, tmp_path)
    assert source.run is None and source.scripted and game in source.note
    seat = Seat(source, seed=3)
    for _ in range(6):
        step, action = seat.step, seat.act.action
        if "expert" in step.info:
            assert torch.equal(action, step.info["expert"])
        else:
            assert bool(step.legal[0, int(action[0])])
        seat.advance()
        seat.decide_once()
    assert ("expert" in seat.step.info) == (game != "go") and seat.moves == 6
    seat.close()


def test_where_there_is_none_chance_plays(tmp_path: Path) -> None:
    source = find("flappy", tmp_path)
    assert source.run is None and not source.scripted and source.label == "random"
