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
from envs.go.board import ACTION, KO, KOMI, LAST, SIZE, TAKEN, TURN, is_legal, point_of
from envs.go.facts import GoOptions, describe
from envs.go.features import features
from envs.go.game import to_vertex
from envs.go.restarts import Restarts
from envs.go.rules import legal, outcome, outcome_settled, owner_settled, play, reset
from envs.go.scoring import score

FPS = 2  # moves per second in a video
LEADS = 200  # finished games over which the mean lead is taken, about (`komi_spread`)


@njit("boolean(int64[::1], boolean)", cache=True)
def is_over(state, settle):
    """Whether the game is over; with `settle` also where every point is settled."""
    return not np.isnan(outcome_settled(state) if settle else outcome(state))


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


@njit(
    "void(int64[:, ::1], int64[::1], boolean[::1], float64[::1], float32[::1], float64[::1], boolean)", cache=True,
    nogil=True,
)  # fmt: skip
def step_all(states, actions, over, rewards, discounts, scores, settle):
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
        over[i] = is_over(states[i], settle)
        discounts[i] = 0.0 if over[i] else -1.0
        if over[i]:
            owners = np.empty(states[i, SIZE] * states[i, SIZE], np.int8)
            scores[i] = owner_settled(states[i], owners) if settle else score(states[i])
            rewards[i] = np.sign(scores[i]) * (2 * states[i, TURN] - 1)  # the mover is the side not to move now


@njit("void(int64[:, ::1], float32[:, ::1], boolean[:, ::1])", cache=True, nogil=True)
def observe_all(states, planes, mask):
    """Fills planes [N, C * size * size] and mask [N, A]."""
    for i in range(len(states)):
        features(states[i], planes[i])
        legal(states[i], mask[i])


class GoVectorEnv(gymnasium.vector.VectorEnv):
    """N games in compiled code on one core, without the GIL; autoreset NEXT_STEP; every array returned is
    fresh.

    The game has no chance but its komi with `komi_spread` (the other half of the games keeps `komi`); else
    `reset(seed=...)` checks its seed and has no other use for it.
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
        self._seed, self._drawn = 0, 0  # seed of the komis and how many were drawn
        self._restarts = Restarts(options.restarts, len(self._first)) if options.restarts else None
        self._lead, self._finished = 0.0, 0  # Black's mean lead without komi, over so many finished games

    def _draw_komi(self, games: np.ndarray) -> None:
        """The komi of games that are about to begin, with `komi_spread`."""
        for game in games:
            rng = np.random.default_rng((self._seed, self._drawn))
            self._drawn += 1
            komi = self.options.komi
            if rng.random() < 0.5:
                most = self.options.size**2 + 0.5
                komi = round(2 * np.clip(rng.normal(self._lead, self.options.komi_spread), -most, most)) / 2
            self._states[game, KOMI] = np.float64(komi).view(np.int64)

    def _note_leads(self, scores: np.ndarray) -> None:
        """Takes the games that have just ended into Black's mean lead."""
        for game in np.flatnonzero(self._over):
            self._finished += 1
            lead = scores[game] + self._states[game, KOMI : KOMI + 1].view(np.float64)[0]
            self._lead += (lead - self._lead) / min(self._finished, LEADS)

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
            mixed = np.random.SeedSequence(batch_seeds(seed, self.num_envs))
            self._seed, self._drawn = int(mixed.generate_state(1)[0]), 0
            if self._restarts is not None:
                self._restarts.reset(self._seed)
        self._states[:] = self._first
        self._over[:] = False
        if self.options.komi_spread:
            self._draw_komi(np.arange(self.num_envs))
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
        if self.options.komi_spread:
            self._draw_komi(np.flatnonzero(self._over))
        begun = self._over.copy()
        step_all(self._states, actions, self._over, rewards, discounts, scores, self.options.settle)
        if self._restarts is not None:
            self._restarts.begin(self._states, begun, self._over)
        if self.options.komi_spread:
            self._note_leads(scores)
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
            lead = self.rules.owner(state, np.empty(self.options.size**2, np.int8))
            foot = "draw" if lead == 0 else f"{'Black' if lead > 0 else 'White'} wins by {abs(lead):g}"
        komi = state[KOMI : KOMI + 1].view(np.float64)[0]
        note = f"captured {state[TAKEN]} : {state[TAKEN + 1]}    komi {komi:g}"
        banned = int(state[state[KO] + ACTION]) if state[KO] else -1
        return picture.draw(self.board(index), last=int(state[LAST]), banned=banned, foot=foot, note=note)

    def render(self) -> tuple[np.ndarray, ...]:
        """A picture of each board, RGB uint8."""
        return tuple(self._picture(i) for i in range(self.num_envs))

    def state_dict(self) -> dict:
        """Everything that decides the future."""
        komi = {"seed": self._seed, "drawn": self._drawn, "lead": self._lead, "finished": self._finished}
        found = {"states": self._states.copy(), "over": self._over.copy()} | (komi if self.options.komi_spread else {})
        return found if self._restarts is None else found | {"restarts": self._restarts.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Continues exactly where `state_dict` was taken; raises ValueError for games of other rules or
        number.
        """
        for name, own in (("states", self._states), ("over", self._over)):
            if np.shape(state.get(name)) != own.shape:
                raise ValueError(f"state of {self.num_envs} games: {name} must have shape {own.shape}")
        fixed = [i for i in range(len(self.rules.header)) if i != KOMI or not self.options.komi_spread]
        if (np.asarray(state["states"])[:, fixed] != self._first[fixed]).any():
            raise ValueError(f"the state comes from games of other rules than {self.options.protocol}")
        self._states[:], self._over[:] = state["states"], state["over"]
        if self._restarts is not None:
            self._restarts.load_state_dict(state["restarts"])
        if self.options.komi_spread:
            self._seed, self._drawn = int(state["seed"]), int(state["drawn"])
            self._lead, self._finished = float(state["lead"]), int(state["finished"])


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
