"""Where the processes of a car meet on its computer: locks of devices, and the sockets of emergency stops."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
from pathlib import Path

from envs.car import CarError

LOCKS: list[int] = []  # file descriptors of the locks of this process
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


def folder() -> Path:
    """A folder that is this person's alone, the same for a service and for whoever logs in to stop it.

    JOYPAD_RUNTIME names another one. Raises CarError where it is somebody else's.
    """
    path = Path(os.environ.get("JOYPAD_RUNTIME") or f"/tmp/joypad-{os.getuid()}")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise CarError(f"{path}: {fault.strerror}; a folder for the emergency stop is needed there") from None
    about = path.lstat()
    if path.is_symlink() or about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise CarError(f"{path} can be written to by others: the emergency stop would not be safe there")
    return path


def hold(place: str, refusal: str) -> None:
    """Locks a name for as long as this process lives. Raises CarError with the refusal where another holds it."""
    file = os.open(folder() / f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise CarError(f"{refusal}; `drive --stop` stops it") from None
    LOCKS.append(file)


def listen(name: str) -> socket.socket:
    """The socket where emergency stops of this car arrive. Raises CarError where a car of that name drives already."""
    if not NAME.fullmatch(name):
        raise CarError(f"--name {name!r}: must be letters, digits, and . _ - between them")
    path = folder() / f"{name}.stop"
    hold(f"{name}-name", f"a car named {name!r} drives on this computer already: choose another --name")
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # socket of a guardian that was killed: the lock says that none lives
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    heard.bind(str(path))
    heard.setblocking(False)
    return heard


def stop_all(patience: float = 1.0) -> list[str]:
    """Stops every car of this computer; returns the names of those that answered within `patience` seconds."""
    stopped, own = [], folder()
    root = os.getuid() == 0 and "JOYPAD_RUNTIME" not in os.environ
    for path in sorted(Path("/tmp").glob("joypad-*/*.stop") if root else own.glob("*.stop")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asked:
            try:
                asked.bind("")  # a name that Linux chooses, outside all folders: who answers needs no way into ours
                asked.settimeout(patience)
                asked.sendto(b"stop", str(path))
                if asked.recv(64) == b"stopped":
                    stopped.append(path.stem)
            except OSError:  # the socket of a car that is no more
                continue
    return stopped


def process_state(pid: int) -> str:
    """The state of a process as Linux calls it: R running, S sleeping, T stopped, Z dead; X where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "X"
    return text.rpartition(")")[2].split()[0]
