"""Text of a stranger's file as a terminal may have it: what it would obey is written out."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """The text with ``\\x1b`` and its like in place of control characters and marks of direction, all but `keep`."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def shown(value: object, longest: int = 80) -> str:
    """A value as one short line for a message."""
    text = value if isinstance(value, str) else repr(value)
    return printable(text if len(text) <= longest else f"{text[: longest - 3]}...")
