"""What a result depends on beside its configuration: machine, versions of libraries, commit."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from agents.core import device as devices


@functools.cache
def surroundings(device: torch.device) -> dict[str, Any]:
    """What a result depends on beside the configuration: machine, versions, commit."""
    versions = {k: metadata.version(k) for k in ("torch", "numpy", "gymnasium", "ale-py")}
    versions["python"] = platform.python_version()
    return {"machine": devices.describe(device), "device": str(device), "versions": versions, "commit": commit()}


def commit() -> str | None:
    """The commit of the source tree, with '+' where it is changed; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        ask = dict(cwd=here, capture_output=True, text=True, check=True, timeout=10)
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **ask).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], **ask).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def changed(before: Mapping[str, Any], device: torch.device) -> str:
    """What is not as it was when a checkpoint was made, in one line; empty where all is the same."""
    now = surroundings(device)
    old = before.get("versions")
    names = {k: (old.get(k), here) for k, here in now["versions"].items()} if isinstance(old, dict) else {}
    names |= {"joypad's commit": (before.get("commit"), now["commit"])}
    names |= {k: (before.get(k), now[k]) for k in ("machine", "device")}
    changes = [f"{k} {was}, now {here}" for k, (was, here) in names.items() if was is not None and was != here]
    return "; ".join(changes)
