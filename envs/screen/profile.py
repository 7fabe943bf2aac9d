"""Profiles: what the lab knows of a game on the screen, one small TOML file each (docs/screen.md has every field)."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from envs.screen.keeper import LONGEST
from envs.screen.readers import ScreenReader, reader_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).with_name("profiles")
CONDITION = re.compile(r"(\w+) *(<=|>=|<|>|==) *(-?[\d.]+)")
RATES = (1.0, 60.0)  # decisions a second
Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of the window
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def _none() -> Any:
    return dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ScreenProfile:
    """One game. Raises ValueError for what cannot be."""

    name: str  # name of the profile
    title: str = ""  # name of the game, for people
    about: str = ""  # the game in a line
    install: str = ""  # command that installs it
    licence: str = ""  # licence of the game, which is never part of this project
    command: tuple[str, ...] = ()  # program and its options; {python} is the interpreter; empty: it is started by hand
    files: Mapping[str, str] = _none()  # files in the home folder made for it, path -> content
    environment: Mapping[str, str] = _none()  # variables of its environment
    window: str = ""  # regular expression of the window's title or class; empty: the largest window
    size: tuple[int, int] = (640, 480)  # width and height of the window, px, that boxes of readers are meant in
    display: tuple[int, int] = (800, 600)  # width and height of its virtual display, px
    patience: float = 30.0  # longest wait for the window, s
    rate: float = 15.0  # decisions a second
    seconds: float = 120.0  # longest episode, s
    start: tuple[str, ...] = ()  # steps once the window is there, as `parse_step` has them
    reset: tuple[str, ...] = ()  # steps to begin anew after a game has ended; empty: it is started anew
    actions: Mapping[str, tuple[str, ...]] = _none()  # name of an action -> keys that are held; the first holds none
    axes: Mapping[str, tuple[str, ...]] = _none()  # name of an axis -> key below 0, key above 0
    crop: Box = WHOLE  # part of the window that an agent sees
    masks: tuple[Box, ...] = ()  # parts of the window that an agent does not see: speed, map, score
    readers: Mapping[str, ScreenReader] = _none()  # name of a number -> how it is read
    reward_change: Mapping[str, float] = _none()  # number -> reward of each by which it grows
    reward_level: Mapping[str, float] = _none()  # number -> reward of each that it holds, a second
    reward_alive: float = 0.0  # reward of a second in which the game has not ended
    reward_over: float = 0.0  # reward of the game's end
    over: tuple[str, ...] = ()  # conditions of the game's end, such as "lives <= 0": one of them is enough
    over_ticks: int = 3  # decisions in a row for which a condition must hold
    score: str = ""  # number that is the score; empty: the sum of rewards is
    unreadable: str = ""  # sentence: why no score is read, where none is
    random: tuple[float, ...] = ()  # score of a random player: mean, its 95 % interval, number of full episodes
    still: float = 30.0  # longest time without a new picture, s, after which the game counts as hung; 0: any
    player: str = ""  # scripted player of `envs.screen.players`, which sees the same pictures

    def __post_init__(self) -> None:
        if not self.actions or next(iter(self.actions.values())):
            raise ValueError("[actions] must begin with one that holds no key, such as nothing = []")
        if not RATES[0] <= self.rate <= RATES[1]:
            raise ValueError(f"rate {self.rate:g}: must lie in {RATES[0]:g}..{RATES[1]:g}")
        if self.seconds <= 0 or self.patience <= 0 or self.still < 0 or self.over_ticks < 1:
            raise ValueError("seconds, patience and over_ticks must be above 0, and still not below")
        if min(*self.size, *self.display) < 16:
            raise ValueError(f"size {list(self.size)}, display {list(self.display)}: must be 16 pixels at least")
        for name, keys in self.axes.items():
            if len(keys) != 2:
                raise ValueError(f"axis {name}: must be two keys, for below and above 0; an empty one is none")
        for box in (self.crop, *self.masks):
            if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
                raise ValueError(f"{list(box)}: must be left, top, right, bottom as shares of the window")
        if len(self.random) not in (0, 4):
            raise ValueError(f"random {list(self.random)}: must be mean, low, high, episodes")
        wanted = {*self.reward_change, *self.reward_level, *([self.score] if self.score else ())}
        wanted |= {condition(text)[0] for text in self.over}
        steps = map(parse_step, (*self.start, *self.reset))
        wanted |= {condition(step.until)[0] for step in steps if step.until}
        if unknown := sorted(wanted - self.readers.keys()):
            raise ValueError(f"there is no reader {unknown[0]!r}")
        for name, reader in self.readers.items():
            if reader.box[2] > self.size[0] or reader.box[3] > self.size[1]:
                raise ValueError(f"reader {name}: its box {list(reader.box)} lies beside the window {list(self.size)}")
        try:
            re.compile(self.window)
        except re.error as fault:
            raise ValueError(f"window {self.window!r}: is no regular expression: {fault}") from None

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that may be pressed, by X's names."""
        pressed = [key for keys in (*self.actions.values(), *self.axes.values()) for key in keys if key]
        pressed += [key for step in (*self.start, *self.reset) if (key := parse_step(step).key)]
        return tuple(dict.fromkeys(pressed))


class ProfileStep(NamedTuple):
    """One thing that is done to begin a game."""

    key: str = ""  # key that is pressed; "" where it is a pause or a click
    seconds: float = 0.15  # time that the key is held, or that nothing is done
    point: tuple[float, float] | None = None  # point that is clicked, as shares of the window's width and height
    until: str = ""  # condition until which it is done again and again


def parse_step(text: str) -> ProfileStep:
    """``Return 0.2``, ``wait 3`` (s) or ``click 0.5 0.2`` -> what is done. Raises ValueError.

    ``Return until lives > 0`` and ``wait until lives > 0`` do it until the readers tell so.
    """
    text, until, bound = text.partition(" until ")
    if until:
        condition(bound)
        return parse_step(text + (" 0.25" if text == "wait" else ""))._replace(until=bound)
    key, *words = text.split() or [""]
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = [-1.0]
    if key == "click" and len(numbers) == 2 and all(0 <= x <= 1 for x in numbers):
        return ProfileStep(point=(numbers[0], numbers[1]))
    longest = 60.0 if key == "wait" else LONGEST
    if key in ("", "click") or len(numbers) > 1 or not all(0 < x <= longest for x in numbers):
        may = f"KEY, KEY SECONDS up to {LONGEST:g}, wait SECONDS up to 60, or click X Y from 0 to 1"
        raise ValueError(f"{text!r}: must be {may}")
    return ProfileStep("" if key == "wait" else key, *numbers)


def condition(text: str) -> tuple[str, str, float]:
    """``lives <= 0`` -> ("lives", "<=", 0.0). Raises ValueError."""
    found = CONDITION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r}: must be a condition such as lives <= 0")
    return found[1], found[2], float(found[3])


def holds(text: str, readings: Mapping[str, float]) -> bool:
    """Is a condition true of these numbers? One that has not been read makes it false."""
    name, sign, bound = condition(text)
    if name not in readings:
        return False
    value = readings[name]
    return {"<=": value <= bound, ">=": value >= bound, "<": value < bound, ">": value > bound, "==": value == bound}[
        sign
    ]


def names() -> list[str]:
    """The games that have a profile here."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@functools.lru_cache(maxsize=64)
def load(name: str) -> ScreenProfile:
    """The profile of that name, or of that file (.toml). Raises ValueError, in one sentence with the file."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        near = difflib.get_close_matches(name, names(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose {', '.join(names())}"
        raise ValueError(f"--game {name}: there is no such profile; {hint} (or a file .toml of your own)")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise ValueError(f"{path}: {fault.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ValueError(f"{path}: is no TOML file: {fault}") from None
    return parse(content, path.stem, str(path))


def parse(content: Mapping[str, Any], name: str, where: str) -> ScreenProfile:
    """A profile from what its file holds. Raises ValueError."""
    fields = {field.name: field for field in dataclasses.fields(ScreenProfile) if field.name != "name"}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in fields:
            near = difflib.get_close_matches(key, list(fields), n=1)
            raise ValueError(f"{where}: there is no field {key!r}" + (f"; did you mean {near[0]}?" if near else ""))
        values[key] = value
    try:
        for key, value in values.items():
            _of_kind(key, value, fields[key])
        if "readers" in values:
            values["readers"] = {key: reader_of(value) for key, value in values["readers"].items()}
        for key in ("actions", "axes"):
            if key in values:
                values[key] = {k: tuple(v) for k, v in values[key].items()}
        values = {k: _tuples(v) if isinstance(v, list) else v for k, v in values.items()}
        return ScreenProfile(name, **values)
    except (TypeError, ValueError, AttributeError, re.error) as fault:
        raise ValueError(f"{where}: {fault}") from None


def _of_kind(name: str, value: Any, field: dataclasses.Field) -> None:
    """Raises ValueError for a value of another kind than its field's: a word where a list of words belongs."""
    usual = field.default if field.default is not dataclasses.MISSING else field.default_factory()
    words = {tuple: "a list", dict: "a table", str: "text", float: "a number", int: "a whole number"}
    kinds = {tuple: list, dict: Mapping, str: str, float: (int, float), int: int}[type(usual)]
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise ValueError(f"{name} = {value!r}: must be {words[type(usual)]}")
    rows = [value] if name in ("command", "start", "reset", "over") else []
    for row in value.values() if name in ("actions", "axes") else rows:
        if not isinstance(row, list) or not all(isinstance(word, str) for word in row):
            raise ValueError(f'{name}: {row!r}: must be a list of words, such as ["Left"]')
    if name in ("reward_change", "reward_level") and not all(type(x) in (int, float) for x in value.values()):
        raise ValueError(f"{name}: must be numbers")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def of_words(window: str, keys: str) -> ScreenProfile:
    """A game without a profile, from ``left=Left,right=Right,jump=space+Up``. Raises ValueError."""
    actions: dict[str, tuple[str, ...]] = {"nothing": ()}
    for part in keys.split(",") if keys else ():
        name, equals, pressed = part.strip().partition("=")
        if not (name and equals and pressed):
            raise ValueError(f"--keys {keys}: write NAME=KEY,NAME=KEY+KEY, such as left=Left,right=Right")
        actions[name] = tuple(pressed.split("+"))
    if len(actions) < 2:
        raise ValueError("--window: name its keys, too, such as --keys left=Left,right=Right")
    return ScreenProfile("window", title=window, window=window, actions=actions,
                         unreadable="no profile says where a score stands on the window")  # fmt: skip


def text_of(profile: ScreenProfile) -> str:
    """A profile of `of_words` as a file, to be completed by hand."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = [f"title = {quoted(profile.title)}", f"window = {quoted(profile.window)}", f"size = {list(profile.size)}",
             f"rate = {profile.rate}", f"seconds = {profile.seconds}", f"unreadable = {quoted(profile.unreadable)}",
             "", "[actions]"]  # fmt: skip
    for name, keys in profile.actions.items():
        shown = name if re.fullmatch(r"[\w-]+", name) else quoted(name)
        lines.append(f"{shown} = [{', '.join(map(quoted, keys))}]")
    return "\n".join(lines) + "\n"
