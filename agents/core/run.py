"""A run is a folder: config.json, metrics.jsonl, TensorBoard events, checkpoints/, videos/, eval.json.

runs/<game>/<agent>/<name>-s<seed>/

config.json decides what is learned. It carries a seal, and every checkpoint holds a copy of it: where the file was
damaged or changed since, the copy counts, and each field that differs is told.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from agents.core import files, manifest, renamed

FORMAT = 2  # version of config.json; 1: booleans were yes and no, and some fields had other names
SEAL = "seal"  # the field of config.json that holds the checksum of all others
MOVING = {"steps", "minutes", "cluster", SEAL}  # fields that may change while a run goes on


class RunError(ValueError):
    """A run that is not there or cannot be used; the message says which and why."""


class OtherFormat(RunError):
    """A run that another version of the lab wrote, or one to come."""


class Field(NamedTuple):
    """What a field of config.json may hold."""

    kinds: tuple[type, ...]
    low: float = -math.inf
    high: float = math.inf


TEXT, SWITCH, NONE = Field((str,)), Field((bool,)), type(None)
FIELDS = {
    "format": Field((int,), FORMAT, FORMAT), "game": TEXT, "agent": TEXT, "name": TEXT, "protocol": TEXT,
    "seed": Field((int,), 0, 2**31 - 1), "steps": Field((int, NONE), 0), "minutes": Field((int, float, NONE), 0),
    "num_envs": Field((int,), 1, 2**20), "checkpoint_every": Field((int,), 1), "checkpoint_ring": SWITCH,
    "eval_every": Field((int, NONE), 0), "milestones": Field((bool, NONE)), "recipe": Field((str, NONE)),
    "init": Field((str, NONE)), "data": Field((str, list)), "data_digest": TEXT, "teacher_run": TEXT, "command": TEXT,
    "machine": TEXT, "device": TEXT, "commit": Field((str, NONE)), "agent_config": Field((dict,)),
    "env": Field((dict,)), "versions": Field((dict,)), "normalize": TEXT,
    "stop_at": Field((int, float, NONE)), SEAL: TEXT,
    "opponents": Field((int, float), 0, 1), "opponent_pool": Field((int,), 1, 1000), "opponent_every": Field((int,), 1),
    "cluster": TEXT, "actors": Field((int,), 1, 2**20), "in_order": SWITCH, "processes": Field((int,), 1, 2**16),
}  # fmt: skip
CHOICES = {"normalize": ("", "obs", "reward", "obs,reward")}
IDENTITY = ("format", "game", "agent", "protocol", "seed")  # fields without which a folder is no run
PLAYED = (*IDENTITY, "agent_config", "env", "num_envs", "steps")  # fields that an agent is built from
TRAINED = (*PLAYED, "name", "minutes", "checkpoint_every", "checkpoint_ring")  # fields that training goes on with


def check(config: Mapping[str, Any]) -> None:
    """The schema of config.json, which may come from a stranger. Raises ValueError that names the field."""
    for name, value in config.items():
        kinds, low, high = FIELDS.get(name, Field((object,)))
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds and object not in kinds):
            allowed = " or ".join("null" if k is NONE else k.__name__ for k in kinds)
            raise ValueError(f"{name} must be {allowed}, not {_short(value)}")
        if isinstance(value, int | float) and not low <= value <= high:
            raise ValueError(f"{name} is {value}, outside {low:g} to {high:g}")
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, CHOICES[name]))}, not {_short(value)}")
        _check_values(name, value)
    for name in ("game", "agent"):
        if name in config and not config[name]:
            raise ValueError(f"{name} is empty")


def _check_values(name: str, value: Any) -> None:
    """Values are flat, finite, and text that a terminal shows as it is."""
    if isinstance(value, str) and not value.isprintable():
        raise ValueError(f"{name} holds characters that cannot be shown: {_short(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}, not a finite number")
    for one in value if isinstance(value, list) else ():
        if not isinstance(one, str):
            raise ValueError(f"{name} must hold texts, not {_short(one)}")
        _check_values(name, one)
    for inner, one in value.items() if isinstance(value, dict) else ():
        if isinstance(one, dict | list):
            raise ValueError(f"{name}.{inner} must be one value, not {_short(one)}")
        if not inner.isprintable():
            raise ValueError(f"{name} has a field {inner!r}")
        _check_values(f"{name}.{inner}", one)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


LONGEST = 200  # bytes of a name for a folder; file systems end at 255, and a seed and a number are added


def safe(text: str) -> str:
    """A name for a folder: letters, marks and digits of any script, '.', '_' and '-'; all else becomes '-'.

    It is never empty, hidden, or dots alone. One that is too long ends in a checksum, so that two stay two.
    """
    whole = unicodedata.normalize("NFC", text)  # the same letters are the same name, however they were typed
    kept = "".join(c if c in "._-" or unicodedata.category(c)[0] in "LMN" else "-" for c in whole).lstrip(".") or "-"
    raw = kept.encode()
    if len(raw) <= LONGEST:
        return kept
    return f"{raw[: LONGEST - 9].decode(errors='ignore')}-{hashlib.sha256(raw).hexdigest()[:8]}"


class Run:
    """One run's folder. remarks: what was found to be wrong with its config.json, for the person."""

    def __init__(self, path: Path, config: dict[str, Any], remarks: tuple[str, ...] = ()):
        self.path, self.config, self.remarks = path, config, remarks

    @classmethod
    def create(cls, root: Path, config: Mapping[str, Any]) -> Run:
        """Makes ``root/<game>/<agent>/<name>-s<seed>``, with '-2', '-3', ... where that is taken.

        Raises RunError for a configuration that could not be read again.
        """
        try:
            check(config)
        except ValueError as fault:
            raise RunError(f"no run can have this configuration: {fault}") from None
        base = root / safe(config["game"]) / safe(config["agent"])
        base.mkdir(parents=True, exist_ok=True)
        stem = f"{safe(config['name'])}-s{config['seed']}"
        number = 1
        while True:
            path = base / (stem if number == 1 else f"{stem}-{number}")
            try:
                path.mkdir()
                break
            except FileExistsError:
                number += 1
        run = cls(path, {"format": FORMAT, **config})
        run.write_config()
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """Raises RunError where there is no run, or one that this version cannot read.

        A config.json that is damaged is replaced in memory by the copy in the newest checkpoint, where there is one.
        """
        kept = _kept(path)
        try:
            config, intact = _read(path / "config.json")
        except (OSError, ValueError) as fault:
            if kept is None or isinstance(fault, OtherFormat):
                raise RunError(_sentence(path, fault)) from None
            message = "gone" if isinstance(fault, FileNotFoundError) else f"damaged ({fault})"
            return cls(path, kept, (f"config.json is {message}: the copy in the newest checkpoint is taken",))
        if kept is None:
            return cls(path, config, () if intact or intact is None else (UNSEALED,))
        differing = differences(config, kept, () if not intact else MOVING)
        mixed = intact and (config["game"], config["agent"]) != (kept["game"], kept["agent"])
        if not differing or mixed:  # another run's checkpoint is refused by whoever loads it
            return cls(path, config)
        message = f"config.json was changed since the newest checkpoint; the checkpoint's values count: {differing}"
        return cls(path, {**kept, **({k: config[k] for k in MOVING & config.keys()} if intact else {})}, (message,))

    @classmethod
    def find(cls, root: Path, what: str) -> Run:
        """A path, a path below `root`, or a game or game/agent: then its newest run that has a checkpoint."""
        for candidate in (Path(what), root / what):
            if (candidate / "config.json").is_file() or manifest.steps(candidate / "checkpoints"):
                return cls.open(candidate)
        folder = root / what
        inside = folder.is_dir() and root.resolve() in folder.resolve().parents
        found = [p.parent for p in folder.rglob("config.json")] if inside else []
        found = [p for p in found if any((p / "checkpoints").glob("[0-9]*/manifest.json"))]
        if not found:
            raise RunError(f"{what!r} is neither a run nor a game with one under {root}")
        return cls.open(max(found, key=_changed))

    @property
    def checkpoints(self) -> Path:
        """Returns the folder of the run's checkpoints."""
        return self.path / "checkpoints"

    def write_config(self) -> None:
        """Replaces config.json by the configuration in memory, sealed."""
        config = {k: v for k, v in self.config.items() if k != SEAL}
        files.write_json(self.path / "config.json", {**config, SEAL: manifest.seal(config)})

    def require(self, fields: tuple[str, ...]) -> None:
        """Raises RunError where the configuration lacks one of `fields`."""
        if lacking := [name for name in fields if name not in self.config]:
            raise RunError(f"{self.path}/config.json lacks {', '.join(lacking)}: it is damaged or of an older version")

    def require_own_files(self) -> None:
        """Raises RunError where a link or a device among its files would lead a writer out of the folder."""
        if (found := files.first_link(self.path)) is not None:
            raise RunError(
                f"{found} is a link or no regular file; a run's files are written and deleted in its own folder alone:"
                " put the files themselves in its place"
            )

    def inside(self, name: str) -> Path:
        """A path within the run folder. Raises RunError for one outside."""
        path = (self.path / name).resolve()
        if self.path.resolve() not in path.parents:
            raise RunError(f"{name!r} lies outside the run folder {self.path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _read(file: Path) -> tuple[dict[str, Any], bool | None]:
    """The content of a config.json under the names of today, and whether its seal fits (None: it has no seal).

    Raises OSError or ValueError where it is not what a run says of itself.
    """
    config = files.read_json(file)
    if not isinstance(config, dict):
        raise ValueError("it holds no JSON object")
    if config.get("format", FORMAT) not in range(1, FORMAT + 1):
        raise OtherFormat(f"{file.parent} was written in another format than 1 to {FORMAT}, which this version reads")
    written = config.pop(SEAL, None)
    intact = None if written is None else written == manifest.seal(config)
    config = _upgraded(config)
    check({**config, SEAL: written} if written is not None else config)
    if lacking := [name for name in IDENTITY if name not in config]:
        raise RunError(f"{file} lacks {', '.join(lacking)}: it is damaged or of an older version")
    return config, intact


def _upgraded(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration of any version as this one writes it."""
    found = renamed.config(config)
    return {**found, "format": FORMAT} if type(found.get("format")) is int else found


def _sentence(path: Path, fault: Exception) -> str:
    if isinstance(fault, RunError):
        return str(fault)
    if isinstance(fault, FileNotFoundError):
        return f"{path} is not a run: it holds no config.json"
    return f"{path}/config.json cannot be read: {fault}"


UNSEALED = "config.json was changed since it was written (its seal does not match), and no checkpoint holds a copy"


def _kept(path: Path) -> dict[str, Any] | None:
    """The configuration that the newest checkpoint holds; None where there is none, or one without a copy."""
    found = manifest.newest(path / "checkpoints")
    config = found[1]["meta"].get("config") if found else None
    if not isinstance(config, dict):
        return None
    config = _upgraded(config)
    try:
        check(config)
    except ValueError:
        return None
    return config if all(name in config for name in IDENTITY) else None


def differences(config: Mapping[str, Any], kept: Mapping[str, Any], moving: set[str] | tuple[str, ...] = ()) -> str:
    """Which fields differ, each with both values, in one line; empty where none does."""
    ours, theirs = flat(config), flat(kept)
    found = []
    for name in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(name, "nothing"), theirs.get(name, "nothing")
        if name not in moving and (here != there or type(here) is not type(there)):
            found.append(f"{name} is {_short(here)} there and {_short(there)} in the checkpoint")
    return ", ".join(found)


def _changed(run: Path) -> float:
    """When its newest checkpoint was written; a training run renames some while one looks."""
    times = [0.0]
    for entry in (run / "checkpoints").iterdir():
        with contextlib.suppress(FileNotFoundError):
            times.append(entry.stat().st_mtime)
    return max(times)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration -> dotted names."""
    rows: dict[str, Any] = {}
    for key, value in tree.items():
        rows |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return rows


def duration(seconds: float) -> str:
    """Returns seconds as H:MM:SS, rounded; a negative number counts as 0."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
