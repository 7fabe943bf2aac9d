"""Policies as ONNX: every agent of the lab beside onnxruntime, and the folder that drives a car, through JPEG."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from programs import program

from agents import settings
from agents.core.clock import Clock
from agents.core.portable import Portable
from agents.core.rows import Spec, TimeStep
from agents.perception import export as onnx_
from agents.perception import preprocess
from envs.car.simulator import SimulatedCar
from experiments import building, evaluate, export, record, train, watch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

PIXELS = Spec((84, 84), "uint8", 4, num_actions=5)
NUMBERS = Spec((6,), "float32", 1, num_actions=3)
WHEEL = Spec((60, 80, 3), "uint8", 1, action_dim=2)
SMALL = {"precision": "fp32", "graphs": False}
AGENTS = [
    ("ppo", PIXELS, {}), ("ppo", WHEEL, {}), ("ppo", NUMBERS, {"recurrent": 8}), ("a2c", NUMBERS, {}),
    ("dqn", PIXELS, {}), ("rainbow", PIXELS, {}), ("c51", NUMBERS, {}), ("qrdqn", NUMBERS, {}), ("iqn", NUMBERS, {}),
    ("btr", PIXELS, {"hidden": 16}), ("pqn", PIXELS, {}), ("pqn", NUMBERS, {"recurrent": 8}), ("clone", WHEEL, {}),
    ("sac", NUMBERS, {}), ("sac", Spec((6,), "float32", 1, action_dim=2), {"hidden": 16}),
    ("clone", NUMBERS, {}), ("dagger", WHEEL, {"road": 0.3, "sign": 0.3}),
]  # fmt: skip


def built(name: str, spec: Spec, more: dict, normalize: str = ""):
    code = settings(name)
    config = {**code.PRESETS[name], **more}
    known = {field.name for field in dataclasses.fields(code.Config)}
    config |= {key: value for key, value in SMALL.items() if key in known}
    if "capacity" in known:
        config["capacity"] = 100
    whole = {
        "agent": name, "agent_config": config, "seed": 3, "num_envs": 2, "steps": 100, "normalize": normalize,
    }  # fmt: skip
    return building.build_agent(whole, spec, Clock(100), torch.device("cpu"))


def seen(spec: Spec, count: int = 8) -> torch.Tensor:
    rng = np.random.default_rng(0)
    shape = (count, spec.stack, *spec.obs_shape)
    drawn = rng.integers(0, 256, shape, dtype=np.uint8) if spec.obs_dtype == "uint8" else rng.normal(size=shape)
    return torch.from_numpy(drawn.astype(spec.obs_dtype))


def other_runtime(path: Path, whole: Portable, given: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    onnx_.write(whole.eval(), path, whole.inputs, whole.outputs)
    found = export.runtime(path).run(None, {name: value.numpy() for name, value in given.items()})
    return dict(zip(whole.outputs, found, strict=True))


@pytest.mark.parametrize(("name", "spec", "more"), AGENTS, ids=[f"{n}-{s.obs_shape[0]}-{len(m)}" for n, s, m in AGENTS])
def test_every_agent_is_the_same_in_the_other_runtime(name, spec, more, tmp_path):
    agent = built(name, spec, more)
    with torch.no_grad():  # weights apart from their beginnings, at which every action is nearly as good
        for parameter in agent.network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    agent.load_weights(agent.state_dict() if name not in ("clone", "dagger") else of_learner(agent))
    obs = seen(spec)
    whole = Portable(agent, obs, None)
    rows = {k: v[:5] for k, v in whole.inputs.items()}  # another number of rows than the one it was written with
    if "memory" in rows:
        rows["memory"], rows["first"] = torch.randn(rows["memory"].shape), torch.arange(5) % 2 == 0
    found = other_runtime(tmp_path / "policy.onnx", whole, rows)
    zeros, no = torch.zeros(5), torch.zeros(5, dtype=torch.bool)
    step = TimeStep(rows["obs"], zeros, zeros + 1, rows.get("first", no), no)
    act, told = agent.act(step, rows.get("memory"), explore=False), agent.explain(step, rows.get("memory"))
    for key, value in told.items():
        np.testing.assert_allclose(found[key], value.numpy(), atol=1e-4, rtol=1e-4, err_msg=key)
    assert np.ptp(found[next(iter(told))]) > 0
    action = act.action.clamp(-1, 1) if spec.action_dim else act.action
    np.testing.assert_allclose(found["action"], action.numpy(), atol=1e-4)
    if act.memory is not None:
        np.testing.assert_allclose(found["memory_after"], act.memory.numpy(), atol=1e-4)


def of_learner(agent):
    """A clone's weights as if the moving average had come to them."""
    return {**agent.state_dict(), "network": {k: v for k, v in agent.learner.state_dict().items() if "extra" not in k}}


def test_running_figures_and_masks_are_inside(tmp_path):
    agent = built("ppo", NUMBERS, {}, normalize="obs")
    obs = 5.0 + 3.0 * seen(NUMBERS)
    agent.training = True
    no = torch.zeros(8, dtype=torch.bool)
    agent._count(TimeStep(obs, torch.zeros(8), torch.ones(8), no, no))
    agent._freeze()
    agent.training = False
    legal = torch.ones(8, 3, dtype=torch.bool)
    whole = Portable(agent, obs, legal)
    mask = torch.tensor([[True, False, False]] * 4 + [[False, True, True]] * 4)
    found = other_runtime(tmp_path / "p.onnx", whole, {"obs": obs, "legal": mask})
    assert (found["action"][:4] == 0).all() and (found["action"][4:] > 0).all()
    told = agent.explain(TimeStep(obs, torch.zeros(8), torch.ones(8), no, no, mask))
    np.testing.assert_allclose(found["probabilities"], told["probabilities"].numpy(), atol=1e-5)
    plain = agent.agent.explain(TimeStep(obs, torch.zeros(8), torch.ones(8), no, no, mask))
    assert np.abs(found["value"] - plain["value"].numpy()).max() > 1e-2  # the figures do something


def test_multiply_adds_are_those_of_the_layers():
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 6 * 8, 5))
    by_hand = 4 * 6 * 8 * 3 * 3 * 3 + 4 * 6 * 8 * 5
    assert onnx_.multiply_adds(layers, torch.zeros(1, 3, 8, 10)) == by_hand


def test_the_program_writes_a_policy_that_plays_as_the_run_does(trained, tmp_path, capsys, monkeypatch):
    out = tmp_path / "policy"
    code, text, err = program(export.main, [str(trained), "--out", str(out)], capsys, monkeypatch)
    assert code == 0 and "policy.onnx" in text and "multiply-adds" in text, err
    told = json.loads((out / "policy.json").read_text())
    assert told["game"] == "gym:CartPole-v1" and told["difference"] <= 1e-4 and told["agent"] == "ppo"
    assert told["inputs"] == {"obs": {"dtype": "float32", "shape": ["n", 1, 4]}}
    assert {*told["outputs"]} == {"probabilities", "value", "action"} and told["multiply_adds"] > 100
    session = export.runtime(out / "policy.onnx")
    probabilities, _, action = session.run([*told["outputs"]], {"obs": np.zeros((3, 1, 4), np.float32)})
    assert (probabilities.argmax(1) == action).all() and np.allclose(probabilities.sum(1), 1)
    assert program(export.main, [str(trained), "--out", str(out)], capsys, monkeypatch)[0] == 0  # once more, over it
    code, _, err = program(export.main, [str(trained), "--out", str(trained)], capsys, monkeypatch)
    assert code == 2 and "holds something else" in err
    argv = [str(trained), "--out", str(tmp_path / "car"), "--target", "car"]
    code, _, err = program(export.main, argv, capsys, monkeypatch)
    assert code == 2 and "is not driven" in err and not (tmp_path / "car").exists()


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    """A run of the car, trained for a moment on a tub of a few seconds."""
    root = tmp_path_factory.mktemp("car")
    argv = ["car", "--out", str(root / "tub"), "--driver", "expert", "--minutes", "0.1", "--tracks", "test#1"]
    record.by_expert(*record.parse(argv))
    argv = ["car", "--data", str(root / "tub"), "--steps", "20", "--eval-episodes", "0", "--no-video", "--runs"]
    with pytest.raises(SystemExit) as stop:
        train.main([*argv, str(root / "runs")])
    assert not stop.value.code
    return next((root / "runs" / "car" / "clone").iterdir())


def test_a_car_is_driven_alike_by_both_runtimes_from_the_camera_on(driver, tmp_path, capsys, monkeypatch):
    out = tmp_path / "model"
    argv = [str(driver), "--out", str(out), "--target", "car", "--json"]
    code, text, err = program(export.main, argv, capsys, monkeypatch)
    assert code == 0, err
    told = json.loads(text)
    assert json.loads((out / "model.json").read_text()) == told
    assert told["format"] == 1 and told["drive"] == {"kind": "target_speed", "low": 0.0, "high": 8.0}
    assert told["preprocess"] == {"function": "band", "height": 60, "width": 80, "top": 0.0, "bottom": 0.0}
    assert told["signs"] == ["none", "stop", "other"] and told["rate"] == 20 and told["features"] == 64
    assert 4_000_000 < told["multiply_adds"] < 10_000_000 and told["training"]["data"]["names"] == ["tub"]
    assert {*told["files"]} == {"trunk.onnx", "head.onnx", "sign.onnx"} == {p.name for p in out.glob("*.onnx")}

    from agents.core.run import Run

    agent, _, _, _ = export.loaded(Run.open(driver), None)
    car = SimulatedCar("test#3", look=0.7)
    trunk, head, sign = (export.runtime(out / f"{name}.onnx") for name in ("trunk", "head", "sign"))
    for _ in range(12):
        car.apply(car.expert()[0], 0.2)
        car.advance(0.5)
        picture = preprocess.band(export.through_jpeg(car.picture()), 60, 80)
        (features,) = trunk.run(None, {"picture": picture[None]})
        steering, drive = head.run(None, {"features": features})
        (logits,) = sign.run(None, {"features": features})
        with torch.no_grad():
            mine = agent.acting.encoder(torch.from_numpy(picture)[None, None])
            action = agent.acting.policy(mine, None)[0, :, 0].clamp(-1, 1)
            seen = agent.acting.extra.sign(mine)
        np.testing.assert_allclose(features, mine.numpy(), atol=1e-4)
        np.testing.assert_allclose([steering[0], 2 * drive[0] - 1], action.numpy(), atol=1e-4)
        np.testing.assert_allclose(logits, seen.numpy(), atol=1e-4)


@pytest.mark.slow
def test_the_same_run_is_scored_on_tracks_and_watched(driver, tmp_path, capsys, monkeypatch):
    argv = [str(driver), "--tracks", "test:2", "--seconds", "5", "--json"]
    code, text, err = program(evaluate.main, argv, capsys, monkeypatch)
    assert code == 0, err
    told = json.loads(text)
    assert told["game"] == "car" and told["seconds"] == 10.0 and len(told["tracks"]) == 2
    assert told["autonomy"] == max(0.0, 1.0 - 6.0 * told["interventions"] / 10.0)  # PilotNet's formula
    assert told["expert"]["interventions"] == 0 and told["expert"]["laps"] > 0.05
    video = tmp_path / "car.mp4"
    argv = [str(driver), "--video", str(video), "--seconds", "1"]
    code, text, err = program(watch.main, argv, capsys, monkeypatch)
    assert code == 0, err
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(video))
    assert frames >= 20 and seconds == pytest.approx(1.0, abs=0.1)


def test_a_missing_package_is_one_sentence(trained, tmp_path, capsys, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "onnx" else find(name, *a))
    code, _, err = program(export.main, [str(trained), "--out", str(tmp_path / "x")], capsys, monkeypatch)
    assert code == 2 and "joypad-lab[export]" in err and not (tmp_path / "x").exists()
