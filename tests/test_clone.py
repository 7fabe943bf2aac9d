"""Imitation: datasets in the ring, laps apart, small networks, rounds that aggregate."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import worlds
from harness import Kill
from harness import Lab as Harness

import envs
from agents.clone import UNKNOWN
from agents.core import dataset
from agents.core.dataset import Rows
from agents.core.loop import Rounds
from agents.core.replay import ReplayBuffer
from agents.core.rows import Spec
from agents.core.samplers import Uniform
from agents.heads import Road
from agents.perception import encoders, preprocess
from experiments import lab
from experiments.driving import recordings

CPU = torch.device("cpu")
LINEAR = np.array([[0.5, -0.3, 0.2], [-0.2, 0.4, 0.3]], np.float32)  # the teacher of the linear world: action = W obs


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(envs.GAMES, "worlds", "worlds")


def linear(path: Path, rows: int = 600, laps: int = 6) -> Path:
    """A dataset of the linear world as a file of arrays."""
    obs = np.random.default_rng(1).uniform(-1, 1, (rows, 3)).astype(np.float32)
    np.savez(path, obs=obs, action=obs @ LINEAR.T, lap=np.arange(rows) * laps // rows)
    return path


def config(agent: str, data: Path | None, steps: int, **changed: Any) -> dict[str, Any]:
    settings = dict(lab.module(agent).PRESETS[agent], precision="fp32", lr=3e-3, batch=32, **changed)
    return {
        "game": "worlds", "agent": agent, "seed": 1, "steps": steps, "num_envs": 1, "agent_config": settings,
        "env": {"world": "noise", "axes": 2}, **({"data": str(data)} if data else {}),
    }  # fmt: skip


# -- learning -------------------------------------------------------------------------------------------------------


def test_a_clone_fits_a_linear_world_and_is_measured_on_laps_it_has_not_learned(tmp_path: Path) -> None:
    parts = lab.assemble(config("clone", linear(tmp_path / "a.npz"), 800, validation=0.3), CPU)
    assert parts.loop.train() and parts.clock.steps == parts.clock.updates == 800
    assert len(parts.replay) == 400 and len(parts.validation) == 200  # two of six laps are kept back
    figures = parts.agent.examine(parts.validation.windows(torch.arange(200)))
    actions = parts.validation.data["action"]
    constant = (actions - actions.mean(0)).abs().mean()
    assert figures["error_0"] < 0.04 and figures["error_1"] < 0.04 and constant > 0.15


def test_a_dataset_is_learned_from_without_a_step_of_the_game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = lab.assemble(config("clone", linear(tmp_path / "a.npz"), 20), CPU)
    monkeypatch.setattr(worlds.Worlds, "step", lambda *_: pytest.fail("the game was stepped"))
    before = {k: v.clone() for k, v in parts.replay.data.items()}
    assert parts.loop.train()
    assert all(torch.equal(before[k], v) for k, v in parts.replay.data.items())


def test_dagger_drives_itself_and_keeps_everything(tmp_path: Path) -> None:
    """Rows of the dataset stay, each round adds its own; the label is the teacher's, the action often is not."""
    data = np.random.default_rng(2).uniform(-0.8, 0.8, (60, 2)).astype(np.float32)
    np.savez(tmp_path / "t.npz", obs=data, action=data, lap=np.arange(60) // 10)
    settings = config("dagger", tmp_path / "t.npz", 30 + 3 * (40 + 20), first=30, rows=40, draws=20, teacher=0.0)
    settings |= {"env": {"world": "target"}, "num_envs": 4}
    settings["agent_config"] |= {"replay": 200, "validation": 0.0}
    parts = lab.assemble(settings, CPU)
    ring = parts.replay
    assert len(ring) == 60
    assert parts.loop.train()
    assert parts.loop.pace.round == 3 and parts.clock.updates == 30 + 3 * 20 and len(ring) == 60 + 3 * 40
    told = torch.cat([ring.data["obs"][:45, c] for c in range(4)])
    label = torch.cat([ring.data["expert"][:45, c] for c in range(4)])
    done = torch.cat([ring.data["action"][:45, c] for c in range(4)])
    torch.testing.assert_close(label, told)  # in this world the teacher repeats what is shown
    recorded = torch.cat([torch.arange(45) < 15 for _ in range(4)])
    assert torch.equal(done[recorded], label[recorded]) and (done != label)[~recorded].any(1).all()


def test_rounds_alternate_and_their_state_is_kept() -> None:
    pace, log, steps = Rounds(2, 6, 3), "", 0
    pace.begin()
    forecast = []  # (steps so far, how many of those up to the 48th are draws)
    for t in range(30):
        forecast.append((steps, pace.left(48 - steps)))
        if pace.study():
            steps += 1
            log += "d"
        else:
            log += "r"
            steps += 3
            assert pace.due(0, 3) == 0
        other = Rounds(2, 6, 3)
        other.load_state_dict(pace.state_dict())
        assert other.state_dict() == pace.state_dict(), t
    assert log.startswith("ddrrdddrrdddrrddd")
    assert steps > 48
    kinds = "".join(kind if kind == "d" else 3 * kind for kind in log)  # one letter a step
    assert all(draws == kinds[at:48].count("d") for at, draws in forecast if at <= 48)


def test_without_its_ring_a_run_goes_on_learning_from_the_dataset_and_leaves_a_round_that_is_gone() -> None:
    for steps, left in ((2, 3), (5, 0), (9, 0)):  # draws of the dataset: 5; then a round of 4 rows and 3 draws
        pace = Rounds(5, 4, 3)
        pace.begin()
        for _ in range(steps):
            if not pace.study():
                pace.due(0, 1)
        pace.refill()
        assert pace.owed == left
    pace = Rounds(0, 4, 3)
    pace.begin()
    assert [pace.study() or pace.due(0, 1) for _ in range(5)] == [0, 0, 0, 0, True] and pace.round == 1
    pace.refill()
    assert pace.owed == 0


def test_the_learning_rate_falls_with_the_updates_and_not_while_a_round_is_collected(tmp_path, monkeypatch) -> None:
    data = np.zeros((60, 2), np.float32)
    np.savez(tmp_path / "t.npz", obs=data, action=data, lap=np.arange(60) // 10)
    settings = config("dagger", tmp_path / "t.npz", 30 + 3 * (400 + 20), first=30, rows=400, draws=20, lr_end=0.1)
    settings |= {"env": {"world": "target"}, "num_envs": 4}
    settings["agent_config"] |= {"replay": 2_000, "validation": 0.0}
    rates = []
    monkeypatch.setattr("agents.optimizers.set_rate", lambda optimizer, rate: rates.append(rate))
    assert lab.assemble(settings, CPU).loop.train()
    np.testing.assert_allclose(rates, 3e-3 * (1 - 0.9 * np.arange(90) / 90), rtol=1e-6)


def test_without_a_teacher_and_without_a_recording_there_is_nothing_to_imitate() -> None:
    for agent in ("clone", "dagger"):
        with pytest.raises(ValueError, match="learns from a teacher and worlds has none"):
            lab.assemble(config(agent, None, 10), CPU)
    wrong = config("clone", None, 10) | {"agent": "ppo", "agent_config": {}, "data": "x"}
    with pytest.raises(ValueError, match="ppo learns by playing; it takes no dataset"):
        lab.assemble(wrong, CPU)


# -- the dataset ----------------------------------------------------------------------------------------------------


def rows_of(laps: list[int]) -> Rows:
    lap = np.repeat(np.arange(len(laps)), laps)
    obs = np.arange(len(lap), dtype=np.float32)[:, None]
    return Rows(obs, np.zeros((len(lap), 1), np.float32), lap, {"lateral": obs[:, 0]})


@pytest.mark.parametrize("seed", range(5))
def test_no_lap_is_on_both_sides(seed: int) -> None:
    rows = rows_of([7, 20, 3, 11, 30, 9])
    training, kept = dataset.split(rows, 0.2, seed)
    assert not set(training.lap) & set(kept.lap) and len(training.lap) + len(kept.lap) == 80
    assert 16 <= len(kept.lap) < 80 and len(training.lap)
    assert sorted([*training.obs[:, 0], *kept.obs[:, 0]]) == list(range(80))
    assert not len(dataset.split(rows_of([12]), 0.5, seed)[1].lap)  # a single lap is learned from


@pytest.mark.parametrize("columns", [1, 3, 4])
def test_every_row_is_in_the_ring_once_with_what_is_known_of_it(columns: int) -> None:
    rows = rows_of([5, 4, 2])
    spec = Spec((1,), "float32", 1, action_dim=1)
    ring = ReplayBuffer(-(-11 // columns) + 2, columns, spec, Uniform())
    dataset.fill(ring, rows, {"expert": np.zeros(1, np.float32), **UNKNOWN})
    assert len(ring) == 11
    held = ring.data["obs"].flatten(0, 1)[:, 0]
    filled = (torch.arange(ring.length)[:, None] < torch.as_tensor(ring.count)).flatten()
    assert sorted(held[filled].tolist()) == list(range(11))
    assert torch.equal(ring.data["lateral"].flatten()[filled], held[filled])
    assert ring.data["heading"].flatten()[filled].isnan().all()
    assert (ring.data["drivable"].flatten(0, 1)[filled] == 255).all()
    first = ring.data["first"].flatten()[filled]
    begins = {0.0, 5.0, 9.0} | {float(c * -(-11 // columns)) for c in range(columns)}
    assert set(held[filled][first].tolist()) == {b for b in begins if b < 11}


def test_what_is_wrong_with_a_dataset_is_said_in_one_sentence(tmp_path: Path) -> None:
    spec = Spec((3,), "float32", 1, action_dim=2)
    obs, action, lap = np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32), np.zeros(4, np.int64)

    def refused(match: str, **arrays: np.ndarray) -> None:
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(ValueError, match=match) as fault:
            recordings.read(tmp_path / "x.npz", spec)
        assert "\n" not in str(fault.value) and "x.npz" in str(fault.value)

    refused("holds no rows", obs=obs[:0], action=action[:0], lap=lap[:0])
    refused("holds no 'action'", obs=obs, lap=lap)
    refused("differ in length", obs=obs, action=action[:3], lap=lap)
    refused(r"shows float32 of \(2,\)", obs=obs[:, :2], action=action, lap=lap)
    refused("shows uint8", obs=obs.astype(np.uint8), action=action, lap=lap)
    refused(r"has actions of \(1,\)", obs=obs, action=action[:, :1], lap=lap)
    refused("the action of row 2 is outside", obs=obs, action=np.array([[0, 0], [1, 1], [0, 1.5], [9, 9]]), lap=lap)
    refused("the action of row 0 is outside", obs=obs, action=action * np.nan, lap=lap)
    refused("'lap' is no array of numbers", obs=obs, action=action, lap=lap.astype(str))
    refused("lap must be one number a row", obs=obs, action=action, lap=np.zeros((4, 2)))
    refused("what the teacher does is 'action'", obs=obs, action=action, lap=lap, expert=7 * action)
    np.savez(tmp_path / "x.npz", obs=obs, action=np.ones((4, 2), np.int64), lap=lap)
    assert recordings.read(tmp_path / "x.npz", spec).action.dtype == np.float32  # of a game with continuous actions
    np.save(tmp_path / "x.npy", obs)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="x.npz: cannot be read"):
        recordings.read(tmp_path / "x.npz", spec)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("obs", b"text")
    with pytest.raises(ValueError, match="'obs' is no array of numbers"):
        recordings.read(tmp_path / "x.npz", spec)
    needs = {"lateral": np.float32(np.nan), "drivable": np.full((15, 20), 255, np.uint8)}
    for name, label in (
        ("lateral", lap.astype(str)), ("lateral", np.zeros((4, 2))), ("drivable", np.zeros((4, 3, 3), np.uint8))
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"here: {name} must be numbers of"):
            dataset.check_labels(Rows(obs, action, lap, {name: label}), needs, "here")
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ValueError, match="cannot be read"):
        recordings.read(tmp_path / "x.npz", spec)
    for path, told in ((tmp_path / "none", "there is no such dataset"), (tmp_path, "is neither a tub")):
        with pytest.raises(ValueError, match=told):
            recordings.read(path, spec)


def tub(
    path: Path, count: int = 30, size: tuple[int, int] = (60, 80), camera: str | None = None, **record: Any
) -> Path:
    from envs.tub import Writer

    kinds = {"user/target_speed": "float", "game/lap": "int", "game/lateral": "float", "game/drivable": "str"}
    rng = np.random.default_rng(0)
    with Writer(path, kinds, metadata={"camera": camera} if camera else {}) as writer:
        for i in range(count):
            picture = np.full((*size, 3), 8 * i, np.uint8) + rng.integers(0, 3, (*size, 3), dtype=np.uint8)
            area = np.packbits(np.arange(300) < i).tobytes().hex()
            row = {"user/angle": i / 50, "user/throttle": 0.0, "user/mode": "user", "user/target_speed": 8.0,
                   "game/lap": i // 10, "game/lateral": 0.1 * i, "game/drivable": area}  # fmt: skip
            writer.write({"cam/image_array": picture, **row, **record})
    return path


def test_a_tub_becomes_rows(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    rows = recordings.read(tub(tmp_path / "a"), spec)
    np.testing.assert_allclose(rows.action, np.stack([np.arange(30) / 50, np.zeros(30)], 1), atol=1e-6)
    np.testing.assert_allclose(rows.labels["lateral"], 0.1 * np.arange(30), atol=1e-5)
    assert list(rows.labels["drivable"].sum((1, 2))) == list(range(30)) and sorted(rows.labels) == [
        "drivable",
        "lateral",
    ]
    assert np.abs(rows.obs.mean((1, 2, 3)) - 8 * np.arange(30) - 1).max() < 2 and list(np.unique(rows.lap)) == [0, 1, 2]
    large = recordings.read(tub(tmp_path / "b", size=(120, 160)), spec)
    assert large.obs.shape == (30, 60, 80, 3)
    both = recordings.read(tub(tmp_path / "two" / "a", 12).parent, spec)
    assert len(both.lap) == 12
    tub(tmp_path / "two" / "b", 30)
    assert len(np.unique(recordings.read(tmp_path / "two", spec).lap)) == 2 + 3
    (tmp_path / "a" / "images" / "3_cam_image_array_.jpg").unlink()
    assert len(recordings.read(tmp_path / "a", spec).lap) == 29
    assert "1 damaged records are skipped" in capsys.readouterr().err


def test_no_stack_of_pictures_reaches_across_what_was_left_out(tmp_path: Path) -> None:
    """Records that a network drove between two of a person, and a deleted one: one lap, several stacks."""
    from envs import tub_edits
    from envs.tub import Tub, Writer

    with Writer(tmp_path / "d", {"user/target_speed": "float", "game/lap": "int"}) as writer:
        for i in range(20):
            row = {"user/angle": 0.0, "user/throttle": 0.0, "user/target_speed": 8.0, "game/lap": 0}
            row |= {"user/mode": "local" if 5 <= i < 10 else "user"}
            writer.write({"cam/image_array": np.full((60, 80, 3), 8 * i, np.uint8), **row}, timestamp_ms=50 * i)
    tub_edits.delete(tmp_path / "d", [14])
    rows = recordings.read(tmp_path / "d", Spec((60, 80, 3), "uint8", 4, action_dim=2))
    at = np.delete(np.arange(20), [5, 6, 7, 8, 9, 14])
    assert len(rows.lap) == len(at) and set(rows.lap) == {0} and Tub(tmp_path / "d").laps.max() == 0
    assert at[rows.edge].tolist() == [0, 10, 15]
    ring = ReplayBuffer(16, 1, Spec((60, 80, 3), "uint8", 4, action_dim=2), Uniform(), window=1, device=CPU, seed=0)
    dataset.fill(ring, rows, {})
    seen = ring.windows(torch.arange(len(at))).obs[:, 0].float().mean((2, 3, 4)) / 8  # [14, 4], numbers of records
    for k, record in enumerate(at):
        begin = max(int(e) for e in at[rows.edge] if e <= record)
        wanted = [r if r >= begin else 0 for r in range(record - 3, record + 1)]  # black before an edge
        assert seen[k].round().tolist() == wanted, record


def test_a_dataset_without_its_manifest_and_pictures_that_no_checksum_guards(tmp_path: Path, capsys) -> None:
    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    path = tub(tmp_path / "a")
    (path / "manifest.json").unlink()
    assert len(recordings.read(path, spec).lap) == 30 and "manifest.json is missing" in capsys.readouterr().err
    path = tub(tmp_path / "b")
    picture = path / "images" / "4_cam_image_array_.jpg"
    picture.write_bytes(picture.read_bytes()[:900])
    lines = (path / "catalog_0.catalog").read_bytes().splitlines()
    record = json.loads(lines[4])  # as another program may have written it
    lines[4] = json.dumps({**record, "_image_crc32": zlib.crc32(picture.read_bytes())}).encode()
    (path / "catalog_0.catalog").write_bytes(b"\n".join(lines) + b"\n")
    assert len(recordings.read(path, spec).lap) == 29
    assert "1 records whose picture cannot be read are skipped" in capsys.readouterr().err


def test_records_without_a_good_label_are_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from tubs import damage

    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    path = tub(tmp_path / "a", 12)
    damage(path, 2, user_target_speed=900.0)
    damage(path, 4, game_drivable="not a number")
    damage(path, 7, user_target_speed=None)
    rows = recordings.read(path, spec)
    told = capsys.readouterr().err
    assert "3 records without a good label are skipped; record 2: user/target_speed is 900 m/s" in told
    np.testing.assert_allclose(rows.action[:, 0] * 50, [0, 1, 3, 5, 6, 8, 9, 10, 11], atol=1e-4)
    for line in range(12):
        damage(path, line, user_target_speed=-3.0)
    with pytest.raises(ValueError, match="no record has a label that can be; record 0"):
        recordings.read(path, spec)
    tub(tmp_path / "both" / "good", 5)
    path.rename(tmp_path / "both" / "bad")
    assert len(recordings.read(tmp_path / "both", spec).lap) == 5
    assert "left out" in capsys.readouterr().err


def test_what_a_recording_cannot_give_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """No validation from one lap, no rounds without a teacher: both train, and neither is silent."""
    common = {"game": "kart", "num_envs": 1, "seed": 0, "steps": 4, "env": {"obs": "trunk", "expert_info": False}}
    config = {"agent": "clone", "agent_config": {"validation": 0.1}, "data": str(tub(tmp_path / "a", 10))}
    parts = lab.assemble({**common, **config}, torch.device("cpu"))
    assert parts.validation is None and "one lap: none is kept back" in capsys.readouterr().err
    parts.stream.close()
    config = {"agent": "dagger", "agent_config": {"validation": 0.1, "rounds": True}, "data": str(tub(tmp_path / "b"))}
    parts = lab.assemble({**common, **config}, torch.device("cpu"))
    told = capsys.readouterr().err
    assert parts.validation is not None and "no teacher here (--expert-info True): no rounds" in told
    assert "one lap" not in told
    parts.stream.close()


def test_a_tub_that_cannot_teach_is_refused(tmp_path: Path) -> None:
    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    with pytest.raises(ValueError, match="too small for a network that sees 80x60"):
        recordings.read(tub(tmp_path / "tiny", 3, (30, 40)), spec)
    with pytest.raises(ValueError, match="by camera picam, not kart: say --camera picam"):
        recordings.read(tub(tmp_path / "seen", 3, camera="picam"), spec, "kart")
    for part in ("train", "validation"):
        tub(tmp_path / "split" / part, 3)
    with pytest.raises(ValueError, match="is split into train and validation; name .*train"):
        recordings.read(tmp_path / "split", spec)
    with pytest.raises(ValueError, match="do not fit a network that sees 80x60"):
        recordings.read(tub(tmp_path / "wide", 3, (60, 200)), spec)
    with pytest.raises(ValueError, match="a network drove all of its 3 records"):
        recordings.read(tub(tmp_path / "mine", 3, **{"user/mode": "local"}), spec)
    from envs.tub import Writer

    with Writer(tmp_path / "throttle") as writer:
        picture = np.zeros((60, 80, 3), np.uint8)
        writer.write({"cam/image_array": picture, "user/angle": 0.0, "user/throttle": 0.1, "user/mode": "user"})
    with pytest.raises(ValueError, match="no column 'user/target_speed'"):
        recordings.read(tmp_path / "throttle", spec)


# -- networks -------------------------------------------------------------------------------------------------------


def test_the_networks_of_the_car_are_small() -> None:
    trunk = encoders.build((60, 80, 3), 1, "auto", 64)
    whole = sum(p.numel() for m in (trunk, Road(64), torch.nn.Linear(64, 2)) for p in m.parameters())
    assert trunk.features == 64 and whole <= 100_000
    pilot = encoders.build((66, 200, 3), 1, "auto", 64)
    shapes = [tuple(m.weight.shape) for m in pilot.modules() if hasattr(m, "weight")]
    assert shapes == [
        (24, 3, 5, 5),
        (36, 24, 5, 5),
        (48, 36, 5, 5),
        (64, 48, 3, 3),
        (64, 64, 3, 3),
        (100, 1152),
        (50, 100),
    ]
    obs = torch.randint(0, 256, (2, 1, 60, 80, 3), dtype=torch.uint8)
    first = trunk.convolutions[0]
    scaled = obs[:, 0].permute(0, 3, 1, 2).float() / 127.5 - 1
    literal = torch.nn.functional.conv2d(scaled, first.weight, first.bias, first.stride)
    torch.testing.assert_close(first(obs[:, 0].permute(0, 3, 1, 2).float()), literal, atol=1e-4, rtol=1e-4)


def test_reinforcement_starts_where_the_clone_is() -> None:
    """Same encoder, same head: before it has learned anything PPO drives exactly as the clone does."""
    from agents import clone, policy_gradient
    from agents.core.loop import Clock
    from agents.core.rows import TimeStep

    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    settings = dict(hidden=64, precision="fp32")
    driver = clone.build(clone.Config(**settings, road=0.3), spec, Clock(9), CPU, 1, 1)
    race = policy_gradient.build(policy_gradient.Config(**settings, deviation=0.1), spec, Clock(9), CPU, 2, 1)
    obs = torch.randint(0, 256, (4, 1, 60, 80, 3), dtype=torch.uint8)
    no, ones = torch.zeros(4, dtype=torch.bool), torch.ones(4)
    step = TimeStep(obs, ones, ones, no, no)
    wanted = driver.act(step, explore=False).action
    assert not torch.allclose(race.act(step, explore=False).action, wanted)
    race.load_weights(driver.state_dict())
    torch.testing.assert_close(race.act(step, explore=False).action, wanted)
    torch.testing.assert_close(race.network.policy.log_std, torch.full((2,), 0.1).log())
    with pytest.raises(RuntimeError, match="encoder"):
        race.load_weights({"network": {k: v for k, v in driver.state_dict()["network"].items() if "encoder" not in k}})


def test_one_band_for_training_and_for_driving() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    assert np.array_equal(preprocess.band(picture, 60, 80), preprocess.resize(picture, 60, 80))
    assert preprocess.band(picture, 120, 160) is picture
    cut = preprocess.band(np.repeat(np.repeat(picture, 2, 0), 2, 1), 66, 200, 0.36, 0.2)
    assert cut.shape == (66, 200, 3)
    with pytest.raises(ValueError, match="pictures of 160x120 do not fit a network that sees 200x66"):
        preprocess.band(picture, 66, 200)


# -- a run ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_from_a_dataset_goes_on_to_the_bit_and_refuses_a_changed_one(tmp_path: Path) -> None:
    from test_resume import content, folder, good, logged, resume

    runs = Harness(tmp_path)
    try:
        data = linear(tmp_path / "a.npz")
        argv = ["worlds", "--world", "noise", "--axes", 2, "--agent", "clone", "--data", data, "--steps", 120,
                "--checkpoint-every", 40, "--num-envs", 1, "--hidden", 8, "--batch", 8, "--precision", "fp32",
                "--eval-episodes", 0, "--video", "no"]  # fmt: skip
        straight = good(runs.train(*argv, "--name", "straight", period=0))
        for kill in (Kill(step=61), Kill(file=5, torn=True)):
            killed = runs.train(*argv, "--name", "killed", kill=kill, period=0)
            assert killed.code < 0
            good(resume(runs, folder(runs, killed), period=0))
            assert content(folder(runs, killed)) == content(folder(runs, straight))
            assert logged(folder(runs, killed)) == logged(folder(runs, straight))
        killed = runs.train(*argv, "--name", "changed", kill=Kill(step=61), period=0)
        linear(data, rows=599)
        refused = resume(runs, folder(runs, killed))
        assert refused.code == 2 and "has changed since the run began" in refused.err and "Traceback" not in refused.err
        missing = runs.train(*argv[:-2], "--data", tmp_path / "none")
        assert missing.code == 2 and "there is no such dataset" in missing.err
    finally:
        runs.close()
