"""Vectors and rewards of unit size: the figures against their definition, frozen where nothing trains, exact after a
resume."""

import json
import shutil

import numpy as np
import pytest
import strangers  # noqa: F401  its environments
import torch
from programs import program

from agents.core import checkpoint, normalize
from agents.core.rows import Act, Batch, Spec, TimeStep
from agents.core.run import Run
from experiments import evaluate, lab, players, train

SPEC = Spec((3,), "float32", 1, num_actions=2)
TINY = ["--agent", "ppo", "--recipe", "none", "--rollout", "8", "--minibatch", "16", "--epochs", "1", "--hidden", "8"]
TINY += ["--num-envs", "2", "--no-milestones", "--no-video", "--eval-episodes", "2"]


class Mirror:
    """An agent that shows what it is given."""

    needs, evaluation = None, "greedy"

    def act(self, step, memory=None, *, explore=True):
        return Act(step.obs)

    def learn(self, batch):
        yield batch

    def state_dict(self):
        return {"network": {}}

    def load_weights(self, state):
        assert state == {"network": {}}

    load_state_dict = load_weights


def rows(n, seed=0, first=False):
    random = np.random.default_rng(seed)
    obs = torch.tensor(random.normal(7, 3, (n, 1, 3)), dtype=torch.float32)
    reward = torch.tensor(random.normal(0, 50, n) * (not first), dtype=torch.float32)
    flags = torch.full((n,), first)
    return TimeStep(obs, reward, torch.ones(n), flags, torch.zeros(n, dtype=torch.bool))


def batch_of(step):
    whole = [step.obs[None], torch.zeros(1), step.reward[None], step.discount[None], step.first[None], step.last[None]]
    return Batch(*whole, None, {}, None, torch.ones(1), torch.zeros(1))


def test_moments_are_those_of_all_rows_at_once():
    data = torch.tensor(np.random.default_rng(0).normal(1e6, 2, (500, 3)))
    found = normalize.Moments(3)
    for part in data.split([1, 0, 7, 192, 300]):
        found.add(part)
    mean, deviation = found.figures()
    np.testing.assert_allclose(mean, data.mean(0), rtol=1e-6)
    np.testing.assert_allclose(deviation, data.std(0, correction=0), rtol=1e-6)


def test_a_rollout_is_acted_on_and_learned_from_with_the_same_figures():
    agent = normalize.Normalized(Mirror(), SPEC, ("obs", "reward"), 0.9)
    agent.training = True
    steps = [rows(4, k, first=k == 0) for k in range(20)]
    assert all(torch.equal(agent.act(s).action, s.obs.clamp(-10, 10)) for s in steps[:10])  # nothing is known yet
    (given,) = agent.learn(batch_of(steps[3]))
    assert torch.equal(given.obs[0], steps[3].obs.clamp(-10, 10)) and torch.equal(
        given.reward[0], steps[3].reward.clamp(-10, 10)
    )
    seen = torch.cat([s.obs[:, 0] for s in steps[:10]]).double()
    expected = ((steps[12].obs - seen.mean(0)) / seen.std(0, correction=0)).float()
    acted = agent.act(steps[12]).action
    np.testing.assert_allclose(acted, expected, rtol=1e-5, atol=1e-5)
    (given,) = agent.learn(batch_of(steps[12]))
    assert torch.equal(given.obs[0], acted)
    returns, running = [], torch.zeros(4, dtype=torch.float64)  # discounted returns, as in VecNormalize
    for s in steps[1:10]:
        running = running * 0.9 + s.reward.double()
        returns.append(running)
    scale = torch.cat(returns).std(correction=0)
    np.testing.assert_allclose(given.reward[0], (steps[12].reward / scale).clamp(-10, 10), rtol=1e-5)


def test_a_row_counts_once_and_only_in_training():
    agent = normalize.Normalized(Mirror(), SPEC, ("obs",), 0.9)
    agent.act(rows(4))
    assert agent.obs.count == 0
    agent.training = True
    step = rows(4)
    agent.act(step)
    agent.act(step)
    assert agent.obs.count == 4
    copy = normalize.Normalized(Mirror(), SPEC, ("obs",), 0.9)
    copy.load_weights(agent.state_dict())
    assert copy.obs.count == 4 and not copy.training


@pytest.mark.parametrize("what", ["obs", "reward", "obs,reward"])
def test_a_run_goes_on_exactly_and_is_scored_with_its_own_figures(what, tmp_path, capsys, monkeypatch):
    asked = [f"--normalize-{part}" for part in what.split(",")]
    argv = ["gym:strangers:Wide-v0", *TINY, *asked, "--checkpoint-every", "50", "--runs", str(tmp_path)]
    code, _, err = program(train.main, [*argv, "--steps", "200"], capsys)
    assert code == 0, err
    whole = tmp_path / "gym-strangers-Wide-v0" / "ppo" / "none-s0"
    cut = shutil.copytree(whole, whole.with_name("cut"))
    checkpoint.discard_after(cut / "checkpoints", 150)  # as if it had been killed on its way to 200
    code, out, err = program(train.main, ["--resume", str(cut), "--no-video", "--eval-episodes", "1"], capsys)
    assert code == 0 and "from step 150" in out, err
    assert Run.open(cut).config["normalize"] == what
    agents = [checkpoint.load(run / "checkpoints")[0]["agent"] for run in (whole, cut)]
    states = [agent["normalizer"] for agent in agents]
    assert all(torch.equal(agents[0]["network"][k], v) for k, v in agents[1]["network"].items())
    for part in ("obs", "returns"):
        one, other = (s["counted"][part] for s in states)
        assert one["count"] == other["count"] and torch.equal(one["squares"], other["squares"])
    run = Run.open(cut)
    player, _ = players.load_player(run, lab.assemble(run.config, torch.device("cpu")).stream.spec, torch.device("cpu"))
    before = json.dumps(player.obs.state_dict(), default=lambda x: x.tolist())
    result = evaluate.evaluate(run, episodes=2, quiet=True)
    assert 0 <= result["mean"] <= 12_000 and result["mean"] % 500 == 0  # of two games whose rewards are thousands
    assert json.dumps(player.obs.state_dict(), default=lambda x: x.tolist()) == before


def test_a_run_that_starts_from_anothers_configuration_normalises_as_it_did(tmp_path, capsys):
    argv = ["gym:strangers:Wide-v0", *TINY, "--runs", str(tmp_path), "--steps", "64", "--eval-episodes", "0"]
    assert program(train.main, [*argv, "--normalize-obs"], capsys)[0] == 0
    (first,) = tmp_path.rglob("config.json")
    del argv[argv.index("--recipe") : argv.index("--recipe") + 2]
    for more, expected in (([], "obs"), (["--no-normalize-obs", "--normalize-reward"], "reward")):
        code, out, err = program(train.main, [*argv, "--config", str(first), "--name", expected, *more], capsys)
        assert code == 0, err
        assert Run.open(first.parent.with_name(f"{expected}-s0")).config["normalize"] == expected


def test_stages_keep_the_figures(tmp_path, capsys):
    argv = ["gym:strangers:Wide-v0", *TINY, "--normalize-obs", "--steps", "64", "--runs", str(tmp_path)]
    argv.remove("--no-milestones")
    assert program(train.main, argv, capsys)[0] == 0
    (last,) = tmp_path.rglob("stages/100")
    assert checkpoint.load(last)[0]["agent"]["normalizer"]["counted"]["obs"]["count"] > 60


@pytest.mark.parametrize(
    ("argv", "words"),
    [(["gym:strangers:PlanesOfBytes-v0", "--normalize-obs"], "only for observations that are vectors"),
     (["gym:CartPole-v1", "--agent", "sb3-ppo", "--normalize-reward"], "sb3-ppo does not take it")],
)  # fmt: skip
def test_what_cannot_be_normalised_is_one_sentence(argv, words, tmp_path, capsys):
    code, _, err = program(train.main, [*argv, "--steps", "64", "--runs", str(tmp_path)], capsys)
    assert code == 2 and words in err and "Traceback" not in err and not list(tmp_path.rglob("config.json"))
