"""Loggers that people have already: the scalars and the clip of a run also go to trackio or Weights & Biases.

The run folder stays the truth: what such a library does, or fails to do, changes nothing in it, and ends no training.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agents.core.run import Run, flat
from experiments import cli

LIBRARIES = ("trackio", "wandb")  # packages with the interface of wandb: init, log, finish, Video
PROJECT = "joypad"  # name of the project there; the run is called as its folder is


def require(library: str | None) -> None:
    """Raises UserError where a library that is asked for is none of LIBRARIES, or not installed."""
    if library is None:
        return
    if library not in LIBRARIES:
        raise cli.UserError(f"--track {library}: choose {' or '.join(LIBRARIES)}")
    if importlib.util.find_spec(library) is None:
        raise cli.UserError(f"--track {library}: it is not installed; pip install {library}, or -e '.[{library}]' here")


class Tracker:
    """A run in another logger, begun at once. Raises UserError where it cannot begin."""

    def __init__(self, library: str, run: Run):
        self.library, self.lost = importlib.import_module(library), False
        name = "/".join(run.path.absolute().parts[-3:])
        try:
            self.library.init(project=PROJECT, name=name, config=flat(run.config))
        except Exception as fault:  # a fault of the library, or of the network that it needs
            raise cli.UserError(f"--track {library}: {type(fault).__name__}: {fault}") from fault

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Sends scalars, under the names that they have in the run folder."""
        self._do(lambda: self.library.log({k: float(v) for k, v in values.items()}, step=step))

    def clip(self, tag: str, path: Path, step: int) -> None:
        """Sends a video or an animated GIF."""
        kind = path.suffix.removeprefix(".")
        self._do(lambda: self.library.log({tag: self.library.Video(str(path), format=kind)}, step=step))

    def close(self) -> None:
        """Waits until everything was sent."""
        self._do(self.library.finish)

    def _do(self, action: Callable[[], Any]) -> None:
        if self.lost:
            return
        try:
            action()
        except Exception as fault:  # the training goes on; the run folder has everything
            self.lost = True
            told = f"{type(fault).__name__}: {fault}"
            cli.tell(f"--track {self.library.__name__}: nothing more is sent there ({told}); the run goes on")
