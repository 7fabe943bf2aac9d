"""Command lines: the fields of dataclasses are the options, the comments behind them are the help; argparse reads.

    game: Positional[str]        a word without a name
    steps: int | None = None     --steps N: 1000000, 1_000_000 or 1e6
    web: bool = False            --web or --no-web
    search: tuple[str, ...]      --search A B C
    env: Repeated = ()           --env A --env B
    out: Annotated[Path, Shown("FILE")]     what stands for the value in the help

Options of several groups may have one name: `experiments.spellings` tells which is meant. Every mistake is one
sentence, `experiments.cli.UserError`.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import difflib
import inspect
import io
import itertools
import math
import re
import shutil
import sys
import tokenize
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, TypeVar

from agents.core import renamed
from agents.core.renamed import Names
from experiments import cli
from experiments.spellings import Spellings, dashed, unique

T = TypeVar("T")
Positional = Annotated[T, "positional"]
Repeated = Annotated[tuple[str, ...], "repeated"]
SEEDS = (0, 2**31 - 1)
MINUTES = (0.001, 1e6)  # training time, in minutes: long enough for some steps, two years at most
VIDEOS = (".mp4", ".gif")  # endings of the files that videos are written to
HIDDEN = argparse.SUPPRESS  # help text that hides an option: it is understood only to be refused with a reason
METAVARS = {"game": "GAME", "run": "RUN", "init": "RUN", "teacher_run": "RUN", "resume": "RUN", "agent": "AGENT",
            "data": "FOLDER", "runs": "FOLDER", "out": "FOLDER", "record": "FOLDER", "split": "FOLDER",
            "merge": "FOLDER", "convert": "FOLDER", "save": "FOLDER", "what": "RUN", "words": "WORD", "tags": "TAG",
            "players": "PLAYER", "player": "PLAYER", "device": "DEVICE", "policy": "POLICY", "recipe": "NAME",
            "name": "NAME", "protocol": "NAME", "tracks": "TRACKS", "port": "PORT", "host": "ADDRESS"}  # fmt: skip
KINDS = {int: "N", float: "N", Path: "FILE", str: "TEXT"}


@dataclasses.dataclass(frozen=True)
class Shown:
    """What stands for the value in the help."""

    metavar: str


class Option(NamedTuple):
    """One field of a dataclass as the command line sees it."""

    field: str
    kind: type  # type of one value; bool for switches
    choices: tuple[str, ...]  # allowed values of a Literal
    many: str  # number of values: "" one, "many" a list, "repeated" one for each use of the option
    positional: bool
    metavar: str
    help: str
    default: Any  # default value; dataclasses.MISSING where the user must name one
    optional: bool  # True if the field itself has a default
    prefix: str = ""  # prefix of the group, which begins the long form
    alone: bool = True  # True if no other option has this name, so that the short form is enough

    @property
    def long(self) -> str:
        """The form that always works."""
        return "--" + dashed(f"{self.prefix}.{self.field}" if self.prefix else self.field)

    @property
    def flag(self) -> str:
        """The form that people are shown: the short one where it means this option alone."""
        return "--" + dashed(self.field) if self.alone else self.long

    @property
    def switch(self) -> bool:
        """Is it on or off?"""
        return self.kind is bool


class OptionGroup(NamedTuple):
    """Options under one title, which together make one dataclass."""

    title: str
    kind: type
    default: Any = None  # instance whose values are the defaults; None: the class's own defaults
    helps: Mapping[str, str] = types.MappingProxyType({})  # help of fields in place of comments; HIDDEN: not offered
    prefix: str = ""  # beginning of the long form, such as env for --env.noise of an option --noise
    renamed: Names = renamed.NOTHING  # names of earlier versions, which are still understood


def read(kind: type[T], argv: Sequence[str] | None, about: str, prog: str) -> T:
    """The dataclass from a command line (of the process where `argv` is None). Raises UserError.

    about: the description in the help. prog: the program's name, such as `train`.
    """
    names = renamed.PROGRAMS.get(prog, renamed.NOTHING)
    return read_groups([OptionGroup("options", kind, renamed=names)], argv, about, prog)[0]


def read_groups(groups: Sequence[OptionGroup], argv: Sequence[str] | None, about: str, prog: str) -> list[Any]:
    """One dataclass for each group of options."""
    words = list(sys.argv[1:] if argv is None else argv)
    known = _known(groups)
    named = [o for o in itertools.chain(*known) if not o.positional]
    spellings = Spellings(named, {g.prefix: g.renamed for g in groups})
    parser = _Parser(known, groups, about, prog)
    if "--version" in words:
        print(cli.version())
        sys.exit(0)
    if {"-h", "--help"} & {*words}:
        print(parser.format_help(), end="")
        sys.exit(0)
    found, extra = parser.parse_known_intermixed_args(list(spellings.normal(words)))
    if extra:
        _refuse(extra, spellings, prog)
    results = []
    for group, mine in zip(groups, known, strict=True):
        values = {o.field: _value(o, getattr(found, _place(o))) for o in mine if hasattr(found, _place(o))}
        values |= {o.field: () for o in mine if o.many and o.default is dataclasses.MISSING and o.field not in values}
        missing = [o for o in mine if o.default is dataclasses.MISSING and o.field not in values]
        if missing:
            what = missing[0].metavar if missing[0].positional else missing[0].flag
            raise cli.UserError(f"{what} is missing: {missing[0].help}; {cli.command(prog)} --help tells more")
        with cli.refusing():
            base = {} if group.default is None else {o.field: o.default for o in mine}
            results.append(group.kind(**{**base, **values}))
    return results


def _known(groups: Sequence[OptionGroup]) -> list[list[Option]]:
    """The options of each group; those that have a name know whether another one is called so."""
    known = [[o._replace(help=g.helps.get(o.field, o.help), prefix=g.prefix) for o in options(g.kind, g.default)]
             for g in groups]  # fmt: skip
    named = unique([(o.prefix, o.field) for o in itertools.chain(*known) if not o.positional])
    return [[o._replace(alone=o.positional or (o.prefix, o.field) in named) for o in mine] for mine in known]


def _place(option: Option) -> str:
    """The attribute of argparse's result that holds an option's words."""
    return f"{option.prefix}.{option.field}"


def choose(kinds: Mapping[str, type], argv: Sequence[str] | None, about: str, prog: str) -> Any:
    """The dataclass of the first word, from the words behind it. Raises UserError."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--version"]:
        print(cli.version())
        sys.exit(0)
    if not words or words[0] in ("-h", "--help"):
        lines = [f"usage: {cli.command(prog)} {{{','.join(kinds)}}} ...", "", about.strip(), "", "commands:"]
        lines += [f"  {name:{max(map(len, kinds))}}  {(kind.__doc__ or '').strip()}" for name, kind in kinds.items()]
        if not words:
            raise cli.UserError(f"which of {', '.join(kinds)}? {cli.command(prog)} --help tells more")
        print("\n".join([*lines, "", f"{cli.command(prog)} COMMAND --help lists the options of one"]))
        sys.exit(0)
    if words[0] not in kinds:
        raise cli.UserError(f"there is no command {words[0]!r}; {nearest(words[0], kinds)}")
    kind = kinds[words[0]]
    return read(kind, words[1:], kind.__doc__ or "", f"{prog} {words[0]}")


def nearest(name: str, known: Any) -> str:
    """A proposal for a name that is not known: the nearest ones, else all."""
    near = difflib.get_close_matches(name, list(known), n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"choose {', '.join(known)}"


def options(kind: type, default: Any = None) -> Iterator[Option]:
    """The options that the fields of a dataclass are."""
    hints, comments = typing.get_type_hints(kind, include_extras=True), helps(kind)
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        hint, notes = hints[field.name], ()
        if typing.get_origin(hint) is Annotated:
            hint, *notes = typing.get_args(hint)
        single, many = _plain(hint), ""
        if typing.get_origin(single) is tuple:
            single, many = typing.get_args(single)[0], "repeated" if "repeated" in notes else "many"
        choices = tuple(map(str, typing.get_args(single))) if typing.get_origin(single) is Literal else ()
        shown = next((n.metavar for n in notes if isinstance(n, Shown)), None)
        shown = shown or METAVARS.get(field.name) or KINDS.get(single, "TEXT")
        own = dataclasses.MISSING if field.default_factory is dataclasses.MISSING else field.default_factory()
        own = field.default if field.default is not dataclasses.MISSING else own
        yield Option(
            field.name, str if choices else single, choices, many, "positional" in notes, shown,
            comments.get(field.name, ""), own if default is None else getattr(default, field.name),
            own is not dataclasses.MISSING,
        )  # fmt: skip


def _plain(hint: Any) -> Any:
    """`X | None` -> X."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return hint


def helps(kind: type) -> dict[str, str]:
    """Field -> the comment on its line, for the fields of a dataclass and of those that it extends.

    A field that only has another default than there, and no comment, keeps the comment of what is extended.
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        try:
            source = inspect.cleandoc("\n" + inspect.getsource(base))
        except (OSError, TypeError):  # made without a source file
            continue
        comments = {t.start[0]: t.string.lstrip("# ") for t in tokenize.generate_tokens(io.StringIO(source).readline)
                    if t.type == tokenize.COMMENT}  # fmt: skip
        names = {f.name for f in dataclasses.fields(base)}
        for node in ast.parse(source).body[0].body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id in names:
                found[node.target.id] = comments.get(node.end_lineno) or found.get(node.target.id, "")
    return found


def _refuse(extra: Sequence[str], spellings: Spellings, prog: str) -> NoReturn:
    """Says what is wrong with words that nothing takes."""
    unknown = next((word.partition("=")[0] for word in extra if word.startswith("-")), None)
    tells = f"{cli.command(prog)} --help lists all"
    if unknown is None:
        raise cli.UserError(f"{extra[0]!r} is one word too many; {tells}")
    raise cli.UserError(f"there is no option {unknown}; {spellings.nearest(unknown)}{tells}")


def _value(option: Option, text: Any) -> Any:
    """What was written, as a value of the option's type. Raises UserError."""
    if option.many:
        return tuple(_one(option, t) for t in text)
    return _one(option, text)


def _one(option: Option, text: str) -> Any:
    if option.switch:  # argparse has read it
        return text
    message = f"{option.metavar if option.positional else option.flag} {text}"
    if option.choices:
        if text not in option.choices:
            raise cli.UserError(f"{message}: {nearest(text, option.choices)}")
        return text
    if option.kind is int:
        return whole(message, text)
    if option.kind is float:
        try:
            return float(text)
        except ValueError:
            raise cli.UserError(f"{message}: must be a number, such as 0.001 or 1e-3") from None
    return option.kind(text)


def whole(option: str, text: str) -> int:
    """A whole number, also as 1e6. Raises UserError that begins with `option`."""
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(text)) and number == int(number) and abs(number) < 2**53:
            return int(number)
    raise cli.UserError(f"{option}: must be a whole number, such as 1000000 or 1e6")


def video(path: Path | None) -> None:
    """Raises ValueError for a file that is named as no video is; None is none."""
    if path is not None and path.suffix.lower() not in VIDEOS:
        raise ValueError(f"--video {path}: must end in {' or '.join(VIDEOS)}")


def is_share(text: str) -> bool:
    """Is it a number from 0 to 1?"""
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def checked(flag: str, check: Callable[[Any], Any], value: Any) -> None:
    """Raises ValueError that names the option where `check` refuses its value."""
    try:
        check(value)
    except ValueError as fault:
        raise ValueError(f"{flag} {value}: {fault}") from None


def within(config: Any, low: float, high: float, *names: str) -> None:
    """Raises ValueError for the first field outside low..high; None is none. NaN is outside."""
    value, low, high = _outside(config, low, high, names)
    if value:
        raise ValueError(f"{value}: must lie in {low}..{high}")


def at_least(config: Any, low: int, *names: str) -> None:
    """Raises ValueError for the first field below `low`; None is none."""
    value, low, _ = _outside(config, low, math.inf, names)
    if value:
        raise ValueError(f"{value}: must be at least {low}")


def _outside(config: Any, low: float, high: float, names: Sequence[str]) -> tuple[str, str, str]:
    """The option and value of the first field outside low..high, "" without one; and both ends, for people."""
    named = ((name, getattr(config, name)) for name in names)
    wrong = next(((name, x) for name, x in named if x is not None and not low <= x <= high), None)
    ends = [f"{x:g}" if isinstance(x, float) else str(x) for x in (low, high)]
    if wrong is None:
        return "", *ends
    name, x = wrong
    return f"--{dashed(name)} " + (f"{x:g}" if isinstance(x, float) else str(x)), *ends


class _Parser(argparse.ArgumentParser):
    """argparse with the options of dataclasses; it collects words, `_value` reads them."""

    def __init__(self, known: Sequence[Sequence[Option]], groups: Sequence[OptionGroup], about: str, prog: str):
        names = [o for mine in known for o in mine if o.positional]
        words = [f"[{o.metavar} ...]" if o.many else f"[{o.metavar}]" if o.optional else o.metavar for o in names]
        usage = " ".join([cli.command(prog), *words, "[options]"])
        super().__init__(
            prog=cli.command(prog), usage=usage, add_help=False,
            allow_abbrev=False, description=about.strip(), formatter_class=_Help, argument_default=argparse.SUPPRESS,
        )  # fmt: skip
        for group, mine in zip(groups, known, strict=True):
            longer = f"Each may be written --{group.prefix}.NAME, too." if group.prefix else None
            section = self.add_argument_group(group.title, longer)
            for option in mine:
                section.add_argument(*_names(option), **_settings(option))
        last = self.add_argument_group("help")
        last.add_argument("-h", "--help", action="store_true", help="this text")
        last.add_argument("--version", action="store_true", help="the version")

    def error(self, message: str) -> NoReturn:
        raise cli.UserError(re.sub(r"^argument ", "", message))


class _Help(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal, up to 120 columns."""

    def __init__(self, prog: str):
        super().__init__(
            prog, max_help_position=34, width=min(120, max(60, shutil.get_terminal_size((100, 24)).columns))
        )


def _names(option: Option) -> list[str]:
    return [_place(option)] if option.positional else [option.flag]


def _settings(option: Option) -> dict[str, Any]:
    """Arguments of `add_argument`."""
    metavar = f"{{{','.join(option.choices)}}}" if option.choices else option.metavar
    keywords: dict[str, Any] = {"help": _help_text(option).replace("%", "%%"), "metavar": metavar}
    if not option.positional:
        keywords["dest"] = _place(option)
    if option.switch:
        del keywords["metavar"]
        keywords["action"] = argparse.BooleanOptionalAction
    elif option.many == "repeated":
        keywords["action"] = "append"
    elif option.many:
        keywords["nargs"] = "*"
    elif option.positional:
        keywords["nargs"] = "?"
    return keywords


def _help_text(option: Option) -> str:
    """The help with the default, where there is one worth a word."""
    default = option.default
    if option.help == HIDDEN or option.positional or default is dataclasses.MISSING or default in (None, (), ""):
        return option.help
    shown = f"{default:g}" if isinstance(default, float) else default
    if isinstance(default, bool):
        shown = "on" if default else "off"
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else shown
    return f"{option.help} (default: {shown})".lstrip()
