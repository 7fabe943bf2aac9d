"""TensorBoard on chosen runs, on loopback: the second face of ``compare``."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from agents.core.run import Run
from experiments.cli import UserError
from experiments.comparing.records import OmittedRun, collect

HOST = "127.0.0.1"
SHORT = "/scores"  # short address of the first page, whose own address is 380 characters long
# Titles of the metrics in HPARAMS.
METRICS = {"eval/return": "score", "eval/median": "median score", "train/return": "return in training"}
FIRST = ("game", "agent", "seed", "steps")
RELOAD = 10  # seconds between looks at runs that are training


def chosen(root: Path, words: Iterable[str]) -> tuple[list[Path], list[OmittedRun]]:
    """The folders of the runs that the words name and that have events; what is left out, with the reason."""
    found, left = collect(root, words)
    paths = []
    for record in found:
        if any(record.path.glob("events.out.tfevents.*")):
            paths.append(record.path)
        else:
            left.append(OmittedRun(str(record.path), "it has no TensorBoard events"))
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


def _shortened(application: Any) -> Any:
    """TensorBoard's WSGI application with SHORT, which leads to `address`."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        if environ.get("PATH_INFO") != SHORT:
            return application(environ, start)
        start("302 Found", [("Location", address("/")), ("Content-Length", "0")])
        return []

    return answer


def experiment(paths: Sequence[Path]) -> Any:
    """The columns of the page HPARAMS, as a summary: the score first, then what differs between the runs.

    Without it TensorBoard shows the first five figures by the alphabet, which are clocks.
    """
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
    from tensorboard.plugins.hparams.metadata import EXPERIMENT_TAG, PLUGIN_DATA_VERSION

    from agents.core.events import hparams
    from agents.core.run import flat

    found: dict[str, list[Any]] = {}
    for path in paths:
        for name, value in flat(Run.open(path).config).items():
            found.setdefault(name, []).append(value)
    made = api_pb2.Experiment(description="the runs that compare was asked for")
    for name in sorted(found, key=lambda name: (len({*map(str, found[name])}) < 2, name not in FIRST, name)):
        values = found[name]
        info = made.hparam_infos.add(name=name, differs=len({*map(str, values)}) > 1)
        if all(isinstance(v, bool) for v in values):
            info.type = api_pb2.DATA_TYPE_BOOL
            info.domain_discrete.extend(sorted({*values}))
        elif all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            info.type = api_pb2.DATA_TYPE_FLOAT64
            info.domain_interval.min_value, info.domain_interval.max_value = min(values), max(values)
        else:
            info.type = api_pb2.DATA_TYPE_STRING
            info.domain_discrete.extend(sorted({"-" if v is None else str(v) for v in values}))
    for tag, title in METRICS.items():
        made.metric_infos.add(name=api_pb2.MetricName(tag=tag), display_name=title)
    content = plugin_data_pb2.HParamsPluginData(experiment=made, version=PLUGIN_DATA_VERSION)
    return hparams(EXPERIMENT_TAG, content)


def write(summary: Any, folder: Path) -> None:
    """An events file with one summary."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        writer.file_writer.add_summary(summary, 0)


def serve(root: Path, words: Sequence[str], port: int | None = None) -> None:
    """Prints the address and stays until Ctrl-C."""
    from tensorboard import program

    paths, left = chosen(root, words)
    for one in left:
        print(f"left out: {one.what}: {one.reason}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="tensorboard-") as folder:
        gather(paths, Path(folder))
        write(experiment(paths), Path(folder))
        board = program.TensorBoard(
            server_class=lambda app, flags: program.create_port_scanning_werkzeug_server(_shortened(app), flags)
        )
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
        print(f"TensorBoard on {len(paths)} run{'s' * (len(paths) > 1)}, until Ctrl-C:\n  {base.rstrip('/')}{SHORT}")
        print(f"  charts side by side: {base}#custom_scalars\n  hyperparameters: {base}#hparams", flush=True)
        ended = threading.Event()
        with contextlib.suppress(ValueError):  # signals cannot be had in another thread than the main one
            signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
        with contextlib.suppress(KeyboardInterrupt):
            ended.wait()
