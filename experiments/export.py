"""Write a run's policy for programs without the lab: ``python -m experiments.export RUN --out FOLDER``.

    python -m experiments.export breakout --out policies/breakout             policy.onnx and policy.json
    python -m experiments.export car --out models/car --target car            what drives a car (experiments.drive)

Both are compared with the run itself before anything is said to be done: the same pictures, through JPEG and the one
preprocessing function where a camera is meant, may differ by 0.0001. It needs `pip install 'joypad-lab[export]'`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import envs
from agents.core.run import Run
from agents.perception import preprocess
from experiments import arguments, cli, finding
from experiments.arguments import Positional

if TYPE_CHECKING:
    from agents.core.rows import Agent, Spec

SMALL = 10_000_000  # multiply-adds of a picture that a Raspberry Pi has time for
PARITY = 16  # pictures that both runtimes are asked about
KINDS = {"user/target_speed": "target_speed", "user/throttle": "throttle"}  # columns of a recording -> what drives


@dataclasses.dataclass(frozen=True)
class ExportCommand:
    """What to write, and where."""

    run: Positional[str]  # a run's folder, or a game: its newest run
    out: Path  # a new folder, or one that an export made before
    target: Literal["onnx", "car"] = "onnx"  # onnx: the whole policy; car: trunk, heads and model.json
    checkpoint: str | None = None  # step of the checkpoint, or best; without it the newest
    trust: str | None = None  # gym:MODULE:ID or MODULE:CLASS of the run, whose code you allow to be imported
    json: bool = False  # print one JSON object and nothing else
    runs: Path = Path("runs")  # folder of the run folders

    def __post_init__(self) -> None:
        cli.checkpoint(self.checkpoint)
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out {self.out}: is a file")
        ours = {"model.json", "policy.json"}
        if self.out.is_dir() and any(self.out.iterdir()) and not any((self.out / name).exists() for name in ours):
            raise ValueError(f"--out {self.out}: holds something else; name a new folder")


def main() -> None:
    with cli.edge():
        command = arguments.read(ExportCommand, None, __doc__, "export")
        run = finding.find_run(command.runs, command.run)
        finding.require_checkpoint(run, cli.checkpoint(command.checkpoint))
        require_packages()
        cli.starting(torch=True)
        with cli.refusing(), contextlib.redirect_stdout(sys.stderr if command.json else sys.stdout):
            told = export(command, run)
        print(json.dumps(told) if command.json else sentence(command, told))


def require_packages() -> None:
    """Raises UserError where a package is missing, before torch is loaded."""
    from importlib.util import find_spec

    for name in ("onnx", "onnxruntime"):
        if find_spec(name) is None:
            raise cli.UserError(f"export needs the package {name}: pip install 'joypad-lab[export]'")


def export(command: ExportCommand, run: Run) -> dict[str, Any]:
    """Writes the folder whole or not at all; returns what its JSON file says. Raises ValueError."""
    if run.config["agent"].startswith("sb3-"):
        told = "the algorithm is stable-baselines3's, whose own documentation says how its policies are exported"
        raise ValueError(f"{run.path} cannot be exported: {told}")
    command.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=command.out.parent) as place:
        write = _car if command.target == "car" else _policy
        told = write(run, cli.checkpoint(command.checkpoint), Path(place))
        command.out.mkdir(exist_ok=True)
        names = sorted(path.name for path in Path(place).iterdir())
        for name in sorted(names, key=lambda name: name.endswith(".json")):  # the file that names the others comes last
            shutil.move(Path(place, name), command.out / name)
        for old in {"sign.onnx"} - {*names}:
            (command.out / old).unlink(missing_ok=True)
    return told


def _policy(run: Run, step: int | str | None, place: Path) -> dict[str, Any]:
    """policy.onnx (network.onnx of a board game's network) and policy.json: its choice and what it says of it."""
    import torch

    from agents.perception import export as onnx
    from experiments import networks, provenance

    agent, spec, at, seen = loaded(run, step)
    file = networks.NAME if networks.playing(agent) else "policy.onnx"
    try:
        whole = _whole(agent, spec, seen)
        written = onnx.write(whole.eval(), place / file, whole.inputs, whole.outputs)
    except ValueError as fault:
        raise ValueError(f"{run.path} cannot be exported: {fault}") from None
    with torch.no_grad():
        expected = [x.float().numpy() for x in whole(*whole.inputs.values())]
    given = {name: value.numpy() for name, value in whole.inputs.items()}
    found = runtime(place / file).run(None, given)
    indifferent = _indifferent(whole.outputs, expected)
    difference = _difference(run, whole.outputs, expected, found, indifferent)
    told = {
        "format": onnx.FORMAT, "game": run.config["game"], "agent": run.config["agent"], "run": run.path.name,
        "step": at, "inputs": {k: _tensor(v) for k, v in given.items()},
        "outputs": {k: _tensor(v) for k, v in zip(whole.outputs, found, strict=True)},
        "files": {file: written}, "difference": difference, "commit": provenance.commit(),
        "multiply_adds": onnx.multiply_adds(whole, *(x[:1] for x in whole.inputs.values())),
    }  # fmt: skip
    (place / "policy.json").write_text(json.dumps(told, indent=2) + "\n")
    return told


def _whole(agent: Any, spec: Spec, seen: Any) -> Any:
    """What is written, a module with `inputs` (name -> PARITY rows) and `outputs` (names). Raises ValueError."""
    import torch

    from agents.core.portable import Portable
    from experiments import networks

    rng = np.random.default_rng(0)
    if (playing := networks.playing(agent)) is not None:
        module, planes, names = playing()
        drawn = rng.normal(size=(PARITY, *planes.shape[1:])).astype(np.float32)
        module.inputs, module.outputs = {"planes": torch.from_numpy(drawn)}, list(names)
        return module
    shape = (PARITY, spec.stack, *spec.obs_shape)
    drawn = pictures(rng, shape) if spec.obs_dtype == "uint8" else rng.normal(size=shape).astype(np.float32)
    legal = None if seen.legal is None else seen.legal[:1].expand(PARITY, -1).clone()
    return Portable(agent, torch.from_numpy(drawn), legal)


def _indifferent(names: list[str], values: list[np.ndarray]) -> np.ndarray:
    """bool [N]: rows in which two actions are so nearly equal that rounding chooses between them."""
    for name, value in zip(names, values, strict=True):
        if name in ("values", "probabilities"):
            best = np.sort(value, axis=1)
            return best[:, -1] - best[:, -2] < 1e-4
    return np.zeros(len(values[0]), np.bool_)


def _difference(run: Run, names: list[str], expected: list, found: list, indifferent: np.ndarray) -> float:
    """The largest difference of numbers, relative where they are above 1. Raises ValueError above TOLERANCE."""
    from agents.perception.export import TOLERANCE

    worst = 0.0
    for name, a, b in zip(names, expected, found, strict=True):
        if name == "action" and b.dtype.kind == "i":
            a, b = a[~indifferent], b[~indifferent]
        worst = max(worst, float((np.abs(a - b) / np.maximum(1.0, np.abs(a))).max(initial=0.0)))
        if not worst <= TOLERANCE:
            raise ValueError(f"{run.path} cannot be exported: {name} differs by {worst:.2g} in the other runtime")
    return worst


def _car(run: Run, step: int | str | None, place: Path) -> dict[str, Any]:
    """The folder of `agents.perception.export`."""
    import torch

    from agents.perception import export as onnx
    from experiments import provenance

    game, env = run.config["game"], run.config["env"]
    driving = envs.describe(game, **env).driving
    if driving is None or driving.refusal:
        raise ValueError(f"--target car: {run.path} is a run of {game}, which is not driven")
    agent, spec, at, _ = loaded(run, step)
    network = getattr(agent, "acting", None)
    drive = list(driving.bounds)[1:]
    fits = spec.obs_dtype == "uint8" and len(spec.obs_shape) == 3 and spec.stack == 1 and spec.action_dim == 2
    if network is None or not fits or len(drive) != 1 or drive[0] not in KINDS or getattr(network, "memory", None):
        told = "a car is driven by one colour picture, without a memory, by steering and a target speed or a throttle"
        raise ValueError(f"--target car: {told}; {run.path} is not")
    network = network.float().requires_grad_(False)
    frame, (low, high) = driving.frame(), driving.bounds[drive[0]]
    sign = getattr(getattr(network, "extra", None), "sign", None)
    told = onnx.write_car(place, network.encoder, network.policy, sign, (frame.height, frame.width))
    told |= {
        "preprocess": {"function": "band", **frame._asdict()}, "rate": driving.rate,
        "drive": {"kind": KINDS[drive[0]], "low": low, "high": high}, "commit": provenance.commit(),
        "training": {
            "game": game, "agent": run.config["agent"], "run": run.path.name, "step": at,
            "data": {"names": _names(run.config.get("data")), "digest": run.config.get("data_digest")},
        },
    }  # fmt: skip
    # The parity check begins with a camera's picture, as the car sees it.
    rng, size = np.random.default_rng(0), (2 * frame.height, 2 * frame.width)
    cut = round(size[0] / (1.0 - frame.top - frame.bottom))
    seen = np.stack([through_jpeg(one) for one in pictures(rng, (PARITY, cut, size[1], 3))])
    seen = np.stack([preprocess.band(one, *frame) for one in seen])
    wheel = onnx.SteeringHead(network.policy)
    with torch.no_grad():
        features = onnx.Trunk(network.encoder)(torch.from_numpy(seen))
        expected = [features, *wheel(features), *([] if sign is None else [sign(features)])]
    (mine,) = runtime(place / "trunk.onnx").run(None, {"picture": seen})
    found = [mine, *runtime(place / "head.onnx").run(None, {"features": mine})]
    if sign is not None:
        found += runtime(place / "sign.onnx").run(None, {"features": mine})
    names = ["features", "steering", "drive", "logits"]
    told["difference"] = _difference(
        run, names[: len(found)], [x.numpy() for x in expected], found, np.zeros(PARITY, np.bool_)
    )
    (place / "model.json").write_text(json.dumps(told, indent=2) + "\n")
    return told


def loaded(run: Run, step: int | str | None) -> tuple[Agent, Spec, int, Any]:
    """The agent of a run in float32, what it sees and does, its step, and one row of its game."""
    import torch

    from agents.core.stream import Stream
    from experiments import building, players

    device = torch.device("cpu")
    known = {field.name for field in dataclasses.fields(building.module(run.config["agent"]).Config)}
    exact = {"precision": "fp32", "graphs": False}
    config = {**run.config["agent_config"], **{k: v for k, v in exact.items() if k in known}}
    plain = Run(run.path, {**run.config, "agent_config": config}, run.remarks)
    env = envs.scored(run.config["game"], run.config["env"])
    with contextlib.closing(Stream(envs.make_vec(run.config["game"], 1, **env), device)) as stream:
        row, spec = stream.reset(0, 0), stream.spec
    agent, at = players.load_player(plain, spec, device, step)
    return agent, spec, at, row


def runtime(path: Path) -> Any:
    """A session of onnxruntime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def pictures(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random pictures with large and small things in them, uint8 of this shape: [..., H, W] or [..., H, W, 3]."""
    height, width = shape[-3:-1] if shape[-1] == 3 and len(shape) > 3 else shape[-2:]
    fine = rng.integers(0, 256, shape, dtype=np.uint8)
    if shape[-1] != 3 or len(shape) < 4:
        return fine
    flat = fine.reshape(-1, height, width, 3)
    for one in flat[::2]:
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        rows, columns = np.arange(height) * 6 // height, np.arange(width) * 8 // width
        one[:] = coarse[rows][:, columns]
    return fine


def through_jpeg(picture: np.ndarray, quality: int = 85) -> np.ndarray:
    """A picture, uint8 [H, W, 3], as a file of JPEG gives it back."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data).convert("RGB"))


def _tensor(value: np.ndarray) -> dict[str, Any]:
    return {"dtype": str(value.dtype), "shape": ["n", *value.shape[1:]]}


def _names(data: Any) -> list[str]:
    return [Path(path).name for path in ([data] if isinstance(data, str) else data or [])]


def sentence(command: ExportCommand, told: dict[str, Any]) -> str:
    """What was written, in a few lines."""
    size = sum(file["bytes"] for file in told["files"].values())
    lines = [
        f"{command.out}: {', '.join(told['files'])}, {size / 2**20:.2f} MB,"
        f" {told['multiply_adds'] / 1e6:.2f} million multiply-adds; the other runtime differs by"
        f" {told['difference']:.1e} at most"
    ]
    if command.target == "car":
        if told["multiply_adds"] > SMALL:
            lines.append("that is more than a Raspberry Pi has time for at 20 pictures a second (10 million)")
        lines.append(f"drive: {cli.line('drive', '--model', command.out, '--camera', 'sim', '--driver', 'sim')}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
