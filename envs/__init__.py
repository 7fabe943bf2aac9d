"""The registry of games: name -> where its code is. Games of our own are Gymnasium ids, too: ``import envs`` after
gymnasium (or ``envs.register()``), or ``gymnasium.make("envs:joypad/Flappy-v0")`` without either.

A module offers ``Options`` (a frozen dataclass), ``make_vec(num_envs, **options)`` and
``make(render_mode, **options)``, and says with ``describe(options)`` what the game is (`envs.description`); a family of
games (Atari, Gymnasium) takes one more argument that says which. Where the module compiles kernels, ``Options`` and
``describe`` may be in another one that does not (`Game.facts`): help and refusals load that alone. Nothing heavy is
imported here.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from envs import kernels
from envs.description import REAL_TIME, Description, GameSuite

kernels.drop_stale(Path(__file__).resolve().parent.parent)


class GameEntry(NamedTuple):
    """A game's entry."""

    module: str  # dotted name of the game's module
    about: str = ""  # the game in a line
    ids: Mapping[str, Mapping[str, Any]] = MappingProxyType({})  # Gymnasium ids of the game -> options of each
    facts: str = ""  # dotted name of the module with Options and `describe`, where it is another
    repeats: bool = True  # False where equal seeds and actions do not make equal games
    room: str = ""  # package with programs of its own: `play`, which opens it to people, and `watched` (PLAYERS)


GAMES: dict[str, GameEntry | str] = {  # our own games; the name of the module alone is an entry, too
    "flappy": GameEntry(
        "envs.flappy.env",
        "Flappy Bird, exact to the pixel, with options for speed, gap, light",
        {"Flappy-v0": {}},
        facts="envs.flappy.facts",
    ),
    "kart": GameEntry(
        "envs.kart.env",
        "kart racing with a camera, tracks, weather, rivals: for driving by reinforcement and by cloning",
        {"Kart-v0": {}},
        facts="envs.kart.facts",
    ),
    "car": GameEntry(
        "envs.car_game.env",
        "a toy car with a camera, simulated, or learned from recordings of a real one",
        facts="envs.car_game.facts",
    ),
    "go": GameEntry(
        "envs.go.env",
        "Go on 2x2 to 19x19: to play against, to analyse (play go, gtp, tournament)",
        {f"Go{size}-v0": {"size": size} for size in (5, 7, 9, 13, 19)},
        facts="envs.go.facts",
        room="experiments.go",
    ),
    "car-racing": GameEntry(
        "envs.car_racing", "Gymnasium's CarRacing-v3, the same pictures many times faster (extra box2d)"
    ),
    "screen": GameEntry(
        "envs.screen.env",
        "any game in a window of its own, whose keys are pressed: --game names which (extra screen)",
        {"Screen-v0": {}},
        facts="envs.screen.facts",
        repeats=False,
    ),
}
SAME = {"gym:CarRacing-v3": "car-racing"}  # Gymnasium's games that are here too, equal to the pixel and faster

# ROMs in ale-py's wheel that need two players; the emulator ends the whole process on them.
TWO_PLAYERS = frozenset({"combat", "joust", "maze_craze", "warlords"})


OTHERS = "any other Gymnasium environment: gym:ID, such as gym:CartPole-v1 or gym:package:ID"


class UnknownGame(ValueError):
    """No game of that name; the message suggests the nearest."""


_named: set[str] = set()


def trust(words: Iterable[str]) -> None:
    """Takes the words that the person at the keyboard wrote: modules that they name may be imported.

    ``gym:MODULE:ID`` imports MODULE, and so does a wrapper MODULE:CLASS. A name that a file tells, such as a run's
    config.json, is not enough for that.
    """
    for word in words:
        _named.update((word, word.partition("=")[2], *word.split(","), *word.partition("=")[2].split(",")))


def named() -> frozenset[str]:
    """The words that the person wrote."""
    return frozenset(_named)


def is_trusted(name: str) -> bool:
    """May the module of a game or of a wrapper be imported? A name as the person wrote it, or with /AGENT behind it."""
    return any(word == name or word.startswith(f"{name}/") for word in _named)


def atari_games() -> list[str]:
    """Every ALE game that one player can play, by ROM id."""
    return [*atari_roms()]


def atari_roms() -> Iterator[str]:
    """ROM ids, read from the names of the files in ale-py's wheel, without importing it."""
    spec = importlib.util.find_spec("ale_py")
    if spec is None or spec.submodule_search_locations is None:
        return
    folder = Path(next(iter(spec.submodule_search_locations))) / "roms"
    yield from sorted({p.stem for p in folder.glob("*.bin")} - TWO_PLAYERS)


class Family(NamedTuple):
    """Games that share a module, and are scored together beside the literature (`GameSuite`)."""

    module: str
    title: str
    roms: Callable[[], Iterator[str]]  # names of the family's games, with underscores

    @property
    def games(self) -> list[str]:
        """The canonical names of its games."""
        return [name.replace("_", "-") for name in self.roms()]


FAMILIES = {"atari": Family("envs.atari", "Atari", atari_roms)}


def games() -> list[str]:
    """Every name that `find` knows, without the open family ``gym:ID``."""
    return [*GAMES, *(name for family in FAMILIES.values() for name in family.games)]


def entry(name: str) -> GameEntry:
    """The entry of one of our own games. Raises KeyError."""
    found = GAMES[name]
    return GameEntry(found) if isinstance(found, str) else found


def ids() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Gymnasium ids of our own games, without their namespace -> (module, options)."""
    games = map(entry, GAMES)
    return {short: (game.module, values) for game in games for short, values in game.ids.items()}


def find(name: str) -> tuple[str, dict[str, Any]]:
    """Name of a game -> (module, what the module needs to know which game is meant). Raises UnknownGame."""
    name = SAME.get(name, name)
    if name in GAMES:
        return entry(name).module, {}
    if name.startswith("gym:"):
        return "envs.gym", {"id": name.removeprefix("gym:")}
    rom = name.replace("-", "_").lower()
    if rom in atari_games():
        return "envs.atari", {"game": rom}
    if rom in TWO_PLAYERS:
        raise UnknownGame(
            f"there is no game {name!r} for one: it needs two players; python -m experiments.list tells more"
        )
    if re.fullmatch(r"[\w/]+-v\d+", name):  # as Gymnasium's ids end
        raise UnknownGame(f"there is no game {name!r}; a Gymnasium environment is called gym:{name} here")
    near = difflib.get_close_matches(name, games(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "try breakout, pong, or gym:CartPole-v1"
    raise UnknownGame(f"there is no game {name!r}; {hint}")


def is_foreign(name: str) -> bool:
    """Is it a stranger's: a Gymnasium environment as it is, whose info and methods have no meaning in the lab?"""
    return SAME.get(name, name).startswith("gym:")


def canonical(name: str) -> str:
    """The one spelling of a game's name: ``space_invaders`` -> ``space-invaders``."""
    name = SAME.get(name, name)
    module, which = find(name)
    return which["game"].replace("_", "-") if module == "envs.atari" else name


def _load(module: str) -> Any:
    """A game's module; where it has kernels, those who want to know hear of their compilation (`kernels.tell`)."""
    if not kernels.compiles(module):
        return importlib.import_module(module)
    kernels.listen()
    with kernels.alone(module.rpartition(".")[0].replace(".", "/")):
        return importlib.import_module(module)


def _facts(name: str) -> Any:
    """The module with a game's Options and its `describe`."""
    module, name = find(name)[0], SAME.get(name, name)
    own = entry(name).facts if name in GAMES else ""
    return importlib.import_module(own) if own else _load(module)


def options(name: str, **values: Any) -> Any:
    """The game's Options with `values`. Raises ValueError for a value that is not allowed, TypeError for a name."""
    return _facts(name).Options(**values)


def describe(name: str, **values: Any) -> Description:
    """What the game with these options is, without opening it. Raises what `find` and `options` raise."""
    _, which = find(name)
    code = _facts(name)
    chosen = code.Options(**values)
    own = getattr(code, "describe", None)
    found = own(chosen, **which) if own else Description()
    name = canonical(name)
    about = entry(name).about if name in GAMES else found.about
    return dataclasses.replace(found, name=name, about=about, options=chosen)


def suite(family: str) -> GameSuite:
    """The sets of games of one of FAMILIES, and how they are scored."""
    return _load(FAMILIES[family].module).SUITE


def is_of(name: str, family: str) -> bool:
    """Is a game of one of FAMILIES?"""
    return find(name)[0] == FAMILIES[family].module


def make_vec(name: str, num_envs: int, **values: Any) -> Any:
    """A gymnasium.vector.VectorEnv of `num_envs` games, autoreset NEXT_STEP; `values`: fields of the game's Options."""
    module, which = find(name)
    games = _load(module).make_vec(num_envs, **which, **values)
    if hasattr(_facts(name), "describe"):
        _agree(name, describe(name, **values), games)
    return games


def _agree(name: str, about: Description, games: Any) -> None:
    """The metadata tells of real time what the description does. Raises ValueError where the game says both."""
    for fact in REAL_TIME:
        declared, stated = getattr(about, fact), games.metadata.get(fact)
        if stated is not None and stated != declared:
            raise ValueError(f"{name}: its description says {fact}={declared}, the metadata of its games {stated}")
    games.metadata = {**games.metadata, **{fact: getattr(about, fact) for fact in REAL_TIME}}


def make(name: str, render_mode: str | None = None, **values: Any) -> Any:
    """One game as a gymnasium.Env, to be watched or played."""
    module, which = find(name)
    return _load(module).make(render_mode, **which, **values)


def defaults(name: str) -> dict[str, Any]:
    """The fields of the game's Options with their default values."""
    return dataclasses.asdict(options(name))


def scored(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` of a training without the options that only training has (their fields say so): games that count.

    A module may say more of them: ``scored(values, **which)``.
    """
    known = dataclasses.fields(options(name))
    kept = {f.name: values[f.name] for f in known if f.name in values and not f.metadata.get("training")}
    more = getattr(_facts(name), "scored", None)
    return more(kept, **find(name)[1]) if more else kept


def register() -> None:
    """Registers our own games with Gymnasium; done on import where gymnasium is loaded already."""
    import gymnasium

    for game in map(entry, GAMES):
        for short, values in game.ids.items():
            if f"joypad/{short}" not in gymnasium.registry:
                entries = dict(entry_point=f"{game.module}:make", vector_entry_point=f"{game.module}:make_vec")
                gymnasium.register(
                    f"joypad/{short}", kwargs=dict(values), nondeterministic=not game.repeats, **entries
                )


if "gymnasium" in sys.modules:
    register()
