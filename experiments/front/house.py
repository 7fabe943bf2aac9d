"""The front page: what it serves, and what it is asked for. `join` adds it to a server, beside its other pages."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import envs
import experiments.web
from agents.core.manifest import CheckpointError
from agents.core.run import RunError
from envs.text import printable
from experiments import child
from experiments.car import workshop
from experiments.cli import UserError
from experiments.front.jobs import Jobs, stop_training
from experiments.front.ledger import Ledger, trashed
from experiments.front.visits import MODES, Visits
from experiments.web.page import Client, Message
from experiments.web.server import Server
from experiments.web.values import command_of, flag, items, nothing, number, optional, record, text, whole

FILES = Path(experiments.web.__file__).parent / "home"
LOG = logging.getLogger("joypad.web")
WAITING = 16  # commands that are carried out at once at most
BOARDS = 3  # TensorBoards at once; the oldest one gives way
NAME = text(300)
COMMANDS = {
    "visit": record(mode=text(10, MODES), what=items(NAME, most=2, least=1)),
    "board": text(40),
    "recording": NAME,
    "train": record(
        game=text(120), agent=optional(text(20)), recipe=optional(text(40)), minutes=optional(number(0.01, 100_000)),
        steps=optional(whole(1, 10**12)), seed=optional(whole(0, 2**31 - 1)), name=optional(text(100)),
        init=optional(NAME), data=optional(items(NAME, most=20, least=1)),
    ),
    "stop": record(job=optional(NAME), run=optional(NAME)),
    "resume": record(run=NAME, minutes=optional(number(0.01, 100_000)), steps=optional(whole(1, 10**12))),
    "evaluate": record(run=NAME, episodes=whole(1, 10_000)),
    "tag": record(run=NAME, tag=text(40), remove=flag),
    "delete": items(NAME, most=200, least=1),
    "restore": nothing,
    "compare": items(NAME, most=60, least=1),
    "tensorboard": items(NAME, most=60, least=1),
    **workshop.COMMANDS,
}  # fmt: skip


class House:
    """Everything behind the page. data: folder of recordings; models: folder of networks for the car."""

    def __init__(self, server: Server, root: Path, data: Path, models: Path):
        self.server, self.root, self.data = server, root, data
        self.ledger, self.jobs, self.visits = Ledger(root), Jobs(root), Visits(server, root)
        self.workshop = workshop.Workshop(self.ledger, self.jobs, data, models)
        self._free, self._pictures = threading.BoundedSemaphore(WAITING), {}
        self._starting, self._ended = threading.Lock(), threading.Event()
        self._boards: dict[tuple[str, ...], TensorBoard] = {}  # folders of the runs -> what shows them
        self.page = server.add_page("home", FILES, title="joypad", on_message=self._heard, on_get=self._get)
        server.make_home(self.page)

    def close(self) -> None:
        """Ends plays and TensorBoards; trainings go on."""
        self._ended.set()
        self.visits.close()
        for paths in list(self._boards):
            self._boards.pop(paths).end()

    # Requests of the page.

    def _heard(self, client: Client, message: Message) -> None:
        name, value = command_of(COMMANDS, message)
        ask = message.get("ask")
        if not self._free.acquire(blocking=False):
            raise ValueError("too much is being asked for at once")
        # A thread of its own: a network is loaded, a program started; the server goes on meanwhile.
        threading.Thread(target=self._answer, args=(client, name, value, ask), daemon=True).start()

    def _answer(self, client: Client, name: str, value: Any, ask: Any) -> None:
        told: dict[str, Any]
        try:
            do = getattr(self.workshop, name) if name in workshop.COMMANDS else getattr(self, f"_{name}")
            told = {"type": "done", "of": name, **(do(value) or {})}
        except (ValueError, RunError, CheckpointError, UserError) as fault:
            told = {"type": "refused", "of": name, "text": printable(" ".join(str(fault).split()))}
        except OSError as fault:
            told = {"type": "refused", "of": name, "text": f"{fault.strerror}: {fault.filename or 'while writing'}"}
        except Exception as fault:  # a fault of the program; without an answer the page would wait for ever
            LOG.error("joypad: %s could not be done: %s: %s", name, type(fault).__name__, fault)
            LOG.debug("the whole of it", exc_info=fault)
            told = {"type": "refused", "of": name, "text": "the program could not do it; its terminal says why"}
        finally:
            self._free.release()
        client.send({**told, "ask": ask if isinstance(ask, int) else None})

    def _visit(self, value: dict[str, Any]) -> dict[str, Any]:
        words = [self._word(word) for word in value["what"]]
        return {"open": self.visits.play(value["mode"], words)}

    def _word(self, word: str) -> str:
        """A game, or the folder of a run that is listed; nothing else is looked for on the disk."""
        try:
            return str(self.ledger.path_of(word))
        except ValueError:
            return _game(word)

    def _board(self, game: str) -> dict[str, Any]:
        return {"open": self.visits.board(game)}

    def _recording(self, name: str) -> dict[str, Any]:
        return {"open": self.visits.recording(self._recorded(name))}

    def _recorded(self, name: str) -> Path:
        """The folder of a recording that is listed."""
        if name not in {one["name"] for one in self.recordings()}:
            raise ValueError(f"there is no recording {name[:80]!r}")
        return self.data / name

    def _train(self, value: dict[str, Any]) -> dict[str, Any]:
        if value["minutes"] is not None and value["steps"] is not None:
            raise ValueError("minutes or steps: name one budget")
        init, data = value.pop("init"), value.pop("data") or ()
        argv = [_game(value.pop("game"))]
        argv += [f"--{k}={v:g}" if isinstance(v, float) else f"--{k}={v}" for k, v in value.items() if v is not None]
        if init is not None:
            argv.append(f"--init={self.ledger.path_of(init)}")
        argv += [f"--data={self._recorded(name)}" for name in data]
        return {"job": self.jobs.start("train", [*argv, f"--runs={self.root}"])}

    def _stop(self, value: dict[str, Any]) -> dict[str, Any]:
        if value["job"] is not None:
            self.jobs.stop(value["job"])
        elif value["run"] is not None:
            stop_training(self.ledger.path_of(value["run"]))
        return {"text": "it saves and stops"}

    def _resume(self, value: dict[str, Any]) -> dict[str, Any]:
        path = self.ledger.path_of(value.pop("run"))
        more = [f"--{k}={v:g}" if isinstance(v, float) else f"--{k}={v}" for k, v in value.items() if v is not None]
        return {"job": self.jobs.start("train", [f"--resume={path}", *more, f"--runs={self.root}"])}

    def _evaluate(self, value: dict[str, Any]) -> dict[str, Any]:
        path = self.ledger.path_of(value["run"])
        argv = [path, f"--episodes={value['episodes']}", f"--runs={self.root}"]
        return {"job": self.jobs.start("evaluate", argv)}

    def _tag(self, value: dict[str, Any]) -> dict[str, Any]:
        tag = value["tag"].strip()
        if not tag or tag.startswith("-"):
            raise ValueError("a tag is a word")
        more = ["--remove"] if value["remove"] else []
        return {"text": self._runs("tag", self.ledger.path_of(value["run"]), tag, *more)}

    def _delete(self, names: list[str]) -> dict[str, Any]:
        paths = [self.ledger.path_of(name) for name in names]
        self._runs("delete", *paths)
        return {"text": f"{len(paths)} run{'s' * (len(paths) > 1)} in the trash; `runs restore` brings them back"}

    def _restore(self, _: None) -> dict[str, Any]:
        from experiments.comparing.records import TRASH, below

        place = self.root / TRASH
        found = [str(path.relative_to(place)) for path in below(place)] if place.is_dir() else []
        if not found:
            raise ValueError("the trash is empty")
        return {"text": self._runs("restore", *found)}

    def _runs(self, *words: object) -> str:
        """``python -m experiments.runs``, whose sentence is handed on. Raises ValueError with its refusal."""
        argv = [sys.executable, "-m", "experiments.runs", *map(str, words), "--runs", str(self.root)]
        env = {**child.os.environ, "PYTHONPATH": child.os.pathsep.join([str(child.ROOT), *sys.path[:1]])}
        done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=120)
        if done.returncode:
            raise ValueError(done.stderr.strip().removeprefix("joypad: ") or "it could not be done")
        return done.stdout.strip()

    def _compare(self, names: list[str]) -> dict[str, Any]:
        from experiments.comparing import groups, plots, report

        made = groups.compare(self.root, [str(self.ledger.path_of(name)) for name in names], resamples=500)
        tables = [*report.tables(made, [report.summary(made, group) for group in made.groups])]
        place = self.root / ".comparison"
        place.mkdir(parents=True, exist_ok=True)
        drawn = plots.curves(made, place / f"{secrets.token_hex(8)}.png")
        name = f"comparison/{secrets.token_hex(8)}.png"
        self._pictures = {**dict(list(self._pictures.items())[-7:]), name: drawn.read_bytes()}
        drawn.unlink()
        shown = [{"title": t.title, "header": t.header, "rows": t.rows, "remark": t.remark} for t in tables]
        lists = [{"title": title, "lines": lines} for title, lines in report.lists(made)]
        return {"headline": report.headline(made), "tables": shown, "lists": lists, "picture": f"data/{name}"}

    def _tensorboard(self, names: list[str]) -> dict[str, Any]:
        paths = tuple(sorted(str(self.ledger.path_of(name)) for name in names))
        with self._starting:
            for other in [k for k, board in self._boards.items() if board.process.poll() is not None]:
                self._boards.pop(other).end()
            if paths not in self._boards:
                while len(self._boards) >= BOARDS:
                    self._boards.pop(next(iter(self._boards))).end()
                log = self.jobs.folder / f"tensorboard-{secrets.token_hex(4)}.log"
                process = child.start("compare", [*paths, "--tensorboard", f"--runs={self.root}"], log)
                self._boards[paths] = TensorBoard(process, log)
            try:
                return {"outside": self._boards[paths].address()}
            except ValueError:
                self._boards.pop(paths).end()
                raise

    # Files and pictures that are served.

    def _get(self, path: str, query: Mapping[str, str]) -> tuple[bytes, str] | None:
        if path in self._pictures:
            return self._pictures[path], "image/png"
        if path == "video":
            return self._video(query)
        makers: dict[str, Callable[[], Any]] = {
            "runs": self.listing,
            "games": self.cards,
            "recordings": self.recordings,
            "run": lambda: self.ledger.detail(query.get("name", "")),
            "log": lambda: {"text": self.jobs.output(query.get("job", ""))},
            "thumbnail": lambda: self._thumbnail(query.get("game", "")),
        }
        told = makers[path]() if path in makers else self.workshop.get(path, query)
        return None if told is None else (as_json(told), "application/json")

    def listing(self) -> dict[str, Any]:
        """Runs and jobs as they are now."""
        jobs = self.jobs.listed()
        rows = self.ledger.runs()
        for job in jobs:
            job["name"] = next((r["name"] for r in rows if job["run"] and r["path"] == job["run"]), None)
            del job["pid"]
        return {"runs": rows, "jobs": jobs, "trash": trashed(self.root), "root": str(self.root)}

    def cards(self) -> dict[str, Any]:
        """The games of the first tab, and the names of all others."""
        from experiments.front import games

        runs = self.ledger.runs()
        first = games.names(self.root, runs)
        return {"cards": [games.card(self.root, game, runs) for game in first], "games": envs.games()}

    def recordings(self) -> list[dict[str, Any]]:
        """What lies in the folder of recordings."""
        from envs.recordings import reader

        found: list[dict[str, Any]] = []

        def add(path: Path) -> None:
            kind = reader.kind_of(path) if path.is_dir() and not path.is_symlink() else None
            if kind is not None:
                name = path.relative_to(self.data).as_posix()
                found.append({"name": name, "kind": str(kind), "size": _size(path), "opens": kind == "tub"})
            for inner in reader.inside(path) if kind == "several" else ():
                add(inner)

        for path in sorted(self.data.iterdir()) if self.data.is_dir() else ():
            add(path)
        return found

    def _thumbnail(self, game: str) -> dict[str, Any]:
        from experiments.front import thumbnails

        name = _game(game)
        try:
            return thumbnails.thumbnail(self.root, name, self._ended.is_set)
        except (RunError, CheckpointError, ImportError) as fault:
            raise ValueError(str(fault)) from None

    def _video(self, query: Mapping[str, str]) -> tuple[bytes, str] | None:
        """A video of a run's own folder."""
        videos = self.ledger.path_of(query.get("run", "")) / "videos"
        file = videos / Path(query.get("file", "")).name
        inside = file.is_file() and not file.is_symlink() and not videos.is_symlink() and file.suffix == ".mp4"
        return (file.read_bytes(), "video/mp4") if inside else None


class TensorBoard(NamedTuple):
    """A TensorBoard on some runs, in a process of its own."""

    process: subprocess.Popen
    log: Path  # file of what it prints

    def address(self) -> str:
        """Where it is, once it has said so. Raises ValueError where it ends before, or says nothing for a minute."""
        for _ in range(600):
            if found := re.search(r"http://127\.0\.0\.1:\d+\S*", self.log.read_text(errors="replace")):
                return found[0]
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise ValueError(child.reason(self.process.poll() or 2, self.log))

    def end(self) -> None:
        """Ends it, and removes its log."""
        self.process.terminate()
        self.log.unlink(missing_ok=True)


def as_json(value: Any) -> bytes:
    """JSON as browsers read it: numbers that are none, which a file may hold, are null."""
    try:
        return json.dumps(value, allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(value)).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _size(folder: Path) -> int:
    """Bytes of the files in a folder, which somebody may be writing to."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _game(word: str) -> str:
    """The canonical name of a game. Raises ValueError; modules of others are named on a command line, not here."""
    name = envs.canonical(word.strip())
    if name.count(":") > 1:
        raise ValueError(f"{name[:80]} imports a module of somebody else: start it on a command line")
    return name


def join(server: Server, root: Path, data: Path = Path("data"), models: Path = Path("models")) -> House:
    """Adds the front page to a server."""
    return House(server, root, data, models)
