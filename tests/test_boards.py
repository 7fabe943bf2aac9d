"""Agents of board games without search: clones of records, policy gradients by self-play, restarts of games."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from programs import program

import envs
from agents import boards, policy_gradient
from agents.core import training
from agents.core.clock import Clock
from agents.core.log import Progress
from agents.core.match import Chance, match
from agents.core.rows import Context, Learned, Spec
from agents.core.training import Moment
from agents.perception.tower import Tower, TowerConfig
from envs.go import record, sgf
from envs.go.game import GoGame
from envs.go.restarts import Restarts
from envs.go.rules import go_rules
from envs.go.small_games import connect_four_rules, tictactoe_rules
from experiments import building, lab, networks, train
from experiments.training.hooks import Validation

CPU = torch.device("cpu")
SIZE = 3


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(envs.GAMES, "compiled", "tests.toys.compiled")


def spec_of(rules: Any) -> Spec:
    return Spec(rules.planes, "float32", num_actions=rules.num_actions, rules=rules)


def agent_of(name: str, rules: Any, seed: int = 1, **changed: Any) -> Any:
    module = building.module(name)
    settings = {**module.PRESETS[name], "blocks": 1, "channels": 8, "precision": "fp32", **changed}
    return module.build(module.Config(**settings), spec_of(rules), Context(Clock(1000), CPU, seed, 4))


def random_game(seed: int, size: int = SIZE) -> GoGame:
    """Random moves, at most two for every point, and two passes."""
    rng, game = np.random.default_rng(seed), GoGame(size, 0.5)
    while len(game.moves) < 2 * size * size and not game.over:
        legal = [action for action in range(size * size) if game.is_legal(action)]
        game.play(int(rng.choice(legal)) if legal else size * size)
    while not game.over:
        game.play(size * size)
    return game


def write(folder: Path, games: list[GoGame]) -> Path:
    """The games as files, each with its result."""
    folder.mkdir(exist_ok=True)
    for number, game in enumerate(games):
        lead = game.score()
        result = f"{'B' if lead > 0 else 'W'}+{abs(lead):g}"
        (folder / f"{number:03}.sgf").write_bytes(sgf.dump(record.write(record.of_game(game, result=result))))
    return folder


# -- the network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [go_rules(SIZE), tictactoe_rules(), connect_four_rules()], ids=lambda r: r.name)
def test_policy_and_value_are_the_towers(rules):
    network = boards.BoardNetwork(policy_gradient.Config(blocks=2, channels=8), spec_of(rules))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    planes = torch.randn(5, *rules.planes)
    logits, value = network.tower.play(planes)
    features = network.encoder(planes[:, None])
    legal = torch.rand(5, rules.num_actions) < 0.5
    legal[:, 0] = True
    logp = network.policy(features, legal)
    assert logp.shape == (5, rules.num_actions) and (logp.exp().sum(1) - 1).abs().max() < 1e-5
    assert logp[~legal].exp().max() == 0
    expected = logits.masked_fill(~legal, -torch.inf).log_softmax(1)
    assert torch.allclose(logp[legal], expected[legal], atol=1e-5)
    assert torch.allclose(network.value(features), value, atol=1e-5)
    told, (result, lead, owner) = network.tower(planes), network.ends(features)
    for mine, theirs in ((result, told.result), (lead, told.score), (owner, told.owner.flatten(1))):
        assert torch.allclose(mine, theirs, atol=1e-4)


def test_weights_go_from_agent_to_agent_under_the_towers_names():
    rules = go_rules(SIZE)
    agents = {name: agent_of(name, rules, seed) for seed, name in enumerate(("clone", "ppo", "reinforce"))}
    plain = set(Tower(rules.planes[0], TowerConfig(1, 8)).state_dict())
    for name, agent in agents.items():
        assert set(agent.state_dict()["network"]) == plain, name
    first, second = agents["clone"], agents["reinforce"]
    assert not torch.equal(first.network.tower.stem.weight, second.network.tower.stem.weight)
    second.load_weights(first.state_dict())
    for name, weight in second.state_dict()["network"].items():
        assert torch.equal(weight, first.state_dict()["network"][name]), name
    averaged = {"network": first.state_dict()["network"], "average": agents["ppo"].state_dict()["network"]}
    second.load_weights(averaged)  # of an agent that averages its weights: those play
    assert torch.equal(second.network.tower.stem.weight, agents["ppo"].network.tower.stem.weight)


@pytest.mark.parametrize("name", ["clone", "ppo", "reinforce"])
def test_its_network_plays_without_torch(name, tmp_path):
    """`network.onnx` of a run, which `gtp`, `tournament` and `selfplay` play: policy and value are the agent's."""
    runtime = pytest.importorskip("onnxruntime")
    agent = agent_of(name, go_rules(SIZE))
    with torch.no_grad():
        for weight in agent.acting.parameters():  # a fresh one finds all moves alike
            weight.add_(0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
    networks.write(agent, tmp_path / networks.NAME)
    planes = np.random.default_rng(0).normal(size=(5, *go_rules(SIZE).planes)).astype(np.float32)
    names = ["logits", "value", "score", "ownership"]
    session = runtime.InferenceSession(str(tmp_path / networks.NAME))
    found = dict(zip(names, session.run(names, {"planes": planes}), strict=True))
    with torch.no_grad():
        features = agent.acting.encoder(torch.from_numpy(planes)[:, None])
        policy, value = agent.acting.policy(features, None), boards.BoardNetwork.value(agent.acting, features)
    np.testing.assert_allclose(torch.from_numpy(found["logits"]).log_softmax(1), policy, atol=1e-4)
    np.testing.assert_allclose(found["value"], value, atol=1e-4)
    assert found["ownership"].shape == (5, SIZE * SIZE) and found["score"].shape == (5,)


def test_what_a_tower_does_not_have_is_refused():
    for wrong in ({"recurrent": 8}, {"critic": "own"}):
        with pytest.raises(ValueError, match="board games has neither"):
            agent_of("ppo", go_rules(SIZE), **wrong)


# -- records ---------------------------------------------------------------------------------------------------------


def test_a_row_in_another_picture_is_the_same_position():
    """Each action has a mark on the board where it is played: wherever the board is turned, the label stays on it."""
    rules = go_rules(SIZE)
    part, points = boards.RecordTraining(spec_of(rules), CPU), SIZE * SIZE
    action = torch.arange(points + 1).repeat(20)
    obs = torch.zeros(len(action), 1, *rules.planes)
    for row, a in enumerate(action.tolist()):
        if a < points:
            obs[row, 0, 3, a // SIZE, a % SIZE] = 1
    owner = obs[:, 0, 3].flatten(1).to(torch.int8)
    legal = F.one_hot(action, points + 1).bool()
    labels = {"ownership": owner, "legal": legal, "outcome": torch.ones(len(action))}
    turned, moved, told = part.changed(obs, action, labels, torch.Generator().manual_seed(1))
    for row, a in enumerate(moved.tolist()):
        assert told["legal"][row].nonzero().flatten().tolist() == [a]
        marks = turned[row, 0, 3].flatten()
        assert (a == points and marks.sum() == 0) or (marks[a] == 1 and marks.sum() == 1)
        assert torch.equal(told["ownership"][row].float(), marks)
    assert (moved[action == points] == points).all()
    corners = moved[action == 0].unique()
    assert corners.tolist() == [0, 2, 6, 8] and moved[action == 4].unique().tolist() == [4]


def test_the_losses_of_how_games_ended_are_literal():
    rules = go_rules(SIZE)
    part = boards.RecordTraining(spec_of(rules), CPU)
    result, lead = torch.randn(4, 3), torch.tensor([1.0, -30.0, 5.0, 0.0])
    owner = torch.randn(4, 9)
    labels = {
        "outcome": torch.tensor([1.0, -1.0, 0.0, torch.nan]), "score": torch.tensor([2.0, torch.nan, 0.0, torch.nan]),
        "ownership": torch.randint(-1, 2, (4, 9), dtype=torch.int8),
    }  # fmt: skip
    weight = torch.tensor([1.0, 1.0, 0.0, 1.0])
    found = part.losses(lambda features: (result, lead, owner), torch.zeros(4), labels, weight)
    share = result.softmax(1)
    # Rows 0 and 1 count: row 2 has no weight, and nobody knows how row 3 ended.
    assert found["value"][1] == pytest.approx(float(-(share[0, 0].log() + share[1, 2].log()) / 2), abs=1e-5)
    assert found["score"][1] == pytest.approx(0.5 * (1 / 20) ** 2, abs=1e-6)
    black = (2 * owner[0]).sigmoid()
    target = (1 + labels["ownership"][0].float()) / 2
    each = -(target * black.log() + (1 - target) * (1 - black).log()).mean()
    assert found["ownership"][1] == pytest.approx(float(each), abs=1e-5)


def clone_config(data: Path, steps: int, **changed: Any) -> dict[str, Any]:
    settings = dict(precision="fp32", blocks=1, channels=8, batch=64, lr=1e-2, ema_decay=0.98, **changed)
    env = {"size": SIZE, "komi": 0.5}
    return {
        "game": "go", "agent": "clone", "seed": 1, "steps": steps, "num_envs": 1, "agent_config": settings, "env": env,
        "data": str(data),
    }  # fmt: skip


def test_a_clone_learns_what_is_played_and_how_it_ends(tmp_path):
    """Black plays the middle, White takes any other point, and both pass: White wins by the komi."""
    games = []
    for corner in (0, 2, 6, 8, 1, 3, 5, 7):
        game = GoGame(SIZE, 0.5)
        for action in (4, corner, 9, 9):
            game.play(action)
        games.append(game)
    parts = lab.assemble(clone_config(write(tmp_path / "games", games), 200, validation=0.25), CPU)
    rows = torch.arange(len(parts.validation))
    before = parts.agent.examine(parts.validation.windows(rows))
    assert training.train(parts.loop)
    after = parts.agent.examine(parts.validation.windows(rows))
    assert after["accuracy"] >= 0.74 > before["accuracy"]  # everything but which of the points White takes
    log = Told()
    Validation(log, parts.validation)(Moment(parts.clock, [], [Learned({})], parts.agent))
    assert log.values["validation/accuracy"] == pytest.approx(float(after["accuracy"]))
    assert f"| {after['accuracy']:.1%} right on held-out rows |" in Progress(log, minutes=1).line(Clock(None)) + " |"
    assert after["value"] < 0.2 * before["value"] and after["ownership"] < before["ownership"] - 0.08


def test_training_writes_the_accuracy_on_held_out_games(tmp_path, capsys):
    folder = write(tmp_path / "games", [random_game(seed) for seed in range(6)])
    argv = ["go", "--recipe", "none", "--agent", "clone", "--size", "3", "--data", str(folder), "--steps", "40"]
    argv += ["--blocks", "1", "--channels", "8", "--runs", str(tmp_path / "runs"), "--eval-episodes", "0", "--no-video"]
    code, out, err = program(train.main, argv, capsys)
    assert code == 0, err
    (run,) = (tmp_path / "runs/go/clone").iterdir()
    assert "validation/accuracy" in (run / "metrics.jsonl").read_text()


class Told:
    """A log that keeps what it hears."""

    rate, updates_rate, scores, remark = 5.0, 0.0, [], ""

    def write(self, values: dict[str, float]) -> None:
        self.values = values


def test_bad_records_are_left_out_and_counted_and_none_left_is_a_mistake(tmp_path, capsys):
    folder = write(tmp_path / "games", [random_game(1), random_game(2)])
    (folder / "a.sgf").write_text("(;GM[1]SZ[3]KM[0.5];B[bb];W[bb])")  # a stone on a stone
    (folder / "b.sgf").write_text("(;GM[1]SZ[5];B[bb];W[cc])")
    (folder / "c.sgf").write_text("(;GM[1]SZ[3];B[bb];W[c")
    (folder / "d.sgf").write_text("nothing of the kind")
    argv = ["go", "--recipe", "none", "--agent", "clone", "--size", "3", "--steps", "4", "--blocks", "1"]
    argv += ["--channels", "4", "--runs", str(tmp_path / "runs"), "--eval-episodes", "0", "--no-video", "--data"]
    code, _, err = program(train.main, [*argv, str(folder)], capsys)
    assert code == 0 and "4 games are left out; " in err and "a.sgf, game 1: move 2: W B2 is illegal" in err
    for name in ("000", "001"):
        (folder / f"{name}.sgf").unlink()
    before = sorted((tmp_path / "runs/go/clone").iterdir())
    code, _, err = program(train.main, [*argv, str(folder)], capsys)
    assert code == 2 and "no game on 3x3" in err and "Traceback" not in err
    assert sorted((tmp_path / "runs/go/clone").iterdir()) == before


# -- self-play without search ----------------------------------------------------------------------------------------


def self_play(agent: str, steps: int, **changed: Any) -> dict[str, Any]:
    module = building.module(agent)
    settings = {**module.PRESETS[agent], "precision": "fp32", "blocks": 1, "channels": 16, "gamma": 1.0, **changed}
    return {
        "game": "compiled", "agent": agent, "seed": 2, "steps": steps, "num_envs": 32, "env": {"board": "tictactoe"},
        "agent_config": dataclasses.asdict(module.Config(**settings)),
    }  # fmt: skip


def points_against_chance(parts: lab.Lab) -> float:
    """The share of the points in 60 games against random moves."""

    class Greedy:
        def act(self, step, memory=None):
            return parts.agent.act(step, explore=False)

    stream = building.Stream(envs.make_vec("compiled", 30, board="tictactoe"), CPU)
    played = match((Greedy(), Chance(parts.stream.spec, 5)), stream, 30, 7, random_moves=0)
    return sum(game.points for game in played) / len(played)


def test_ppo_learns_tictactoe_by_playing_itself():
    changed = dict(rollout=16, minibatch=128, epochs=4, lr=5e-3, lam=0.9, clip=0.2)
    parts = lab.assemble({**self_play("ppo", 20_000, **changed), "opponents": 0.25, "opponent_pool": 4,
                          "opponent_every": 2000}, CPU)  # fmt: skip
    before = points_against_chance(parts)
    assert training.train(parts.loop)
    after = points_against_chance(parts)
    assert after >= 0.88 and after > before + 0.1


def test_reinforce_begins_from_another_run_and_plays_earlier_selves():
    begun = lab.assemble(self_play("ppo", 512, rollout=16, minibatch=128, lr=1e-3), CPU)
    assert training.train(begun.loop)
    config = self_play("reinforce", 2048, rollout=16, lr=1e-3)
    parts = lab.assemble({**config, "opponents": 0.5, "opponent_pool": 3, "opponent_every": 512}, CPU)
    parts.agent.load_weights(begun.agent.state_dict())
    given = begun.agent.state_dict()["network"]["stem.weight"].clone()
    assert torch.equal(parts.agent.state_dict()["network"]["stem.weight"], given)
    assert training.train(parts.loop)
    assert not torch.equal(parts.agent.state_dict()["network"]["stem.weight"], given)
    assert len(parts.agent.state_dict()["pool"]["snapshots"]) == 3


# -- games that begin in the middle ----------------------------------------------------------------------------------


def play_randomly(games: Any, steps: int, seed: int) -> list[np.ndarray]:
    """Random legal moves in a batch of environments; the states before every step."""
    rng, (_, info) = np.random.default_rng(seed), games.reset(seed=seed)
    seen = []
    for _ in range(steps):
        seen.append(info["state"].copy())
        draw = np.where(info["legal"], rng.random(info["legal"].shape), -1)
        _, _, _, _, info = games.step(draw.argmax(1))
    return seen


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_games_begins_where_earlier_ones_were(share):
    games = envs.make_vec("go", 16, size=SIZE, komi=0.5, restarts=share)
    first, earlier = games.rules.new_state(), set()
    begun = {True: 0, False: 0}
    _, info = games.reset(seed=3)
    rng = np.random.default_rng(1)
    for step in range(150):
        earlier |= {state.tobytes() for state in info["state"]}
        over = games.over
        draw = np.where(info["legal"], rng.random(info["legal"].shape), -1)
        _, _, _, _, info = games.step(draw.argmax(1))
        earlier |= {state.tobytes() for state in info["state"][~over]}
        for game in np.flatnonzero(over):
            fresh = np.array_equal(info["state"][game], first)
            begun[fresh] += step > 40
            assert fresh or info["state"][game].tobytes() in earlier
    total = sum(begun.values())
    assert total > 100 and begun[False] / total == pytest.approx(share, abs=0.15)


def test_restarts_go_on_exactly_where_they_were_saved():
    a = envs.make_vec("go", 8, size=SIZE, komi=0.5, restarts=0.7)
    play_randomly(a, 60, seed=4)
    b = envs.make_vec("go", 8, size=SIZE, komi=0.5, restarts=0.7)
    b.reset(seed=9)
    b.load_state_dict(a.state_dict())
    rng = np.random.default_rng(0)
    legal = np.ones((8, SIZE * SIZE + 1), bool)  # unknown until the first step
    for games in (a, b):
        games.log = []
    for step in range(60):
        choice = np.full(8, SIZE * SIZE) if step == 0 or rng.random() < 0.5 else None
        for games in (a, b):
            actions = choice if choice is not None else np.array([np.flatnonzero(legal[i])[0] for i in range(8)])
            _, _, _, _, info = games.step(actions)
            games.log.append(info["state"].copy())
        legal = info["legal"]
    assert all(np.array_equal(x, y) for x, y in zip(a.log, b.log, strict=True))
    with pytest.raises(ValueError, match="restarts is 2"):
        envs.make_vec("go", 1, restarts=2.0)
    assert Restarts(0.5, 4).state_dict()["positions"].shape == (0, 4)


def test_scores_are_of_whole_games():
    """The option belongs to training alone."""
    assert "restarts" not in envs.scored("go", {"size": 5, "restarts": 0.5})
