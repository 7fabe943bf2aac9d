"""A Go game record: what the SGF properties of one line of play mean, and the way back to SGF."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from envs.go import gameinfo
from envs.go.board import MAX_SIZE
from envs.go.game import GoGame, fixed_handicap
from envs.go.sgf import Damage, Node, SGFError, iterate
from envs.text import shown

LETTERS = "abcdefghijklmnopqrs"
KOMI = 7.5  # komi in points, where neither the record nor the caller says


@dataclass
class Step:
    """One node of the line: stones that are set up or taken away first, then at most one move."""

    black: list[int] = field(default_factory=list)  # points that get a black stone (AB)
    white: list[int] = field(default_factory=list)  # points that get a white stone (AW)
    empty: list[int] = field(default_factory=list)  # points that become empty (AE)
    turn: int | None = None  # side to move (PL)
    move: tuple[int, int] | None = None  # (colour 0 Black or 1 White, action)
    comment: str = ""


@dataclass
class GameRecord:
    """One line of play. Actions are row * size + column, row 0 at the top, size * size for a pass."""

    size: int = 19
    komi: float | None = None  # points for White; None: not said
    handicap: int = 0
    black: str = ""  # the players' names
    white: str = ""
    winner: int | None = None  # +1 Black, -1 White, 0 a draw, None not known or void
    margin: float | None = None  # points, if the game was counted
    result: str = ""  # RE as written
    rules: str = ""  # RU as written
    steps: list[Step] = field(default_factory=list)
    where: str = ""  # file and place in it that the game was read from, for people
    remarks: list[str] = field(default_factory=list)  # sentences about odd or broken parts of the file, for people

    @property
    def damage(self) -> str | None:
        """The first remark on something that may have cost moves."""
        return next((remark for remark in self.remarks if isinstance(remark, Damage)), None)

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
        raise SGFError(f"'{shown(text, 20)}' is no point of a {size}x{size} board")
    return row * size + column


def parse_points(values: Iterable[str], size: int) -> list[int]:
    """Actions of a list of points and rectangles ("aa:cc"); an empty value says nothing."""
    actions = []
    for value in filter(str.strip, values):
        first, colon, last = value.partition(":")
        corner = parse_point(first, size)
        other = parse_point(last, size) if colon else corner
        if size * size in (corner, other):
            raise SGFError(f"'{shown(value, 20)}' is no point of a {size}x{size} board")
        rows, columns = (corner // size, other // size), (corner % size, other % size)
        for row in range(min(rows), max(rows) + 1):
            actions += [row * size + column for column in range(min(columns), max(columns) + 1)]
        if len(actions) > 4 * size * size:
            raise SGFError("a list of points names every point of the board several times")
    return list(dict.fromkeys(actions))


def games(data: bytes) -> Iterator[GameRecord | SGFError]:
    """The main line of each game in a file, as strangers write them: whatever can be understood is, and the rest is
    told in the record's `remarks`. A game that cannot be read comes as its error, and so does an end of the file that
    nothing can be made of.
    """
    remarks: list[str] = []
    try:
        for root in iterate(data, remarks=remarks):
            try:
                yield read(root, remarks)
            except SGFError as error:
                yield error
            remarks.clear()
    except SGFError as error:
        yield error


def load(data: bytes) -> GameRecord:
    """The first game of a file, see `games`. Raises SGFError if it cannot be read."""
    found = games(data)
    first = next(found)
    if isinstance(first, SGFError):
        raise first
    if next(found, None) is not None:
        first.remarks.append("the file holds several games; this is the first")
    return first


def read(line: Node | list[Node], remarks: Iterable[str] = ()) -> GameRecord:
    """The record of a root's main line, or of any list of nodes that begins with a root. remarks: on the file.

    What only describes the game never refuses it. Raises SGFError for another game than Go, for a board that is not a
    square of 2 to 19 lines, and for moves that make no sense; it does not play the moves (`replay` does).
    """
    nodes = line.main_line() if isinstance(line, Node) else line
    root, notes = _head(nodes), list(remarks)
    kind = root.get("GM") or "1"
    if kind.isascii() and kind.isdigit() and int(kind[:9]) != 1:
        raise SGFError(f"GM[{shown(kind, 20)}]: the record is not of Go")
    if not kind.isdigit():
        notes.append(f"GM[{shown(kind, 20)}] is taken as Go")
    size = _size(root.get("SZ") or "19")
    result = root.get("RE", "")
    record = GameRecord(
        size, gameinfo.komi(root, notes), gameinfo.handicap(root, size, notes), root.get("PB", ""), root.get("PW", ""),
        *gameinfo.result(result), result, root.get("RU", ""), remarks=notes,
    )  # fmt: skip
    count = 0
    for number, node in enumerate(nodes, 1):
        try:
            step = _step(node, size, notes)
        except SGFError as error:
            raise SGFError(f"node {number}, after {count} moves: {error}") from None
        record.steps.append(step)
        count += step.move is not None
    _old_handicap(record)
    return record


def _head(nodes: list[Node]) -> Node:
    """What is said before the first move; some programs leave the root empty and say it in the node behind."""
    head = Node()
    for node in nodes:
        if node is not nodes[0] and node.properties.keys() & {"B", "W"}:
            break
        head.properties = node.properties | head.properties
    return head


def _size(text: str) -> int:
    """The lines of a board, from "19", "19:19", "19x19"."""
    sides = re.fullmatch(r"(\d{1,4})(?:\.0*)?(?:\s*[:xX*×]\s*(\d{1,4}))?", text.strip())
    columns = int(sides[1]) if sides else 0
    if not 2 <= columns <= MAX_SIZE or int(sides[2] or columns) != columns:
        raise SGFError(f"SZ[{shown(text, 20)}]: the board must be a square of 2 to {MAX_SIZE} lines")
    return columns


def _step(node: Node, size: int, remarks: list[str]) -> Step:
    """What a node does."""
    step, given = Step(comment=node.text("C")), node.properties
    step.black, step.white, step.empty = (parse_points(given.get(name, ()), size) for name in ("AB", "AW", "AE"))
    if "PL" in given:
        step.turn = gameinfo.colour(node.get("PL"))
        if step.turn is None:
            remarks.append(f"PL[{shown(node.get('PL'), 20)}] is neither Black nor White, and passed over")
    if "B" in given and "W" in given:
        raise SGFError("one node holds a move of both sides")
    for colour, name in enumerate("BW"):
        if name in given:
            step.move = (colour, parse_point(node.get(name), size))
            if len(given[name]) > 1:
                remarks.append(Damage(f"{name} has {len(given[name])} values; the first is the move"))
    return step


def _old_handicap(record: GameRecord) -> None:
    """Sets up the handicap stones that some servers leave out: they name a number, and White moves first."""
    if record.handicap < 2 or not record.moves:
        return
    for step in record.steps:
        if step.black or step.white or step.empty:
            return
        if step.move is not None:
            break
    try:
        stones = fixed_handicap(record.handicap, record.size)
    except ValueError:
        stones = []
    colour, action = record.moves[0]
    if stones and colour == 1 and action not in stones:
        record.steps[0].black = stones
        record.remarks.append(f"HA[{record.handicap}] without stones: they are set up on the fixed points")


def new_game(record: GameRecord, komi: float = KOMI, **options) -> GoGame:
    """An empty game for the record. komi: where the record names none. options: as for `GoGame`; by default suicide is
    allowed and only simple ko forbidden, since a record may follow any rules.
    """
    limit = max(40, 3 * record.size**2, len(record.steps) + 1)
    options = {"suicide": True, "superko": "simple", "max_moves": limit} | options
    return GoGame(record.size, komi if record.komi is None else record.komi, **options)


def replay(record: GameRecord, upto: int | None = None, *, komi: float = KOMI, **options) -> GoGame:
    """The game after the record, or before its move number `upto` (from 0). komi and options: as in `new_game`.

    Raises SGFError that names the move if one is illegal, or if a setup cannot be. Stones that are set up in
    the middle of a game begin a new history.
    """
    game = new_game(record, komi, **options)
    for number, (colour, action) in enumerate(positions(record, game)):
        if number == upto:
            break
        try:
            game.play(action, colour)
        except ValueError as error:
            raise SGFError(f"move {number + 1}: {error}") from None
    return game


def positions(record: GameRecord, game: GoGame):
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


def write(record: GameRecord) -> Node:
    """The record as a tree without variations."""
    root = node = Node()
    root.properties = {"GM": ["1"], "AP": [gameinfo.OWN]}
    komi = "" if record.komi is None else f"{record.komi:.12g}"
    for name, value in (
        ("SZ", str(record.size)), ("KM", komi), ("HA", str(record.handicap or "")),
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


def of_game(game: GoGame, *, black: str = "", white: str = "", result: str = "", rules: str = "") -> GameRecord:
    """The record of a played game: setup in the root, then one node per move."""
    first = Step(sorted(game.setup[0]), sorted(game.setup[1]))
    if first.black or first.white or game.setup[2]:
        first.turn = game.setup[2]
    steps = [first] + [Step(move=move) for move in game.moves]
    winner, margin = gameinfo.result(result)
    return GameRecord(game.size, game.komi, game.handicap, black, white, winner, margin, result, rules, steps)
