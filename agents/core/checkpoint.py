"""Named parts <-> safetensors + json, atomically; nothing is ever unpickled.

    checkpoints/000000040960/manifest.json     what belongs to it: files with sha256, meta data, every non-tensor value
    checkpoints/000000040960/<part>.safetensors
    checkpoints/ring/<part>-<segment>-<version>.safetensors     shared by checkpoints: only changed segments are written

A checkpoint is written to a temporary folder, fsynced and renamed; the newest two are kept. `load` verifies every
checksum and falls back to the checkpoint before where one is torn or corrupted. What can be known without tensors is
in `agents/core/manifest.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from agents.core import files, manifest
from agents.core.manifest import CheckpointError, discard_after, steps

__all__ = ["CheckpointError", "Segments", "discard_after", "load", "save", "steps"]

DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)


class Segments(NamedTuple):
    """Large tensors that share their first dimension, cut into segments of `length` with a version each.

    A segment of version 0 was never written and is not stored. Segments are immutable on disk: a new version is a
    new file. Versions count within one filling of the tensors: a run that lost them begins another.
    """

    data: Mapping[str, Tensor]  # name -> [T, ...]
    length: int  # rows of a segment, along the first dimension
    versions: np.ndarray  # int64 [ceil(T / length)]
    files: dict[int, Path] | None = None  # file of each segment, when read from disk
    shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] | None = None  # whole shapes, when read from disk
    filling: int = 0  # number of the filling; 0: the run's first

    def columns(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Returns the shape and the dtype of each whole tensor, by name."""
        return self.shapes or {k: (tuple(v.shape), v.dtype) for k, v in self.data.items()}

    def part(self, i: int) -> dict[str, Tensor]:
        """Returns segment `i` of each tensor, as views of at most `length` rows."""
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

    on_write is called after each file, for tests that kill the process there. Raises CheckpointError where `folder` is
    a link.
    """
    manifest.require_own(folder)
    folder.mkdir(parents=True, exist_ok=True)
    manifest.put_back(folder)
    final, aside = folder / f"{step:012d}", folder / f".{step:012d}.old"
    unfinished = files.temporary(folder / f"{step:012d}")
    unfinished.mkdir()
    ring = _Ring(folder, on_write)
    listed: dict[str, str] = {}  # path relative to `folder` -> sha256
    values: dict[str, Any] = {}
    for name, state in parts.items():
        tensors, values[name], segments = _split(state)
        if tensors:
            listed[f"{final.name}/{name}.safetensors"] = _write(unfinished / f"{name}.safetensors", tensors, on_write)
        for key, group in segments.items():
            stored = ring.store(f"{name}-{key}", group)
            listed |= {path: ring.known[path] for path in stored.values()}
            columns = {k: [list(shape), _name(dtype)] for k, (shape, dtype) in group.columns().items()}
            described = {"length": group.length, "versions": group.versions.tolist(), "filling": group.filling}
            values[name][key] = {"__segments__": {**described, "files": stored, "columns": columns}}
    content = {"format": manifest.FORMAT, "step": step, "meta": dict(meta), "files": listed, "values": values}
    sealed = {"sha256": manifest.seal(content), "manifest": content}
    files.write_new(unfinished / "manifest.json", json.dumps(sealed, indent=1, sort_keys=True))
    on_write(unfinished / "manifest.json")
    for written in (unfinished, folder / "ring"):
        if written.exists():
            files.sync(written)
    if final.exists():  # the same step again, after a resume; `steps` finds the old one until the new is in place
        os.rename(final, aside)
    os.rename(unfinished, final)
    files.sync(folder)
    on_write(final)
    manifest.prune(folder)
    manifest.note_newest(folder, step)
    return final


class _Ring:
    """The segment files of a folder of checkpoints, for one `save`."""

    def __init__(self, folder: Path, on_write: Callable[[Path], None]):
        self.folder, self.on_write = folder, on_write
        self.known = manifest.known_segments(folder)  # path -> sha256
        self.doubtful = secrets.choice(sorted(self.known)) if self.known else None  # segment that this save reads again

    def store(self, name: str, group: Segments) -> dict[str, str]:
        """Writes what is not on disk yet. Returns number of a segment -> its path."""
        (self.folder / "ring").mkdir(exist_ok=True)
        stored = {}
        filling = f"{group.filling}-" if group.filling else ""
        for i in np.flatnonzero(group.versions):
            path = stored[str(i)] = f"ring/{name}-{i:05d}-{filling}{group.versions[i]}.safetensors"
            if path not in self.known or self._has_rotted(path, group.part(int(i))):
                (self.folder / path).unlink(missing_ok=True)  # a link goes, not what it leads to
                self.known[path] = _write(self.folder / path, group.part(int(i)), self.on_write)
        return stored

    def _has_rotted(self, path: str, tensors: Mapping[str, Tensor]) -> bool:
        """Is a file that is to be shared damaged? All are measured, one that is drawn by chance is read."""
        size = sum(t.numel() * t.element_size() for t in tensors.values())
        if (self.folder / path).stat().st_size < size:
            return True
        return path == self.doubtful and _checksum(self.folder / path) != self.known[path]


def load(
    folder: Path,
    step: int | None = None,
    parts: Collection[str] | None = None,
    *,
    required: Collection[str] = (),
    spare: Collection[str] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns (parts, meta) of checkpoint `step`, or of the newest that is whole.

    parts: read only these. required: what must be there. spare: what may be left out where no checkpoint is whole
    without it. Each fault is warned of by name. Raises CheckpointError where none is usable.
    """
    found = steps(folder)
    if step is not None:
        if step not in found:
            raise CheckpointError(f"{folder} has no checkpoint {step}; it has {', '.join(map(str, found)) or 'none'}")
        found = [step]
    if not found:
        raise CheckpointError(f"{folder} holds no checkpoint")
    if step is None:
        manifest.warn_of_missing(folder)
    needed = {*required, *(parts or ())}
    faults: list[str] = []
    for number in reversed(found):
        if faults:
            warnings.warn(f"{faults[-1]}; trying the one before", stacklevel=2)
        try:
            return _read(folder, number, parts, needed)
        except DAMAGE as fault:
            faults.append(f"checkpoint {number} is damaged ({fault})")
    for number in reversed(found) if spare else ():
        try:
            kept, meta = _read(folder, number, parts, needed - {*spare}, {*spare})
        except DAMAGE:
            continue  # is among the faults
        warnings.warn(f"{'; '.join(faults)}; the rest of checkpoint {number} is whole and is taken", stacklevel=2)
        return kept, meta
    raise CheckpointError("; ".join(faults))


def _read(
    folder: Path, step: int, only: Collection[str] | None, needed: set[str], without: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    content = manifest.read(folder, step)
    parts: dict[str, Any] = {}
    for name, values in content["values"].items():
        if (only is not None and name not in only) or name in without:
            continue
        path = f"{step:012d}/{name}.safetensors"
        tensors = {}
        if path in content["files"]:
            place = f"{manifest.home(folder, step).name}/{name}.safetensors"
            _verify(folder, place, content["files"][path])
            tensors = load_file(folder / place)
        parts[name] = _join(values, tensors, folder, content["files"])
    if lacking := sorted(needed - parts.keys()):
        raise ValueError(f"it holds no {', '.join(lacking)}")
    return parts, content["meta"]


def _verify(folder: Path, path: str, checksum: str) -> None:
    target = (folder / path).resolve()
    if folder.resolve() not in target.parents:
        raise ValueError(f"{path} points outside the run folder")
    if not target.is_file():
        raise ValueError(f"{path} is not a file")
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
        places = {int(i): folder / path for i, path in about["files"].items()}
        versions = np.array(about["versions"], np.int64)
        return Segments({}, about["length"], versions, places, shapes, about.get("filling", 0))
    joined = ((k, _join(v, tensors, folder, checksums)) for k, v in value.items())
    return {int(k[1:]) if k.startswith("#") else k: v for k, v in joined}


def _write(path: Path, tensors: Mapping[str, Tensor], on_write: Callable[[Path], None]) -> str:
    """Writes and fsyncs a safetensors file, which must not be there yet; returns its sha256."""
    handle = files.create(path)
    mode = os.fstat(handle).st_mode  # mode of all other files; the library's own is for the owner alone
    os.close(handle)
    save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, path)
    with open(path, "rb+") as file:
        os.chmod(path, mode & 0o777)
        os.fsync(file.fileno())
    on_write(path)
    return _checksum(path)


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
        return digest.hexdigest()


def _is_channels_last(tensor: Tensor) -> bool:
    laid = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return laid and not tensor.is_contiguous()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
