"""What a lab has started on this machine, as files: the next start ends what a lab that was killed has left behind.

A keeper ends its games itself when the lab goes, however it goes. These records are for the case that the keeper was
killed with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from typing import Any

PREFIX = "joypad-screen-"  # beginning of the names of all that is kept here


def room() -> Path:
    """The folder of records and locks of this person. Raises OSError where another person's stands in its place."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    path = (runtime if runtime.is_dir() else Path(tempfile.gettempdir())) / f"{PREFIX}{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path} is not a folder of this user alone")
    return path


def _about(pid: int | str) -> list[str]:
    """State, parent, group, session and so on of a process, as the kernel tells them; empty: there is none."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return []
    return [] if words[0] in "ZX" else words


def started(pid: int) -> str | None:
    """When a process began, in the kernel's words: with it a number that was given again is told apart."""
    words = _about(pid)
    return words[19] if words else None


def remains(group: int, began: str) -> bool:
    """Is anything left of a group of processes whose first one began then, and may have ended?

    A number is given to no other process as long as a group has it.
    """
    if (first := started(group)) is not None:
        return first == began
    number = str(group)
    others = [about for path in Path("/proc").glob("[0-9]*") if (about := _about(path.name))]
    return any(about[2] == about[3] == number and int(about[19]) >= int(began) for about in others)


def write(groups: list[int], homes: list[str]) -> Path:
    """The record of this process: the groups of processes that it has started, and the folders made for them."""
    own = os.getpid()
    about = {"keeper": [own, started(own)], "groups": [[g, started(g)] for g in groups], "homes": homes}
    path = room() / f"{own}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(about))
    temporary.replace(path)
    return path


def sweep() -> int:
    """Ends what keepers that are gone have left, and removes their folders. Returns how many keepers those were."""
    ended = 0
    for path in room().glob("*.json"):
        try:
            about = json.loads(path.read_text())
            keeper, groups, homes = about["keeper"], about["groups"], about["homes"]
            alive = started(int(keeper[0])) == keeper[1]
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            alive, groups, homes = False, [], []
        if alive:
            continue
        for group, began in groups:
            if began is not None and remains(int(group), str(began)):
                with contextlib.suppress(OSError):
                    os.killpg(int(group), signal.SIGKILL)
        for home in homes:
            remove(home)
        path.unlink(missing_ok=True)
        ended += 1
    for path in [*room().glob("log-*.txt"), *room().glob("*.tmp"), *room().glob("home-*-*")]:
        owner = next((word for word in path.stem.split("-") if word.isdigit()), "")
        if owner and started(int(owner)) is None:  # a lab that was killed before its keeper knew of the folder
            remove(path) if path.is_dir() else path.unlink(missing_ok=True)
    return ended


def home() -> str:
    """A new folder that a game takes for the person's home; its name tells the process that it is for."""
    return tempfile.mkdtemp(prefix=f"home-{os.getpid()}-", dir=room())


def remove(home: Any) -> None:
    """Removes a folder of `home`, and nothing else."""
    path = Path(str(home))
    if path.parent == room() and path.name.startswith("home-"):
        shutil.rmtree(path, ignore_errors=True)
