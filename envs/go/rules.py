"""The rules of Go as compiled functions (contract: `envs.rules`; the board itself: `envs.go.board`).

Actions are row * size + column, row 0 at the top of the picture, and size * size for the pass. Two passes in
a row end the game, and so does the move limit; the position is then scored as it stands by area
(Tromp-Taylor).
"""

import numpy as np
from numba import njit

from envs.go import facts
from envs.go.board import (
    ACTION,
    CELL,
    EMPTIES,
    EMPTY,
    HASH,
    HEADER,
    KO,
    KOMI,
    LAST,
    LASTS,
    LIST,
    MAX_MOVES,
    MOVES,
    PASSES,
    PAST,
    POSITIONAL,
    SIDE,
    SIMPLE,
    SITUATIONAL,
    SIZE,
    STEP,
    SUPERKO,
    TAKEN,
    TURN,
    ZOBRIST,
    clear,
    is_legal,
    place,
    point_of,
    record,
    situation,
    state_size,
)  # fmt: skip
from envs.go.features import PLANES, features
from envs.go.scoring import area, pass_alive, score
from envs.rules import KEY, LEGAL, OUTCOME, OWNER, PLAY, RESET, TO_MOVE, Rules

SUPERKOS = {"simple": SIMPLE, "positional": POSITIONAL, "situational": SITUATIONAL}
MIX = int(np.uint64(0x9E3779B97F4A7C15).astype(np.int64))


@njit(RESET, cache=True)
def reset(state):
    """Makes `state` an empty board, Black to move; its header stays."""
    clear(state)


@njit(LEGAL, cache=True)
def legal(state, mask):
    """The pass is always legal; after the end of the game the rules of the running game go on to hold."""
    mask[:] = False
    for i in range(state[LIST], state[LIST] + state[EMPTIES]):
        point = state[i]
        mask[state[point + ACTION]] = is_legal(state, point)
    mask[state[SIZE] * state[SIZE]] = True


@njit(PLAY, cache=True)
def play(state, action):
    """A legal action is played in place; the position that follows enters the history."""
    for i in range(LAST + LASTS - 1, LAST, -1):
        state[i] = state[i - 1]
    state[LAST] = action
    if action == state[SIZE] * state[SIZE]:
        state[KO] = 0
        state[PASSES] += 1
    else:
        state[KO] = place(state, point_of(state, action), state[TURN] + 1)
        state[PASSES] = 0
    state[TURN] = 1 - state[TURN]
    state[MOVES] += 1
    record(state)
    if state[TAKEN] + state[TAKEN + 1] > 0:
        value = situation(state) * MIX  # multiplied, so that the sum does not see the exclusive ors cancel
        state[PAST] += value ^ (value >> 29)


@njit(OUTCOME, cache=True)
def outcome(state):
    """Returns the result for the side to move, 1, 0 or -1; NaN while the game goes on."""
    if state[PASSES] < 2 and state[MOVES] < state[MAX_MOVES]:
        return np.nan
    return np.sign(score(state)) * (1 - 2 * state[TURN])


@njit(TO_MOVE, cache=True)
def to_move(state):
    """Returns the side to move, 0 Black or 1 White."""
    return state[TURN]


@njit(KEY, cache=True)
def key(state):
    """Stones, side to move, ko, passes, move number; under superko the positions since the first capture.

    Until something is captured two orders of the same moves give the same key. Their histories differ in
    smaller positions, which only long cycles of captures could bring back: that is not looked at. The planes
    of `features` also show the last five moves, which decide nothing and are not part of the key.
    """
    value = state[HASH] ^ ZOBRIST[0, (state[KO] - HEADER) >> 3 if state[KO] > 0 else 511] ^ state[MOVES] * MIX
    if state[TURN] == 1:
        value ^= SIDE
    if state[PASSES] > 0:
        value ^= ZOBRIST[3, min(state[PASSES], 2)]
    return value if state[SUPERKO] == SIMPLE else value + state[PAST]


@njit(OWNER, cache=True)
def owner(state, owners):
    """Fills owners [size * size] by area and returns Black's lead, komi counted."""
    return area(state, owners) - state[KOMI : KOMI + 1].view(np.float64)[0]


@njit("boolean(int64[::1], int64, int64)", cache=True)
def is_inside(state, point, step):
    """Whether an empty point has nothing but empty points around it."""
    return state[point - CELL] + state[point + CELL] + state[point - step] + state[point + step] == EMPTY


@njit("boolean(int64[::1])", cache=True)
def is_settled(state):
    """Whether Benson's theorem gives every point to a side: no move changes the result any more."""
    size, step = state[SIZE], state[STEP]
    for i in range(state[LIST], state[LIST] + state[EMPTIES]):
        # Two neighbours that touch no stone lie in one region, and the theorem gives away none that has two of them.
        if is_inside(state, state[i], step):
            for other in (state[i] + CELL, state[i] + step):
                if is_inside(state, other, step):
                    return False
    owners = np.empty(size * size, np.int8)
    pass_alive(state, owners)
    for action in range(size * size):  # noqa: SIM110 (numba has no `any` here)
        if owners[action] == 0:
            return False
    return True


@njit(OWNER, cache=True)
def owner_settled(state, owners):
    """As `owner`; where every point is settled, stones that cannot live belong to whoever surrounds them."""
    if not is_settled(state):
        return owner(state, owners)
    pass_alive(state, owners)
    return owners.sum() - state[KOMI : KOMI + 1].view(np.float64)[0]


@njit(OUTCOME, cache=True)
def outcome_settled(state):
    """As `outcome`, but the game is over as soon as every point is settled: what follows would change nothing."""
    if state[PASSES] < 2 and state[MOVES] < state[MAX_MOVES] and not is_settled(state):
        return np.nan
    lead = owner_settled(state, np.empty(state[SIZE] * state[SIZE], np.int8))
    return np.sign(lead) * (1 - 2 * state[TURN])


# Territory. Area and territory differ by the stones that each side has put on the board (Black's area less White's is
# territory and prisoners plus what Black has played more than White). So a state whose komi grows by a point with each
# stone of Black and falls with each of White counts territory with the score of area, and a move into one's own
# territory costs what it costs. Two passes end nothing here: what is dead has to be taken off before it is counted, and
# whoever searches finds that by playing on.


@njit(PLAY, cache=True)
def play_territory(state, action):
    """As `play`; the komi changes by a point, so that area scoring counts territory."""
    if action != state[SIZE] * state[SIZE]:
        komi = state[KOMI : KOMI + 1].view(np.float64)
        komi[0] += 1.0 - 2.0 * state[TURN]
    play(state, action)


@njit(OUTCOME, cache=True)
def outcome_territory(state):
    """As `outcome`, but only the number of moves ends the game, not two passes."""
    if state[MOVES] < state[MAX_MOVES]:
        return np.nan
    return np.sign(score(state)) * (1 - 2 * state[TURN])


@njit(KEY, cache=True)
def key_territory(state):
    """As `key`; the same stones may have taken different numbers of moves."""
    return key(state) ^ (state[KOMI] * MIX)


def exchanged(state: np.ndarray) -> int:
    """How many stones Black has put on the board more than White, those taken since among them."""
    size = int(state[SIZE])
    colours = [int(state[point_of(state, action)]) for action in range(size * size)]
    return colours.count(1) - colours.count(2) + int(state[TAKEN + 1]) - int(state[TAKEN])


def go_rules(
    size: int = 9,
    komi: float = 7.5,
    *,
    suicide: bool = False,
    superko: str = "positional",
    max_moves: int | None = None,
    scoring: str = "area",
    settle: bool = False,
) -> Rules:
    """The rules of Go on size x size points (2 to 19).

    komi: points added to White's. suicide: whether a move may take off its own group. superko: "positional"
    forbids every earlier whole-board position, "situational" every earlier one with the same side to move,
    "simple" only the immediate recapture of one stone (and the suicide of one stone). max_moves: actions,
    passes included, after which the game is scored as it stands; 3 * size * size, and at least 40, unless
    given. scoring: "area", or "territory" for a search: `komi` then holds `exchanged` of the first position
    as well (see above). settle: the game ends as soon as Benson's theorem gives every point to a side. Raises
    ValueError for anything outside these ranges.
    """
    max_moves = facts.usual_limit(size) if max_moves is None else max_moves
    facts.check(size, komi, superko, max_moves)
    if scoring not in ("area", "territory"):
        raise ValueError(f"scoring is {scoring!r}, but it must be area or territory")
    bits = int(np.float64(komi).view(np.int64))
    rules = Rules(
        f"go{size}", size * size + 1, state_size(size, max_moves), (PLANES, size, size), reset, legal, play,
        outcome, to_move, features, key, max_moves, (size, bits, int(suicide), SUPERKOS[superko], max_moves),
        owner, "square",
    )  # fmt: skip
    if settle:
        rules = rules._replace(outcome=outcome_settled, owner=owner_settled)
    if scoring == "territory":
        rules = rules._replace(
            name=f"go{size}-territory", play=play_territory, outcome=outcome_territory, key=key_territory
        )
    return rules
