"""AlphaZero's targets where a game does not begin at its beginning, its openings, and what is held out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from selfplays import games_of, made, rows_of

from agents import alphazero
from agents.core import training
from agents.search.search import Result


def finished_games(parts: Any) -> list[dict[str, np.ndarray]]:
    return [game for column in range(4) for game in games_of(rows_of(parts, column))]


def test_lead_and_owners_of_games_that_begin_in_the_middle() -> None:
    """White may be the side that begins there. The komi is no whole number, so that nobody draws."""
    parts = made(steps=500, env=dict(size=3, komi=0.5, settle=True, restarts=0.7))
    assert training.train(parts.loop)
    began = set()
    for game in finished_games(parts):
        komi = 20 * game["obs"][:-1, 13, 0, 0]  # in the view of the side to move
        began.add(float(np.sign(komi[0])))
        assert np.array_equal(np.sign(game["score"][:-1]), game["outcome"][:-1])
        np.testing.assert_allclose(game["score"][:-1], game["ownership"][:-1].sum(1) + komi, atol=1e-5)
    assert began == {-1.0, 1.0}


def test_a_game_whose_beginning_the_ring_has_lost_has_the_same_targets() -> None:
    parts = made(steps=300)
    assert training.train(parts.loop)
    for game in finished_games(parts)[:6]:
        rows = {name: torch.from_numpy(column) for name, column in game.items()}
        for lost in (1, 2):
            if len(game["last"]) - lost < 2:
                continue
            known = parts.agent.finished({name: column[lost:] for name, column in rows.items()})
            for name in ("outcome", "score", "ownership"):
                assert torch.equal(known[name][:-1], rows[name][lost:-1]), name


def test_openings_are_drawn_half_from_the_policy_and_half_at_random() -> None:
    columns = 400
    parts = made(columns=columns, openings=1.0, opening_moves=1)
    agent, step = parts.agent, parts.stream.reset(1, 0)
    prior = np.full((columns, 10), 0.2 / 9, np.float32)
    prior[:, 4] = 0.8
    nothing = np.zeros((columns, 10))
    found = Result(
        np.zeros(columns, np.int64), prior, nothing[:, 0], nothing.astype(np.int32), nothing, prior, nothing[:, 0],
        nothing[:, 0] > 0,
    )  # fmt: skip
    drawn = []
    for _ in range(4):
        action, opened = agent._open(step, found)
        assert opened.all()
        drawn.append(action)
    shares = np.bincount(np.concatenate(drawn), minlength=10) / (4 * columns)
    assert shares[4] == pytest.approx(0.5 * 0.8 + 0.5 / 10, abs=0.06)
    assert (shares > 0.02).all()


def test_openings_are_legal_however_often_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in a hundred million would be enough to end a training of hours: the weights themselves are looked at."""
    parts = made(columns=3, openings=1.0)
    agent, step, seen = parts.agent, parts.stream.reset(1, 0), []
    prior = np.full((3, 10), 1 / 8, np.float32)
    prior[:, [2, 7]] = 0.0  # illegal
    prior[2] = 0.0  # the game is over
    nothing = np.zeros((3, 10))
    found = Result(
        np.zeros(3, np.int64), prior, nothing[:, 0], nothing.astype(np.int32), nothing, prior, nothing[:, 0],
        nothing[:, 0] > 0,
    )  # fmt: skip
    draw = torch.multinomial
    monkeypatch.setattr(torch, "multinomial", lambda weights, *a, **k: seen.append(weights) or draw(weights, *a, **k))
    agent._open(step, found)
    assert (seen[0][:2, [2, 7]] == 0).all() and (seen[0][:2].sum(1) > 0.99).all() and seen[0][2].sum() > 0


def test_what_is_held_out_is_what_would_have_been_learned_from() -> None:
    agent = made().agent
    rows = {
        "obs": torch.arange(6.0).view(6, 1, 1, 1).expand(6, *agent.rules.planes),
        "skip": torch.tensor([True, False, False, True, False, False]),  # the last row is of a game that is over
    }
    agent._hold(rows, {"outcome": torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, 0.0])})
    assert agent.held_rows == 3
    assert agent.held["obs"][:4, 0, 0, 0].tolist() == [1.0, 2.0, 4.0, 0.0]
    assert agent.held["outcome"][:3].tolist() == [-1.0, 1.0, 1.0]
    longer = {"obs": rows["obs"][:1].expand(700, *agent.rules.planes), "skip": torch.zeros(700, dtype=torch.bool)}
    agent._hold(longer, {"outcome": torch.ones(700)})  # longer than what is kept
    assert agent.held_rows == 3 + alphazero.HELD and (agent.held["outcome"] == 1).all()
