"""Go as Gymnasium environments: a compiled batch for self-play, and a board for people.

Observations are the planes of `envs.go.features`, float32 [C, size, size], as seen by the side to move.
Actions are row * size + column (row 0 at the top) and size * size for the pass. The two sides alternate, so
the reward +1, 0, -1 at the end belongs to the side that has just moved, and `info["discount"]` is -1 while
the game goes on: the next value is in the opponent's view. It is 0 at the end, +1 at the first observation of
a game.

`info` also holds `legal` bool [N, A], `score` float64 [N] (at the end Black's area less White's and komi,
else 0), `to_move` int64 [N] (0 Black) and `state` int64 [N, S], copies of the games (`envs.rules`) for a
search.
"""

import gymnasium
import numpy as np
from numba import njit

from envs.batches import SingleEnv, batch_seeds, check_batch, present, read_options
from envs.go import picture
from envs.go.board import ACTION, KO, LAST, SIZE, TAKEN, TURN, is_legal, point_of
from envs.go.facts import GoOptions, describe
from envs.go.features import features
from envs.go.game import to_vertex
from envs.go.rules import legal, outcome, play, reset
from envs.go.scoring import score

FPS = 2  # moves per second in a video


@njit("int64(int64[:, ::1], int64[::1], boolean[::1])", cache=True, nogil=True)
def first_illegal(states, actions, over):
    """The first game in which the action is not a legal one, or -1; ended games take any action of the
    space.
    """
    for i in range(len(states)):
        state, points = states[i], states[i, SIZE] * states[i, SIZE]
        if actions[i] < 0 or actions[i] > points:
            return i
        if not over[i] and actions[i] < points:
            point = point_of(state, actions[i])
            if state[point] != 0 or not is_legal(state, point):
                return i
    return -1


@njit("void(int64[:, ::1], int64[::1], boolean[::1], float64[::1], float32[::1], float64[::1])", cache=True, nogil=True)
def step_all(states, actions, over, rewards, discounts, scores):
    """One action per game; games that are over begin anew instead. Fills the last three arrays [N], updates
    `over`.
    """
    for i in range(len(states)):
        rewards[i], discounts[i], scores[i] = 0.0, 1.0, 0.0
        if over[i]:
            reset(states[i])
            over[i] = False
            continue
        play(states[i], actions[i])
        value = outcome(states[i])
        over[i] = not np.isnan(value)
        discounts[i] = 0.0 if over[i] else -1.0
        if over[i]:
            rewards[i] = -value  # the outcome is in the view of the side to move, the reward in that of the mover
            scores[i] = score(states[i])


@njit("void(int64[:, ::1], float32[:, ::1], boolean[:, ::1])", cache=True, nogil=True)
def observe_all(states, planes, mask):
    """Fills planes [N, C * size * size] and mask [N, A]."""
    for i in range(len(states)):
        features(states[i], planes[i])
        legal(states[i], mask[i])


class GoVectorEnv(gymnasium.vector.VectorEnv):
    """N games in compiled code on one core, without the GIL; autoreset NEXT_STEP; every array returned is
    fresh.

    The game has no chance, so `reset(seed=...)` checks its seed and has no other use for it.
    """

    def __init__(self, num_envs: int, options: GoOptions, render_mode: str | None = None):
        check_batch(num_envs, render_mode)
        self.options, self.render_mode = options, render_mode
        self.rules = options.rules
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": FPS, "releases_gil": True}
        present(self, describe(options), num_envs)
        self._first = self.rules.new_state()
        self._states = np.tile(self._first, (num_envs, 1))
        self._over = np.zeros(num_envs, np.bool_)

    @property
    def over(self) -> np.ndarray:
        """bool [N], games that the next step begins anew."""
        return self._over.copy()

    def _results(self, discounts: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, dict]:
        planes = np.empty((self.num_envs, *self.rules.planes), np.float32)
        mask = np.empty((self.num_envs, self.rules.num_actions), np.bool_)
        observe_all(self._states, planes.reshape(self.num_envs, -1), mask)
        turn = self._states[:, TURN].copy()
        info = {"discount": discounts, "legal": mask, "score": scores, "to_move": turn, "state": self._states.copy()}
        return planes, info

    def reset(self, *, seed=None, options=None):
        """Begins a game everywhere; `seed`: None, a whole number from 0, or a sequence of N of them."""
        if seed is not None:
            batch_seeds(seed, self.num_envs)
        self._states[:] = self._first
        self._over[:] = False
        return self._results(np.ones(self.num_envs, np.float32), np.zeros(self.num_envs))

    def step(self, actions):
        """One legal action per game, int [N]. Anything else is a ValueError, and nothing has moved."""
        actions, n = np.asarray(actions), self.num_envs
        if actions.shape != (n,) or actions.dtype.kind not in "iu":
            raise ValueError(f"actions must be {n} integers, not {actions.dtype} of shape {actions.shape}")
        actions = actions.astype(np.int64)
        wrong = first_illegal(self._states, actions, self._over)
        if wrong >= 0:
            highest = self.rules.num_actions - 1
            raise ValueError(
                f"action {actions[wrong]} of game {wrong} is not legal there: it must be True in "
                f"info['legal'] (points 0 to {highest - 1}, {highest} the pass)"
            )
        rewards, discounts, scores = np.empty(n), np.empty(n, np.float32), np.empty(n)
        step_all(self._states, actions, self._over, rewards, discounts, scores)
        planes, info = self._results(discounts, scores)
        return planes, rewards, self._over.copy(), np.zeros(n, np.bool_), info

    def board(self, index: int) -> np.ndarray:
        """int8 [size, size] of one game: 0 empty, 1 Black, 2 White."""
        size, state = self.options.size, self._states[index]
        points = [point_of(state, action) for action in range(size * size)]
        return state[points].astype(np.int8).reshape(size, size)

    def _picture(self, index: int) -> np.ndarray:
        state = self._states[index]
        foot = f"{('Black', 'White')[state[TURN]]} to move"
        if self._over[index]:
            lead = score(state)
            foot = "draw" if lead == 0 else f"{'Black' if lead > 0 else 'White'} wins by {abs(lead):g}"
        note = f"captured {state[TAKEN]} : {state[TAKEN + 1]}    komi {self.options.komi:g}"
        banned = int(state[state[KO] + ACTION]) if state[KO] else -1
        return picture.draw(self.board(index), last=int(state[LAST]), banned=banned, foot=foot, note=note)

    def render(self) -> tuple[np.ndarray, ...]:
        """A picture of each board, RGB uint8."""
        return tuple(self._picture(i) for i in range(self.num_envs))

    def state_dict(self) -> dict:
        """Everything that decides the future."""
        return {"states": self._states.copy(), "over": self._over.copy()}

    def load_state_dict(self, state: dict) -> None:
        """Continues exactly where `state_dict` was taken; raises ValueError for games of other rules or
        number.
        """
        for name, own in (("states", self._states), ("over", self._over)):
            if np.shape(state.get(name)) != own.shape:
                raise ValueError(f"state of {self.num_envs} games: {name} must have shape {own.shape}")
        header = len(self.rules.header)
        if (np.asarray(state["states"])[:, :header] != self._first[:header]).any():
            raise ValueError(f"the state comes from games of other rules than {self.options.protocol}")
        self._states[:], self._over[:] = state["states"], state["over"]


class GoEnv(SingleEnv):
    """One game with the kernels of the batch: both sides are played through `step`, which alternates.

    `render_mode` rgb_array gives a picture, human shows it in a window, ansi gives text.
    """

    metadata = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": FPS, "turn_based": True}
    title = "joypad: Go"

    def __init__(self, options: GoOptions, render_mode: str | None = None):
        super().__init__(GoVectorEnv(1, options), render_mode)
        self.rules = self.games.rules

    def render(self) -> np.ndarray | str | None:
        """RGB uint8 in mode rgb_array, text in mode ansi, None otherwise (the window shows each step by
        itself).
        """
        if self.render_mode == "ansi":
            return "\n".join(" ".join(".XO"[colour] for colour in row) for row in self.games.board(0))
        return self.games.render()[0] if self.render_mode == "rgb_array" else None

    def keys(self) -> dict[frozenset[str], int]:
        """Keys of a keyboard -> action; points are chosen by a click."""
        return {frozenset(["return"]): self.options.size**2}

    def action_names(self) -> list[str]:
        """Vertices as people write them, and the pass."""
        return [to_vertex(action, self.options.size) for action in range(self.options.size**2 + 1)]

    def board_box(self) -> tuple[float, float, float]:
        """Where the points lie in the picture: px of the first line from the left, from the top, px between lines."""
        first, gap = picture.geometry(self.options.size)
        return first, first, gap


def make_vec(num_envs: int, **options) -> GoVectorEnv:
    """A batch of games; `options` are the fields of `GoOptions`."""
    return GoVectorEnv(num_envs, read_options(GoOptions, options, "go"), render_mode="rgb_array")


def make(render_mode: str | None = None, **options) -> GoEnv:
    """One game; `options` are the fields of `GoOptions`."""
    return GoEnv(read_options(GoOptions, options, "go"), render_mode)
