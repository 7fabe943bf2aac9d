"""Named parts <-> safetensors + json, atomically; nothing is ever unpickled.

    checkpoints/000000040960/manifest.json     what belongs to it: files with sha256, meta data, every non-tensor value
    checkpoints/000000040960/<part>.safetensors
    checkpoints/ring/<part>-<segment>-<version>.safetensors     shared by checkpoints: only changed segments are written

A checkpoint is written to a temporary folder, fsynced and renamed; the newest two are kept. `load` verifies every
checksum and falls back to the checkpoint before where one is torn or corrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

FORMAT = 1
KEEP = 2  # checkpoints


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message says which and why."""


class Segments(NamedTuple):
    """Large tensors that share their first dimension, cut into segments of `length` with a version each.

    A segment of version 0 was never written and is not stored. Segments are immutable on disk: a new version is a
    new file.
    """

    data: Mapping[str, Tensor]  # name -> [T, ...]
    length: int  # of a segment, along the first dimension
    versions: np.ndarray  # int64 [ceil(T / length)]
    files: dict[int, Path] | None = None  # when read from disk: the file of each segment, and ...
    shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] | None = None  # ... what the whole is

    def columns(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        return self.shapes or {k: (tuple(v.shape), v.dtype) for k, v in self.data.items()}

    def part(self, i: int) -> dict[str, Tensor]:
        return {k: v[i * self.length : (i + 1) * self.length] for k, v in self.data.items()}

    def copy_to(self, target: Mapping[str, Tensor]) -> None:
        """Copies segment by segment, so that the whole is never held twice."""
        for i in np.flatnonzero(self.versions):
            source = load_file(self.files[int(i)]) if self.files is not None else self.part(int(i))
            for name, value in source.items():
                target[name][i * self.length : (i + 1) * self.length].copy_(value)


def save(
    folder: Path,
    step: int,
    parts: Mapping[str, Mapping[str, Any]],
    meta: Mapping[str, Any],
    on_write: Callable[[Path], None] = lambda path: None,
) -> Path:
    """Writes `parts` (name -> state_dict) as checkpoint `step` under `folder`; returns its path.

    on_write is called after each file, for tests that kill the process there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _put_back(folder)
    known = _known_segments(folder)
    final, temporary, aside = (folder / name.format(step) for name in ("{:012d}", ".{:012d}.tmp", ".{:012d}.old"))
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir()
    files: dict[str, str] = {}  # path relative to `folder` -> sha256
    values: dict[str, Any] = {}
    for name, state in parts.items():
        tensors, values[name], segments = _split(state)
        if tensors:
            files[f"{final.name}/{name}.safetensors"] = _write(temporary / f"{name}.safetensors", tensors, on_write)
        for key, group in segments.items():
            (folder / "ring").mkdir(exist_ok=True)
            stored = {}
            for i in np.flatnonzero(group.versions):
                path = f"ring/{name}-{key}-{i:05d}-{group.versions[i]}.safetensors"
                if path not in known:
                    known[path] = _write(folder / path, group.part(int(i)), on_write)
                files[path], stored[str(i)] = known[path], path
            columns = {k: [list(shape), _name(dtype)] for k, (shape, dtype) in group.columns().items()}
            described = {"length": group.length, "versions": group.versions.tolist()}
            values[name][key] = {"__segments__": {**described, "files": stored, "columns": columns}}
    manifest = {"format": FORMAT, "step": step, "meta": dict(meta), "files": files, "values": values}
    body = json.dumps(manifest, indent=1, sort_keys=True)
    seal = {"sha256": hashlib.sha256(body.encode()).hexdigest(), "manifest": manifest}
    _write_text(temporary / "manifest.json", json.dumps(seal, indent=1, sort_keys=True))
    on_write(temporary / "manifest.json")
    for written in (temporary, folder / "ring"):
        if written.exists():
            _sync(written)
    if final.exists():  # the same step again, after a resume; `steps` finds the old one until the new is in place
        os.rename(final, aside)
    os.rename(temporary, final)
    _sync(folder)
    on_write(final)
    _prune(folder)
    return final


def load(folder: Path, step: int | None = None, parts: set[str] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns (parts, meta) of checkpoint `step`, or of the newest that is whole.

    parts: read only these. Each fault is warned of by name. Raises CheckpointError where none is usable.
    """
    found = steps(folder)
    if step is not None:
        if step not in found:
            raise CheckpointError(f"{folder} has no checkpoint {step}; it has {', '.join(map(str, found)) or 'none'}")
        found = [step]
    if not found:
        raise CheckpointError(f"{folder} holds no checkpoint")
    faults = []
    for number in reversed(found):
        if faults:
            warnings.warn(f"{faults[-1]}; trying the one before", stacklevel=2)
        try:
            return _read(folder, number, parts)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as fault:
            faults.append(f"checkpoint {number} is damaged ({fault})")
    raise CheckpointError("; ".join(faults))


def steps(folder: Path) -> list[int]:
    """The numbers of the checkpoints under `folder`, oldest first."""
    if not folder.is_dir():
        return []
    names = (re.fullmatch(r"(\d{12})|\.(\d{12})\.old", p.name) for p in folder.iterdir() if p.is_dir())
    return sorted({int(name[1] or name[2]) for name in names if name})


def discard_after(folder: Path, step: int) -> None:
    """Deletes checkpoints newer than `step`: a run that goes on from there makes them anew."""
    for number in steps(folder):
        while number > step and _home(folder, number).exists():
            shutil.rmtree(_home(folder, number))


def manifest(folder: Path, step: int) -> dict[str, Any]:
    """The verified manifest of a checkpoint. Raises ValueError, OSError or KeyError where it is damaged."""
    seal = json.loads((_home(folder, step) / "manifest.json").read_text())
    body = json.dumps(seal["manifest"], indent=1, sort_keys=True)
    if hashlib.sha256(body.encode()).hexdigest() != seal["sha256"]:
        raise ValueError("manifest.json does not match its checksum")
    if seal["manifest"]["format"] != FORMAT:
        raise ValueError(f"format {seal['manifest']['format']} is not {FORMAT}, the one that this version reads")
    return seal["manifest"]


def _home(folder: Path, step: int) -> Path:
    """Where a checkpoint lies: under its name, or set aside where a kill came before its successor took its place."""
    final = folder / f"{step:012d}"
    return final if final.exists() else folder / f".{step:012d}.old"


def _read(folder: Path, step: int, only: set[str] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    content = manifest(folder, step)
    parts: dict[str, Any] = {}
    for name, values in content["values"].items():
        if only is not None and name not in only:
            continue
        path = f"{step:012d}/{name}.safetensors"
        tensors = {}
        if path in content["files"]:
            place = f"{_home(folder, step).name}/{name}.safetensors"
            _verify(folder, place, content["files"][path])
            tensors = load_file(folder / place)
        parts[name] = _join(values, tensors, folder, content["files"])
    return parts, content["meta"]


def _verify(folder: Path, path: str, checksum: str) -> None:
    target = (folder / path).resolve()
    if folder.resolve() not in target.parents:
        raise ValueError(f"{path} points outside the run folder")
    if _checksum(target) != checksum:
        raise ValueError(f"{path} does not match its checksum")


def _split(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Segments]]:
    """A nested state -> (flat tensors, the rest as JSON with places marked, segments of the top level)."""
    tensors: dict[str, Tensor] = {}
    segments = {k: v for k, v in state.items() if isinstance(v, Segments)}

    def put(path: str, tensor: Tensor) -> str:
        while path in tensors:  # {"a/b": ..., "a": {"b": ...}}
            path += "+"
        tensors[path] = tensor
        return path

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, np.ndarray):
            return {"__array__": put(path, torch.from_numpy(np.array(value, order="C")))}
        if isinstance(value, np.generic):
            return walk(value.item(), path)
        if isinstance(value, Tensor):
            place = {"__tensor__": put(path, value.detach().to("cpu", copy=True).contiguous())}
            # Fused optimizers walk memory: moments that lie in another order than their weights go to wrong ones.
            return {**place, "channels_last": True} if _is_channels_last(value) else place
        if isinstance(value, Mapping):
            keys = {k: type(k).__name__ for k in value}
            if any(kind not in ("str", "int") for kind in keys.values()):
                raise TypeError(f"{path}: keys must be strings or integers")
            if any(isinstance(k, str) and k.startswith(("#", "__")) for k in keys):
                raise TypeError(f"{path}: keys must not begin with '#' or '__', which mark numbers and tensors")
            return {k if isinstance(k, str) else f"#{k}": walk(v, f"{path}/{k}".lstrip("/")) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [walk(v, f"{path}/{i}") for i, v in enumerate(value)]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"{path}: a {type(value).__name__} cannot be saved; use tensors, arrays, numbers and strings")

    return tensors, walk({k: v for k, v in state.items() if k not in segments}, ""), segments


def _join(value: Any, tensors: Mapping[str, Tensor], folder: Path, checksums: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_join(v, tensors, folder, checksums) for v in value]
    if not isinstance(value, dict):
        return value
    if "__tensor__" in value:
        tensor = tensors[value["__tensor__"]]
        return tensor.contiguous(memory_format=torch.channels_last) if value.get("channels_last") else tensor
    if "__array__" in value:
        return tensors[value["__array__"]].numpy()
    if "__segments__" in value:
        about = value["__segments__"]
        for path in about["files"].values():
            _verify(folder, path, checksums[path])
        shapes = {k: (tuple(shape), getattr(torch, dtype)) for k, (shape, dtype) in about["columns"].items()}
        files = {int(i): folder / path for i, path in about["files"].items()}
        return Segments({}, about["length"], np.array(about["versions"], np.int64), files, shapes)
    joined = ((k, _join(v, tensors, folder, checksums)) for k, v in value.items())
    return {int(k[1:]) if k.startswith("#") else k: v for k, v in joined}


def _known_segments(folder: Path) -> dict[str, str]:
    """Segment files that a whole checkpoint refers to; any other file of that name may be torn and is rewritten."""
    known: dict[str, str] = {}
    for number in steps(folder):
        try:
            files = manifest(folder, number)["files"]
        except (OSError, ValueError, KeyError):
            continue  # a damaged checkpoint vouches for nothing
        known |= {path: checksum for path, checksum in files.items() if path.startswith("ring/")}
    return {path: checksum for path, checksum in known.items() if (folder / path).exists()}


def _put_back(folder: Path) -> None:
    """Undoes a replacement that a kill interrupted."""
    for aside in folder.glob(".*.old"):
        if (folder / aside.name[1:-4]).exists():
            shutil.rmtree(aside)
        else:
            os.rename(aside, folder / aside.name[1:-4])


def _prune(folder: Path) -> None:
    """Keeps the newest checkpoints and the segments that they refer to."""
    for number in steps(folder)[:-KEEP]:
        shutil.rmtree(_home(folder, number))
    for stale in (*folder.glob(".*.old"), *folder.glob(".*.tmp")):
        shutil.rmtree(stale)
    kept = _known_segments(folder)
    for path in (folder / "ring").glob("*"):
        if f"ring/{path.name}" not in kept:
            path.unlink()


def _write(path: Path, tensors: Mapping[str, Tensor], on_write: Callable[[Path], None]) -> str:
    """Writes and fsyncs a safetensors file; returns its sha256."""
    save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, path)
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
    on_write(path)
    return _checksum(path)


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
        return digest.hexdigest()


def _write_text(path: Path, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """Replaces a small JSON file atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    _write_text(temporary, json.dumps(value, indent=2, sort_keys=True) + "\n")
    os.replace(temporary, path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_channels_last(tensor: Tensor) -> bool:
    laid = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return laid and not tensor.is_contiguous()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
