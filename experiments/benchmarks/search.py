"""Tree search on one core: visits per second with every evaluator, the search's own cost per visit, beside OpenSpiel.

    python -m experiments.bench search --seconds 2

Rates are per second of this process's CPU time, each contender in turn, several rounds. Networks have 4 residual blocks
of 32 channels with random weights. The tower runs in torch on one thread, in bfloat16 where the processor multiplies it
natively, with several leaves of one game, or one leaf of each of many games, in a batch; onnxruntime (`pip install
onnx onnxruntime`) has its full speed with a single leaf. "no network" answers zeros at once, so that what remains is
the search with rules and planes. OpenSpiel (`pip install -e ".[oracle]"`) is measured if it is there: its MCTSBot in
C++ with one random rollout per simulation, and its Python MCTS, which its Python AlphaZero searches with, asking the
same tower for one leaf at a time.
"""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from agents.search import evaluators
from agents.search.gumbel import Gumbel
from agents.search.puct import Puct
from agents.search.rave import Rave
from agents.search.search import Search
from envs.go import heavy, heuristic
from envs.go.playout import playout
from envs.go.rules import go_rules
from envs.go.small_games import connect_four_rules, tictactoe_rules
from envs.rules import Rules
from experiments.benchmarks import in_rounds

BLOCKS, CHANNELS = 4, 32
GAMES = 32  # games of a lock-step batch
VISITS = 400  # visits per search; a new search then starts from the next position
PLIES = (0, 12, 30, 45)  # positions of random play that the searches start from, in turn


def residual_network(rules: Rules, seed: int = 0) -> bytes:
    """An ONNX model of residual blocks: float32 [n, C, H, W] -> logits [n, A], value [n, 1]."""
    from onnx import TensorProto, helper, numpy_helper

    planes, height, width = rules.planes
    rng, nodes, weights = np.random.default_rng(seed), [], []

    def weight(name, *shape):
        scale = np.sqrt(1.0 / np.prod(shape[1:])) if len(shape) > 1 else 0.0
        weights.append(numpy_helper.from_array((rng.normal(size=shape) * scale).astype(np.float32), name))
        return name

    def convolution(x, name, channels, out, kernel):
        inputs = [x, weight(f"{name}w", out, channels, kernel, kernel), weight(f"{name}b", out)]
        nodes.append(helper.make_node("Conv", inputs, [name], pads=[kernel // 2] * 4))
        return name

    def apply(kind, inputs, name, **attributes):
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    x = apply("Relu", [convolution("planes", "stem", planes, CHANNELS, 3)], "x0")
    for block in range(BLOCKS):
        y = apply("Relu", [convolution(x, f"a{block}", CHANNELS, CHANNELS, 3)], f"y{block}")
        y = convolution(y, f"b{block}", CHANNELS, CHANNELS, 3)
        x = apply("Relu", [apply("Add", [x, y], f"s{block}")], f"x{block + 1}")
    area = height * width
    for head, channels, out in (("logits", 2, rules.num_actions), ("raw", 1, 1)):
        y = apply("Relu", [convolution(x, f"{head}c", CHANNELS, channels, 1)], f"{head}r")
        y = apply("Flatten", [y], f"{head}f")
        apply("Gemm", [y, weight(f"{head}w", out, channels * area), weight(f"{head}b", out)], head, transB=1)
    apply("Tanh", ["raw"], "value")
    graph = helper.make_graph(
        nodes, "benchmark",
        [helper.make_tensor_value_info("planes", TensorProto.FLOAT, ["n", planes, height, width])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None]) for name in ("logits", "value")],
        weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def session(model: bytes) -> Callable:
    """The model as a network for the search, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    run = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run
    return lambda planes: run(["logits", "value"], {"planes": planes})


def zeros(rules: Rules) -> Callable:
    """Answers at once that everything is equal."""
    return lambda planes: (np.zeros((len(planes), rules.num_actions), np.float32), np.zeros(len(planes)))


def positions(rules: Rules) -> list[np.ndarray]:
    """Positions of random play."""
    rng, found, legal = np.random.default_rng(0), [], np.zeros(rules.num_actions, np.bool_)
    for plies in PLIES:
        state = rules.new_state()
        for _ in range(plies if rules.max_moves > 100 else plies // 6):
            rules.legal(state, legal)
            legal[-1] &= rules.max_moves < 100  # no pass in Go
            rules.play(state, rng.choice(np.flatnonzero(legal)))
        found.append(state)
    return found


def searching(rules: Rules, judge, config, games: int = 1, leaves: int = 1) -> Callable[[], int]:
    """A function that makes one search and returns the visits made."""
    search = Search(rules, judge, config, games=games, capacity=2 * VISITS, leaves=leaves)
    starts, turn = positions(rules), 0

    def once() -> int:
        nonlocal turn
        search.reset(state=starts[turn % len(starts)])
        turn += 1
        return int(search.run(visits=VISITS).visits.sum())

    return once


def spiel(name: str) -> Callable[[], int]:
    """OpenSpiel's MCTSBot in C++ with random rollouts: a function that makes one search."""
    import pyspiel

    game = pyspiel.load_game(name)
    evaluator = pyspiel.RandomRolloutEvaluator(1, 0)
    bot = pyspiel.MCTSBot(game, evaluator, 1.4, VISITS, 1000, False, 0, False)

    def once() -> int:
        bot.mcts_search(game.new_initial_state())
        return VISITS

    return once


def tower(planes: int) -> Any:
    """A tower in torch, of the benchmark's size, in the processor's best precision."""
    import torch

    from agents.core.device import compute_dtype
    from agents.perception.tower import Answers, Tower, TowerConfig

    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = Tower(planes, TowerConfig(BLOCKS, CHANNELS))
    with torch.no_grad():
        for block in module.blocks:  # values other than the zeros that a fresh tower begins with
            torch.nn.init.kaiming_normal_(block.second.weight)
    return Answers(module, compute_dtype(torch.device("cpu"), "auto"))


def spiel_python(visits: int = 32) -> Callable[[], int]:
    """OpenSpiel's Python MCTS, one leaf of the tower at a time: a function that makes one search."""
    import pyspiel
    from open_spiel.python.algorithms import mcts

    game = pyspiel.load_game("go(board_size=9,komi=7.5)")
    shape = game.observation_tensor_shape()
    answers = tower(shape[0])

    class CachedEvaluator(mcts.Evaluator):
        """Value and prior of a state; the second question about it costs nothing, as in OpenSpiel's own."""

        def __init__(self):
            self.known: dict[str, tuple[np.ndarray, float]] = {}

        def ask(self, state):
            planes = np.array(state.observation_tensor(), np.float32)
            key = planes.tobytes()
            if key not in self.known:
                logits, value = answers(planes.reshape(1, *shape))
                self.known[key] = np.exp(logits[0] - logits[0].max()), float(value[0])
            return self.known[key]

        def evaluate(self, state):
            value = self.ask(state)[1]
            return np.array([value, -value] if state.current_player() == 0 else [-value, value])

        def prior(self, state):
            weights = self.ask(state)[0]
            return [(action, weights[action]) for action in state.legal_actions()]

    judge = CachedEvaluator()
    bot = mcts.MCTSBot(game, 1.4, visits, judge, solve=False, child_selection_fn=mcts.SearchNode.puct_value)

    def once() -> int:
        judge.known.clear()
        bot.mcts_search(game.new_initial_state())
        return visits

    return once


def run(device: Any, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """What `python -m experiments.bench search` prints; search runs on the processor whatever the device."""
    return measure(min(seconds, 3.0), rounds)


def measure(seconds: float = 1.0, rounds: int = 3, of: str = "") -> dict[str, Any]:
    """The median of `rounds` times `seconds` of CPU time for each contender, in turn, in visits per second.

    of: only the contenders that have this in their names.
    """
    small, four, go = tictactoe_rules(), connect_four_rules(), go_rules(9)
    plain = Puct(prove=False)  # a solved root would end the search early
    runs = {
        "tic-tac-toe, uniform": searching(small, evaluators.uniform(), plain),
        "connect four, uniform": searching(four, evaluators.uniform(), plain),
        "connect four, rollouts": searching(four, evaluators.rollouts(), plain),
        "go 9x9, uniform": searching(go, evaluators.uniform(), plain),
        "go 9x9, light playouts": searching(go, evaluators.rollouts(1, playout), plain),
        "go 9x9, heavy playouts and RAVE": searching(
            go, evaluators.classical(heavy.heavy_playout, heuristic.heuristic), Rave(prove=False)
        ),
        "go 9x9, no network": searching(go, evaluators.network(zeros(go)), plain),
        "go 9x9, no network, Gumbel": searching(go, evaluators.network(zeros(go)), Gumbel()),
        f"go 9x9, no network, {GAMES} games": searching(go, evaluators.network(zeros(go)), plain, GAMES),
    }
    judge = evaluators.network(tower(go.planes[0]))
    runs |= {
        **{f"go 9x9, tower, {n} leaves": searching(go, judge, plain, leaves=n) for n in (1, 8, 16)},
        f"go 9x9, tower, {GAMES} games": searching(go, judge, plain, GAMES),
        f"go 9x9, tower, {2 * GAMES} games": searching(go, judge, plain, 2 * GAMES),
        f"go 9x9, tower, {2 * GAMES} games, Gumbel": searching(go, judge, Gumbel(), 2 * GAMES),
    }
    result: dict[str, Any] = {}
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        network = evaluators.network(session(residual_network(go)))
        runs["go 9x9, onnxruntime"] = searching(go, network, plain)
        runs["go 9x9, onnxruntime, Gumbel"] = searching(go, network, Gumbel())
        runs[f"go 9x9, onnxruntime, {GAMES} games"] = searching(go, network, plain, GAMES)
    else:
        result["onnxruntime"] = "not measured: pip install onnx onnxruntime"
    if importlib.util.find_spec("pyspiel"):
        runs["OpenSpiel MCTSBot, tic-tac-toe"] = spiel("tic_tac_toe")
        runs["OpenSpiel MCTSBot, connect four"] = spiel("connect_four")
        runs["OpenSpiel MCTSBot, go 9x9"] = spiel("go(board_size=9,komi=7.5)")
        runs["OpenSpiel Python MCTS, go 9x9, tower"] = spiel_python()
    else:
        result["OpenSpiel"] = "not measured: pip install open_spiel (extra oracle)"
    runs = {name: once for name, once in runs.items() if of in name}
    for name, values in in_rounds(runs, seconds, rounds).items():
        result[f"{name}, visits/s"] = float(statistics.median(values))
    for name in ("go 9x9, no network", "go 9x9, no network, Gumbel"):
        result[f"{name}, microseconds per visit"] = 1e6 / result[f"{name}, visits/s"]
    return result
