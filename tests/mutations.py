"""Damage to files, by chance and repeatable, and a watch over the files around them.

    for case in cases(data, "sgf"):
        with case.told(), unchanged(around, but=folder):
            ...  # write case.data somewhere inside `folder`, open it, compare

A failure names the case and how to see it again. Two environment variables rule how much is done:

    MUTATIONS=500 python -m pytest -n 0 tests/test_mutations_sgf.py     cases per file, more than CI does
    MUTATION_SEED=7 ...                                                 other cases
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

COUNT, SEED = 40, 1  # without the environment variables
PATIENCE = 120  # s for one case; only what hangs takes that long, on any machine

SYNTAX = (
    b"]", b"[", b"(", b")", b";", b":", b",", b"{", b"}", b'"', b"\\", b"\\]", b'\\"', b"'", b"\n", b"\r\n", b"\t",
    b"\x00", b"\x00" * 64, b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\x1b[2J\x1b[31m", b"\x07", b"\x9b", b"%s%n", b"{0}",
    b"../", b"../../../", b"/", b"/dev/zero", b"~", b"-", b"--help", b"\xed\xa0\x80", b"\\ud800", b"\xe2\x80\xae",
)  # fmt: skip
NUMBERS = (
    b"0", b"-1", b"-0", b"1e400", b"-1e400", b"NaN", b"Infinity", b"-Infinity", b"0.5", b"1e-320", b"2147483648",
    b"-9223372036854775809", b"18446744073709551616", b"1" + b"0" * 30, b"9" * 5000, b"true", b"null", b"[]", b"{}",
    b'""', b'"x"', b"0x10", b"1_000", b"\xd9\xa3",
)  # fmt: skip
WORDS = (b"null", b"true", b"0", b"-1", b"1e400", b"[]", b"{}", b'""', b'"../x"', b'"/x"', b'"\\u0000"', b'"\\ud800"')
ENCODINGS = ("utf-16", "utf-16-le", "utf-8-sig", "utf-32", "latin-1", "cp1252", "cp932", "gbk", "euc-kr", "utf-7")
NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
WORD = re.compile(rb'"(?:[^"\\\n]|\\.){0,200}"|\[[^\]\\\n]{0,200}\]')


class Case(NamedTuple):
    """One damaged file: what it is called in a failure, what was done to the data, and the data."""

    name: str
    what: str
    data: bytes

    @contextmanager
    def told(self) -> Iterator[None]:
        """Fails for what hangs, and adds to any failure which case it was."""
        try:
            with limited():
                yield
        except BaseException as fault:
            text = f"{self.name}: {self.what}; {len(self.data)} bytes: {self.data[:300]!r}"
            if hasattr(fault, "add_note"):  # Python 3.11
                fault.add_note(text)
            else:
                print(text)
            raise


def count(default: int = COUNT) -> int:
    """How many cases there are of each file: $MUTATIONS, else the default."""
    return int(os.environ.get("MUTATIONS", default))


def seed() -> int:
    """$MUTATION_SEED, else always the same."""
    return int(os.environ.get("MUTATION_SEED", SEED))


def cases(data: bytes, name: str, default: int = COUNT) -> Iterator[Case]:
    """Damaged versions of a file. Every kind of damage has its turn; case number i depends on the seed, the name and i
    alone.
    """
    kinds = list(KINDS)
    for number in range(count(default)):
        rng = random.Random(f"{seed()} {name} {number}")
        what, changed = mutate(data, rng, kinds[number % len(kinds)])
        yield Case(f"MUTATION_SEED={seed()} {name} case {number}", what, changed)


def mutate(data: bytes, rng: random.Random, kind: str | None = None) -> tuple[str, bytes]:
    """(what was done, the damaged data); now and then damaged up to three times. kind: of the first damage."""
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        chosen = kind or rng.choice(list(KINDS))
        what, data = KINDS[chosen](data, rng)
        done.append(f"{chosen} {what}".strip())
        kind = None
    return ", then ".join(done), data


def _slice(data: bytes, rng: random.Random, most: int = 200) -> tuple[int, int]:
    """A random piece, short ones oftener than long ones."""
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + int(most ** rng.random()))


def flip(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    changed, places = bytearray(data), []
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        at, bit = rng.randrange(len(data)), rng.randrange(8)
        changed[at] ^= 1 << bit
        places.append(f"{at}.{bit}")
    return "bits " + " ".join(places), bytes(changed)


def overwrite(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    start, end = _slice(data, rng)
    piece = rng.choice((b"\x00" * (end - start), b"\xff" * (end - start), rng.randbytes(end - start)))
    return f"{start}:{end} by {piece[:8]!r}...", data[:start] + piece + data[end:]


def cut(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    at = rng.randrange(len(data) + 1)
    return (f"behind {at}", data[:at]) if rng.random() < 0.8 else (f"before {at}", data[at:])


def delete(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    start, end = _slice(data, rng)
    return f"{start}:{end}", data[:start] + data[end:]


def duplicate(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    start, end = _slice(data, rng, max(len(data), 1))
    times = min(rng.choice((1, 1, 2, 50)), 1 + 200_000 // (end - start + 1))
    return f"{start}:{end} {times} times", data[:end] + data[start:end] * times + data[end:]


def swap(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    a, b, c, d = sorted(rng.randrange(len(data) + 1) for _ in range(4))
    return f"{a}:{b} and {c}:{d}", data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def insert(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    at, piece = rng.randrange(len(data) + 1), rng.choice(SYNTAX + NUMBERS)
    return f"{piece[:20]!r} at {at}", data[:at] + piece + data[at:]


def nest(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    at, piece = rng.randrange(len(data) + 1), rng.choice((b"[", b"(", b"{", b'{"a":', b"(;", b"]", b")", b"\\"))
    return f"{piece!r} 20,000 times at {at}", data[:at] + piece * 20_000 + data[at:]


def _replace(pattern: re.Pattern[bytes], pieces: tuple[bytes, ...], data: bytes, rng: random.Random):
    found = list(pattern.finditer(data))
    if not found:
        return insert(data, rng)
    chosen, piece = rng.choice(found), rng.choice(pieces)
    if chosen.group().startswith(b"["):  # a value of SGF, or a list of JSON
        piece = b"[" + piece + b"]"
    return f"{chosen.group()[:30]!r} at {chosen.start()} by {piece[:30]!r}", (
        data[: chosen.start()] + piece + data[chosen.end() :]
    )


def number(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    return _replace(NUMBER, NUMBERS, data, rng)


def word(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    return _replace(WORD, WORDS, data, rng)


def encode(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    source, target = rng.choice(("utf-8", "latin-1")), rng.choice(ENCODINGS)
    return f"from {source} to {target}", data.decode(source, "replace").encode(target, "replace")


def line_ends(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    end = rng.choice((b"\r\n", b"\r", b"\r\r\n", b"\n\r", b"\n\n", b" ", b"", b"\x00\n"))
    return f"{end!r}", data.replace(b"\n", end)


def empty(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    content = rng.choice((b"", b"\n", b"\x00", b" " * 1000, b"\x00" * 4096, b"null", b"[]", b"{}", b"\xef\xbb\xbf"))
    return f"{content[:8]!r}", content


def stranger(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Another kind of file altogether."""
    content = rng.choice((
        b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"\x80\x04\x95", b"%PDF-1.7\n", b"GIF89a",
        b"\xff\xd8\xff\xe0\x00\x10JFIF", b"\x93NUMPY\x01\x00", b"<!DOCTYPE html><html>", b"#!/bin/sh\nexit 1\n", b"",
    ))  # fmt: skip
    return f"{content[:8]!r}", content + rng.randbytes(rng.randrange(3000))


KINDS: dict[str, Callable[[bytes, random.Random], tuple[str, bytes]]] = {
    function.__name__: function
    for function in (
        flip, overwrite, cut, delete, duplicate, swap, insert, nest, number, word, encode, line_ends, empty, stranger,
    )
}  # fmt: skip


@contextmanager
def limited(seconds: float = PATIENCE) -> Iterator[None]:
    """Fails in place of waiting for ever (where signals are to be had: the main thread of a POSIX system)."""

    def late(*_):
        raise AssertionError(f"it did not end in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def state(root: Path, but: Path | None = None) -> dict[str, tuple]:
    """All that can be seen of what lies in a folder, itself included: kind, rights, size, time of change and content of
    every file, target of every link, nothing followed. but: a path that is left out, with all that is in it.
    """
    seen, waiting = {}, [Path(root)]
    while waiting:
        path = waiting.pop()
        if path == but:
            continue
        about = path.lstat()
        content = ""
        if stat.S_ISLNK(about.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(about.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISDIR(about.st_mode):
            waiting += path.iterdir()
        size = 0 if stat.S_ISDIR(about.st_mode) else about.st_size
        seen[str(path)] = (oct(about.st_mode), size, about.st_mtime_ns, about.st_nlink, content)
    return seen


@contextmanager
def unchanged(root: Path, but: Path | None = None) -> Iterator[None]:
    """Asserts that nothing in `root` outside `but` is made, changed, moved or removed meanwhile. (Reading leaves no
    trace here.)
    """
    before = state(root, but)
    yield
    after = state(root, but)
    for path in before.keys() | after.keys():
        assert after.get(path) == before.get(path), f"{path}: was {before.get(path)}, is {after.get(path)}"


def surroundings(root: Path) -> Path:
    """Fills a new folder with files that nobody may touch, and returns the path of an inner folder, still to be made,
    which `../neighbour/file.txt` leads out of.
    """
    neighbour = root / "neighbour"
    neighbour.mkdir(parents=True)
    (neighbour / "file.txt").write_text("this file is not yours\n")
    (neighbour / "manifest.json").write_text("{}\n")
    (neighbour / "empty").mkdir()
    (neighbour / "link").symlink_to("file.txt")
    (root / "file.txt").write_text("nor is this one\n")
    return root / "inside"
