"""Records as rows: the same as self-play would have given, symmetric views, and what is skipped."""

import numpy as np
import pytest

from envs.go import dataset
from envs.go import record as go_record
from envs.go.env import make
from envs.go.game import GoGame
from envs.go.scoring import score
from envs.go.sgf import SGFError, dump, parse


def finished_game(seed, size=5, komi=0.5):
    """A random game with its Record, ended by two passes."""
    rng, game, mask = np.random.default_rng(seed), GoGame(size, komi), np.zeros(size * size + 1, bool)
    for _ in range(40):
        game.rules.legal(game.state, mask)
        options = np.flatnonzero(mask[:-1])
        if len(options):
            game.play(int(rng.choice(options)))
    while not game.over:
        game.play(size * size)
    lead = game.score()
    return go_record.of_game(game, result=f"{'B' if lead > 0 else 'W'}+{abs(lead):g}"), game


def test_rows_equal_those_of_self_play():
    for seed in range(6):
        record, game = finished_game(seed)
        rows = dataset.rows(record, superko="positional", suicide=False)
        env = make(size=5, komi=0.5)
        obs, info = env.reset()
        steps = [(obs, 0.0, 1.0, info["legal"])]
        for _, action in game.moves:
            obs, reward, terminated, _, info = env.step(action)
            steps.append((obs, reward, info["discount"], info["legal"]))
        assert terminated and len(rows["action"]) == len(steps)
        for t, (obs, reward, discount, legal) in enumerate(steps):
            assert (rows["obs"][t] == obs).all() and (rows["legal"][t] == legal).all()
            assert (rows["reward"][t], rows["discount"][t]) == (reward, discount)
        assert rows["action"][:-1].tolist() == [action for _, action in game.moves]
        assert rows["first"].tolist() == [True] + [False] * (len(steps) - 1)
        assert rows["last"].tolist() == [False] * (len(steps) - 1) + [True]


def test_what_is_known_afterwards_is_in_the_view_of_the_side_to_move():
    record, game = finished_game(3)
    rows, lead = dataset.rows(record, superko="positional"), score(game.state)
    view = np.where(np.arange(len(rows["action"])) % 2 == 0, 1, -1)
    assert (rows["outcome"] == view * np.sign(lead)).all()
    assert (rows["score"] == view * lead).all()
    assert (rows["ownership"].sum(1) - view * 0.5 == rows["score"]).all()
    # The outcome, carried back through the discounts, is the outcome at every row: G_t = r_{t+1} + d_{t+1}
    # G_{t+1}.
    returns = 0.0
    for t in range(len(view) - 2, -1, -1):
        returns = rows["reward"][t + 1] + rows["discount"][t + 1] * returns
        assert returns == rows["outcome"][t]


def test_resigned_and_unfinished_games():
    resigned = dataset.rows(go_record.read(parse(b"(;SZ[5]RE[W+R];B[cc];W[bb])")))
    assert resigned["reward"].tolist() == [0, 0, 1] and resigned["discount"].tolist() == [1, -1, 0]
    assert np.isnan(resigned["score"]).all() and not resigned["ownership"].any()
    unknown = dataset.rows(go_record.read(parse(b"(;SZ[5]RE[Void];B[cc];W[bb])")))
    assert unknown["discount"].tolist() == [1, -1, -1] and np.isnan(unknown["outcome"]).all()


def test_handicap_and_two_moves_of_one_side():
    rows = dataset.rows(go_record.read(parse(b"(;SZ[5]HA[2]AB[bb][dd]RE[B+1];W[cc];B[cb];B[bc])")))
    assert rows["obs"][0, 1].sum() == 2  # White is to move and sees two stones of the opponent
    # Between Black's two moves the turn stays; after the last one it is White's and the game is over.
    assert rows["discount"].tolist() == [1, -1, 1, 0] and rows["reward"].tolist() == [0, 0, 0, 1]
    assert rows["outcome"].tolist() == [-1, 1, 1, -1]


def test_folders_files_and_what_is_skipped(tmp_path):
    good, _ = finished_game(1)
    other, _ = finished_game(2)
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.sgf").write_bytes(dump([go_record.write(good), go_record.write(other)]))
    (tmp_path / "deep" / "b.sgf").write_bytes(dump(go_record.write(good)))
    (tmp_path / "c.sgf").write_bytes(b"(;SZ[5]B[aa")
    (tmp_path / "d.sgf").write_bytes(b"(;SZ[9];B[aa])(;SZ[5];B[aa];W[aa])(;GM[3])")
    rows, skipped = dataset.load([tmp_path], 5)
    count = len(good.moves) + len(other.moves) + 2
    assert len(rows["action"]) == count and rows["first"].sum() == rows["last"].sum() == 2
    assert len(skipped) == 5
    for part in ("never ends", "not of Go", "9x9", "illegal", "there before"):
        assert any(part in reason for reason in skipped), skipped
    small, _ = dataset.load([tmp_path / "a.sgf"], 5, max_rows=count - 1, dtype="float16")
    assert len(small["action"]) == len(good.moves) + 1 and small["obs"].dtype == np.float16
    with pytest.raises(FileNotFoundError):
        dataset.load([tmp_path / "none"], 5)
    with pytest.raises(ValueError, match="no game on 7x7"):
        dataset.load([tmp_path], 7)
    with pytest.raises(SGFError, match="c.sgf"):
        list(dataset.records([tmp_path / "c.sgf"]))


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"(;SZ[5])", "no moves"), (b"(;SZ[5];B[aa];AW[bb];W[cc])", "in the middle"), (b"(;SZ[5];B[aa];W[aa])", "move 2")],
)
def test_records_that_make_no_rows(data, message):
    record = go_record.read(parse(data))
    with pytest.raises(SGFError, match=message):
        dataset.rows(record)
