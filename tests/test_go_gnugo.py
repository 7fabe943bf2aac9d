"""Legal moves against GNU Go 3.8: `all_legal` under positional and situational superko, without suicide.

The whole comparison, 100,000 positions: python -m pytest -m slow tests/test_go_gnugo.py
(With suicide allowed GNU Go's answers are wrong; the referee of test_go_rules.py covers that.)
"""

import subprocess

import numpy as np
import pytest
from programs import tool

from envs.go.board import SIMPLE, SUPERKO, TAKEN, point_of
from envs.go.game import GoGame, to_vertex
from envs.go.playout import is_eye
from envs.go.rules import go_rules


@pytest.fixture(scope="module")
def gnugo():
    """The path of GNU Go. On the machine of continuous integration it must be there."""
    return tool("gnugo")


def random_game(rules, rng, moves):
    """GTP commands and the expected legal vertices of a game that likes captures, recaptures and small
    shapes.
    """
    size = rules.planes[1]
    state, mask, commands = rules.new_state(), np.zeros(rules.num_actions, bool), []
    scratch, simple, bans = state.copy(), mask.copy(), 0
    for _ in range(moves):
        rules.legal(state, mask)
        colour = "BW"[rules.to_move(state)]
        options = np.flatnonzero(mask[:-1])
        commands.append((f"all_legal {colour}", {to_vertex(int(action), size) for action in options}))
        scratch[:] = state
        scratch[SUPERKO] = SIMPLE
        rules.legal(scratch, simple)
        bans += bool((simple & ~mask).any())
        captures = []
        for action in options:
            scratch[:] = state
            rules.play(scratch, action)
            if scratch[TAKEN : TAKEN + 2].sum() > state[TAKEN : TAKEN + 2].sum():
                captures.append(action)
        if not len(options) or rng.random() < 0.02:
            action = size * size
        else:
            action = int(rng.choice(captures if captures and rng.random() < 0.75 else options))
        rules.play(state, action)
        commands.append((f"play {colour} {to_vertex(action, size)}", set()))
    return commands, bans


def disagreements(path, superko, positions, seed):
    """Plays games of `positions` positions in all and asks GNU Go about each; returns where it disagrees."""
    rng, sessions, left, bans = np.random.default_rng(seed), [], positions, 0
    while left > 0:
        size = int(rng.choice([4, 4, 5, 5, 6, 7, 8, 9]))
        moves = min(left, int(rng.integers(2, 5)) * size * size)
        left -= moves
        game, banned = random_game(go_rules(size, superko=superko, max_moves=moves + 1), rng, moves)
        bans += banned
        sessions += [(f"boardsize {size}", set()), ("clear_board", set()), *game]
    script = "\n".join(command for command, _ in sessions) + "\nquit\n"
    answer = subprocess.run(
        [path, "--mode", "gtp", f"--{superko}-superko", "--forbid-suicide"],
        input=script, capture_output=True, text=True, timeout=1200, check=True,
    )  # fmt: skip
    answers = answer.stdout.split("\n\n")
    wrong, compared = [], 0
    for (command, expected), text in zip(sessions, answers, strict=False):
        assert text.startswith("="), (command, text)
        if command.startswith("all_legal"):
            compared += 1
            if set(text[1:].split()) != expected:
                wrong.append((command, set(text[1:].split()) ^ expected))
    assert compared == positions
    assert bans >= positions / 1000  # else the comparison says little about superko
    return wrong


@pytest.mark.parametrize("superko", ["positional", "situational"])
def test_legal_moves_equal_gnugo(gnugo, superko):
    assert disagreements(gnugo, superko, 3000, 1) == []


@pytest.mark.slow
@pytest.mark.parametrize("superko", ["positional", "situational"])
def test_legal_moves_equal_gnugo_in_full(gnugo, superko):
    for seed in range(5):
        assert disagreements(gnugo, superko, 10_000, 100 + seed) == []


def finished_game(size, rng):
    """A random game to the very end: nothing is left to play but eyes."""
    game, mask = GoGame(size, 0.5, max_moves=2000), np.zeros(size * size + 1, bool)
    while not game.over:
        game.rules.legal(game.state, mask)
        colour = game.turn + 1
        options = [a for a in np.flatnonzero(mask[:-1]) if not is_eye(game.state, point_of(game.state, a), colour)]
        game.play(int(rng.choice(options)) if options else size * size)
    return game


def compare_scores(path, games, seed):
    """GNU Go's final_score of finished games against our area score."""
    rng, script, expected = np.random.default_rng(seed), [], []
    for _ in range(games):
        game = finished_game(int(rng.choice([4, 5, 6, 7])), rng)
        script += [f"boardsize {game.size}", "clear_board", "komi 0.5"]
        script += [f"play {'BW'[colour]} {to_vertex(action, game.size)}" for colour, action in game.moves]
        script.append("final_score")
        lead = game.score()
        expected.append(f"= {'B' if lead > 0 else 'W'}+{abs(lead):.1f}")
    flags = ["--mode", "gtp", "--chinese-rules", "--positional-superko", "--forbid-suicide", "--capture-all-dead"]
    answer = subprocess.run(
        [path, *flags], input="\n".join(script) + "\nquit\n", capture_output=True, text=True, timeout=3000, check=True
    )
    scores = [text for text in answer.stdout.split("\n\n") if text.startswith(("= B+", "= W+"))]
    assert scores == expected


def test_scores_equal_gnugo(gnugo):
    compare_scores(gnugo, 15, 1)


@pytest.mark.slow
def test_scores_equal_gnugo_in_full(gnugo):
    compare_scores(gnugo, 1000, 2)


@pytest.mark.slow
def test_finished_games_are_counted_as_gnugo_counts_them(gnugo, monkeypatch):
    """A short form of python -m experiments.go.counting --games 600."""
    from pathlib import Path

    from experiments.go import counting

    monkeypatch.setenv("PATH", str(Path(gnugo).parent), prepend=":")
    counted = list(counting.games(40, 31))
    assert len(counted) == 40 and sum(game.ours == game.theirs for game in counted) >= 38
