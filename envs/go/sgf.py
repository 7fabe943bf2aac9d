"""SGF, file format 4: a parser and a writer for trees of nodes, for any game; what a Go record means is in
`record`.

Values are kept as they stand in the file (escapes included), so unknown properties survive reading and
writing. Parsing needs time and memory in proportion to its input, uses no recursion and stops at stated
limits. Specification: A. Hollosi, https://www.red-bean.com/sgf/
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import NoReturn

MAX_BYTES = 64 * 2**20  # of one file
LIMIT = 1_000_000  # nodes and values of one game tree together
CHARSETS = (
    "utf-8",
    "ascii",
    "iso8859",
    "cp",
    "gb",
    "hz",
    "big5",
    "shift_jis",
    "euc",
    "koi8",
    "johab",
    "tis",
    "mac",
)

_START = re.compile(r"\(\s*;")
_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z]+")
_STOP = re.compile(r"[\\\]]")
_CHARSET = re.compile(rb"(?<![A-Za-z])CA\s*\[\s*([\w.:+-]{1,40})\s*\]")
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


def decode(data: bytes) -> str:
    """The text of a file: by its CA property, else as UTF-8 where that is valid, else as Latin-1.

    Latin-1 is the standard's default, UTF-8 what newer programs write without saying so. Bytes that the
    character set does not know become U+FFFD. Raises SGFError for an unknown character set.
    """
    if len(data) > MAX_BYTES:
        raise SGFError(f"the file has {len(data)} bytes, more than {MAX_BYTES}")
    if data.startswith(codecs.BOM_UTF8):
        return data.decode("utf-8-sig", "replace")
    named = _CHARSET.search(data[:65536])
    if named is None:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("latin-1")
    name = named.group(1).decode("ascii", "replace")
    try:
        charset = codecs.lookup(name).name
    except LookupError:
        charset = ""
    if not charset.startswith(CHARSETS):
        raise SGFError(f"offset {named.start()}: unknown character set {name!r}")
    return data.decode(charset, "replace")


def _fail(text: str, offset: int, what: str) -> NoReturn:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    raise SGFError(f"line {line}, column {column}: {what}")


def iterate(data: bytes | str, *, limit: int = LIMIT) -> Iterator[Node]:
    """The game trees of a file one after the other, as their root nodes. Anything between trees is skipped.

    Raises SGFError with line and column for malformed input or a tree of more than `limit` nodes and values,
    and where there is no game at all.
    """
    text = decode(data) if isinstance(data, bytes) else data
    start = _START.search(text)
    if start is None:
        raise SGFError("line 1, column 1: no game tree, which begins with '(;'")
    while start is not None:
        root, end = _tree(text, start.start(), limit)
        yield root
        start = _START.search(text, end)


def parse(data: bytes | str, *, limit: int = LIMIT) -> Node:
    """The first game tree of a file."""
    return next(iterate(data, limit=limit))


def _tree(text: str, offset: int, limit: int) -> tuple[Node, int]:
    """The tree that begins at `offset` and the offset behind it."""
    top = Node()  # stands above the root
    branches, last, fresh = [], top, False  # branches: the node to which each open "(" is attached
    while True:
        offset = _SPACE.match(text, offset).end()
        sign = text[offset : offset + 1]
        if fresh and sign != ";":
            _fail(text, offset, "a game tree must begin with a node ';'")
        if sign == ";":
            if last.children and not fresh:
                _fail(text, offset, "a node after the variations of its sequence")
            last = last.add_child()
            offset, values = _properties(text, offset + 1, last, limit)
            limit -= 1 + values
            if limit < 0:
                _fail(text, offset, "too many nodes and values in one game tree")
        elif sign == "(":
            branches.append(last)
            offset += 1
        elif sign == ")":
            last = branches.pop()
            offset += 1
            if not branches:
                return top.children[0], offset
        elif sign:
            _fail(text, offset, f"unexpected {sign!r}")
        else:
            _fail(text, offset, "the file ends inside a game tree")
        fresh = sign == "("


def _properties(text: str, offset: int, node: Node, limit: int) -> tuple[int, int]:
    """Reads the properties of a node; returns the offset behind them and the number of values."""
    total = 0
    while True:
        offset = _SPACE.match(text, offset).end()
        named = _NAME.match(text, offset)
        if named is None:
            return offset, total
        name = "".join(filter(str.isupper, named.group()))  # format 3 allowed lower case letters as padding
        if not name:
            _fail(text, offset, f"the property {named.group()[:20]!r} has no capital letters")
        values = node.properties.setdefault(name, [])
        offset, before = named.end(), total
        while True:
            offset = _SPACE.match(text, offset).end()
            if text[offset : offset + 1] != "[":
                break
            first = offset = offset + 1
            while True:
                stop = _STOP.search(text, offset)
                if stop is None:
                    _fail(text, first - 1, f"the value of {name[:20]} never ends")
                if stop.group() == "]":
                    break
                offset = stop.end() + 1
            values.append(text[first : stop.start()])
            offset = stop.end()
            total += 1
            if total > limit:
                _fail(text, offset, "too many nodes and values in one game tree")
        if total == before:
            _fail(text, offset, f"the property {name[:20]} has no value")


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
