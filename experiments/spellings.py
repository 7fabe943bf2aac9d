"""The ways to write an option on a command line, and which option each of them means.

An option of a group with a prefix, such as the game's `noise` in the group `env`, has a long form that always works,
`--env.noise`, and the short form `--noise` where no other option is called so. Options without a prefix (those of the
program) have the short form alone, and it is theirs.
"""

from __future__ import annotations

import collections
import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agents.core.renamed import Names
from experiments import cli

BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def dashed(name: str) -> str:
    """Returns a field's name as options are spelled, with dashes for underscores."""
    return name.replace("_", "-")


def unique(prefixed: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of (prefix, field) whose short form means them alone; a field without a prefix always has it."""
    count = collections.Counter(field for _, field in prefixed)
    return {(prefix, field) for prefix, field in prefixed if not prefix or count[field] == 1}


@dataclasses.dataclass(frozen=True)
class Spellings:
    """What the words of one command line mean.

    known: the options that have a name. renamed: prefix -> names of earlier versions of the options with that prefix.
    """

    known: Sequence[Any]
    renamed: Mapping[str, Names]

    def __post_init__(self) -> None:
        table: dict[str, list[Any]] = collections.defaultdict(list)
        for option in self.known:
            table[option.long].append(option)
            if option.prefix:
                table["--" + dashed(option.field)].append(option)
        for option in self.known:  # the program's own options keep their names
            if not option.prefix:
                table[option.long] = [option]
        object.__setattr__(self, "_table", dict(table))
        object.__setattr__(self, "_told", set())

    def flags(self) -> list[str]:
        """Every form that means exactly one option."""
        return [flag for flag, options in self._table.items() if len(options) == 1]

    def find(self, flag: str) -> Any | None:
        """The option of `--noise` or `--env.noise`, also under its name of an earlier version. Raises UserError."""
        options = self._table.get(dashed(flag)) or self._earlier(flag)
        if len(options) > 1:
            forms = " or ".join(option.long for option in options)
            raise cli.UserError(f"{flag} could mean {forms}: write the one that is meant")
        return options[0] if options else None

    def _earlier(self, flag: str) -> list[Any]:
        prefix, dot, name = flag.removeprefix("--").replace("-", "_").rpartition(".")
        found = [o for o in self.known for old, new in self.renamed.get(o.prefix, Names({})).fields.items()
                 if (old, new) == (name, o.field) and (o.prefix == prefix or not dot)]  # fmt: skip
        if len(found) == 1 and flag not in self._told:
            self._told.add(flag)
            cli.tell(f"{flag} is called {found[0].flag} now")
        return found

    def value(self, option: Any, text: str) -> str:
        """A value under its name of today."""
        names = self.renamed.get(option.prefix)
        new = names.values.get(option.field, {}).get(text, text) if names else text
        if new == text or not isinstance(new, str):  # booleans are read where values are
            return text
        cli.tell(f"{option.flag} {text} is called {option.flag} {new} now")
        return new

    def normal(self, words: Sequence[str]) -> Iterator[str]:
        """The words as argparse cannot misread them: one form of each option, with its value bound to it."""
        waiting = list(words)
        while waiting:
            word = waiting.pop(0)
            if word == "--" or not word.startswith("--"):
                yield word
                continue
            name, equals, value = word.partition("=")
            option, on = self._switched(name)
            if option is None:
                yield f"{dashed(name)}={value}" if equals else dashed(name)
            elif option.switch:
                if not equals and waiting and is_boolean(option, waiting[0]) and on:
                    equals, value = "=", waiting.pop(0)
                on = on and (not equals or boolean(option, value))
                if on is not None:  # None: as if nothing were said
                    yield option.flag if on else f"--no-{option.flag[2:]}"
            elif option.many:
                yield f"{option.flag}={value}" if equals else option.flag
            elif equals or (waiting and not waiting[0].startswith("--")):
                yield f"{option.flag}={self.value(option, value if equals else waiting.pop(0))}"
            else:
                raise cli.UserError(f"{name}: a value is missing ({option.flag} {option.metavar}: {option.help})")

    def _switched(self, name: str) -> tuple[Any | None, bool]:
        """The option of a flag, and whether it is switched on: `--no-graphs` and `--agent.no-graphs` are not."""
        if (option := self.find(name)) is not None:
            return option, True
        prefix, dot, field = name.removeprefix("--").rpartition(".")
        for positive in (f"--{name[5:]}" if name.startswith("--no-") else "",
                         f"--{prefix}.{field[3:]}" if dot and field.startswith("no-") else ""):  # fmt: skip
            option = self.find(positive) if positive else None
            if option is not None and option.switch:
                return option, False
        return None, True

    def nearest(self, flag: str) -> str:
        """A proposal for a flag that means nothing; empty where none is near."""
        near = difflib.get_close_matches(dashed(flag), self.flags(), n=1)
        return f"did you mean {near[0]}? " if near else ""


def is_boolean(option: Any, text: str) -> bool:
    """Is the word behind a switch its value? Earlier versions wrote `--video no` for `--no-video`."""
    return text.lower() in BOOLEANS or (option.default is None and text == "auto")


def boolean(option: Any, text: str) -> bool | None:
    """The value of a switch. Raises UserError."""
    if option.default is None and text == "auto":
        return None
    if text.lower() not in BOOLEANS:
        raise cli.UserError(f"{option.flag}={text}: write {option.flag} or --no-{option.flag[2:]}")
    return BOOLEANS[text.lower()]
