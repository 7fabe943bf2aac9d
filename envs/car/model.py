"""A network that drives, as a folder of ONNX files that `agents.perception.export` writes; run without torch.

trunk.onnx   picture, uint8 [1, height, width, 3]  ->  features, float32 [1, F]
head.onnx    features  ->  steering, float32 [1], -1 to 1, and drive, float32 [1], 0 to 1
sign.onnx    features  ->  logits, float32 [1, S], of the signs that model.json names; may be missing
model.json   format, preprocess, drive, signs, files, training, commit
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agents.perception import preprocess
from envs.car import CarError
from envs.text import shown

FORMAT = 1
FILES = ("trunk.onnx", "head.onnx", "sign.onnx", "model.json")  # files of the folder
LARGEST = 64 * 2**20  # bytes of a file
LARGEST_SIDE = 1024  # pixels of a picture that a network may ask for
KINDS = ("target_speed", "throttle")  # meanings of what the head calls drive


class CarAnswer(NamedTuple):
    """What the network wants on one picture."""

    steer: float  # -1 (left) to 1
    drive: float  # target speed in m/s, or throttle from 0 to 1, as `kind` says
    kind: str
    sign: str = "none"  # likeliest traffic sign
    certain: float = 0.0  # probability of that sign


class CarModel:
    """The network of a folder. Raises CarError where it is none that this version drives with."""

    def __init__(self, folder: Path):
        self.folder, self.about = folder, _about(folder)
        self.band = band_of(folder, self.about.get("preprocess"))
        self.kind, self.low, self.high = _drive(folder, self.about.get("drive"))
        signs = self.about.get("signs")
        if not isinstance(signs, list) or not all(isinstance(name, str) for name in signs) or len(signs) > 64:
            raise CarError(f"{folder}: model.json names no list of signs")
        self.signs: list[str] = signs
        self.trunk = self._session("trunk.onnx", ["features"])
        self.head = self._session("head.onnx", ["steering", "drive"])
        self.sign = self._session("sign.onnx", ["logits"]) if signs else None
        self._try()

    def _session(self, name: str, outputs: list[str]) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise CarError("--model needs onnxruntime: pip install -r requirements-car.txt") from None
        data = _content(self.folder, name, self.about.get("files"))
        options = onnxruntime.SessionOptions()
        # One thread: more cost a small network time, and take cores from camera and guardian.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # no lines of onnxruntime: a fault becomes one sentence of ours
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as fault:  # onnxruntime has an exception for each way in which a file can be wrong
            reason = shown(" ".join(str(fault).split()), 160)
            told = f"cannot be run by onnxruntime {onnxruntime.__version__}: {reason}"
            raise CarError(f"{self.folder / name} {told}") from None
        given = [output.name for output in session.get_outputs()]
        if given != outputs or len(session.get_inputs()) != 1:
            told = f"{', '.join(outputs)} of one input, not {shown(', '.join(given))}"
            raise CarError(f"{self.folder / name} is another network: it must give {told}")
        return session

    def _try(self) -> None:
        """One picture through everything: what does not fit is told now, and the first real one is fast."""
        black = np.zeros((self.band["height"], self.band["width"], 3), np.uint8)
        try:
            features = self.features(black)
            steering, drive = self._run(self.head, features)
            logits = self._run(self.sign, features)[0] if self.sign else np.zeros((1, 0))
            good = (steering.shape, drive.shape, logits.shape) == ((1,), (1,), (1, len(self.signs)))
        except Exception as fault:  # onnxruntime has an exception for each way in which networks do not fit
            raise CarError(f"{self.folder}: its networks do not fit together: {shown(str(fault), 160)}") from None
        if not good:
            raise CarError(f"{self.folder}: its networks give other shapes than model.json tells")

    @staticmethod
    def _run(session: Any, value: np.ndarray) -> list[np.ndarray]:
        return session.run(None, {session.get_inputs()[0].name: value})

    def prepared(self, rgb: np.ndarray) -> np.ndarray:
        """A camera's picture, uint8 [H, W, 3], as the network sees it. Raises CarError where it does not fit."""
        try:
            return preprocess.band(rgb, **self.band)
        except ValueError as fault:
            raise CarError(f"{self.folder}: {fault}") from None

    def features(self, picture: np.ndarray) -> np.ndarray:
        """float32 [1, F] of a prepared picture."""
        return self._run(self.trunk, picture[None])[0]

    def look(self, rgb: np.ndarray) -> CarAnswer:
        """What the network wants on a camera's picture, uint8 [H, W, 3]."""
        return self.decide(self.features(self.prepared(rgb)))

    def decide(self, features: np.ndarray) -> CarAnswer:
        """What the network wants, of its features."""
        steering, drive = self._run(self.head, features)
        wanted = self.low + float(drive[0]) * (self.high - self.low)
        name, certain = "none", 0.0
        if self.sign is not None:
            logits = self._run(self.sign, features)[0][0].astype(np.float64)
            shares = np.exp(logits - logits.max())
            best = int(logits.argmax())
            name, certain = self.signs[best], float(shares[best] / shares.sum())
        return CarAnswer(float(steering[0]), wanted, self.kind, name, certain)

    @property
    def title(self) -> str:
        """The network in a line, for people."""
        training = self.about.get("training")
        run = training.get("run") if isinstance(training, Mapping) else None
        return f"{self.folder.name}, of {shown(run, 60)}" if isinstance(run, str) else self.folder.name


class AnswerTimes(NamedTuple):
    """Seconds of the parts of one answer."""

    prepared: float
    trunk: float
    head: float


def timed(model: CarModel, rgb: np.ndarray) -> AnswerTimes:
    """How long each part of an answer takes, s."""
    moments = [time.perf_counter()]
    picture = model.prepared(rgb)
    moments.append(time.perf_counter())
    features = model.features(picture)
    moments.append(time.perf_counter())
    model.decide(features)
    moments.append(time.perf_counter())
    return AnswerTimes(*(later - sooner for sooner, later in zip(moments, moments[1:], strict=False)))


def _about(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise CarError(f"--model {folder}: there is no such folder; `export RUN --target car` makes one")
    try:
        about = json.loads(_content(folder, "model.json", None))
    except (ValueError, RecursionError) as fault:
        if isinstance(fault, CarError):
            raise
        raise CarError(f"{folder / 'model.json'} is damaged: it is no JSON") from None
    if not isinstance(about, dict):
        raise CarError(f"{folder / 'model.json'} is damaged: it holds no JSON object")
    if about.get("format") != FORMAT:
        told = f"is of format {shown(about.get('format'))}, this version drives with {FORMAT}"
        raise CarError(f"--model {folder}: {told}; export the run again")
    return about


def _content(folder: Path, name: str, files: Any) -> bytes:
    """A file of the folder, whole and as it was written. files: what model.json says of all files."""
    path = folder / name
    if not path.is_file() or path.is_symlink():
        raise CarError(f"--model {folder}: has no file {name}")
    if path.stat().st_size > LARGEST:
        raise CarError(f"{path} is larger than {LARGEST // 2**20} MiB")
    data = path.read_bytes()
    known = files.get(name) if isinstance(files, Mapping) else None
    digest = known.get("sha256") if isinstance(known, Mapping) else None
    if name != "model.json" and digest != hashlib.sha256(data).hexdigest():
        raise CarError(f"{path} is damaged, or not the file that model.json tells of: its checksum differs")
    return data


def band_of(folder: Path, told: Any) -> dict[str, Any]:
    """The arguments of `preprocess.band`. Raises CarError for any other preprocessing."""
    names = {"function", "height", "width", "top", "bottom"}
    if not isinstance(told, Mapping) or told.get("function") != "band" or told.keys() != names:
        reason = shown(told.get("function") if isinstance(told, Mapping) else told)
        raise CarError(f"--model {folder}: its pictures are prepared by {reason}, which this version does not know")
    sides = [told["height"], told["width"]]
    if not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides):
        raise CarError(f"--model {folder}: pictures of {shown(sides)} pixels are none that a camera gives")
    cuts = [told["top"], told["bottom"]]
    if not all(_is_number(cut) and 0 <= cut < 1 for cut in cuts) or sum(cuts) >= 1:
        raise CarError(f"--model {folder}: {shown(cuts)} of a picture cannot be cut off")
    return {name: told[name] for name in names - {"function"}}


def _drive(folder: Path, told: Any) -> tuple[str, float, float]:
    good = isinstance(told, Mapping) and told.get("kind") in KINDS
    low, high = (told.get("low"), told.get("high")) if good else (None, None)
    most = 1.0 if good and told["kind"] == "throttle" else 100.0
    if not good or not _is_number(low) or not _is_number(high) or not 0 <= low < high <= most:
        raise CarError(f"--model {folder}: what it says of speed, {shown(told)}, is none that this version knows")
    return told["kind"], float(low), float(high)


def _is_number(value: Any) -> bool:
    """Is it a finite number? A whole one may be larger than a float can hold, and is none here."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max
