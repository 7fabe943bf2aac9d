"""AlphaZero learns small games, and plays them: its network without torch, the ladder, export."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from selfplays import GO, made

import envs
from agents.alphazero import AlphaZero
from agents.core import training
from agents.core.rows import TimeStep
from agents.search.evaluators import rollouts
from agents.search.search import Search
from envs.go.rules import go_rules


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(envs.GAMES, "compiled", "tests.toys.compiled")


def lost_lines(agent: AlphaZero, rules: Any) -> int:
    """Ended games of tic-tac-toe that the agent loses, of all that its opponent can bring about, on both sides."""
    lost = 0
    for side in (0, 1):
        waiting = [rules.new_state()]
        while waiting:
            mine = [s for s in waiting if rules.to_move(s) == side]
            after = []
            for state, action in zip(mine, chosen(agent, rules, mine), strict=True):
                after.append(state.copy())
                rules.play(after[-1], action)
            for state in (s for s in waiting if rules.to_move(s) != side):
                mask = np.zeros(rules.num_actions, bool)
                rules.legal(state, mask)
                for action in np.flatnonzero(mask):
                    after.append(state.copy())
                    rules.play(after[-1], int(action))
            results = [rules.outcome(s) for s in after]
            waiting = list({s.tobytes(): s for s, r in zip(after, results, strict=True) if np.isnan(r)}.values())
            views = [r if rules.to_move(s) == side else -r for s, r in zip(after, results, strict=True)]
            lost += sum(view < 0 for view in views)
    return lost


def chosen(agent: AlphaZero, rules: Any, states: list[np.ndarray]) -> list[int]:
    """What the agent plays at each of these states."""
    if not states:
        return []
    planes = np.zeros((len(states), *rules.planes), np.float32)
    for n, state in enumerate(states):
        rules.features(state, planes[n].reshape(-1))
    no, yes = torch.zeros(len(states), dtype=torch.bool), torch.ones(len(states))
    step = TimeStep(torch.from_numpy(planes)[:, None], yes, yes, no, no, None, np.stack(states))
    return agent.act(step, explore=False).action.tolist()


@pytest.mark.slow
def test_tic_tac_toe_is_never_lost() -> None:
    parts = made(
        "compiled", 100_000, 64, env=dict(board="tictactoe"), blocks=2, channels=24, visits=32, visits_start=24,
        warmup=1000, batch=128, replay=40_000, eval_visits=32, full_share=0.5, lr=5e-3,
    )  # fmt: skip
    rules = parts.stream.spec.rules
    assert lost_lines(parts.agent, rules) > 0  # a fresh network loses
    assert training.train(parts.loop)
    assert lost_lines(parts.agent, rules) == 0


@pytest.mark.skipif("CONNECT_FOUR" not in os.environ, reason="CONNECT_FOUR=1: a training whose bar is not reached yet")
@pytest.mark.slow
def test_connect_four_beats_a_search_of_a_thousand_rollouts() -> None:
    parts = made(
        "compiled", 250_000, 64, env=dict(board="connect-four"), blocks=3, channels=32, visits=48, visits_start=16,
        warmup=5000, batch=256, replay=120_000, eval_visits=100, full_share=0.25,
    )  # fmt: skip
    assert training.train(parts.loop)
    rules, points = parts.stream.spec.rules, []
    for number in range(20):
        rng = np.random.default_rng(number // 2)
        state, turn = rules.new_state(), number % 2  # each opening with both sides
        for _ in range(2):
            rules.play(state, int(rng.integers(7)))
        search = Search(rules, rollouts(), seed=number)
        while np.isnan(rules.outcome(state)):
            if rules.to_move(state) == turn:
                action = chosen(parts.agent, rules, [state])[0]
            else:
                search.reset(state=state)
                action = int(search.run(visits=1000).action[0])
            rules.play(state, action)
        result = rules.outcome(state)
        points.append(result if rules.to_move(state) == turn else -result)
    assert np.mean(points) > 0.2, points  # 60 % of the points


def test_the_network_of_a_run_plays_without_torch(tmp_path: Path) -> None:
    """As ONNX it says what the network that plays says, and a Go program moves with it."""
    from agents.core.run import Run
    from experiments import networks
    from experiments.go.players import network as player

    parts = made(env=dict(size=5, komi=0.5), steps=300)
    assert training.train(parts.loop)
    run = Run.create(tmp_path, {"game": "go", "agent": "alphazero", "name": "x", "seed": 0, "env": {}})
    path = networks.keep(run, parts.agent)
    assert path == run.path.resolve() / "network.onnx" and networks.keep(run, object()) is None
    import onnxruntime

    planes = np.random.default_rng(0).normal(size=(7, 17, 5, 5)).astype(np.float32)
    found = onnxruntime.InferenceSession(str(path)).run(["logits", "value", "score", "ownership"], {"planes": planes})
    with torch.no_grad():
        told = parts.agent.average(torch.from_numpy(planes))
    expected = (told.logits, told.value, told.score, told.ownership.flatten(1))
    for ours, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-3, atol=1e-4)
    rules = go_rules(5, 0.5)
    result = player(run.path).think(rules, rules.new_state(), visits=20)
    assert result.visits.sum() == 20 and 0 <= result.action[0] <= 25
    _lambda_mixes_playouts_into_the_value(run.path)
    _its_policy_alone_plays_games_to_learn_from(run.path)


def _lambda_mixes_playouts_into_the_value(run: Path) -> None:
    """AlphaGo's mix: with a komi that decides every playout, the value of a position is known where lambda is 1."""
    from experiments.cli import UserError
    from experiments.go.players import network as player

    rules = go_rules(5, -500.0)
    values = {}
    for share in (0.0, 0.5, 1.0):
        values[share] = float(player(run, {"lambda": share}).think(rules, rules.new_state(), visits=1).value[0])
    assert values[1.0] == 1.0 and values[0.0] < 0.99
    assert values[0.5] == pytest.approx((values[0.0] + values[1.0]) / 2, abs=1e-6)
    with pytest.raises(UserError, match="lambda=1.5: must be 0"):
        player(run, {"lambda": 1.5})


def _its_policy_alone_plays_games_to_learn_from(run: Path) -> None:
    """With one visit for a move the moves are drawn from the policy: no two games are alike, each can be made again."""
    from experiments.go.selfplay import Desk, SelfplayGoCommand

    desk = Desk(SelfplayGoCommand(player=str(run), size=5, komi=0.5, visits=1, random_moves=0, sampled_moves=30))
    games = [desk.do(number).moves for number in (1, 2, 1)]
    assert games[0] == games[2] != games[1]


def test_a_board_of_columns_is_exported_too(tmp_path: Path) -> None:
    from experiments import networks

    agent = made("compiled", env=dict(board="connect-four")).agent
    networks.write(agent, tmp_path / "four.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "four.onnx"))
    logits, value = session.run(None, {"planes": np.zeros((2, 2, 6, 7), np.float32)})
    assert logits.shape == (2, 7) and value.shape == (2,)


def test_the_ladder_rates_each_checkpoint_against_the_one_before(tmp_path: Path) -> None:
    """A run writes its rungs, a picture and a record of a game; a resume forgets those after its checkpoint."""
    import json

    from agents.core.log import Log
    from agents.core.run import Run
    from envs.go import record, sgf
    from experiments.training import ladder

    assert ladder.gained([0.5] * 4) == 0 and ladder.gained([1.0] * 32) == pytest.approx(-ladder.gained([0.0] * 32))
    assert ladder.gained([1.0, 0.0, 1.0]) == pytest.approx(400 * np.log10(0.625 / 0.375))
    parts = made(steps=300)
    whole = {"game": "go", "agent": "alphazero", "name": "x", "seed": 3, "env": {**GO}, "num_envs": 4}
    run = Run.create(tmp_path, {**whole, "agent_config": dataclasses.asdict(parts.agent.config)})
    rated = ladder.Ladder(run, parts, Log(run, parts.clock, stream=parts.stream))
    before = parts.agent.act_generator.get_state()
    parts.clock.steps = 100
    rated.meet()
    assert torch.equal(parts.agent.act_generator.get_state(), before)  # nothing of the training is touched
    assert 0.3 < rated.rungs[-1]["score"] < 0.7  # the same weights
    parts.clock.steps = 200
    rated.meet()
    rated.meet()  # nothing has changed since
    rungs = json.loads((run.path / "ladder.json").read_text())
    assert [rung["step"] for rung in rungs] == [0, 100, 200]
    files = sorted((run.path / "games").glob("*.sgf"))
    assert [file.name for file in files] == ["000000000100.sgf", "000000000200.sgf"]
    game = record.load(sgf.read_file(files[0]))
    assert game.size == 3 and len(game.moves) > 2 and game.black.endswith(("weights", "before"))
    parts.clock.steps = 150
    again = ladder.Ladder(run, parts, rated.log)
    assert [rung["step"] for rung in again.rungs] == [0, 100]


def test_export_writes_the_network_of_a_searching_agent(tmp_path: Path) -> None:
    """A folder that `gtp --player` plays: another runtime says the same."""
    import json

    from agents.core.run import Run
    from experiments import export, players
    from experiments.go import naming

    parts = made(steps=60)
    assert training.train(parts.loop)
    config = {"game": "go", "agent": "alphazero", "name": "x", "seed": 3, "env": {**GO}, "num_envs": 4, "steps": 60}
    config |= {"protocol": "go3"}
    run = Run.create(tmp_path / "runs", {**config, "agent_config": dataclasses.asdict(parts.agent.config)})
    players.save(run, parts, False)
    told = export.export(export.ExportCommand(str(run.path), tmp_path / "out"), run)
    assert list(told["files"]) == ["network.onnx"] and list(told["outputs"])[:2] == ["logits", "value"]
    assert json.loads((tmp_path / "out" / "policy.json").read_text())["difference"] < 1e-4
    assert naming.model(str(tmp_path / "out")) == tmp_path / "out" / "network.onnx"
