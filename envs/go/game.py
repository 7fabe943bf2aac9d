"""One game of Go as people and protocols handle it: colours, vertices, handicap, setup, undo, scores."""

from collections.abc import Iterable

import numpy as np

from envs.go.board import (
    EMPTY,
    KO,
    SIZE,
    TAKEN,
    TURN,
    clear,
    is_legal,
    place,
    point_of,
    record,
    restart,
)  # fmt: skip
from envs.go.rules import go_rules
from envs.go.scoring import area_score, territory_score

COLUMNS = "ABCDEFGHJKLMNOPQRST"  # letters of the columns, without I


class IllegalMove(ValueError):
    """A move that the rules forbid."""


def to_vertex(action: int, size: int) -> str:
    """ "D4" or "pass"; rows count from the bottom of the picture."""
    if action == size * size:
        return "pass"
    return f"{COLUMNS[action % size]}{size - action // size}"


def from_vertex(vertex: str, size: int) -> int:
    """The action of a vertex in any case. Raises ValueError for one that is not on the board."""
    text = vertex.upper()
    if text == "PASS":
        return size * size
    column, row = COLUMNS.find(text[:1]), text[1:]
    if len(text) < 2 or not 0 <= column < size or not (row.isascii() and row.isdigit() and len(row) <= 3):
        raise ValueError(f"{vertex!r} is no vertex of a {size}x{size} board")
    if not 1 <= int(row) <= size:
        raise ValueError(f"{vertex!r} is no vertex of a {size}x{size} board")
    return (size - int(row)) * size + column


def fixed_handicap(stones: int, size: int) -> list[int]:
    """The points of the fixed handicap by the table of GTP 2, in its order. Raises ValueError where it has
    none.
    """
    most = 0 if size < 7 else 9 if size % 2 and size > 7 else 4
    if not 2 <= stones <= most:
        raise ValueError(f"{stones} handicap stones on {size}x{size}: the fixed table allows 2 to {most}")
    near = 3 if size > 12 else 2
    far, middle = size - 1 - near, size // 2
    sides = [
        (far, near),
        (near, far),
        (near, near),
        (far, far),
    ]  # (row, column), row 0 at the top: D4 Q16 D16 Q4
    if stones >= 6:
        sides += [(middle, near), (middle, far)]
    if stones >= 8:
        sides += [(far, middle), (near, middle)]
    chosen = sides[: stones - (stones in (5, 7, 9))]
    return [row * size + column for row, column in chosen + [(middle, middle)] * (stones in (5, 7, 9))]


def free_handicap(stones: int, size: int) -> list[int]:
    """Points for `stones` handicap stones (2 to size * size - 1): the fixed ones, then those farthest from
    all.
    """
    if not 2 <= stones < size * size:
        raise ValueError(f"{stones} handicap stones on {size}x{size}: 2 to {size * size - 1} are possible")
    most = 0 if size < 7 else 9 if size % 2 and size > 7 else 4
    chosen = fixed_handicap(min(stones, most), size) if most else []
    row, column = np.divmod(np.arange(size * size), size)
    from_edge = np.minimum(np.minimum(row, column), size - 1 - np.maximum(row, column))
    while len(chosen) < stones:
        nearest = np.full(size * size, 2 * size)
        for point in chosen:
            nearest = np.minimum(nearest, np.abs(row - point // size) + np.abs(column - point % size))
        chosen.append(int(np.argmax(np.minimum(nearest, 2 * from_edge + 1) * (nearest > 0))))
    return chosen


def set_up(state: np.ndarray, black: Iterable[int], white: Iterable[int], turn: int) -> None:
    """Makes `state` (its settings stay) a first position with these stones and `turn` (0 Black) to move.

    Raises ValueError for a point that is off the board or taken twice, and for a group without liberties.
    """
    clear(state)
    for colour, actions in ((1, black), (2, white)):
        for action in actions:
            if not 0 <= action < state[SIZE] ** 2 or state[point_of(state, action)] != EMPTY:
                raise ValueError(f"setup stone at {action}: off the board or on another stone")
            place(state, point_of(state, action), colour)
            if state[TAKEN] or state[TAKEN + 1]:  # a group that breathes in the end has breathed all along
                raise ValueError("the setup holds a group without liberties")
    state[TURN] = turn
    restart(state)


class MoveLimit(IllegalMove):
    """A move beyond the most that a game may have."""


MOST_MOVES = 100_000  # moves of a game that grows, at most


class GoGame:
    """A position, how it came about, and the way back.

    `state` is the compiled state (see `envs.rules`), `rules` its functions; `moves` lists (colour, action)
    with colour 0 Black, 1 White. Moves need not alternate: a move out of turn counts as if the other side had
    passed, but that pass does not end the game. Moves after the end are taken, as protocols want it.
    """

    def __init__(self, size: int = 19, komi: float = 7.5, **options):
        """options: suicide, superko, max_moves, see `envs.go.rules.go_rules`."""
        self.grows = False  # True where `max_moves` is no limit but room for the history, which grows as needed
        self.size, self.options, self.handicap = size, options, 0
        self.setup: tuple[list[int], list[int], int] = ([], [], 0)  # black stones, white stones, side that begins
        self.moves: list[tuple[int, int]] = []
        self.set_komi(komi)
        self.state = self.rules.new_state()

    def set_komi(self, komi: float) -> None:
        """Changes the komi; the game goes on."""
        self.rules = go_rules(self.size, komi, **self.options)
        self.komi = komi
        if hasattr(self, "state"):
            self.state[: len(self.rules.header)] = self.rules.header

    def clear(self) -> None:
        """Back to the empty board; size, komi and rules stay."""
        self.set_up([], [], 0)

    def set_up(self, black: Iterable[int], white: Iterable[int], turn: int, *, handicap: int = 0) -> None:
        """A new game from these stones. Raises ValueError, and leaves the game alone, if they cannot be."""
        setup, fresh = (list(black), list(white), turn), self.rules.new_state()
        set_up(fresh, *setup)
        self.setup, self.state, self.moves, self.handicap = setup, fresh, [], handicap

    def place_handicap(self, actions: Iterable[int]) -> None:
        """A new game with these black handicap stones, White to move."""
        stones = list(actions)
        self.set_up(stones, [], 1, handicap=len(stones))

    @property
    def turn(self) -> int:
        """0 if Black is to move, 1 if White."""
        return int(self.state[TURN])

    @property
    def over(self) -> bool:
        """Whether two passes in a row or the move limit have ended the game."""
        return not np.isnan(self.rules.outcome(self.state))

    def with_turn(self, colour: int | None) -> np.ndarray:
        """The state with `colour` to move: this very one if it is, else a copy."""
        if colour is None or colour == self.turn:
            return self.state
        state = self.state.copy()
        state[TURN], state[KO] = colour, 0
        record(state)
        return state

    def set_turn(self, colour: int) -> None:
        """Hands the turn over, as if the side to move had passed."""
        self.state = self.with_turn(colour)

    def is_legal(self, action: int, colour: int | None = None) -> bool:
        """Whether the side (by default the one to move) may play the action now."""
        if action == self.size**2:
            return True
        if not 0 <= action < self.size**2 or self.at(action):
            return False
        state = self.with_turn(colour)
        return bool(is_legal(state, point_of(state, action)))

    def play(self, action: int, colour: int | None = None) -> None:
        """Plays for the side (by default the one to move). Raises IllegalMove and changes nothing if it may
        not.
        """
        colour = self.turn if colour is None else colour
        if self.grows:
            self._grow()
        if len(self.moves) >= self.rules.max_moves:
            raise MoveLimit(f"the game has reached its limit of {self.rules.max_moves} moves")
        if not self.is_legal(action, colour):
            raise IllegalMove(f"{'BW'[colour]} {to_vertex(action, self.size)} is illegal")
        self.state = self.with_turn(colour)
        self.rules.play(self.state, action)
        self.moves.append((colour, action))

    def _grow(self) -> None:
        """Makes room long before the limit: a search must not take it for the end of the game."""
        limit = self.rules.max_moves
        if len(self.moves) + 2 * self.size**2 < limit or limit >= MOST_MOVES:
            return
        bigger = GoGame(self.size, self.komi, **self.options | {"max_moves": min(2 * limit, MOST_MOVES)})
        bigger.set_up(*self.setup, handicap=self.handicap)
        for colour, action in self.moves:
            bigger.play(action, colour)
        bigger.state = bigger.with_turn(self.turn)
        self.options, self.rules, self.state = bigger.options, bigger.rules, bigger.state

    def undo(self, moves: int = 1) -> None:
        """Takes back moves. Raises ValueError if there are fewer."""
        if not 0 <= moves <= len(self.moves):
            raise ValueError(f"cannot undo {moves} of {len(self.moves)} moves")
        kept, handicap = self.moves[: len(self.moves) - moves], self.handicap
        self.set_up(*self.setup, handicap=handicap)
        for colour, action in kept:
            self.play(action, colour)

    def at(self, action: int) -> int:
        """What is there: 0 nothing, 1 a black stone, 2 a white one."""
        return int(self.state[point_of(self.state, action)])

    def board(self) -> np.ndarray:
        """int8 [size, size], row 0 at the top: 0 empty, 1 Black, 2 White."""
        stones = [self.at(action) for action in range(self.size**2)]
        return np.array(stones, np.int8).reshape(self.size, self.size)

    def captured(self) -> tuple[int, int]:
        """Stones that Black, that White has captured."""
        return int(self.state[TAKEN]), int(self.state[TAKEN + 1])

    def score(
        self,
        method: str = "area",
        dead: Iterable[int] = (),
        seki: Iterable[int] = (),
        compensation: str = "none",
    ) -> float:
        """Black's lead over White and komi, of the position as it stands.

        method: "area" or "territory" (Japanese style; `seki` is for this one). dead, seki: stones, see
        `envs.go.scoring`. compensation: what White gets for handicap stones, "none", "full" (one point each,
        Chinese) or "less_one" (one point for each but the first, AGA).
        """
        if method == "area":
            return area_score(self.state, dead) - gift(self, compensation)
        if method == "territory":
            return territory_score(self.state, dead, seki) - gift(self, compensation)
        raise ValueError(f"method is {method!r}, but it must be area or territory")


def gift(game: GoGame, compensation: str) -> int:
    """Points that White gets for handicap stones: "none", "full" or "less_one", see `GoGame.score`."""
    gifts = {"none": 0, "full": game.handicap, "less_one": max(game.handicap - 1, 0)}
    if compensation not in gifts:
        raise ValueError(f"compensation is {compensation!r}, but it must be one of {', '.join(gifts)}")
    return gifts[compensation]
