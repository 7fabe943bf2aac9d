"""Why an agent acts: explanations, overlays, what the network sees."""

import numpy as np
import pytest
import torch
from watched import take

import envs
from agents import AGENTS, BASELINES
from agents.core.clock import Clock
from agents.perception import preprocess
from experiments import building, configuration
from experiments.overlay import blend
from experiments.watching import panels
from experiments.watching.player import Player
from experiments.watching.source import Source, find

pytestmark = pytest.mark.usefixtures("dummy_display")


def small(agent):
    """A small configuration of any agent."""
    code = building.module(agent)
    wanted = dict(hidden=16, encoder="small", rollout=4, replay=200, warmup=50, precision="fp32", atoms=11)
    known = configuration.fields(code.Config)
    return {**code.PRESETS.get(agent, {}), **{k: v for k, v in wanted.items() if k in known}}


FAMILIES = [a for a in AGENTS if a in ("ppo", "a2c", "impala", "dqn", "c51", "qrdqn", "iqn", "rainbow", "pqn", "sac")]


@pytest.mark.parametrize("agent", [*FAMILIES, "sb3-ppo", "sb3-a2c", "sb3-dqn"])
def test_the_explanation_is_what_the_agent_acts_by(agent):
    """Greedy actions are the best of the explained ones, illegal ones apart; nothing is drawn from generators."""
    from agents.core.rows import Spec, TimeStep

    spec, n = Spec((84, 84), "uint8", 4, num_actions=5), 6
    config = {"agent": agent, "agent_config": small(agent), "seed": 1, "num_envs": n}
    player = building.build_agent(config, spec, Clock(1000), torch.device("cpu"))
    generator = torch.Generator().manual_seed(2)
    obs = torch.randint(0, 256, (n, 4, 84, 84), dtype=torch.uint8, generator=generator)
    legal = torch.rand((n, 5), generator=generator) < 0.6
    legal[:, 0] = True
    if agent in BASELINES:  # they choose without looking at `legal`; the adapter replaces illegal choices
        legal[:] = True
    zero, no = torch.zeros(n), torch.zeros(n, dtype=torch.bool)
    step = TimeStep(obs, zero, zero + 1, no, no, legal)
    before = {k: v.clone() for k, v in player.state_dict().items() if isinstance(v, torch.Tensor)}
    with torch.no_grad():
        told = player.explain(step)
        again = player.explain(step)
    for name, tensor in before.items():
        assert torch.equal(player.state_dict()[name], tensor), name
    key = "values" if "values" in told else "probabilities"
    assert torch.equal(told[key], again[key]) and told[key].shape == (n, 5) and told["value"].shape == (n,)
    best = torch.where(legal, told[key], torch.tensor(-1e9)).argmax(1)
    assert torch.equal(best, player.act(step, explore=False).action)
    if key == "probabilities":
        np.testing.assert_allclose(told[key].sum(1), 1, rtol=1e-4)
        assert not (told[key] * ~legal).max() > 1e-6
    floating = step._replace(obs=obs.float().requires_grad_(True))
    (slope,) = torch.autograd.grad(player.explain(floating)["value"].sum(), floating.obs)
    assert torch.isfinite(slope).all() and float(slope.abs().max()) > 0


def test_a_continuous_policy_tells_its_means(tmp_path):
    from agents.core.rows import Spec, TimeStep

    config = {"agent": "ppo", "agent_config": small("ppo") | {"encoder": "auto"}, "seed": 1, "num_envs": 2}
    agent = building.build_agent(config, Spec((3,), "float32", 1, action_dim=2), Clock(1), torch.device("cpu"))
    step = TimeStep(torch.randn(2, 1, 3), *torch.zeros(2, 2), *torch.zeros(2, 2, dtype=torch.bool))
    with torch.no_grad():
        told = agent.explain(step)
    assert torch.equal(told["mean"], agent.act(step, explore=False).action) and (told["deviation"] > 0).all()


def test_overlays_lie_over_the_picture(runs):
    player = Player([find("flappy", runs)], seed=1)
    frames = player.frames()
    for _ in range(5):
        plain = next(frames)
    for name in ("gradient", "occlusion"):
        player.command("overlay", name)
        assert not player.messages
        over = player.redrawn().picture
        assert (over != plain.picture).any() and over.shape == plain.picture.shape
        next(frames)
    player.command("overlay", "off")
    player.command("overlay", "nonsense")
    assert "choose off, gradient, occlusion" in player.messages[-1]
    player.close()


def test_the_heat_lies_where_the_observation_was_taken_from():
    """A mark in the observation and the heat of that very place meet in the picture."""
    env = envs.make("flappy", "rgb_array")
    frame, _ = env.reset(seed=1)
    for _ in range(10):
        frame, *_ = env.step(0)
    left, top, width, height = env.unwrapped.seen_box()
    part = preprocess.grey(env.render())[top : top + height, left : left + width]
    assert np.abs(preprocess.resize(part, 84, 84).astype(int) - frame).mean() < 6  # else the box is another
    heat = np.zeros((84, 84), np.float32)
    heat[40:44, 10:14] = 1
    changed = (blend(env.render(), heat, (left, top, width, height)) != env.render()).any(2)
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - (top + 42 * height / 84)) < 2 and abs(columns.mean() - (left + 12 * width / 84)) < 2
    env.close()
    for view, box in (("chase", None), ("kart", (0, 0.36 * 360, 480, (1 - 0.36 - 0.2) * 360))):
        env = envs.make("kart", view=view, camera="kart", obs="pilotnet")
        assert env.unwrapped.seen_box() == (box if box is None else pytest.approx(box))
        env.close()


def test_a_board_gets_its_policy(runs):
    player = Player([Source("go", env={"size": 5})], seed=1)
    seat = player.focus

    class Told:
        evaluation = "sampled"
        act = seat.agent.act

        def explain(self, step, memory=None):
            return {"policy": torch.rand(1, 26), "ownership": torch.ones(1, 25), "value": torch.ones(1),
                    "winrate": torch.tensor([0.7])}  # fmt: skip

    seat.agent = Told()
    take(player, 4)
    assert seat.overlays() == ["off", "policy", "ownership"] and seat.facts()["winrate"] == pytest.approx(0.7)
    plain = player.redrawn().picture
    for name in ("policy", "ownership"):
        player.command("overlay", name)
        assert (player.redrawn().picture != plain).any()
    assert list(seat.values) == [None, -1.0, 1.0, -1.0]  # always good for the side to move; the curve is Black's
    player.close()


def test_panels_mark_the_chosen_action_and_draw_no_value_that_nobody_computed():
    from PIL import ImageColor

    player = Player([Source("flappy")], seed=1)
    status, facts = player.status(), player.focus.facts()
    player.close()
    many = {**facts, "bars": "values", "heights": [float(i) for i in range(18)], "chosen": 2,
            "actions": [str(i) for i in range(18)]}  # fmt: skip
    none = {"value": [], "reward": [], "score": []}
    drawn = panels.column(status, many, none, None, 480)
    assert (drawn == ImageColor.getrgb(panels.ACCENT)).all(2).any()  # though 15 others are higher
    late, known = ({**none, "value": rows} for rows in ([None] * 9 + [-20.0, -19.0], [-20.0, -19.0]))
    plain = {**facts, "heights": []}
    assert np.array_equal(panels.column(status, plain, late, None, 480), panels.column(status, plain, known, None, 480))
