"""Networks as ONNX files, and the folder that drives a car without torch.

The folder (`FORMAT` 1):

    trunk.onnx   picture, uint8 [N, height, width, 3]  ->  features, float32 [N, F]
    head.onnx    features, float32 [N, F]  ->  steering, float32 [N], -1 (left) to 1, and drive, float32 [N], 0 to 1
    sign.onnx    features, float32 [N, F]  ->  logits, float32 [N, 3], of `signs`; only where `signs` is not empty
    model.json   format           1
                 preprocess       {"function": "band", "height", "width", "top", "bottom"}: the arguments of
                                  `agents.perception.preprocess.band`, which makes `picture` of a camera's picture
                                  (uint8 RGB [H, W, 3] of any size that fits)
                 drive            {"kind": "target_speed" or "throttle", "low", "high"}: what drive means, low at 0 and
                                  high at 1, in m/s or as a share of full throttle
                 signs            names of the logits, ["none", "stop", "other"], or []
                 rate             pictures a second for which it was trained
                 features         F
                 multiply_adds    of one picture, through all files
                 files            name -> {"sha256", "bytes"} of each .onnx
                 training         game, agent, run, step, data (names and digest of the recordings) of the run
                 commit           of the lab that wrote the folder, or null

Where onnx is missing, `write` says how to get it; nothing else here needs it. Torch's exporter is that of TorchScript
(`dynamo=False`), which needs no further package.
"""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from agents.perception.signs import SIGNS

FORMAT = 1
TOLERANCE = 1e-4  # largest difference between two runtimes
OPSET = 17  # version of ONNX in which layer norm is one operation; every runtime of the last years reads it
MISSING = "writing ONNX needs the package onnx: pip install 'joypad-lab[export]'"


class ExportError(ValueError):
    """Why a network cannot be written, in one sentence."""


class Trunk(nn.Module):
    """Pictures, uint8 [N, H, W, 3] -> features [N, F]."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, picture: Tensor) -> Tensor:
        return self.encoder(picture.unsqueeze(1)).float()


class SteeringHead(nn.Module):
    """Features [N, F] -> steering [N] and drive [N]: the mean of a Gaussian policy, cut to its bounds."""

    def __init__(self, policy: nn.Module):
        super().__init__()
        self.policy = policy

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.policy(features, None)[..., 0].clamp(-1.0, 1.0)
        return mean[:, 0], (mean[:, 1] + 1.0) * 0.5


def write(module: nn.Module, path: Path, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> dict[str, Any]:
    """Writes a network as an ONNX file whose first axis is free. inputs: name -> an example.

    Returns {"sha256", "bytes"}. Raises ExportError where ONNX cannot say what the network does, or onnx is missing.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ExportError(MISSING)
    free = {name: {0: "n"} for name in (*inputs, *outputs)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about the exporter's future, and intended constants
        try:
            torch.onnx.export(
                module, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=list(outputs),
                dynamic_axes=free, opset_version=OPSET, dynamo=False,
            )  # fmt: skip
        except (RuntimeError, torch.onnx.errors.OnnxExporterError, TypeError, ValueError, AttributeError) as fault:
            message = (str(fault).strip() or type(fault).__name__).splitlines()[0]
            raise ExportError(f"ONNX cannot say what this network does: {message[:200]}") from None
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


@torch.no_grad()
def multiply_adds(module: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of convolutions and matrix products for these inputs."""
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops() // 2


@torch.no_grad()
def write_car(
    folder: Path, encoder: nn.Module, policy: nn.Module, sign: nn.Module | None, size: tuple[int, int]
) -> dict[str, Any]:  # fmt: skip
    """The .onnx files of the folder, and what of model.json follows from the networks. size: height and width."""
    picture = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    trunk, wheel = Trunk(encoder).eval(), SteeringHead(policy).eval()
    features = trunk(picture)
    files = {"trunk.onnx": write(trunk, folder / "trunk.onnx", {"picture": picture}, ["features"])}
    files["head.onnx"] = write(wheel, folder / "head.onnx", {"features": features}, ["steering", "drive"])
    count = multiply_adds(trunk, picture[:1]) + multiply_adds(wheel, features[:1])
    if sign is not None:
        files["sign.onnx"] = write(sign.eval(), folder / "sign.onnx", {"features": features}, ["logits"])
        count += multiply_adds(sign, features[:1])
    return {
        "format": FORMAT, "signs": list(SIGNS) if sign is not None else [], "features": int(features.shape[1]),
        "multiply_adds": count, "files": files,
    }  # fmt: skip
