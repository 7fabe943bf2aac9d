"""Matches: whose turn it is, which games count, what a side's points are; against a literal game of tic-tac-toe."""

import json

import numpy as np
import pytest
import torch

import envs
from agents.core import match as matches
from agents.core.rows import Act
from agents.core.stream import Stream
from experiments import evaluate, tournament, train
from experiments.comparing import evaluations
from tests import programs
from tests.toys import tictactoe


class Script:
    """Plays the first legal field of a fixed order, and remembers what it was asked."""

    def __init__(self, order):
        self.order, self.asked = order, []

    def act(self, step, memory=None):
        self.asked.append(step.obs[:, -1].clone())
        legal = step.legal.numpy()
        return Act(torch.tensor([next(k for k in self.order if row[k]) for row in legal]))


class Keeper(Script):
    """As Script, with a memory that counts the rows since its column's game began."""

    def act(self, step, memory=None):
        act = super().act(step, memory)
        before = torch.zeros(len(step.first)) if memory is None else memory
        return act._replace(memory=torch.where(step.first, 0.0, before + 1))


def literal(first, second, moves, seed_moves):
    """The winner (0 first, 1 second, None nobody) and the length of a game, move by move."""
    board, sides, turn = [None] * 9, (first, second), 0
    opening = list(seed_moves)
    while True:
        free = [k for k in range(9) if board[k] is None]
        move = opening.pop(0) if opening else next(k for k in sides[turn] if k in free)
        board[move] = turn
        if any(all(board[k] == turn for k in line) for line in tictactoe.LINES):
            return turn, 9 - len(free) + 1
        if len(free) == 1:
            return None, 9
        turn = 1 - turn


@pytest.mark.parametrize("columns, pairs", [(1, 3), (2, 3), (4, 2), (3, 7)])
@pytest.mark.parametrize("kind", [Script, Keeper])
def test_games_without_an_opening_are_the_literal_ones(columns, pairs, kind):
    a, b = [4, 0, 2, 6, 8, 1, 3, 5, 7], [0, 1, 2, 3, 4, 5, 6, 7, 8]
    stream = Stream(tictactoe.make_vec(columns))
    played = matches.match((kind(a), Script(b)), stream, pairs, 5, random_moves=0)
    assert [(g.pair, g.first) for g in played] == [(p, f) for p in range(pairs) for f in (0, 1)]
    for game in played:
        order = (a, b) if game.first == 0 else (b, a)
        winner, length = literal(*order, [], [])
        points = 0.5 if winner is None else float((winner == 0) == (game.first == 0))
        assert (game.points, game.length) == (points, length)


def test_the_two_games_of_a_pair_share_their_opening_and_pairs_differ():
    seen = []

    class Recorder(Script):
        def act(self, step, memory=None):
            seen.extend(tuple(row.int().tolist()) for row in step.obs[:, -1])
            return super().act(step, memory)

    order = list(range(9))
    stream = Stream(tictactoe.make_vec(1))
    played = matches.match((Recorder(order), Recorder(order)), stream, 6, 11, random_moves=3)
    after = [row for row in seen if sum(row) == 3]  # the first position that a policy is asked about
    assert len(after) >= 12
    games = {after[2 * k] for k in range(6)}
    assert all(after[2 * k] == after[2 * k + 1] for k in range(6)) and len(games) > 1
    for a, b in zip(played[::2], played[1::2], strict=True):
        assert a.points + b.points == 1.0  # the same policy on both sides of the same position


def test_a_policy_without_memory_is_asked_only_where_it_is_to_move():
    mine, other = Script(list(range(9))), Script(list(range(8, -1, -1)))
    stream = Stream(tictactoe.make_vec(1))
    matches.match((mine, other), stream, 1, 0, random_moves=0)
    stones = [int(row.sum()) for batch in mine.asked[1:] for row in batch]
    assert stones and all(a != b for a, b in zip(stones, stones[1:], strict=False))
    assert sum(len(batch) for batch in mine.asked) <= 2 + 9  # no more than half of two games, and the first rows


def test_chance_is_legal_and_even():
    stream = Stream(tictactoe.make_vec(8))
    played = matches.match((matches.Chance(stream.spec, 1), matches.Chance(stream.spec, 2)), stream, 200, 3)
    points = np.array([g.points for g in played])
    assert len(played) == 400 and abs(points.mean() - 0.5) < 0.1  # four standard errors
    first = np.array([g.points if g.first == 0 else 1 - g.points for g in played])
    assert first.mean() > 0.55  # the first move is worth something: sides are told apart


def test_a_game_of_one_player_is_refused():
    stream = Stream(envs.make_vec("gym:CartPole-v1", 2))
    with pytest.raises(ValueError, match="has one side"):
        matches.match((matches.Chance(stream.spec, 1), matches.Chance(stream.spec, 2)), stream, 2, 0)


def make_run(root, name, steps):
    """A run of tic-tac-toe by self-play."""
    argv = f"tictactoe --agent ppo --recipe none --steps {steps} --num-envs 32 --rollout 16 --name {name}"
    argv += f" --lr 0.002 --eval-episodes 0 --video no --stages no --seed 4 --runs {root}"
    with pytest.raises(SystemExit) as ended:
        train.main(argv.split())
    assert not ended.value.code
    return root / "tictactoe" / "ppo" / f"{name}-s4"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A run that has not learned anything yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(envs.GAMES, "tictactoe", "tests.toys.tictactoe")
        yield make_run(tmp_path_factory.mktemp("matches"), "fresh", 64)


@pytest.mark.slow
def test_a_run_against_chance_and_against_another(fresh, tmp_path, capsys, monkeypatch):
    learned = make_run(tmp_path, "learned", 30_000)
    capsys.readouterr()
    argv = [str(learned), "--against", "random", "--episodes", "200", "--json"]
    code, out, err = programs.program(evaluate.main, argv, capsys, monkeypatch)
    assert code == 0, err
    told = json.loads(out)
    assert told["first"]["score"] > 0.75 and told["second"]["score"] > 0.5  # chance against itself: 0.65, 0.35
    assert told["all"]["won"] + told["all"]["drawn"] + told["all"]["lost"] == 200 == len(told["scores"])
    low, high = told["all"]["interval"]
    assert low < told["all"]["score"] < high

    argv = [str(learned), "--against", str(fresh), "--episodes", "100"]
    code, out, err = programs.program(evaluate.main, argv, capsys, monkeypatch)
    assert code == 0 and "as second side: " in out and "95 % interval" in out


def test_a_match_does_not_pass_for_the_score_of_a_training(fresh, capsys, monkeypatch):
    argv = [str(fresh), "--against", "random", "--episodes", "20"]
    assert programs.program(evaluate.main, argv, capsys, monkeypatch)[0] == 0
    kept = evaluations.read(fresh, [])
    assert kept[-1]["against"] == "random" and not list(evaluations.own(kept, None, "tictactoe"))


@pytest.mark.parametrize(
    "argv, told",
    [
        (["--against", "nobody"], "nobody"),
        (["--against", "random", "--episodes", "3"], "must be even"),
        (["--against", "random", "--policy", "greedy"], "--policy: not with --against"),
        (["--against", "random", "--max-steps", "5"], "--max-steps: not with --against"),
        (["--against", "random", "--random-moves", "-1"], "--random-moves -1"),
    ],
)
def test_mistakes_are_one_sentence(fresh, argv, told, capsys, monkeypatch):
    code, out, err = programs.program(evaluate.main, [str(fresh), *argv], capsys, monkeypatch)
    assert code == 2 and told in err and len(err.strip().splitlines()) == 1 and not out


def test_a_tournament_of_runs(fresh, tmp_path, capsys, monkeypatch):
    everyone = [str(fresh), "random", str(fresh)]
    argv = [*everyone, "--games", "40", "--out", str(tmp_path / "t")]
    code, out, err = programs.program(tournament.main, argv, capsys, monkeypatch)
    assert code == 0, err
    found = json.loads((tmp_path / "t" / "summary.json").read_text())
    assert [pair["won"] + pair["drawn"] + pair["lost"] for pair in found["pairs"]] == [40, 40, 40]
    assert [player["player"] for player in found["players"]] == everyone
    assert found["players"][0]["elo"] == 0
    assert "Elo (Bradley-Terry" in out
