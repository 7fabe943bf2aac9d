"""What a stranger adds in one file each, and one line in a registry: games with pictures and with two sides, an
off-policy and an on-policy agent. They train, resume to the bit and are scored by the programs as they are.
"""

import json

import pytest
import torch

import agents
import envs
from agents.core import checkpoint, training
from experiments import evaluate, lab, train
from tests import programs

AGENTS = {"soft": "tests.toys.soft", "sarsa": "tests.toys.sarsa"}
GAMES = {"dodge": "tests.toys.dodge", "tictactoe": "tests.toys.tictactoe"}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The lines in the registries."""
    for name, module in AGENTS.items():
        monkeypatch.setitem(agents.AGENTS, name, module)
    for name, module in GAMES.items():
        monkeypatch.setitem(envs.GAMES, name, module)


def assembled(game: str, agent: str, **settings):
    config = {"game": game, "agent": agent, "seed": 5, "steps": 4000, "num_envs": 4, "env": {}}
    return lab.assemble({**config, "agent_config": settings}, torch.device("cpu"))


PAIRS = [("dodge", "ppo"), ("dodge", "dqn"), ("dodge", "soft"), ("tictactoe", "soft"), ("tictactoe", "sarsa"),
         ("gym:CartPole-v1", "soft"), ("gym:CartPole-v1", "sarsa")]  # fmt: skip
LAKE = "--env-kwargs is_slippery=False --epsilon 0.6 --lr 0.3"
SETTINGS = {"soft": {"warmup": 64, "batch": 16, "ratio": 4.0, "replay": 2000}, "ppo": {"rollout": 32},
            "dqn": {"warmup": 64, "replay": 2000}, "sarsa": {}}  # fmt: skip


@pytest.mark.parametrize("game, agent", PAIRS)
def test_it_trains_and_resumes_to_the_bit(game, agent, tmp_path):
    one, two = (assembled(game, agent, **SETTINGS[agent]) for _ in range(2))

    def train_to(parts, steps):
        parts.clock.budget = steps
        assert training.train(parts.loop)

    train_to(one, 400)
    checkpoint.save(tmp_path, 400, one.state(), {})
    two.restore(checkpoint.load(tmp_path)[0])
    for parts in (one, two):
        train_to(parts, 800)
    assert one.clock.updates == two.clock.updates > 10
    first, second = (dict(torch.utils._pytree.tree_leaves_with_path(parts.agent.state_dict())) for parts in (one, two))
    assert first.keys() == second.keys()
    assert [k for k, v in first.items() if isinstance(v, torch.Tensor) and not torch.equal(v, second[k])] == []


def test_sarsa_learns_from_the_actions_that_were_executed():
    parts = assembled("tictactoe", "sarsa", epsilon=0.5)
    learned, executed = [], []
    update, send = parts.agent._update, parts.stream.send

    def watched(batch):
        learned.append(batch.action[:, :2].clone())
        return update(batch)

    def sent(act):
        executed.append(act.action.clone())
        send(act)

    parts.agent._update, parts.stream.send = watched, sent
    parts.stream.reset(5, 0)
    for _ in range(60):
        parts.loop.advance()
    assert len(learned) >= 55
    wanted = {tuple(torch.stack([a, b], 1).flatten().tolist()) for a, b in zip(executed, executed[1:], strict=False)}
    assert all(tuple(rows.flatten().tolist()) in wanted for rows in learned)


@pytest.mark.slow
@pytest.mark.parametrize(
    "game, agent, steps, bar",
    [
        (["gym:CartPole-v1"], "soft", 12_000, 150.0),  # chance: 22
        (["gym:FrozenLake-v1", *LAKE.split()], "sarsa", 60_000, 0.9),  # chance: 0.015
    ],
    ids=["soft", "sarsa"],
)
def test_it_learns(game, agent, steps, bar, tmp_path, capsys, monkeypatch):
    argv = [*game, "--agent", agent, "--recipe", "none", "--steps", str(steps), "--seed", "3", "--num-envs", "4"]
    argv += ["--eval-episodes", "0", "--video", "no", "--runs", str(tmp_path)]
    code, _, err = programs.program(train.main, argv, capsys)
    assert code == 0, err
    argv = [game[0], "--episodes", "20", "--json", "--runs", str(tmp_path)]
    code, out, err = programs.program(evaluate.main, argv, capsys, monkeypatch)
    assert code == 0 and json.loads(out)["mean"] > bar


def test_an_agent_that_cannot_play_a_game_says_so(tmp_path, capsys):
    argv = ["dodge", "--agent", "sarsa", "--steps", "100", "--runs", str(tmp_path)]
    code, _, err = programs.program(train.main, argv, capsys)
    assert code == 2 and "sarsa needs discrete actions and vectors" in err
