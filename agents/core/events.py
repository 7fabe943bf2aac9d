"""What TensorBoard shows of a run beside its curves: hyperparameters, clips, what the network sees, weights, a layout.

Each function makes one `Summary`, which `agents.core.log.Log` writes. The tags that every run has, whatever its
agent, are named here; a test reads each of them back with TensorBoard's own reader.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION, SESSION_END_INFO_TAG, SESSION_START_INFO_TAG
from torch.utils.tensorboard import summary

from agents.core.run import flat

PLAYED = ("train/return", "train/length")  # mean over the newest 100 finished episodes
CLOCKS = ("clock/frames", "clock/updates", "clock/seconds")
SPEEDS = ("time/steps_per_second", "time/updates_per_second")
PARTS = ("time/act", "time/env", "time/sample", "time/learn")  # share of the wall clock; the rest is hooks and saving
LEARNED = ("learn/loss", "learn/grad_norm", "learn/weight_norm")  # grad_norm: before it is clipped
SCORED = ("eval/return", "eval/mean", "eval/median")  # full games of the agent as it is evaluated
ELSEWHERE = ("cluster/actors_alive", "cluster/rows_per_second_per_actor", "cluster/bytes_per_row", "cluster/policy_lag",
             "cluster/policy_lag_max")  # tags of runs with actors elsewhere; lag: optimizer steps
TEXTS = ("run/config", "run/command", "run/commit", "run/hardware")
CLIP, INPUTS, WEIGHTS = "eval/clip", "inputs/examples", "weights/"

# The page "Custom Scalars": (heading, title of a chart, tags as regular expressions).
CHARTS = (
    ("score", "return in training and in evaluation", ["train/return", "eval/return"]),
    ("score", "steps per episode", ["train/length"]),
    ("learning", "loss", ["learn/loss"]),
    ("learning", "gradient norm", ["learn/grad_norm"]),
    ("learning", "weight norm", ["learn/weight_norm"]),
    ("learning", "values", ["learn/value", "learn/q"]),
    ("speed", "steps per second", ["time/steps_per_second"]),
    ("speed", "where the time goes", [f"time/({'|'.join(p.rpartition('/')[2] for p in PARTS)})"]),
    ("speed", "updates per second", ["time/updates_per_second"]),
)
PINNED = ("eval/return", "train/return", "learn/loss", "time/steps_per_second")  # metrics on top of the first page

ROWS = 4  # environments in a picture of the network's input
BINS = 40  # bins of a histogram
TILE = 84  # least side of a frame in the picture of the network's input, pixels: smaller frames are enlarged


def layout() -> Summary:
    """The charts of the page "Custom Scalars"."""
    headings: dict[str, dict[str, Any]] = {}
    for heading, title, tags in CHARTS:
        headings.setdefault(heading, {})[title] = ["Multiline", tags]
    return summary.custom_scalars(headings)


def hparams(tag: str, content: plugin_data_pb2.HParamsPluginData) -> Summary:
    """A summary for the page HPARAMS."""
    data = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=data))])


def hyperparameters(config: Mapping[str, Any]) -> Summary:
    """The flat configuration as the run's row of the page HPARAMS.

    No list of columns is written (an "experiment"): TensorBoard would take the columns of one run for all. Without it
    the page shows the union of the fields of every run, of different agents too.
    """
    start = plugin_data_pb2.SessionStartInfo()
    for name, value in flat(config).items():
        field = start.hparams[name]
        if isinstance(value, bool):
            field.bool_value = value
        elif isinstance(value, int | float):
            field.number_value = value
        else:
            field.string_value = "-" if value is None else str(value)
    content = plugin_data_pb2.HParamsPluginData(session_start_info=start, version=PLUGIN_DATA_VERSION)
    return hparams(SESSION_START_INFO_TAG, content)


def finished() -> Summary:
    """The run's row of HPARAMS is marked as complete."""
    from tensorboard.plugins.hparams.api_pb2 import Status

    end = plugin_data_pb2.SessionEndInfo(status=Status.Value("STATUS_SUCCESS"))
    return hparams(
        SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end, version=PLUGIN_DATA_VERSION)
    )


def text(tag: str, content: str) -> Summary:
    """Text in Markdown."""
    return summary.text(tag, content)


def clip(tag: str, path: Path, size: tuple[int, int]) -> Summary:
    """An animated GIF of (width, height) as an image; the page plays it. torch's add_video needs moviepy for that."""
    image = Summary.Image(width=size[0], height=size[1], colorspace=3, encoded_image_string=path.read_bytes())
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def picture(tag: str, pixels: np.ndarray) -> Summary:
    """uint8 [H, W] or [H, W, 3] as an image."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    height, width = pixels.shape[:2]
    colours = 1 if pixels.ndim == 2 else pixels.shape[2]
    image = Summary.Image(height=height, width=width, colorspace=colours, encoded_image_string=buffer.getvalue())
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def tiles(obs: np.ndarray) -> np.ndarray:
    """What the network sees, [N, stack, *shape], as one uint8 picture: a row per environment, a column per frame.

    shape: (H, W) and (H, W, 3) are pictures; of (planes, H, W) every plane is a column; a vector is a strip. Numbers
    that are not bytes are stretched from the smallest to the largest.
    """
    obs = obs[:ROWS]
    if obs.dtype != np.uint8:
        low, high = float(obs.min()), float(obs.max())
        obs = ((obs - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    n, shape = len(obs), obs.shape[2:]
    if len(shape) == 1:  # [N, stack, D]: a strip per environment, one row per frame
        obs = obs[:, None]
    elif len(shape) == 3 and shape[-1] != 3:  # [N, stack, planes, H, W]
        obs = obs.reshape(n, -1, *shape[1:])
    elif len(shape) not in (2, 3):
        raise ValueError(f"an observation of shape {shape} has no picture")
    colour = obs.ndim == 5
    factor = max(1, -(-TILE // max(obs.shape[2:4])))
    obs = obs.repeat(factor, 2).repeat(factor, 3)
    edge = [(0, 0), (0, 0), (1, 1), (1, 1)] + ([(0, 0)] if colour else [])
    obs = np.pad(obs, edge, constant_values=128)  # [N, columns, H, W(, 3)]
    order = (0, 2, 1, 3, 4) if colour else (0, 2, 1, 3)
    rows, columns, height, width = obs.shape[:4]
    return np.ascontiguousarray(obs.transpose(order)).reshape(rows * height, columns * width, *obs.shape[4:])


def weight_norm(network: torch.nn.Module) -> float:
    """The Euclidean norm of all weights."""
    weights = [p.detach() for p in network.parameters()]
    return float(torch.stack(torch._foreach_norm(weights)).float().norm()) if weights else 0.0


def histogram(tag: str, values: torch.Tensor) -> Summary:
    """The distribution of the values, in BINS equal bins."""
    values = values.detach().float().flatten()
    finite = values[values.isfinite()]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(finite.cpu(), BINS, low, high)
    limits = torch.linspace(low, high, BINS + 1)[1:]
    return summary.histogram_raw(
        tag, low, high, len(finite), float(finite.sum()), float(finite.square().sum()), limits.tolist(), counts.tolist()
    )
