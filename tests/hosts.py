"""Two machines of a Ray cluster on one: network namespaces with a cable between them where that is allowed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PORT = 6379
ATTEMPTS = 4  # tries to start a node
PATIENCE = 180.0  # seconds in which a node must have begun, on a busy machine too
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1"}


def allowed() -> bool:
    """May this process make network namespaces? ONE_MACHINE in the environment says that it shall not."""
    if os.environ.get("ONE_MACHINE"):
        return False
    name = f"joypad{secrets.token_hex(3)}"
    try:
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, timeout=20)
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return False
    return made.returncode == 0


def free_port() -> int:
    """A port of this machine at which nobody listens."""
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Hosts:
    """A head and a second node, each with so many processors. Without namespaces both are of this machine.

    A context manager; `prefix(0)` stands before a command that runs on the head, where the learner is. other: a file or
    folder, and the one in whose place the second node sees it, for which there must be namespaces. path: a folder of
    packages. more: further variables of the environment.
    """

    def __init__(
        self, processors: int = 1, separate: bool | None = None, other: tuple[Path, Path] | None = None,
        path: Path | None = None, more: Mapping[str, str] | None = None,
    ):  # fmt: skip
        self.folder = Path(tempfile.mkdtemp(prefix="jp", dir="/tmp"))  # a socket's path has 107 bytes at most
        self.processors, self.other = processors, other
        self.separate = allowed() if separate is None else separate
        if other is not None and not self.separate:
            pytest.skip("network namespaces are not permitted here: both nodes would see the same files")
        self.mark = secrets.token_hex(2)
        self.subnet = f"10.{77 + os.getpid() % 100}.{os.getpid() % 250}"
        self.nodes: list[subprocess.Popen | None] = []
        self.port = PORT if self.separate else free_port()  # two clusters of one machine need two
        paths = os.pathsep.join(str(one) for one in (ROOT, path) if one is not None)
        self.env = {**os.environ, **QUIET, "PYTHONPATH": paths, "RAY_AUTH_TOKEN": secrets.token_hex(32), **(more or {})}

    def name(self, host: int) -> str:
        return f"joypad-{self.mark}-{host}"

    def ip(self, host: int) -> str:
        return f"{self.subnet}.{host + 1}" if self.separate else "127.0.0.1"

    @property
    def address(self) -> str:
        """Of the head."""
        return f"{self.ip(0)}:{self.port}"

    def prefix(self, host: int) -> list[str]:
        return ["ip", "netns", "exec", self.name(host)] if self.separate else []

    def __enter__(self) -> Hosts:
        try:
            if self.separate:
                self._cable()
            self.start(0)
            self.start(1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _cable(self) -> None:
        ends = [f"jp{self.mark}{host}" for host in (0, 1)]
        for host in (0, 1):
            subprocess.run(["ip", "netns", "add", self.name(host)], check=True)
        subprocess.run(["ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]], check=True)
        for host in (0, 1):
            inside = ["ip", "-n", self.name(host)]
            subprocess.run(["ip", "link", "set", ends[host], "netns", self.name(host)], check=True)
            subprocess.run([*inside, "addr", "add", f"{self.ip(host)}/24", "dev", ends[host]], check=True)
            subprocess.run([*inside, "link", "set", "lo", "up"], check=True)
            subprocess.run([*inside, "link", "set", ends[host], "up"], check=True)

    def start(self, host: int) -> None:
        """Starts a node and waits until it has joined."""
        for _ in range(ATTEMPTS):
            if self._began(host, self._words(host)):
                return
            self.kill(host)
        raise RuntimeError(f"node {host} has not begun: {(self.folder / f'node-{host}.log').read_text()[-800:]}")

    def _words(self, host: int) -> list[str]:
        """The command that starts a node, on ports that are free now."""
        words = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block"]
        words += ["--num-cpus", str(self.processors), "--object-store-memory", str(2**27), "--disable-usage-stats"]
        words += [f"--temp-dir={self.folder}/{host}", f"--node-ip-address={self.ip(host)}"]
        for port in ("dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port",
                     "runtime-env-agent-port"):  # fmt: skip
            words.append(f"--{port}={free_port()}")
        if host == 0:
            words += ["--head", "--include-dashboard=false", f"--port={self.port}"]
        else:
            words.append(f"--address={self.address}")
        if host == 1 and self.other is not None:  # `ip netns exec` has mounts of its own
            mount = f'mount --bind "{self.other[0]}" "{self.other[1]}" && exec "$@"'
            words = ["sh", "-c", mount, "sh", *words]
        return words

    def _began(self, host: int, words: list[str]) -> bool:
        """Has it, in one attempt? Ray gives up after 30 s, which a busy machine may need for its Python processes."""
        path = self.folder / f"node-{host}.log"
        with open(path, "wb") as log:
            process = subprocess.Popen([*self.prefix(host), *words], stdout=log, stderr=log, env=self.env)
        self.nodes[host:] = [process]
        end = time.monotonic() + PATIENCE
        while b"--block" not in path.read_bytes():
            if process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.3)
        return True

    def kill(self, host: int) -> None:
        """The node is gone, with all its processes, without a word."""
        for pid in self._processes(host):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if host < len(self.nodes) and self.nodes[host] is not None:
            self.nodes[host].wait()

    def _processes(self, host: int) -> list[int]:
        if self.separate:
            found = subprocess.run(["ip", "netns", "pids", self.name(host)], capture_output=True, text=True)
            return [int(word) for word in found.stdout.split()]
        root = self.nodes[host].pid if host < len(self.nodes) else 0
        return descendants(root) if root else []

    def run(self, *argv: object, host: int = 0, **options: object) -> subprocess.Popen:
        """A program of the lab on a host."""
        words = [*self.prefix(host), sys.executable, "-m", *map(str, argv)]
        return subprocess.Popen(words, env=self.env, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload]

    def __exit__(self, *fault: object) -> None:
        for host in reversed(range(len(self.nodes))):
            self.kill(host)
        if self.separate:
            for host in (0, 1):
                subprocess.run(["ip", "netns", "delete", self.name(host)], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def descendants(root: int) -> list[int]:
    """A process and all that it started, the youngest first."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    found: Sequence[int] = [root]
    every = [root]
    while found:
        found = [pid for pid, parent in parents.items() if parent in found]
        every += found
    return every[::-1]


def listening(pids: list[int]) -> list[str]:
    """The IPv4 addresses at which these processes listen, as the system says it; those of IPv6 that map one, too."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            target = os.readlink(link) if link.is_symlink() else ""
            inodes |= {target[8:-1]} if target.startswith("socket:[") else set()
    found = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                address = bytes.fromhex(words[1].partition(":")[0][-8:])[::-1]
                found.append(".".join(map(str, address)))
    return found
