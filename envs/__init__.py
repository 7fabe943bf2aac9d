"""The registry of games: name -> module. Everything of our own is also a Gymnasium id: ``import envs`` after
gymnasium (or ``envs.register()``), or ``gymnasium.make("envs:joypad/Flappy-v0")`` without either.

A module offers ``Options`` (a frozen dataclass), ``make_vec(num_envs, **options)`` and
``make(render_mode, **options)``; a family of games (Atari, Gymnasium) takes one more argument that says which.
Nothing heavy is imported here.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from envs import kernels

kernels.drop_stale(Path(__file__).resolve().parent.parent)

GAMES: dict[str, str] = {  # our own games: name -> module
    "flappy": "envs.flappy.env",
    "kart": "envs.kart.env",
    "go": "envs.go.env",
    "car-racing": "envs.car_racing",
}
ABOUT: dict[str, str] = {  # name -> the game in a line
    "flappy": "Flappy Bird, exact to the pixel, with options for speed, gap, light",
    "kart": "kart racing with a camera, tracks, weather, rivals: for driving by reinforcement and by cloning",
    "go": "Go on 2x2 to 19x19: to play against, to analyse (play go, gtp, tournament)",
    "car-racing": "Gymnasium's CarRacing-v3, the same pictures many times faster (extra box2d)",
}
SAME = {"gym:CarRacing-v3": "car-racing"}  # Gymnasium's games that are here too, equal to the pixel and faster
IDS: dict[str, tuple[str, dict[str, Any]]] = {  # Gymnasium id -> (module, options)
    "Flappy-v0": ("envs.flappy.env", {}),
    "Kart-v0": ("envs.kart.env", {}),
    **{f"Go{size}-v0": ("envs.go.env", {"size": size}) for size in (5, 7, 9, 13, 19)},
}


# ROMs in ale-py's wheel that need two players; the emulator ends the whole process on them.
TWO_PLAYERS = frozenset({"combat", "joust", "maze_craze", "warlords"})


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


def games() -> list[str]:
    """Every name that `find` knows, without the open family ``gym:ID``."""
    return [*GAMES, *(name.replace("_", "-") for name in atari_roms())]


def find(name: str) -> tuple[str, dict[str, Any]]:
    """Name of a game -> (module, what the module needs to know which game is meant). Raises UnknownGame."""
    name = SAME.get(name, name)
    if name in GAMES:
        return GAMES[name], {}
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


def canonical(name: str) -> str:
    """The one spelling of a game's name: ``space_invaders`` -> ``space-invaders``."""
    name = SAME.get(name, name)
    module, which = find(name)
    return which["game"].replace("_", "-") if module == "envs.atari" else name


def _load(module: str) -> Any:
    """A game's module; where it has kernels, those who want to know hear of their compilation (`kernels.tell`)."""
    if module.rpartition(".")[0].replace(".", "/") in kernels.PACKAGES:
        kernels.listen()
    return importlib.import_module(module)


def options(name: str, **values: Any) -> Any:
    """The game's Options with `values`. Raises ValueError for a value that is not allowed, TypeError for a name."""
    module, _ = find(name)
    return _load(module).Options(**values)


def make_vec(name: str, num_envs: int, **values: Any) -> Any:
    """A gymnasium.vector.VectorEnv of `num_envs` games, autoreset NEXT_STEP; `values`: fields of the game's Options."""
    module, which = find(name)
    return _load(module).make_vec(num_envs, **which, **values)


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
    module, which = find(name)
    more = getattr(importlib.import_module(module), "scored", None)
    return more(kept, **which) if more else kept


def register() -> None:
    """Registers our own games with Gymnasium; done on import where gymnasium is loaded already."""
    import gymnasium

    for short, (module, values) in IDS.items():
        if f"joypad/{short}" not in gymnasium.registry:
            entries = dict(entry_point=f"{module}:make", vector_entry_point=f"{module}:make_vec")
            gymnasium.register(f"joypad/{short}", kwargs=values, **entries)


if "gymnasium" in sys.modules:
    register()
