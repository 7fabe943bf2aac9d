"""Tree search over one game or many in lock-step, for any two-player zero-sum game given as compiled rules.

search = Search(connect_four_rules(), rollouts(), seed=1)
move = search.run(visits=1000).action[0]
search.advance(move)            # every move, the opponent's too: the root is the game's position
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from agents.search import gumbel, puct
from agents.search.evaluators import OWN, Evaluator
from agents.search.game import link
from agents.search.gumbel import Gumbel
from agents.search.puct import Puct
from agents.search.rave import Rave
from agents.search.simulate import GUMBEL, PUCT, RAVE, Settings, absorb, begin, collect, link_work, new_leaves
from agents.search.tree import NEW, OPEN, PER_EDGE, PER_NODE, RAVE_EDGE, TERMINAL, link_tree, new_tree, reroot

CHUNK_SECONDS = 0.005  # seconds between two looks at the clock, about, in compiled search
DECIDED = 0.97  # value, of the winner's side, from which a game counts as won
NO_LIMIT = 2**31 - 2  # largest number of visits, which are int32


class Result(NamedTuple):
    """What a search found, B games at once. Values are in the view of the side to move at the root."""

    action: np.ndarray  # [B] int64: the move to play; -1 where the game is over
    policy: np.ndarray  # [B, A] float32: training target: improved policy (Gumbel) or shares of the visits (the others)
    value: np.ndarray  # [B] float64: the root's mean; its exact value where solved or over
    visits: np.ndarray  # [B, A] int32: the root's visits, those of a kept subtree included
    q: np.ndarray  # [B, A] float64: mean value of each action; NaN where never tried
    prior: np.ndarray  # [B, A] float32: the evaluator's policy; 0 where illegal
    raw_value: np.ndarray  # [B] float64: the evaluator's value of the root
    solved: np.ndarray  # [B] bool: value and action are proven


class Search:
    """Search trees of `games` games of the same rules, each with its own random generator and root.

    rules: a tuple with the fields of `envs.rules.Rules`. capacity: nodes per tree; a full tree goes on searching
    without new nodes. leaves: leaves in flight per game for one call of the network (a virtual loss keeps them
    apart); 1 is exact. seed: an int, from which each game's is derived, or one per game.
    A game behaves the same in any company, provided the network answers a row the same in any batch.
    """

    def __init__(
        self, rules, evaluator: Evaluator, config: Puct | Gumbel | Rave | None = None, *, games: int = 1,
        capacity: int = 50_000, leaves: int = 1, seed: int | Sequence[int] = 0,
    ):  # fmt: skip
        for name, value in (("games", games), ("capacity", capacity), ("leaves", leaves)):
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be 1 or more")
        self.rules, self.evaluator, self.config = rules, evaluator, config or Puct()
        self.games, self.capacity = games, capacity
        rave = isinstance(self.config, Rave)
        if rave and (evaluator.network is not None or evaluator.playouts != 1 or evaluator.kind == OWN):
            raise ValueError("Rave needs one traced playout per leaf: the evaluator rollouts() or classical(...)")
        planes = int(np.prod(rules.planes))
        self._tree = new_tree(games, capacity, rules.num_actions, rules.state_size, self.config.transpositions, rave)
        depth = min(rules.max_moves, capacity) + 2
        self._leaves = new_leaves(games, leaves, depth, planes, rules.num_actions, rules.state_size)
        self._planes = self._leaves.planes.reshape(games * leaves, *rules.planes)
        self._settings = self._pack_settings(leaves)
        self._game = link(rules, evaluator.playout, evaluator.traced, evaluator.heuristic)
        self._linked_tree, self._work = link_tree(*self._tree), link_work(*self._leaves, self._settings)
        self._quota = 64
        self._thread, self._stop = None, threading.Event()
        self.seed(seed)
        self.reset()

    def _pack_settings(self, leaves: int) -> Settings:
        config, evaluator = self.config, self.evaluator
        values = {name: getattr(config, name, kind(0)) for name, kind in Settings.__annotations__.items()}
        values |= dict(
            algorithm={Puct: PUCT, Gumbel: GUMBEL, Rave: RAVE}[type(config)], network=evaluator.network is not None,
            playouts=evaluator.playouts, kind=evaluator.kind, weight=evaluator.weight,
            virtual_loss=config.virtual_loss if leaves > 1 and evaluator.network else 0.0,
        )  # fmt: skip
        return Settings(*(kind(values[name]) for name, kind in Settings.__annotations__.items()))

    def seed(self, seed: int | Sequence[int]) -> None:
        """Sets the games' generators: from one int, or from one int per game. Game i of an int is the same for any
        number of games."""
        if np.ndim(seed) == 0:
            words = np.random.SeedSequence(int(seed)).generate_state(self.games, np.uint64)
        elif len(seed) == self.games:
            words = [np.random.SeedSequence(int(s)).generate_state(1, np.uint64)[0] for s in seed]
        else:
            raise ValueError(f"seed has {len(seed)} entries; it must be one int or {self.games} of them")
        self._leaves.rng[:, 0] = words

    def reset(self, game: int | None = None, state: np.ndarray | None = None) -> None:
        """Starts games anew (all, or one) from the initial position or from `state` [S]; their trees are dropped."""
        self.stop()
        state = self.rules.new_state() if state is None else np.asarray(state, np.int64)
        if state.shape != (self.rules.state_size,):
            raise ValueError(f"state has shape {state.shape}; it must be ({self.rules.state_size},)")
        for b in range(self.games) if game is None else (game,):
            self._tree.root_state[b] = state
            self._plant(b, ply=0)

    def _plant(self, b: int, ply: int) -> None:
        """A fresh root at the game's present state."""
        tree, state = self._tree, self._tree.root_state[b]
        tree.size[b] = 1
        tree.slots[b] = -1
        tree.children[b, 0], tree.edge_visits[b, 0], tree.edge_value[b, 0] = -1, 0, 0.0
        tree.prior[b, 0], tree.logits[b, 0] = -1.0, -np.inf
        for name in RAVE_EDGE:
            getattr(tree, name)[b, 0] = 0.0
        tree.visits[b, 0], tree.value_sum[b, 0], tree.raw_value[b, 0] = 1, 0.0, 0.0
        tree.lower[b, 0], tree.upper[b, 0], tree.bounded[b, 0] = -1.0, 1.0, 0
        tree.to_move[b, 0], tree.status[b, 0], tree.ply[b, 0] = self.rules.to_move(state), NEW, ply
        outcome = self.rules.outcome(state)
        if not np.isnan(outcome):
            tree.status[b, 0] = TERMINAL
            tree.raw_value[b, 0] = tree.value_sum[b, 0] = tree.lower[b, 0] = tree.upper[b, 0] = outcome

    def state(self, game: int = 0) -> np.ndarray:
        """A copy of a game's position, int64 [S]."""
        return self._tree.root_state[game].copy()

    def restrict(self, barred: np.ndarray | None = None) -> None:
        """What the searches from here on may not look at: side s plays action a nowhere nearer to the root than
        barred[s, a] plies [2, A]; None for no limits. Where a side has nothing else left it may play all. The trees are
        dropped if that changes anything, and after every move of the game while something is barred.
        """
        wanted = np.zeros_like(self._leaves.barred) if barred is None else np.asarray(barred, np.int32)
        if wanted.shape != self._leaves.barred.shape:
            raise ValueError(f"barred has shape {wanted.shape}; it must be {self._leaves.barred.shape}")
        if not np.array_equal(wanted, self._leaves.barred):
            self.stop()
            self._leaves.barred[:], self._leaves.deepest[0] = wanted, wanted.max()
            for b in range(self.games):
                self._plant(b, int(self._tree.ply[b, 0]))

    def run(
        self, visits: int | Sequence[int] | None = None, seconds: float | None = None,
        stop: Callable[[], bool] | None = None, settle: bool = False, clock: Callable[[], float] = time.perf_counter,
    ) -> Result:  # fmt: skip
        """Searches until each root has its visits, the time is over, `stop()` is true, or all roots are solved.

        visits: per game, or one number for all. Those of a kept subtree count; but Gumbel counts new simulations and
        needs the number beforehand, because sequential halving plans with it. `stop` is asked every few milliseconds,
        or after every call of the network, and may call `result` and `variation`. settle: ends a search that `seconds`
        limit as soon as no other action can catch up with the most visited one at the present speed, and after a
        quarter of the time where the game is as good as won or lost. clock: what counts the seconds;
        `time.process_time` makes a search on a busy machine as good as on a quiet one (do not ponder with it).
        """
        self.stop()
        if visits is None and seconds is None and stop is None:
            raise ValueError("a search needs an end: give visits, seconds or stop")
        if seconds is not None and not seconds >= 0:
            raise ValueError(f"seconds is {seconds}; it must be 0 or more")
        budget = None if visits is None else np.broadcast_to(np.asarray(visits, np.int64), (self.games,))
        if budget is not None and budget.min() < 1:
            raise ValueError(f"visits is {visits}; it must be 1 or more")
        if budget is None and isinstance(self.config, Gumbel):
            raise ValueError("Gumbel search needs visits: sequential halving plans with their number")
        if seconds is None:
            return self._run(budget, np.inf, stop)
        started = clock()
        if settle and not isinstance(self.config, Gumbel):
            before, asked = self._tree.visits[:, 0].copy(), stop

            def stop() -> bool:
                return self._settled(before, clock() - started, seconds) or (asked is not None and asked())

        return self._run(budget, started + seconds, stop, clock)

    def _settled(self, before: np.ndarray, spent: float, seconds: float) -> bool:
        """Whether the actions of all games are decided: root visits were `before` [B] when the search began."""
        if spent < seconds / 20:  # the speed is not known yet
            return False
        mean = self._tree.value_sum[:, 0] / self._tree.visits[:, 0]
        if spent > seconds / 4 and (abs(mean) > DECIDED).all():
            return True
        made = self._tree.visits[:, 0] - before
        leaders = np.sort(self._tree.edge_visits[:, 0], axis=1)[:, -2:]  # [B, 2]
        return bool((leaders[:, 1] - leaders[:, 0] > made * (seconds - spent) / spent).all())

    def _run(
        self, budget: np.ndarray | None, deadline: float, stop: Callable[[], bool] | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> Result:  # fmt: skip
        schedules = np.zeros((1, 1, 1), np.int32)
        if (self._tree.status[:, 0] == NEW).any():
            self._loop(schedules, np.zeros(self.games, np.int64), np.inf, None)
        target = np.full(self.games, NO_LIMIT) if budget is None else budget.copy()
        if isinstance(self.config, Gumbel):
            sizes, self._leaves.halving[:] = np.unique(budget, return_inverse=True)
            schedules = gumbel.schedules(self.config.max_considered, tuple(sizes.tolist()))
            target += self._tree.visits[:, 0] - 1
        begin(self._linked_tree, self._work)
        self._loop(schedules, target, deadline, stop, clock)
        return self.result()

    def _loop(self, schedules, target, deadline: float, stop: Callable[[], bool] | None, clock=time.perf_counter):
        """Rounds of descents and evaluations until nothing is left to do or it is time to stop."""
        timed, network = deadline < np.inf or stop is not None, self.evaluator.network
        game, tree, work, done = self._game, self._linked_tree, self._work, self._leaves.done
        while True:
            started = clock() if timed else 0.0
            rows = collect(game, tree, work, schedules, target, self._quota if timed else NO_LIMIT)
            if rows:
                logits, values = network(self._planes[:rows])
                self._absorb(logits, values, rows)
            elif not done.any():
                return
            if timed:
                now = clock()
                if network is None:  # a call makes as many descents as fit between two looks at the clock
                    most = int(done.max()) * CHUNK_SECONDS / max(now - started, 1e-6)
                    self._quota = int(min(max(most, 16), 4 * self._quota))
                if now >= deadline or (stop is not None and stop()):
                    return

    def _absorb(self, logits, values, rows: int) -> None:
        logits = np.ascontiguousarray(logits, np.float32)
        values = np.ascontiguousarray(values, np.float64).reshape(-1)
        if logits.shape != (rows, self.rules.num_actions) or len(values) != rows:
            raise ValueError(
                f"the network answered {rows} positions with logits {logits.shape} and values {values.shape}; "
                f"they must be ({rows}, {self.rules.num_actions}) and ({rows},)"
            )
        bad = absorb(self._linked_tree, self._work, logits, values, rows)
        if bad >= 0:
            raise ValueError(f"the network's value {values[bad]} or logits are not finite or outside [-1, 1]")

    def result(self) -> Result:
        """What the trees say now, without searching."""
        tree, roots = self._tree, self._tree.status[:, 0]
        visits = tree.edge_visits[:, 0].copy()
        with np.errstate(invalid="ignore", divide="ignore"):
            q = np.where(visits > 0, tree.edge_value[:, 0] / visits, np.nan)
        solved = tree.lower[:, 0] == tree.upper[:, 0]
        value = np.where(solved, tree.lower[:, 0], tree.value_sum[:, 0] / tree.visits[:, 0])
        action = np.full(self.games, -1, np.int64)
        policy = np.zeros(visits.shape, np.float32)
        for b in np.flatnonzero(roots == OPEN):
            if isinstance(self.config, Gumbel):
                action[b] = gumbel.conclude(
                    self._linked_tree, b, self._leaves.noise[b], self._leaves.baseline[b], self.config.c_visit,
                    self.config.c_scale, self.config.least_spread, policy[b],
                )  # fmt: skip
            if not isinstance(self.config, Gumbel) or solved[b]:
                action[b] = puct.decide(self._linked_tree, b)
            if not isinstance(self.config, Gumbel):
                total = visits[b].sum()
                policy[b] = visits[b] / total if total else np.maximum(tree.prior[b, 0], 0)
        prior = np.maximum(tree.prior[:, 0], 0)
        return Result(action, policy, value, visits, q, prior, tree.raw_value[:, 0].copy(), solved)

    def advance(self, actions: int | Sequence[int]) -> None:
        """Plays one action in each game (-1: none), whoever moves, and makes its child the root.

        Raises ValueError for an illegal action or a finished game, before anything moves.
        """
        self.stop()
        actions = np.broadcast_to(np.asarray(actions, np.int64), (self.games,))
        legal = np.zeros(self.rules.num_actions, np.bool_)
        for b in np.flatnonzero(actions != -1):
            if self._tree.status[b, 0] == TERMINAL:
                raise ValueError(f"game {b} is over; action {actions[b]} cannot be played")
            self.rules.legal(self._tree.root_state[b], legal)
            if not (0 <= actions[b] < len(legal) and legal[actions[b]]):
                raise ValueError(f"action {actions[b]} is illegal in game {b}; legal are {np.flatnonzero(legal)}")
        for b in np.flatnonzero(actions != -1):
            ply = int(self._tree.ply[b, 0]) + 1
            kept = self.config.reuse and self._leaves.deepest[0] == 0  # moves barred at another depth are not known
            kept = kept and reroot(self._linked_tree, b, actions[b], self.config.transpositions)
            self.rules.play(self._tree.root_state[b], actions[b])
            if not kept:
                self._plant(b, ply)

    def variation(self, action: int | None = None, game: int = 0, length: int = 20) -> list[int]:
        """The line of most visits from the root, or after a given first action."""
        tree, node, line = self._tree, 0, []
        while len(line) < length and node >= 0 and tree.status[game, node] == OPEN:
            if action is None:
                if not tree.edge_visits[game, node].any():
                    break
                action = int(tree.edge_visits[game, node].argmax())
            line.append(int(action))
            node, action = tree.children[game, node, action], None
        return line

    def ponder(self) -> None:
        """Searches on in a thread until a tree is full or `stop`, `run`, `advance`, `reset` or `state_dict` is called.

        The compiled part runs without Python's lock. `result` and `variation` may be called meanwhile: they read the
        trees as they stand, in the middle of a descent perhaps.
        """
        self.stop()
        if isinstance(self.config, Gumbel):
            raise ValueError("Gumbel search cannot ponder: sequential halving needs the number of visits beforehand")
        self._stop.clear()

        def enough() -> bool:
            return self._stop.is_set() or bool((self._tree.size >= self.capacity).any())

        self._thread = threading.Thread(target=self._run, args=(None, np.inf, enough), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends pondering; what it found stays."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def state_dict(self) -> dict:
        """Positions, trees and generators: after `load_state_dict` the search goes on exactly as it would have."""
        self.stop()
        size = int(self._tree.size.max())
        saved = {name: getattr(self._tree, name)[:, :size].copy() for name in PER_EDGE + RAVE_EDGE + PER_NODE}
        for name in ("slots", "size", "root_state"):
            saved[name] = getattr(self._tree, name).copy()
        return saved | {"rng": self._leaves.rng.copy()}

    def load_state_dict(self, state: dict) -> None:
        """Restores `state_dict` of a search with the same rules, configuration, capacity and number of games."""
        self.stop()
        for name in self._tree._fields:
            target = getattr(self._tree, name)
            if name in PER_EDGE + RAVE_EDGE + PER_NODE:
                target = target[:, : state[name].shape[1]]
            if target.shape != state[name].shape:
                raise ValueError(f"{name} has shape {state[name].shape}; this search needs {target.shape}")
            target[:] = state[name]
        self._leaves.rng[:] = state["rng"]
