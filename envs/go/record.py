"""A Go game record: what the SGF properties of one line of play mean, and the way back to SGF."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from envs.go.board import MAX_SIZE
from envs.go.game import Game
from envs.go.sgf import Node, SGFError

LETTERS = "abcdefghijklmnopqrs"
SCORE_LIMIT = 1000.0


@dataclass
class Step:
    """One node of the line: stones that are set up or taken away first, then at most one move."""

    black: list[int] = field(default_factory=list)  # AB
    white: list[int] = field(default_factory=list)  # AW
    empty: list[int] = field(default_factory=list)  # AE
    turn: int | None = None  # PL
    move: tuple[int, int] | None = None  # (colour 0 Black or 1 White, action)
    comment: str = ""


@dataclass
class Record:
    """One line of play. Actions are row * size + column, row 0 at the top, size * size for a pass."""

    size: int = 19
    komi: float = 0.0
    handicap: int = 0
    black: str = ""  # the players' names
    white: str = ""
    winner: int | None = None  # +1 Black, -1 White, 0 a draw, None not known or void
    margin: float | None = None  # points, if the game was counted
    result: str = ""  # RE as written
    rules: str = ""  # RU as written
    steps: list[Step] = field(default_factory=list)

    @property
    def moves(self) -> list[tuple[int, int]]:
        """(colour, action) of every move."""
        return [step.move for step in self.steps if step.move is not None]


def point_text(action: int, size: int) -> str:
    """The SGF point of an action; a pass is empty."""
    return "" if action == size * size else LETTERS[action % size] + LETTERS[action // size]


def parse_point(text: str, size: int) -> int:
    """The action of an SGF point ("" and, up to 19x19, "tt" pass). Raises SGFError for a point off the
    board.
    """
    text = text.strip()
    if text in ("", "tt"):
        return size * size
    column, row = LETTERS.find(text[:1]), LETTERS.find(text[1:])
    if len(text) != 2 or not (0 <= column < size and 0 <= row < size):
        raise SGFError(f"{text[:20]!r} is no point of a {size}x{size} board")
    return row * size + column


def parse_points(values: Iterable[str], size: int) -> list[int]:
    """Actions of a list of points and rectangles ("aa:cc")."""
    actions = []
    for value in values:
        first, colon, last = value.partition(":")
        corner = parse_point(first, size)
        other = parse_point(last, size) if colon else corner
        if size * size in (corner, other):
            raise SGFError(f"{value[:20]!r} is no point of a {size}x{size} board")
        rows, columns = (corner // size, other // size), (corner % size, other % size)
        for row in range(min(rows), max(rows) + 1):
            actions += [row * size + column for column in range(min(columns), max(columns) + 1)]
        if len(actions) > 4 * size * size:
            raise SGFError("a list of points names every point of the board several times")
    return list(dict.fromkeys(actions))


def _number(text: str, name: str) -> float:
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        raise SGFError(f"{name}[{text[:20]}] is no number") from None
    if not math.isfinite(value) or abs(value) > SCORE_LIMIT:
        raise SGFError(f"{name}[{text[:20]}] lies outside -1000 to 1000")
    return value


def parse_result(text: str) -> tuple[int | None, float | None]:
    """(winner, margin) of an RE value: "B+3.5", "W+R", "0", "Draw", "Void", "?", ..."""
    text = text.strip()
    if text.lower() in ("0", "draw", "jigo"):
        return 0, 0.0
    match = re.match(r"([BbWw])\+(\d{1,4}(?:[.,]\d{1,4})?)?", text)
    if match is None:
        return None, None
    winner = 1 if match[1] in "Bb" else -1
    return winner, float(match[2].replace(",", ".")) if match[2] else None


def read(line: Node | list[Node]) -> Record:
    """The record of a root's main line, or of any list of nodes that begins with a root.

    Raises SGFError for another game than Go, for a board that is not a square of 2 to 19 lines, and for
    values that make no sense; it does not play the moves (`replay` does).
    """
    nodes = line.main_line() if isinstance(line, Node) else line
    root = nodes[0]
    if root.get("GM", "1") != "1":
        raise SGFError(f"GM[{root.get('GM')[:20]}]: the record is not of Go")
    text = root.get("SZ", "19")
    columns, _, rows = text.partition(":")
    if not re.fullmatch(r"\d{1,2}", columns) or rows not in ("", columns) or not 2 <= int(columns) <= MAX_SIZE:
        raise SGFError(f"SZ[{text[:20]}]: the board must be a square of 2 to {MAX_SIZE} lines")
    size = int(columns)
    handicap = _number(root.get("HA") or "0", "HA")
    if handicap != int(handicap) or not 0 <= handicap < size * size:
        raise SGFError(f"HA[{handicap:g}]: no number of handicap stones on {size}x{size}")
    result = root.get("RE", "")
    record = Record(
        size, _number(root.get("KM") or "0", "KM"), int(handicap), root.get("PB", ""), root.get("PW", ""),
        *parse_result(result), result, root.get("RU", ""),
    )  # fmt: skip
    for node in nodes:
        step, given = Step(comment=node.text("C")), node.properties
        step.black, step.white, step.empty = (parse_points(given.get(name, ()), size) for name in ("AB", "AW", "AE"))
        if "PL" in given:
            turn = node.get("PL").upper()[:1]
            if turn not in ("B", "W"):
                raise SGFError(f"PL[{node.get('PL')[:20]}] is neither B nor W")
            step.turn = "BW".index(turn)
        if "B" in given and "W" in given:
            raise SGFError("one node holds a move of both sides")
        for colour, name in enumerate("BW"):
            if name in given:
                step.move = (colour, parse_point(node.get(name), size))
        record.steps.append(step)
    return record


def replay(record: Record, upto: int | None = None, **options) -> Game:
    """The game after the record, or before its move number `upto` (from 0). options: as for `Game`; by
    default suicide is allowed and only simple ko forbidden, since a record may follow any rules.

    Raises SGFError that names the move if one is illegal, or if a setup cannot be. Stones that are set up in
    the middle of a game begin a new history.
    """
    limit = max(40, 3 * record.size**2, len(record.steps) + 1)
    game = Game(record.size, record.komi, **{"suicide": True, "superko": "simple", "max_moves": limit} | options)
    for number, (colour, action) in enumerate(positions(record, game)):
        if number == upto:
            break
        try:
            game.play(action, colour)
        except ValueError as error:
            raise SGFError(f"move {number + 1}: {error}") from None
    return game


def positions(record: Record, game: Game):
    """Yields (colour, action) of each move just before it is played; sets stones up in `game` in between.

    The caller plays the moves. After the last one what is set up behind it has been set up as well.
    """
    for number, step in enumerate(record.steps):
        if step.black or step.white or step.empty:
            board = game.board().ravel()
            board[step.empty], board[step.black], board[step.white] = 0, 1, 2
            black, white = ([i for i, colour in enumerate(board) if colour == c] for c in (1, 2))
            handicap = record.handicap if number == 0 else game.handicap
            turn = 1 if number == 0 and black and not white else game.turn
            try:
                game.set_up(black, white, turn, handicap=handicap)
            except ValueError as error:
                raise SGFError(f"node {number + 1}: {error}") from None
        if step.turn is not None and step.turn != game.turn:
            game.set_turn(step.turn)
        if step.move is not None:
            yield step.move


def write(record: Record) -> Node:
    """The record as a tree without variations."""
    root = node = Node()
    root.properties = {"GM": ["1"]}
    for name, value in (
        ("SZ", str(record.size)), ("KM", f"{record.komi:g}"), ("HA", str(record.handicap or "")),
        ("RU", record.rules), ("PB", record.black), ("PW", record.white), ("RE", record.result),
    ):  # fmt: skip
        if value:
            root.set(name, value)
    for number, step in enumerate(record.steps):
        if number:
            node = node.add_child()
        for name, actions in (("AB", step.black), ("AW", step.white), ("AE", step.empty)):
            if actions:
                node.set(name, *(point_text(action, record.size) for action in actions))
        if step.turn is not None:
            node.set("PL", "BW"[step.turn])
        if step.move is not None:
            node.set("BW"[step.move[0]], point_text(step.move[1], record.size))
        if step.comment:
            node.set("C", step.comment)
    return root


def of_game(game: Game, *, black: str = "", white: str = "", result: str = "", rules: str = "") -> Record:
    """The record of a played game: setup in the root, then one node per move."""
    first = Step(sorted(game.setup[0]), sorted(game.setup[1]))
    if first.black or first.white or game.setup[2]:
        first.turn = game.setup[2]
    steps = [first] + [Step(move=move) for move in game.moves]
    winner, margin = parse_result(result)
    return Record(game.size, game.komi, game.handicap, black, white, winner, margin, result, rules, steps)
