"""What thinks about a position for the Go programs: a search, kept in step with the game."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agents.search import evaluators
from agents.search.rave import Rave
from agents.search.search import Result, Search
from envs.go import heavy, heuristic
from envs.go.board import LAST, LASTS, MAX_MOVES, MOVES, PASSES, SIZE
from envs.go.rules import play_territory
from envs.go.scoring import area, pass_alive, score
from envs.rules import Rules
from experiments.cli import UserError
from experiments.go import naming
from experiments.go.judging import Judge

TREE_BYTES = 768 * 2**20  # bytes of a full tree
EDGE_BYTES = 41  # bytes of a tree for each action of each node


class SearchPlayer:
    """A search that follows a game, whatever is done to it: moves, undo, setup, another komi or size."""

    def __init__(self, name: str, evaluator: Callable[[Rules], evaluators.Evaluator], config, seed: int = 0):
        self.name, self._evaluator, self._config, self._seed = name, evaluator, config, seed
        self._search: Search | None = None
        self._shape: tuple[str, int] | None = None  # name of the rules and move limit that the search was made for
        self._rng = np.array([seed + 1], np.uint64)
        self._ended: tuple[bytes, np.ndarray, float, int] | None = None  # newest sums of `ownership`
        self.judge = Judge()

    def seed(self, seed: int) -> None:
        """What follows depends on this number and the game alone; the tree is dropped."""
        self._seed, self._rng[0] = seed, seed + 1
        self._shape = self._ended = None

    def _follow(self, rules: Rules, state: np.ndarray, barred: np.ndarray | None = None) -> Search:
        """The search with `state` at its root; the tree is kept where the game went on."""
        shape = rules.name, int(state[MAX_MOVES])
        if self._shape != shape:
            self.stop()
            capacity = max(1000, TREE_BYTES // (EDGE_BYTES * rules.num_actions))
            self._search = Search(rules, self._evaluator(rules), self._config, capacity=capacity, seed=self._seed)
            self._shape = shape
        search = self._search
        played = int(state[MOVES] - search.state()[MOVES])
        if 0 < played <= LASTS and not np.array_equal(search.state(), state):
            try:
                for action in state[LAST : LAST + played][::-1]:
                    search.advance(int(action))
            except ValueError:
                pass  # another game: it is set up below
        if not np.array_equal(search.state(), state):
            search.reset(state=state)
        search.restrict(barred)
        return search

    def think(
        self, rules: Rules, state: np.ndarray, visits: int | None = None, seconds: float | None = None,
        stop: Callable[[], bool] | None = None, settle: bool = False, clock: Callable[[], float] = time.perf_counter,
        barred: np.ndarray | None = None,
    ) -> Result:  # fmt: skip
        """Searches the position; limits: `Search.run`, barred: `Search.restrict`. After two passes it looks on as if
        the game had been resumed."""
        if state[PASSES] >= 2:
            state = state.copy()
            state[PASSES] = 0
        return self._follow(rules, state, barred).run(visits, seconds, stop, settle, clock)

    def result(self) -> Result:
        """What the last search has found so far; may be called by its `stop`."""
        return self._search.result()

    def variation(self, action: int | None = None) -> list[int]:
        """The line of most visits from the position, or after its action."""
        return self._search.variation(action)

    def policy(self, state: np.ndarray, result: Result) -> np.ndarray:
        """What it thinks of the moves before it searches, shares [A] of 1: a network's prior, or the heuristic's."""
        if self._search.evaluator.network is not None:
            return result.prior[0]
        visits, value = np.zeros((2, len(result.prior[0])), np.float32)
        heuristic.heuristic(state, visits, value)
        wins = np.where(visits > 0, (visits + value) / 2, 0.0) * (result.prior[0] > 0)
        return wins / max(float(wins.sum()), 1e-9)

    def ponder(self, rules: Rules, state: np.ndarray) -> None:
        """Goes on thinking about the position in the background until the next call."""
        search = self._follow(rules, state)
        if np.isnan(rules.outcome(state)):
            search.ponder()

    def stop(self) -> None:
        """Ends pondering."""
        if self._search is not None:
            self._search.stop()

    def forget(self) -> None:
        """Drops the tree; random numbers and judgements go on."""
        self.stop()
        self._shape = self._ended = None

    def ownership(self, state: np.ndarray, playouts: int = 200) -> tuple[np.ndarray, float]:
        """(mean owner of every point [size * size], +1 Black to -1 White; mean score, Black's view less komi).

        The ends of classical playouts; what Benson's theorem settles is exact. Asked again about the same position it
        plays as many more and counts all of them.
        """
        owner, alive = np.empty((2, int(state[SIZE]) ** 2), np.int8)
        total, points, count, first = np.zeros(len(owner)), 0.0, 0, np.empty(len(owner) + 1, np.int8)
        if self._ended is not None and self._ended[0] == state.tobytes():
            _, total, points, count = self._ended
        for _ in range(playouts):
            end = state.copy()
            end[PASSES] = 0
            heavy.heavy_playout(end, self._rng, first)
            area(end, owner)
            total += owner
            points += score(end)
        count += playouts
        self._ended = state.tobytes(), total, points, count
        pass_alive(state, alive)
        return np.where(alive != 0, alive, total / count), points / count


def rave(settings: dict[str, float] | None = None, seed: int = 0) -> SearchPlayer:
    """The player that needs no training. settings: fields of `agents.search.rave.Rave`."""

    def judge(rules: Rules) -> evaluators.Evaluator:
        territory = rules.play is play_territory
        return evaluators.classical(
            heavy.heavy_playout, heuristic.heuristic_territory if territory else heuristic.heuristic
        )

    return SearchPlayer("rave", judge, _settings(Rave, settings), seed)


def _settings(kind: type, given: dict[str, float] | None) -> Any:
    """The search's settings with those that a person names. Raises UserError."""
    fields, kinds = dict(given or {}), kind.__dataclass_fields__
    for name, value in fields.items():
        if name not in kinds or not isinstance(kinds[name].default, int | float):
            raise UserError(f"--set {name}: the player's settings are {', '.join(kinds)}")
        fields[name] = type(kinds[name].default)(value)
    try:
        return kind(**fields)
    except ValueError as fault:
        raise UserError(f"--set: {fault}") from fault


def network(run: Path, settings: dict[str, float] | None = None, seed: int = 0) -> SearchPlayer:
    """The player of a run: PUCT with its exported network, `network.onnx` in the run folder (torch is not needed).

    The model takes planes [n, C, size, size] float32 and answers `logits` [n, A] and `value` [n] or [n, 1]. settings:
    fields of `agents.search.puct.Puct`, and `lambda`: the share (0 to 1) of a classical playout in the value of a
    position, beside the network's (Silver et al. 2016, "Searching with policy and value networks").
    """
    from agents.search.puct import Puct  # its kernels are loaded for nobody else

    settings = dict(settings or {})
    share = settings.pop("lambda", 0.0)
    if not 0 <= share <= 1:
        raise UserError(f"--set lambda={share:g}: must be 0 (the network's value alone) to 1 (playouts alone)")
    model = naming.model(str(run))
    try:
        import onnxruntime
    except ImportError:
        raise UserError(f"{model} needs onnxruntime: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as fault:  # faults of the runtime have no common base
        raise UserError(f"{model} cannot be read as a network: {' '.join(str(fault).split())[:200]}") from None
    given = session.get_inputs()[0]
    if missing := {"logits", "value"} - {output.name for output in session.get_outputs()}:
        raise UserError(f"{model} is no network of a board game: it tells no {' and no '.join(sorted(missing))}")

    def evaluate(planes: np.ndarray):
        logits, values = session.run(["logits", "value"], {given.name: planes})
        return logits, np.reshape(values, -1)

    def judge(rules: Rules) -> evaluators.Evaluator:
        wanted, shape = rules.planes, tuple(given.shape[1:])
        if any(isinstance(n, int) and n != w for n, w in zip(shape, wanted, strict=True)):
            raise UserError(f"the network was made for planes {shape}, not {wanted}")
        if not share:
            return evaluators.network(evaluate)
        return evaluators.classical(heavy.heavy_playout)._replace(network=evaluate, weight=float(share))

    return SearchPlayer(run.stem if run.suffix else run.name, judge, _settings(Puct, settings), seed)


def load(name: str, settings: dict[str, float] | None = None, seed: int = 0) -> SearchPlayer:
    """A player by name: "rave", or a run with a network."""
    return rave(settings, seed) if name == "rave" else network(Path(name), settings, seed)
