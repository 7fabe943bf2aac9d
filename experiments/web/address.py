"""Addresses: where a server may listen, what a person has to open, and which Host a request may name."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket

ALL = ("0.0.0.0", "::")  # names for every address of this machine
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.~-]+)?\]|[\w.-]+)(?::\d{1,5})?", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62}\.)*[A-Za-z0-9-]{0,62}\.?", re.ASCII)


def check(host: str, port: int) -> None:
    """Raises ValueError with a sentence for what cannot be --host or --port."""
    if not 0 <= port < 2**16:
        raise ValueError(f"--port {port}: must lie in 0..65535")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        # An empty name would mean every address; digits and dots alone are an address with a slip in it.
        if len(host) > 253 or not NAME.fullmatch(host) or not re.search("[A-Za-z]", host):
            raise ValueError(
                f"--host {host[:60]!r}: must be an address or a name of this machine, for example 127.0.0.1 (this"
                " machine alone) or 0.0.0.0 (every machine that can reach this one)"
            ) from None


def is_loopback(host: str) -> bool:
    """Does it name this machine, for itself alone?"""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str | None:
    """The host in a Host header, without its port and brackets; None where it is none."""
    found = HOST.fullmatch(header)
    return found[1].strip("[]") if found else None


def shown(host: str) -> str:
    """The host to open in a browser: for every address of this machine the one in the local network."""
    if host in ALL:
        family, alone = (socket.AF_INET6, "::1") if ":" in host else (socket.AF_INET, "127.0.0.1")
        host = _in_network(family) or alone
    return f"[{host}]" if ":" in host else host


def _in_network(family: socket.AddressFamily) -> str | None:
    """The address from which this machine would speak to others. Nothing is sent."""
    other = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # addresses kept for documentation
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((other, 9))
            return probe.getsockname()[0]
    except OSError:
        return None


def refusal(host: str, port: int, fault: Exception) -> str:
    """Why the server cannot listen, as one sentence."""
    if isinstance(fault, socket.gaierror):
        return f"--host {host}: there is no machine of that name"
    reason = getattr(fault, "errno", None)
    if reason == errno.EADDRINUSE:
        return f"--port {port}: another program uses it; choose another one, or leave --port out for a free one"
    if reason == errno.EADDRNOTAVAIL:
        return f"--host {host}: is not an address of this machine"
    if reason in (errno.EACCES, errno.EPERM):
        return f"--port {port}: ports below 1024 are for the administrator; choose a higher one"
    return f"cannot listen on {host}, port {port}: {fault}"
