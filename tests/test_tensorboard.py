"""Every promised tag of every agent, read back by TensorBoard's own readers from a fresh short run."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runfolders
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import AGENTS, BASELINES
from agents.core import events
from agents.core.clock import Clock
from agents.core.log import Log
from agents.core.run import Run
from experiments import train
from experiments.comparing import board, evaluations

ROOT = Path(__file__).resolve().parents[1]
GAME = "gym:CartPole-v1"
TAUGHT = {  # learn from recordings: their options, and what they have not
    "clone": (["--steps", "60"], {"train/return", "train/length"}),  # plays no games before its evaluation
    "dagger": (
        [
            "--steps",
            "600",
            "--rows-per-round",
            "200",
            "--updates-per-round",
            "20",
            "--pretrain-updates",
            "20",
            "--num-envs",
            "4",
        ],
        set(),
    ),
}
LEARNERS = [name for name in (*AGENTS, *BASELINES) if name not in ("random", "alphazero", *TAUGHT)]
FAST = ("ppo", "dqn", "sb3-dqn")  # the rest takes the same way, in the slow run
OPTIONS: dict[str, list[str]] = {
    "policy": ["--rollout", "8", "--hidden", "16"],
    "values": ["--replay", "1000", "--warmup", "32", "--hidden", "16"],
    "sb3-dqn": ["--learning-starts", "32", "--buffer-size", "1000"],
    "sb3-ppo": ["--n-steps", "16", "--batch-size", "16"],
}
OPTIONS["sb3-qrdqn"] = OPTIONS["sb3-dqn"]
OPTIONS["sb3-a2c"] = []


def options(agent: str) -> list[str]:
    """Few rows until the first update."""
    return OPTIONS.get(agent, OPTIONS["policy" if agent in ("ppo", "a2c", "impala", "reinforce", "pqn") else "values"])


def run(root: Path, agent: str, *argv: str, video: bool = True) -> Path:
    """A short run -> its folder."""
    words = [GAME, "--agent", agent, "--steps", "400", "--num-envs", "4", "--runs", str(root), "--eval-episodes", "2"]
    words += ["--video" if video else "--no-video", *options(agent), *argv]
    before = set(root.rglob("config.json"))
    with pytest.raises(SystemExit) as left:
        train.main(words)
    assert not left.value.code
    (made,) = set(root.rglob("config.json")) - before
    return made.parent


def read(path: Path) -> EventAccumulator:
    return EventAccumulator(str(path), {"scalars": 0, "tensors": 0, "images": 0, "histograms": 0}).Reload()


def marked(names: list[str], fast: tuple[str, ...]) -> list:
    return [n if n in fast else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.mark.parametrize("agent", marked(LEARNERS, FAST))
def test_every_promised_tag_is_read_back(agent: str, tmp_path: Path) -> None:
    path = run(tmp_path, agent)
    last = promised(path, agent)
    assert {last[tag].step for tag in events.SCORED} == {int(last["clock/frames"].value)} == {400}
    assert last["time/act"].value > 0 < last["time/env"].value


def test_small_figures_and_large_counts_are_both_kept(tmp_path: Path) -> None:
    log = Log(Run.open(runfolders.make(tmp_path, 0, 1.0)), Clock(100))
    figures = {"learn/temperature": 3.25e-7, "learn/q": -12.3456789, "clock/frames": 33_643_008, "clock/seconds": 4e5}
    log.write({**figures, "learn/loss": float("nan")})
    log.close()
    (line,) = log.lines.read_text().splitlines()[-1:]
    assert json.loads(line) == {"steps": 0, **figures, "learn/q": -12.345679}


@pytest.mark.slow
@pytest.mark.parametrize("agent", TAUGHT)
def test_agents_that_learn_from_recordings_have_the_same_tags(agent: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "experiments.record", "kart", "--out", "data", "--driver", "expert", "--minutes", "0.5"],
        cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=300,
    )  # fmt: skip
    words, absent = TAUGHT[agent]
    words = ["kart", "--agent", agent, "--data", str(tmp_path / "data"), *words, "--time-limit", "1", "--laps", "1"]
    with pytest.raises(SystemExit) as left:
        train.main([*words, "--eval-episodes", "2", "--runs", str(tmp_path / "runs")])
    assert not left.value.code
    promised(next((tmp_path / "runs").rglob("config.json")).parent, agent, absent)


def promised(path: Path, agent: str, absent: set[str] = frozenset()) -> dict[str, Any]:
    """Reads back all that a run promises, but for `absent`; returns the last value of each tag."""
    told, config = read(path), json.loads((path / "config.json").read_text())
    tags = told.Tags()
    wanted = {*events.PLAYED, *events.CLOCKS, *events.SPEEDS, *events.PARTS, *events.LEARNED, *events.SCORED} - absent
    assert wanted <= set(tags["scalars"]) and not absent & set(tags["scalars"])
    for tag in wanted:
        points = told.Scalars(tag)
        assert np.isfinite([p.value for p in points]).all()
        assert [p.step for p in points] == sorted(p.step for p in points)
    last = {tag: told.Scalars(tag)[-1] for tag in wanted}
    assert last["learn/grad_norm"].value > 0 and last["learn/weight_norm"].value > 0 < last["clock/updates"].value
    shares = [last[tag].value for tag in events.PARTS]
    assert min(shares) >= 0 and 0.3 < sum(shares) <= 1.001 and last["time/learn"].value > 0
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert {k for line in lines for k in line} - {"steps"} == set(tags["scalars"])  # the same names in both
    pictures(told, tags["images"])
    assert any(tag.startswith(events.WEIGHTS) for tag in tags["histograms"])
    texts = {tag: told.Tensors(f"{tag}/text_summary")[0].tensor_proto.string_val[0].decode() for tag in events.TEXTS}
    assert json.loads(texts["run/config"].strip("`\n")) == {k: v for k, v in config.items() if k != "seal"}
    assert config["command"] in texts["run/command"] and f"--agent {agent}" in texts["run/command"]
    assert config["machine"] in texts["run/hardware"] and f"torch {torch.__version__}" in texts["run/hardware"]
    assert texts["run/commit"] == str(config["commit"] or "-")
    assert "custom_scalars__config__" in tags["tensors"]
    return last


def pictures(told: EventAccumulator, tags: list[str]) -> None:
    """The clip moves, and the picture of the input is one."""
    assert {events.CLIP, events.INPUTS} <= set(tags)
    clip = Image.open(io.BytesIO(told.Images(events.CLIP)[-1].encoded_image_string))
    assert clip.format == "GIF" and clip.is_animated and clip.n_frames > 3
    inputs = Image.open(io.BytesIO(told.Images(events.INPUTS)[0].encoded_image_string))
    assert inputs.format == "PNG" and len(np.unique(np.asarray(inputs))) > 2


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((5, 4, 84, 84), "uint8", (4 * 86, 4 * 86)),  # rows: environments, columns: frames; one pixel of edge around
        ((2, 1, 84, 84, 3), "uint8", (2 * 86, 86, 3)),
        ((1, 1, 7, 9, 9), "float32", (92, 7 * 92)),  # planes side by side, enlarged tenfold
        ((2, 4, 6), "float32", (2 * (4 * 14 + 2), 6 * 14 + 2)),  # vectors: a strip per environment
    ],
)
def test_pictures_of_the_networks_input(shape: tuple[int, ...], dtype: str, expected: tuple[int, ...]) -> None:
    obs = (np.random.default_rng(0).random(shape) * 255).astype(dtype)
    tiles = events.tiles(obs)
    assert tiles.shape == expected and tiles.dtype == np.uint8
    if dtype == "uint8" and len(shape) == 4:  # environment 2, frame 3, as it is
        assert (tiles[2 * 86 + 1 : 3 * 86 - 1, 3 * 86 + 1 : 4 * 86 - 1] == obs[2, 3]).all()


def test_a_histogram_counts(tmp_path: Path) -> None:
    values = torch.tensor([[0.0, 1.0, 1.0, 10.0], [float("nan"), 2.0, 2.0, 2.0]])
    histogram = events.histogram("x", values).value[0].histo
    assert (histogram.num, histogram.min, histogram.max, histogram.sum) == (7, 0, 10, 18)
    assert sum(histogram.bucket) == 7 and len(histogram.bucket) == len(histogram.bucket_limit) == events.BINS
    assert histogram.bucket[4] == 2 and histogram.bucket_limit[4] == pytest.approx(1.25)  # the two ones
    assert events.histogram("same", torch.ones(5)).value[0].histo.num == 5


def test_the_weight_norm_is_that_of_one_long_vector() -> None:
    network = torch.nn.Linear(3, 2)
    long = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert events.weight_norm(network) == pytest.approx(float(long.norm()))


def test_hyperparameters_of_five_runs_appear(tmp_path: Path) -> None:
    """As the page HPARAMS asks for them; of different agents, with the fields of all of them."""
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    agents = ("ppo", "dqn", "ppo", "pqn", "ppo")
    paths = [run(tmp_path, a, "--seed", str(i), video=False) for i, a in enumerate(agents)]
    multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"hparams": 0, "scalars": 0})
    multiplexer.AddRunsFromDirectory(str(tmp_path)).Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(tmp_path))
    context = backend_context.Context(base_plugin.TBContext(logdir=str(tmp_path), data_provider=provider))
    request = RequestContext()
    metadata = context.hparams_metadata(request, "")
    experiment = context.experiment_from_metadata(request, "", True, metadata, [])
    infos = {info.name: info for info in experiment.hparam_infos}
    assert {"agent", "seed", "agent_config.rollout", "agent_config.n_step", "agent_config.epochs"} <= infos.keys()
    assert infos["agent_config.lr"].type == api_pb2.DATA_TYPE_FLOAT64
    assert infos["agent_config.double"].type == api_pb2.DATA_TYPE_BOOL
    assert "eval/return" in {metric.name.tag for metric in experiment.metric_infos}
    ask = api_pb2.ListSessionGroupsRequest(slice_size=100, allowed_statuses=[api_pb2.STATUS_SUCCESS])
    for name in infos:
        ask.col_params.add().hparam = name
    groups = list_session_groups.Handler(request, context, "", ask).run().session_groups
    found = {}
    for group in groups:
        scores = [m.value for m in group.metric_values if m.name.tag == "eval/return"]
        found[int(group.hparams["seed"].number_value)] = (group.hparams["agent"].string_value, *scores)
    scored = [evaluations.every(path)[-1]["mean"] for path in paths]
    assert found == {i: (agents[i], pytest.approx(scored[i])) for i in range(5)}


def test_the_page_of_hyperparameters_shows_the_score_and_what_differs(tmp_path: Path) -> None:
    """As TensorBoard's own plugin answers the page, which shows the first five columns of each kind."""
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    from agents.core.log import Log
    from agents.core.loop import Clock

    paths = [runfolders.make(tmp_path / "runs", s, 10.0 * s, agent=a, lr=0.1 * s) for s, a in ((1, "ppo"), (2, "dqn"))]
    for seed, path in enumerate(paths, 1):
        log = Log(Run.open(path), Clock())
        log.start()
        log.write({"clock/frames": 1.0, "eval/return": 10.0 * seed, "eval/median": 3.0})
        log.finish()
        log.close()
    folder = tmp_path / "links"
    board.gather(paths, folder)
    board.write(board.experiment(paths), folder)
    multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"hparams": 0, "scalars": 0})
    multiplexer.AddRunsFromDirectory(str(folder)).Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(base_plugin.TBContext(logdir=str(folder), data_provider=provider))
    request = RequestContext()
    metadata = context.hparams_metadata(request, "")
    found = context.experiment_from_metadata(request, "", True, metadata, [])
    assert (found.metric_infos[0].name.tag, found.metric_infos[0].display_name) == ("eval/return", "score")
    assert {"agent", "seed", "agent_config.lr"} <= {info.name for info in found.hparam_infos[:6] if info.differs}
    ask = api_pb2.ListSessionGroupsRequest(slice_size=100, allowed_statuses=[api_pb2.STATUS_SUCCESS])
    for name in ("agent", "agent_config.lr"):
        ask.col_params.add().hparam = name
    ask.col_params.add().metric.tag = "eval/return"
    rows = list_session_groups.Handler(request, context, "", ask).run().session_groups
    shown = {row.hparams["agent"].string_value: [m.value for m in row.metric_values] for row in rows}
    assert {agent: values[0] for agent, values in shown.items()} == {"ppo": 10.0, "dqn": 20.0}


def weights(path: Path) -> dict[str, torch.Tensor]:
    from agents.core import checkpoint

    return checkpoint.load(path / "checkpoints", None, {"agent"})[0]["agent"]["network"]


@pytest.mark.parametrize("agent", ["ppo", "sb3-ppo", pytest.param("rainbow", marks=pytest.mark.slow)])
def test_scores_along_the_way_change_nothing_else(agent: str, tmp_path: Path) -> None:
    plain = run(tmp_path, agent, "--name", "plain", video=False)
    scored = run(tmp_path, agent, "--name", "scored", "--eval-every", "100", video=False)
    mine, theirs = weights(plain), weights(scored)
    assert mine.keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k, v in mine.items())
    assert [p.step for p in read(plain).Scalars("eval/return")] == [400]
    points = read(scored).Scalars("eval/return")
    assert [p.step for p in points] == [100, 200, 300, 400]
    assert points[-1].value == pytest.approx(evaluations.every(scored)[-1]["mean"])


def test_links_to_the_chosen_runs_alone(tmp_path: Path) -> None:
    """Two runs folders with a run of the same name, and one without events."""
    made = []
    for place in ("one", "two", "three"):
        path = runfolders.make(tmp_path / place, 0, 1.0)
        if place != "three":
            (path / "events.out.tfevents.1").touch()
        made.append(path)
    paths, left = board.chosen(tmp_path / "one", [str(tmp_path / p) for p in ("one", "two", "three")])
    assert paths == made[:2] and [x.reason for x in left] == ["it has no TensorBoard events"]
    (tmp_path / "links").mkdir()
    board.gather(paths, tmp_path / "links")
    found = sorted(p for p in (tmp_path / "links").rglob("*") if p.is_symlink())
    assert [p.relative_to(tmp_path / "links").as_posix() for p in found] == [
        "breakout/ppo/default-s0", "breakout/ppo/default-s0-2"
    ]  # fmt: skip
    assert [p.resolve() for p in found] == [p.resolve() for p in made[:2]]
    with pytest.raises(ValueError, match="nothing to show: .* has no TensorBoard events"):
        board.chosen(tmp_path, [str(tmp_path / "three")])


@pytest.mark.slow
def test_compare_opens_tensorboard_on_the_chosen_runs(tmp_path: Path) -> None:
    """A run with a torn file beside a whole one; a third that is not asked for."""
    paths = [run(tmp_path / "runs", a, video=False) for a in ("ppo", "dqn", "pqn")]
    (file,) = paths[1].glob("events.out.tfevents.*")
    file.write_bytes(file.read_bytes()[:-11])
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    words = [sys.executable, "-m", "experiments.compare", *paths[:2], "--tensorboard", "--runs", tmp_path / "runs"]
    process = subprocess.Popen(list(map(str, words)), env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert "TensorBoard on 2 runs" in process.stdout.readline()
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:") and address.endswith(board.SHORT) and len(address) < 40
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert "pinnedCards=" in answer.url and b"<html" in answer.read()
        base, end, found = address.removesuffix(board.SHORT.lstrip("/")), time.monotonic() + 120, {}
        while len(found) < 2 and time.monotonic() < end:
            with urllib.request.urlopen(f"{base}data/plugin/scalars/tags", timeout=60) as answer:
                found = json.load(answer)
            time.sleep(0.5)
        assert {name.split("/")[1] for name in found} == {"ppo", "dqn"}
        assert all("train/return" in tags for tags in found.values())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
