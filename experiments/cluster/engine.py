"""A connection to a Ray cluster: what is refused before anything runs, in one sentence each.

Ray is kept quiet and to itself: it sends no usage statistics, has no dashboard, and a cluster of this machine alone
(``--cluster local``) listens on loopback. Who can reach the ports of a cluster can run code on it (docs/security.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments import cli

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agents", "envs", "experiments")
QUIET = {  # environment that Ray reads when it starts; its workers inherit it
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TQDM_PATCH_PRINT": "0", "RAY_ENABLE_METRICS_COLLECTION": "0",
}  # fmt: skip
# Where Ray reads this it takes 127.0.0.1 for the machine's address and listens there alone: it was made for systems
# whose firewall asks the person. An address that is named (127.0.0.1) would be replaced by one that others reach.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
TOKEN = Path.home() / ".ray" / "auth_token"  # secret that Ray's nodes and drivers show each other
SOON = {  # settings of a cluster of this machine: a silent node is given up after some seconds
    "health_check_initial_delay_ms": 5000, "health_check_period_ms": 2000, "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
}  # fmt: skip
ANSWER = 60.0  # seconds in which a node must say what it is
REACH = 5.0  # seconds in which an address must answer
ATTEMPTS = 3  # tries to start a cluster of this machine
LEAST_STORE = 2**28  # bytes of the object store of a cluster of this machine, at least


class ClusterNode(NamedTuple):
    """A machine of the cluster."""

    id: str
    name: str
    processors: float
    store: float  # bytes of its object store
    address: tuple[str, int] = ("", 0)  # host and port of its manager

    def answers(self) -> bool:
        """Does it take a connection? Ray itself believes in a node that died for some seconds more."""
        try:
            socket.create_connection(self.address, 1.0).close()
        except OSError:
            return False
        return True


def load(here: bool = False) -> Any:
    """The package `ray`. here: for a cluster of this machine alone. Raises UserError where it is not installed."""
    for name, value in {**QUIET, **(LOOPBACK if here else {})}.items():
        os.environ.setdefault(name, value)
    if here or TOKEN.exists():  # a cluster that was started with the token refuses who does not show it
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise cli.UserError('--cluster needs Ray: pip install -e ".[cluster]"') from None
    return ray


def connect(where: str, store: int = 0) -> list[ClusterNode]:
    """Connects to a cluster: ``local`` starts one of this machine alone, ``auto`` finds one that runs here, anything
    else is the address of its head. store: bytes that the object store of ``local`` shall hold.

    Raises UserError where there is none.
    """
    ray = load(where == "local")
    if ray.is_initialized():
        return nodes()
    if where == "local":
        from agents.core import device as devices

        size = int(min(max(LEAST_STORE, store), _shared_memory()))
        options = dict(num_cpus=devices.cores(), _system_config=SOON, object_store_memory=size)
        options |= {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
        patiently(lambda: ray.init(address="local", **options))  # Ray would join a cluster that runs here otherwise
        return nodes()
    if where != "auto":
        _require_reachable(where)
    _join(ray, where, where)
    return nodes()


def join(address: str, where: str) -> None:
    """As one more process of a run: connects to the head that the first one is connected to, by --cluster `where`.

    Raises UserError.
    """
    _join(load(where == "local"), address, where)


def _join(ray: Any, address: str, where: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as fault:
        raise cli.UserError(f"--cluster {where}: {_refusal(where, fault)}") from None


def address() -> str:
    """The head's, as HOST:PORT, once there is a connection."""
    return load().get_runtime_context().gcs_address


def patiently(start: Callable[[], Any]) -> Any:
    """Starts a node on this machine. On a busy one Ray gives up after 30 s: then once more, with a word."""
    for attempt in range(ATTEMPTS):
        try:
            return start()
        except Exception as fault:
            load().shutdown()
            if "timed out during startup" not in str(fault):
                raise
            cli.tell(f"Ray has not begun within 30 s (attempt {attempt + 1} of {ATTEMPTS})")
    raise cli.UserError("--cluster local: Ray does not begin; is this machine very busy?")


def _shared_memory() -> float:
    """Bytes that an object store may take here."""
    with contextlib.suppress(OSError, AttributeError):
        found = os.statvfs("/dev/shm")
        return 0.9 * found.f_bavail * found.f_frsize
    return float(LEAST_STORE)


def _require_reachable(address: str) -> None:
    """Raises UserError where nothing answers at host:port. Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise cli.UserError(f"--cluster {address}: name local, auto, or the head's HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except OSError as fault:
        raise cli.UserError(
            f"--cluster {address}: no cluster answers there ({fault.strerror or fault}); `ray start --head` starts one"
        ) from None


def _refusal(where: str, fault: Exception) -> str:
    text = " ".join(str(fault).split())
    if "ersion mismatch" in text:
        theirs = re.findall(r"(?:Ray|Python): (\S+)", text)
        told = f" ({', '.join(theirs)})" if theirs else ""
        return f"the cluster has another version of Ray or Python than this machine{told}"
    if where == "auto":
        return "no cluster runs on this machine; `ray start --head` starts one, --cluster local one for this run alone"
    return f"this machine is no node of that cluster; `ray start --address={where}` makes it one ({text[:120]})"


def nodes() -> list[ClusterNode]:
    """The machines of the cluster that are alive, the head first."""
    found = []
    for node in load().nodes():
        if node["Alive"]:
            resources = node["Resources"]
            name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            memory = resources.get("object_store_memory", 0.0)
            address = (node["NodeManagerAddress"], int(node["NodeManagerPort"]))
            one = ClusterNode(node["NodeID"], name, resources.get("CPU", 0.0), memory, address)
            found.append((resources.get("node:__internal_head__", 0.0), one))
    return [node for _, node in sorted(found, key=lambda pair: -pair[0])]


def require_processors(found: list[ClusterNode], wanted: int, where: str) -> None:
    """Raises UserError where the cluster has fewer processors than `wanted` actors."""
    there = int(sum(node.processors for node in found))
    if wanted > there:
        raise cli.UserError(
            f"--actors {wanted}: each needs a processor, and the cluster {where} has {there} on {len(found)} node"
            + ("s" if len(found) > 1 else "")
        )


def require_store(found: list[ClusterNode], needed: int, what: str) -> None:
    """Raises UserError where the object store of the learner's node cannot hold what is under way."""
    ray = load()
    here = ray.get_runtime_context().get_node_id()
    store = next((node.store for node in found if node.id == here), 0.0)
    if needed > store:
        raise cli.UserError(
            f"the object store of this node holds {store / 2**20:,.0f} MiB and the blocks under way need"
            f" {needed / 2**20:,.0f} MiB; {what}, or `ray start --object-store-memory` with more"
        )


def versions() -> dict[str, str]:
    """What must be the same on every node: the lab with all its files, torch, Python."""
    import torch

    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    lab = f"{cli.own_version()} ({digest.hexdigest()[:8]})"
    return {"joypad": lab, "torch": torch.__version__, "Python": platform.python_version()}


def require_same(here: Mapping[str, str], theirs: Mapping[str, Mapping[str, str] | str]) -> None:
    """Raises UserError that names the first node with another version. theirs: node -> versions, or a fault."""
    for node, found in theirs.items():
        if isinstance(found, str):
            raise cli.UserError(f"node {node} cannot run the lab: {found}")
        for name, version in here.items():
            if found.get(name) != version:
                there = found.get(name, "not at all")
                raise cli.UserError(f"node {node} has {name} {there}, this one {version}: install the same there")


def check_versions(found: list[ClusterNode]) -> None:
    """Asks every node what it runs. Raises UserError for the first that is not as this one, by name."""
    ray = load()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    ask = ray.remote(num_cpus=0, max_retries=0)(versions)
    asked = {node.name: ask.options(scheduling_strategy=On(node.id, soft=False)).remote() for node in found}
    told: dict[str, Any] = {}
    for name, answer in asked.items():
        try:
            told[name] = ray.get(answer, timeout=ANSWER)
        except Exception as fault:  # whatever it is, that node is of no use, and the person is told which and why
            told[name] = _why(fault)
    require_same(versions(), told)


def _why(fault: Exception) -> str:
    text = str(fault)
    if missing := re.search(r"No module named '([\w.]+)'", text):
        return f"{missing[1]} is not installed there"
    return " ".join(text.split())[-200:] or type(fault).__name__


def full() -> tuple[type[Exception], ...]:
    """What Ray raises where its object store and the disk behind it have no room left, here or in an actor."""
    exceptions = load().exceptions
    return exceptions.ObjectStoreFullError, exceptions.OutOfDiskError


def close() -> None:
    """Leaves the cluster; one of this machine alone ends."""
    load().shutdown()
