"""Sizes and times in words."""

from __future__ import annotations

import time


def size(count: float) -> str:
    """Bytes, short."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def ago(then: float) -> str:
    """How long a moment is past, in its largest unit."""
    seconds = max(0.0, time.time() - then)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "just now"
