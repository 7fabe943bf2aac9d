"""The Go Text Protocol, version 2: lines in, one answer out for each. Knows no command.

Input: control characters are dropped (a tab counts as a space), `#` begins a comment, lines without a command are
passed over, a command may carry a number before it. Output: `=` or `?`, that number, the text, an empty line.
Specification: G. Farneback, "Specification of the Go Text Protocol, version 2, draft 2" (2002).
"""

import queue
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

LONGEST = 1 << 14  # bytes of one line; longer lines are refused without being kept
TOO_LONG = b"line-too-long"
WAITING = 1024  # lines that wait unread at most; then the sender has to wait

INTERNAL = "internal fault"  # beginning of an answer that should never be given

_DROPPED = dict.fromkeys([*range(32), 127]) | {9: " "}  # control characters; a newline has already ended the line
_NUMBER = re.compile(r"([0-9]+)(?:\s+|$)")


class GTPError(Exception):
    """A command's answer when it fails; the message goes to the controller."""


class GTPCommand(NamedTuple):
    """One command as it came: its number as written ("" without one), name and arguments."""

    number: str
    name: str
    arguments: list[str]
    rest: str = ""  # text behind the name as it came, for file names with spaces


def parse(line: str) -> GTPCommand | None:
    """The command of a line, or None if it has none."""
    text = line.translate(_DROPPED).partition("#")[0].strip()
    if not text:
        return None
    found = _NUMBER.match(text)
    number = found.group(1) if found else ""
    text = text[found.end() :] if found else text
    name, _, rest = text.partition(" ")
    return GTPCommand(number, name, rest.split(), rest.strip())


def answer(number: str, text: str, *, failed: bool = False) -> str:
    """An answer with the empty line that ends it. Empty lines within the text would end it early: they go."""
    lines = [line.rstrip() for line in text.splitlines()]
    body = "\n".join(line for line in lines if line)
    return f"{'?' if failed else '='}{number}{' ' if body else ''}{body}\n\n"


class Input:
    """Lines of a stream, read by a thread of their own, so that a running analysis sees that one has come.

    stream: unbuffered, as `sys.stdin.buffer.raw`: a thread that waits inside Python's buffered reader when the program
    ends makes Python abort. longest: bytes of a line; a longer one comes as an unknown command, so that its answer
    keeps its place.
    """

    def __init__(self, stream: BinaryIO, longest: int = LONGEST):
        self._stream, self._longest = stream, longest
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING)
        self._seen: list[str | None] = []  # lines that `wait` has taken from the queue
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        pending, dropping = b"", False  # a line's beginning; whether it is too long to be kept
        while True:
            try:
                data = self._stream.read(1 << 16)
            except (OSError, ValueError):  # the stream was closed under us
                data = b""
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._put(line, dropping)
                dropping = False
            if dropping or len(pending) >= self._longest:
                pending, dropping = b"", True
        if pending or dropping:
            self._put(pending, dropping)
        self._lines.put(None)

    def _put(self, line: bytes, dropped: bool) -> None:
        line = TOO_LONG if dropped or len(line) >= self._longest else line
        self._lines.put(line.decode("utf-8", "surrogateescape"))

    def waiting(self) -> bool:
        """Whether a line, or the end of the input, has come and was not taken."""
        return bool(self._seen) or not self._lines.empty()

    def wait(self) -> None:
        """Until something is waiting."""
        if not self._seen:
            self._seen.append(self._lines.get())

    def __iter__(self) -> Iterator[str]:
        while True:
            line = self._seen.pop() if self._seen else self._lines.get()
            if line is None:
                return
            yield line


class Output:
    """Where answers go."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream

    def send(self, text: str) -> None:
        """Writes and flushes."""
        self._stream.write(text.encode("utf-8", "replace"))
        self._stream.flush()


def serve(lines: Input, output: Output, commands: Callable[[GTPCommand], str | None]) -> None:
    """Answers command after command until `quit` or the end of the input.

    `commands` returns an answer's text, or None if it has sent everything itself; it raises GTPError to refuse.
    """
    for line in lines:
        command = parse(line)
        if command is None:
            continue
        try:
            text = commands(command)
        except GTPError as fault:
            output.send(answer(command.number, str(fault), failed=True))
        except BrokenPipeError:  # nobody listens any more
            raise
        except Exception as fault:  # a fault of ours must not end somebody's game
            traceback.print_exc()
            output.send(answer(command.number, f"{INTERNAL}: {fault}", failed=True))
        else:
            if text is not None:
                output.send(answer(command.number, text))
        if command.name == "quit":
            return
