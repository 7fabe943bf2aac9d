"""TensorBoard on chosen runs, on loopback: the second face of ``compare``."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.cli import UserError
from experiments.comparing.records import Left, collect

HOST = "127.0.0.1"
RELOAD = 10  # seconds between looks at runs that are training


def chosen(root: Path, words: Iterable[str]) -> tuple[list[Path], list[Left]]:
    """The folders of the runs that the words name and that have events; what is left out, with the reason."""
    found, left = collect(root, words)
    paths = []
    for record in found:
        if any(record.path.glob("events.out.tfevents.*")):
            paths.append(record.path)
        else:
            left.append(Left(str(record.path), "it has no TensorBoard events"))
    if not paths:
        raise ValueError("nothing to show: " + "; ".join(f"{x.what}: {x.reason}" for x in left[:3]))
    return paths, left


def gather(paths: Sequence[Path], folder: Path) -> None:
    """Links to the runs, named GAME/AGENT/NAME: a folder that holds these alone."""
    for path in paths:
        whole = path.resolve()
        base = folder.joinpath(*whole.parts[-3:])
        link, number = base, 1
        while link.is_symlink():
            number += 1
            link = base.with_name(f"{base.name}-{number}")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(whole, target_is_directory=True)


def address(base: str) -> str:
    """The first page, with the curves that matter pinned on top."""
    from agents.core.events import PINNED

    cards = json.dumps([{"plugin": "scalars", "tag": tag} for tag in PINNED])
    return f"{base}?pinnedCards={urllib.parse.quote(cards)}#timeseries"


def serve(root: Path, words: Sequence[str], port: int | None = None) -> None:
    """Prints the address and stays until Ctrl-C."""
    from tensorboard import program

    paths, left = chosen(root, words)
    for one in left:
        print(f"left out: {one.what}: {one.reason}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="tensorboard-") as folder:
        gather(paths, Path(folder))
        board = program.TensorBoard()
        options = ["--logdir", folder, "--host", HOST, "--reload_interval", str(RELOAD), "--load_fast", "false"]
        # The animated clips are shown whole: every picture and clip of a run is kept.
        options += ["--samples_per_plugin", "images=100,scalars=2000", *(["--port", str(port)] if port else [])]
        board.configure(argv=["tensorboard", *options])
        try:
            url = board.launch()
        except SystemExit as fault:
            raise UserError(f"TensorBoard could not start: {fault}") from None
        except program.TensorBoardServerException as fault:
            raise UserError(str(fault)) from None
        base = url if url.endswith("/") else url + "/"
        print(f"TensorBoard on {len(paths)} run{'s' * (len(paths) > 1)}, until Ctrl-C:\n  {address(base)}")
        print(f"  charts side by side: {base}#custom_scalars\n  hyperparameters: {base}#hparams", flush=True)
        ended = threading.Event()
        with contextlib.suppress(ValueError):  # in another thread than the main one signals cannot be had
            signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
        with contextlib.suppress(KeyboardInterrupt):
            ended.wait()
