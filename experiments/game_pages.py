"""A page in Markdown for each game, made from what the registry knows of it: ``python -m experiments.list games --pages
docs/games``. A test makes them again, so that they cannot drift."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import envs
from experiments import arguments
from experiments import recipes as tuned
from experiments.spellings import dashed

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
KINDS = (".gif", ".png", ".jpg")


def games() -> list[str]:
    """The games that have a page."""
    own = {file.stem for file in Path(tuned.__file__).parent.glob("*.py")}  # games with recipes of their own
    return [*envs.GAMES, *(g for f in envs.FAMILIES.values() for g in f.games if tuned.file_of(g) in own)]


def page(name: str) -> str:
    """The page of a game."""
    about = envs.describe(name)
    lines = [f"# {name}", "", f"{about.about[:1].upper()}{about.about[1:]}.", ""]
    lines += [f"![{name}](../images/{picture(name)})", ""] if picture(name) else []
    lines += ["| | |", "|---|---|", *(f"| {title} | {text} |" for title, text in facts(name) if text), ""]
    found = tuned.recipes(name, envs.find(name)[0])
    programs = ("watch", "play", "train")
    lines += ["## Commands", "", *(f"    python -m experiments.{program} {name}" for program in programs)]
    if found:
        lines += ["", "## Recipes", "", "| recipe | agent | steps | what it is |", "|---|---|---|---|"]
        lines += [f"| `{key}` | {r.agent} | {r.steps:,} | {_cell(r.note)} |" for key, r in found.items()]
    lines += ["", "## Options", "", "Of `train`, and of `play` as `--env NAME=VALUE`.", ""]
    lines += ["| option | default | what it is |", "|---|---|---|", *options(type(about.options), about.options)]
    return "\n".join(lines) + "\n"


def facts(name: str) -> Iterator[tuple[str, str]]:
    """(title, text) of what the registry says of a game."""
    about = envs.describe(name)
    stack = f", {about.frame_stack} newest frames" if about.frame_stack and about.frame_stack > 1 else ""
    yield "observation", f"{_space(about.observation)}{stack}"
    yield "actions", f"{_space(about.actions)}: {about.controls}" if about.controls else _space(about.actions)
    yield "reward", about.reward
    yield "score", about.score
    yield "protocol of scores", f"`{about.protocol}`"
    yield "frames per step", str(about.frame_skip or "")
    own = envs.entry(name).ids if name in envs.GAMES else {}
    yield "Gymnasium id", ", ".join(f"`joypad/{short}`" for short in own)
    yield "players", "two, in turn" if about.two_players else "one"
    yield "the game's own player", about.scripted
    if about.published is not None:
        told = about.published
        yield "published", f"random {told.random:g}, a professional tester {told.human:g}, Nature DQN {told.dqn:g}"


def _space(space: Any) -> str:
    if space is None:
        return "known once the game is opened"
    if hasattr(space, "n"):
        return f"Discrete({space.n})"
    low, high = (float(x) for x in (space.low.min(), space.high.max()))
    return f"Box {low:g} to {high:g}, {space.dtype} [{', '.join(map(str, space.shape))}]"


def options(kind: type, chosen: Any) -> Iterator[str]:
    """The rows of a table of options."""
    helps = arguments.helps(kind)
    for field in dataclasses.fields(kind):
        value = getattr(chosen, field.name)
        shown = ("yes" if value else "no") if isinstance(value, bool) else value
        default = "" if shown == "" else f"`{shown}`"
        yield f"| `--{dashed(field.name)}` | {_cell(default)} | {_cell(helps.get(field.name, ''))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def picture(name: str) -> str:
    """The file in docs/images that shows a game; "" where there is none."""
    return next((f"{name}{kind}" for kind in KINDS if (IMAGES / f"{name}{kind}").is_file()), "")


def write(folder: Path) -> Iterator[Path]:
    """Writes every page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in games():
        path = folder / f"{name}.md"
        path.write_text(page(name))
        yield path
