"""Game records as rows for learning: what the network sees, what was played, how it ended.

The rows of a game are those that self-play would have given (`envs.go.env`): one per move and one for the
final position, whose action is ignored. `reward` and `discount` arrive with the position that they led to;
the reward at the end belongs to the side that made the last move, and a discount of -1 hands over the turn. A
game without a known winner ends with a discount that is not 0, as if it had been cut off there.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from envs.go.game import IllegalMove
from envs.go.record import KOMI, GameRecord, games, new_game, positions
from envs.go.scoring import area
from envs.go.sgf import SGFError, read_file


def records(paths: Iterable[str | Path], skipped: list[str] | None = None) -> Iterator[GameRecord]:
    """The main lines of all games in SGF files and in folders of them (`*.sgf`, searched in depth, sorted).

    What cannot be read, or is so broken that moves may be missing, is skipped and, with its file and the reason,
    appended to `skipped`; without that list it raises SGFError. Raises FileNotFoundError for a path that does not
    exist.
    """
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"there is no file or folder {path}")
        for file in sorted(path.rglob("*.sgf")) if path.is_dir() else [path]:
            try:
                data = read_file(file)
            except (OSError, SGFError) as error:
                _skip(skipped, f"{file}: {error}")
                continue
            for number, game in enumerate(games(data), 1):
                reason = game if isinstance(game, SGFError) else game.damage
                if reason is None:
                    game.where = f"{file}, game {number}"
                    yield game
                else:
                    _skip(skipped, f"{file}, game {number}: {reason}")


def _skip(skipped: list[str] | None, reason: str) -> None:
    if skipped is None:
        raise SGFError(reason)
    skipped.append(reason)


def rows(record: GameRecord, *, dtype: str = "float32", komi: float = KOMI, **options) -> dict[str, np.ndarray]:
    """One game of T moves as arrays of T + 1 rows.

    obs [C, size, size] of `dtype`; action int64; reward and discount float32; first, last bool; legal bool
    [A]; and what is known afterwards, in the view of the side to move at the row: outcome float32 (+1, 0, -1,
    NaN if unknown); for games that were counted score float32 (points after komi) and ownership int8 [size *
    size], the area of the final position, else NaN and 0. komi: where the record names none. options: as for
    `GoGame`; by default suicide is allowed and superko is simple, since records follow any rules. Raises SGFError if a
    move is illegal or stones are set up after the first move.
    """
    game = new_game(record, komi, **options)
    count, size = len(record.moves) + 1, record.size
    if count == 1:
        raise SGFError("the record holds no moves")
    obs, legal = np.zeros((count, *game.rules.planes), np.float32), np.zeros((count, size * size + 1), np.bool_)
    action, turn = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for t, (colour, move) in enumerate(positions(record, game)):
        if t and not game.moves:
            raise SGFError(f"move {t + 1}: stones were set up in the middle of the game")
        if colour != game.turn:
            game.set_turn(colour)
        game.rules.features(game.state, obs[t].reshape(-1))
        game.rules.legal(game.state, legal[t])
        action[t], turn[t] = move, colour
        try:
            game.play(move, colour)
        except IllegalMove as error:
            raise SGFError(f"move {t + 1}: {error}") from None
    game.rules.features(game.state, obs[-1].reshape(-1))
    game.rules.legal(game.state, legal[-1])
    turn[-1] = game.turn

    view = 1.0 - 2.0 * turn  # +1 where Black is to move
    known, counted = record.winner is not None, record.margin is not None
    owner = np.zeros(size * size, np.int8)
    if counted:
        area(game.state, owner)
    first, last = np.zeros((2, count), np.bool_)
    first[0] = last[-1] = True
    discount = np.where(turn[1:] != turn[:-1], -1.0, 1.0)  # a side may move twice, as in handicap games
    reward = np.zeros(count)
    if known:
        discount[-1], reward[-1] = 0.0, view[-2] * record.winner
    lead = record.winner * record.margin if counted else np.nan
    return {
        "obs": obs.astype(dtype),
        "action": action,
        "reward": reward.astype(np.float32),
        "discount": np.concatenate(([1.0], discount)).astype(np.float32),
        "first": first,
        "last": last,
        "legal": legal,
        "outcome": (view * (record.winner if known else np.nan)).astype(np.float32),
        "score": (view * lead).astype(np.float32),
        "ownership": (view[:, None] * owner).astype(np.int8),
    }


def load(
    paths: Iterable[str | Path], size: int, *, max_rows: int | None = None, dtype: str = "float32", **options
) -> tuple[dict[str, np.ndarray], list[str]]:
    """All games of one board size as rows, game after game, and a list of what was skipped and why.

    The same game twice is taken once. Reading stops at the last game that fits into max_rows. options: as in
    `rows`. Raises ValueError if there is no game at all.
    """
    games, skipped, seen, total = [], [], set(), 0
    for record in records(paths, skipped):
        if record.size != size:
            skipped.append(f"{record.where}: is on {record.size}x{record.size}, not {size}x{size}")
            continue
        line = (tuple(record.steps[0].black), tuple(record.moves))
        if line in seen:
            skipped.append(f"{record.where}: was there before")
            continue
        seen.add(line)
        try:
            game = rows(record, dtype=dtype, **options)
        except SGFError as error:
            skipped.append(f"{record.where}: {error}")
            continue
        if max_rows is not None and total + len(game["action"]) > max_rows:
            break
        total += len(game["action"])
        games.append(game)
    if not games:
        raise ValueError(f"no game on {size}x{size} in {', '.join(map(str, paths))}; skipped: {skipped[:3]}")
    return {name: np.concatenate([game[name] for game in games]) for name in games[0]}, skipped
