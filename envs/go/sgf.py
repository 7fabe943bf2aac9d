"""SGF, file format 4: a parser and a writer for trees of nodes, for any game; what a Go record means is in
`record`.

Values are kept as they stand in the file (escapes included), so unknown properties survive reading and
writing. Parsing needs time and memory in proportion to its input, uses no recursion and stops at stated
limits. Files of strangers are read with a list of remarks: then most faults are repaired. Specification: A. Hollosi, https://www.red-bean.com/sgf/
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from envs.go import charsets

MAX_BYTES = 64 * 2**20  # bytes of one file, at most
LIMIT = 1_000_000  # nodes and values of one game tree together
REMARKS = 20  # remarks that are shown, at most

_START = re.compile(r"\(\s*;")
_BARE = re.compile(r"\(\s*(?=[A-Z]{1,2}\s*\[)")  # a first node without its semicolon
_SPACE = re.compile(r"[\s\0\ufeff]*")
_NAME = re.compile(r"[A-Za-z]+")
_STOP = re.compile(r"[\\\]]")
_STRAY = re.compile(r"[^;()A-Za-z]+")
_LOOSE = re.compile(r";\s*[BW]\s*\[[A-Za-z]{0,2}\]")  # a move
_LOST = re.compile(r"(?:^|[^A-Za-z])[A-Z]{1,2}\s*\[[^\[\]\\]{0,60}$")  # the end of a value with another one in it
# Properties that a stray blank may have torn apart.
_TORN = {"AB", "AE", "AW", "BR", "CA", "DT", "EV", "FF", "GM", "HA", "KM", "PB", "PL", "PW", "RE", "RU", "SZ", "WR"}
# In a raw value: an escaped line break (nothing), an escaped character (itself), a line break, other white
# space.
_SPECIAL = re.compile(r"\\(\r\n|\n\r|[\r\n])|\\(.)|(\r\n|\n\r|[\r\n])|[\t\v\f]", re.DOTALL)


class SGFError(ValueError):
    """Input that is not SGF, or not a record that we can play; says where."""


class Node:
    """One node: `properties` maps names such as "AB" to lists of raw values, `children` are the variations,
    the main line first.
    """

    __slots__ = ("children", "properties")

    def __init__(self, properties: dict[str, list[str]] | None = None):
        self.properties = properties or {}
        self.children: list[Node] = []

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of a property as simple text: without escapes, line breaks as spaces."""
        values = self.properties.get(name)
        return default if values is None else unescape(values[0]).replace("\n", " ").strip()

    def text(self, name: str = "C") -> str:
        """The first value of a property of type Text (by default the comment), "" if there is none."""
        return unescape(self.properties.get(name, [""])[0])

    def set(self, name: str, *values: str) -> None:
        """Sets a property from texts, which are escaped here."""
        self.properties[name] = [escape(value) for value in values]

    def add_child(self) -> "Node":
        """A new node without properties becomes the last child; returns it."""
        child = Node()
        self.children.append(child)
        return child

    def main_line(self) -> list["Node"]:
        """This node, its first child, and so on."""
        line = [self]
        while line[-1].children:
            line.append(line[-1].children[0])
        return line


def escape(text: str) -> str:
    r"""Protects `\` and `]`; `:` needs that only in composed values."""
    return text.replace("\\", "\\\\").replace("]", "\\]")


def unescape(value: str) -> str:
    """The text of a raw value: soft line breaks vanish, hard ones become newlines, other white space
    spaces.
    """
    return _SPECIAL.sub(lambda m: "" if m[1] else m[2] if m[2] else "\n" if m[3] else " ", value)


def read_file(path: str | Path) -> bytes:
    """The bytes of a file. Raises OSError, and SGFError for what is no regular file (a device may never end) or too
    large.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise SGFError("it is no regular file")
        if about.st_size > MAX_BYTES:
            raise SGFError(f"the file has {about.st_size} bytes, more than {MAX_BYTES}")
        return file.read(MAX_BYTES + 1)


def decode(data: bytes, remarks: list[str] | None = None) -> str:
    """The text of a file, see `charsets`. Bytes that no character set explains become U+FFFD."""
    if len(data) > MAX_BYTES:
        raise SGFError(f"the file has {len(data)} bytes, more than {MAX_BYTES}")
    text, remark = charsets.decode(data)
    if remarks is not None:
        remarks += remark
    return text


class Damage(str):
    """A remark on something that may have cost moves."""


def iterate(data: bytes | str, *, limit: int = LIMIT, remarks: list[str] | None = None) -> Iterator[Node]:
    """The game trees of a file one after the other, as their root nodes. Anything between trees is skipped.

    Raises SGFError with line and column for malformed input or a tree of more than `limit` nodes and values, and where
    there is no game at all. With a list of remarks, what can be repaired is repaired and told there: an end that is
    missing, stray characters, semicolons and values that were forgotten.
    """
    text = decode(data, remarks) if isinstance(data, bytes) else data
    pattern, start = _START, _START.search(text)
    bare = None if remarks is None else _BARE.search(text, 0, len(text) if start is None else start.start())
    if bare is not None and (start is None or _LOOSE.search(text, bare.end(), start.start())):
        pattern, start = _BARE, bare
    if start is None:
        raise SGFError("line 1, column 1: no game tree, which begins with '(;'")
    if before := _LOOSE.search(text, 0, start.start()):
        _fail(text, before.start(), "a move before the first '(;': the beginning of the game is missing")
    reader = _Reader(text, remarks)
    while start is not None:
        root = reader.tree(start.start(), limit)
        start = pattern.search(text, reader.offset)
        behind = _LOOSE.search(text, reader.offset, len(text) if start is None else start.start())
        if behind:
            reader.fault(behind.start(), "a move behind the end of the game")
        yield root


def parse(data: bytes | str, *, limit: int = LIMIT, remarks: list[str] | None = None) -> Node:
    """The first game tree of a file."""
    return next(iterate(data, limit=limit, remarks=remarks))


def _fail(text: str, offset: int, what: str) -> NoReturn:
    line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    raise SGFError(f"line {line}, column {column}: {what}")


class _Reader:
    """Reads trees; `offset` is where it stands."""

    def __init__(self, text: str, remarks: list[str] | None):
        self.text, self.remarks, self.offset, self.left = text, remarks, 0, 0
        self.seen, self.lines, self.newline = 0, 0, -1  # up to `seen`: line breaks, and where the last one is

    def fault(self, offset: int, what: str, *, harmless: bool = False) -> None:
        """Tells of something that is repaired, or raises it as an error."""
        if self.remarks is None:
            _fail(self.text, offset, what)
        if len(self.remarks) < REMARKS:
            if offset > self.seen:  # counted on from the last remark, since there may be many games with remarks
                self.lines += self.text.count("\n", self.seen, offset)
                self.newline = max(self.newline, self.text.rfind("\n", self.seen, offset))
                self.seen = offset
            remark = f"line {self.lines + 1}, column {max(offset - self.newline, 1)}: {what}"
            self.remarks.append(remark if harmless else Damage(remark))

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            _fail(self.text, self.offset, "too many nodes and values in one game tree")

    def sign(self) -> str:
        """The next character that is no white space."""
        self.offset = _SPACE.match(self.text, self.offset).end()
        return self.text[self.offset : self.offset + 1]

    def tree(self, offset: int, limit: int) -> Node:
        """The tree that begins at an offset."""
        self.offset, self.left = offset, limit
        top = Node()  # stands above the root
        branches, last, fresh = [], top, False  # branches: the node to which each open "(" is attached
        while True:
            sign = self.sign()
            letter = sign.isascii() and sign.isalpha()
            if fresh and sign != ";":
                self.fault(self.offset, "a game tree must begin with a node ';'", harmless=letter)
            if sign == ";" or (fresh and letter):
                if last.children and not fresh:
                    _fail(self.text, self.offset, "a node after the variations of its sequence")
                self.offset += sign == ";"
                self.spend()
                last = self.properties(last.add_child())
            elif sign == "(":
                branches.append(last)
                self.offset += 1
            elif sign == ")":
                last = branches.pop()
                self.offset += 1
                if not branches:
                    return top.children[0]
            elif sign:
                self.fault(self.offset, f"unexpected {sign!r}")
                self.spend()
                stray = _STRAY.match(self.text, self.offset)
                self.offset = self.offset if stray is None else stray.end()
                last = self.properties(last)
            else:
                self.fault(self.offset, "the file ends inside a game tree")
                return top.children[0]
            fresh = sign == "("

    def properties(self, node: Node) -> Node:
        """Reads the properties of a node. Returns it, or the last of the nodes that were read instead of it, where
        semicolons between moves had been forgotten.
        """
        torn = ""  # a name without a value just before
        while self.sign() and (named := _NAME.match(self.text, self.offset)):
            name = "".join(filter(str.isupper, named.group()))  # format 3 allowed lower case letters as padding
            self.offset = named.end()
            if self.sign() != "[":
                self.fault(self.offset, f"the property {named.group()[:20]} has no value")
                self.spend()
                torn = name
                continue
            if not name:
                self.fault(named.start(), f"the property {named.group()[:20]!r} has no capital letters", harmless=True)
                name = named.group().upper()
            if torn and torn + name in _TORN:
                name = torn + name
            torn = ""
            if name in ("B", "W") and self.remarks is not None and ("B" in node.properties or "W" in node.properties):
                self.fault(named.start(), f"no semicolon before the move of {name}", harmless=True)
                self.spend()
                node = node.add_child()
            for value in self.values(name):
                node.properties.setdefault(name, []).append(value)
        return node

    def values(self, name: str) -> Iterator[str]:
        """The values of a property as they stand there."""
        while self.sign() == "[":
            first = offset = self.offset + 1
            while stop := _STOP.search(self.text, offset):
                if stop.group() == "]":
                    break
                offset = stop.end() + 1
            else:
                self.fault(first - 1, f"the value of {name[:20]} never ends")
                self.offset = len(self.text)
                return
            value = self.text[first : stop.start()]
            if "[" in value and self.remarks is not None and _LOST.search(value):
                self.fault(first - 1, f"the value of {name[:20]} seems to lack its ']'")
            self.offset = stop.end()
            self.spend()
            yield value


def dump(roots: Node | Iterable[Node]) -> bytes:
    """One or more game trees as a UTF-8 file. The roots' CA and FF are set to what is written."""
    pieces = []
    for root in [roots] if isinstance(roots, Node) else roots:
        root.properties = {"FF": ["4"], "CA": ["UTF-8"]} | root.properties | {"FF": ["4"], "CA": ["UTF-8"]}
        stack: list[Node | str] = [")", root, "("]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                pieces.append(item)
                continue
            pieces.append(";")
            for name, values in item.properties.items():
                pieces.append(name + "".join(f"[{value}]" for value in values))
            if len(item.children) == 1:
                stack.append(item.children[0])
            else:
                for child in reversed(item.children):
                    stack += [")", child, "("]
        pieces.append("\n")
    return "".join(pieces).encode("utf-8", "replace")
