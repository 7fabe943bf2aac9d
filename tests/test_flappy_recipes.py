"""The recipes of Flappy Bird: the network of the project it replaces, and that every recipe trains."""

import json

import pytest
import torch

from agents.core.run import Run
from agents.perception import encoders
from experiments import evaluate, train
from experiments.comparing import evaluations
from experiments.conditions import Conditions
from experiments.recipes import recipes

NAMES = sorted(recipes("flappy", "envs.flappy"))


def test_the_seed_projects_network_has_its_shapes():
    net = encoders.build((80, 80), 4, "deepflappy", 0)
    sizes = []
    for layer in net.convolutions:
        layer.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
    out = net(torch.randint(0, 256, (3, 4, 80, 80), dtype=torch.uint8))
    assert out.shape == (3, 1600) and net.features == 1600
    pooled = [size for size, layer in zip(sizes, net.convolutions, strict=True) if not isinstance(layer, torch.nn.ReLU)]
    assert pooled == [(32, 20, 20), (32, 10, 10), (64, 5, 5), (64, 5, 5)]  # TensorFlow's "same" padding
    weights = torch.cat([p.detach().flatten() for n, p in net.named_parameters() if n.endswith("weight")])
    assert weights.abs().max() <= 0.02 and weights.std() == pytest.approx(0.0088, abs=5e-4)  # N(0, 0.01) cut at 2 sigma
    assert all((p == 0.01).all() for n, p in net.named_parameters() if n.endswith("bias"))


@pytest.mark.parametrize("shape, norm, hidden", [((84, 84), False, 0), ((80, 80), True, 0), ((80, 80), False, 256)])
def test_the_seed_projects_network_is_for_its_own_use_only(shape, norm, hidden):
    with pytest.raises(ValueError, match="deepflappy|encoder"):
        encoders.build(shape, 4, "deepflappy", hidden, norm)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_trains_and_is_scored_in_pipes(name, tmp_path):
    recipe = recipes("flappy", "envs.flappy")[name]
    argv = ["flappy", "--recipe", name, "--runs", str(tmp_path), "--no-video", "--eval-episodes", "2", "--cap", "5"]
    if recipe.agent != "ppo":  # to the first updates
        argv += ["--warmup", "200", "--replay", "2000"]
    argv += ["--steps", str(max(300, recipe.num_envs * 100))]
    with pytest.raises(SystemExit) as ended:
        train.main(argv)
    assert not ended.value.code
    run = next(tmp_path.rglob("config.json")).parent
    (told,) = evaluations.every(run)
    assert len(told["scores"]) == 2 and all(s == int(s) and 0 <= s <= 5 for s in told["scores"])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("loss" in key for line in lines for key in line)
    other = evaluate.evaluate(Run.open(run), episodes=2, asked=Conditions(under="speed=4.8,light=night"), quiet=True)
    assert other["scores"] and "speed=4.8" in other["protocol"] and "light=night" in other["protocol"]
    evaluate.keep(Run.open(run), other)
    assert len(evaluations.every(run)) == 2 and list(evaluations.own(evaluations.every(run), None, "")) == [told]


def test_conditions_that_do_not_exist_are_refused(tmp_path):
    run = Run.create(tmp_path, {"game": "flappy", "agent": "ppo", "name": "x", "seed": 0, "env": {}, "protocol": ""})
    for under, told in (("wind=3", "no option 'wind'"), ("gap=7", "gap must be from"), ("night", "option=value")):
        with pytest.raises(ValueError, match=told):
            evaluate.games(run, 1, torch.device("cpu"), Conditions(under=under))
    run.config["game"] = "breakout"
    with pytest.raises(ValueError, match="breakout is scored under a protocol"):
        evaluate.games(run, 1, torch.device("cpu"), Conditions(under="noop_max=0"))
