"""Keep the run folders in order: ``python -m experiments.runs list``

python -m experiments.runs list [breakout]          what is there, disk use, what is unfinished and how to resume it
python -m experiments.runs find ppo lr=0.0003       by words and by fields of the configuration
python -m experiments.runs tag RUN good             --remove takes a tag away
python -m experiments.runs archive|delete RUN...    out of the way, or to the trash folder; restore brings it back
python -m experiments.runs promote RUN              a reference run of it, small enough for the repository
python -m experiments.runs export RUN FILE          one file for another machine
python -m experiments.runs import FILE              takes such a file in, safely
python -m experiments.runs empty                    the trash, for good
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from agents.core.files import write_json
from agents.core.run import Run, RunError, flat
from experiments import arguments, child, cli, finding, references
from experiments.arguments import Positional, Repeated, Shown
from experiments.comparing import transfer
from experiments.comparing.records import ARCHIVE, TAGS, TRASH, RunFolder, below, locate, look, plain, tags
from experiments.comparing.wording import size

Words = Positional[tuple[str, ...]]
Root = Path("runs")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sorted:
    """Runs of one place, in an order."""

    where: Literal["runs", "reference", "archive", "trash"] = "runs"  # place of the runs
    sort: Literal["name", "size", "changed"] = "name"  # largest or newest first
    runs: Path = Root  # folder of the run folders


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Runs that a person names."""

    what: Words  # runs, by the names that they have or had, such as breakout/ppo/default-s0
    all: bool = False  # a word may stand for several runs, such as a game
    runs: Path = Root  # folder of the run folders


@dataclasses.dataclass(frozen=True)
class List(Sorted):
    """What is there, its disk use, what is unfinished and how to resume it."""

    what: Words = ()  # runs, folders with runs, games, game/agent; without any all


@dataclasses.dataclass(frozen=True)
class Find(Sorted):
    """The runs that fit all the words: part of a name, command, state or tag, or FIELD=VALUE of the configuration."""

    words: Words  # all of which must fit


@dataclasses.dataclass(frozen=True)
class Tag:
    """Words of your own on a run."""

    run: Positional[str]  # a run
    tags: Words  # words to put on it
    remove: bool = False  # take them away instead
    runs: Path = Root  # folder of the run folders


@dataclasses.dataclass(frozen=True)
class Archive(Chosen):
    """Out of the lists, whole: to .archive in the runs folder."""


@dataclasses.dataclass(frozen=True)
class Delete(Chosen):
    """To .trash in the runs folder, from where `restore` brings it back until `empty`."""


@dataclasses.dataclass(frozen=True)
class Restore(Chosen):
    """Back from the trash or the archive."""


@dataclasses.dataclass(frozen=True)
class Empty:
    """Deletes what is in the trash, for good."""

    yes: bool = False  # no question beforehand
    runs: Path = Root  # folder of the run folders


@dataclasses.dataclass(frozen=True)
class Export:
    """One .tar.gz with everything of a run that another machine needs to watch, score and compare it."""

    run: Positional[str]  # a run
    file: Annotated[Positional[Path | None], Shown("FILE")] = None  # the file, as --out names it
    out: Path | None = None  # the file; without it GAME-AGENT-NAME.tar.gz here
    ring: bool = False  # replay buffer too, which a resume needs and which is large
    runs: Path = Root  # folder of the run folders

    def __post_init__(self) -> None:
        if self.file is not None and self.out is not None:
            raise ValueError("name one file: FILE or --out")


@dataclasses.dataclass(frozen=True)
class Import:
    """Takes in a run that `export` wrote; it needs no trust: plain files only, nothing outside, nothing overwritten."""

    file: Annotated[Positional[Path], Shown("FILE")]  # the .tar.gz
    limit: float = 50.0  # GiB that it may unpack to
    runs: Path = Root  # folder of the run folders

    def __post_init__(self) -> None:
        arguments.within(self, 0.001, 1e6, "limit")


@dataclasses.dataclass(frozen=True)
class Promote:
    """A reference run of a run: weights in half precision, the learning curve, a score of what is stored."""

    run: Positional[str]  # a finished run
    name: str | None = None  # name of the reference; without it AGENT-sSEED
    episodes: int = 30  # full games of the score
    seed: int = 501  # seed of the games; that of the training may be none of them
    before: Repeated = ()  # a command that must be run before the training, such as a recording's; may be repeated
    replace: bool = False  # take the place of a reference of this name
    out: Path | None = None  # folder of the reference runs; without it RUNS/reference
    runs: Path = Root  # folder of the run folders

    def __post_init__(self) -> None:
        arguments.within(self, 5, 100_000, "episodes")
        arguments.within(self, 0, 2**31 - 2, "seed")


def home(root: Path, where: str) -> Path:
    """Returns the folder of runs, of reference runs, archive or trash below the root."""
    return {"runs": root, "reference": root / references.WORD, "archive": root / ARCHIVE, "trash": root / TRASH}[where]


def matches(one: RunFolder, word: str) -> bool:
    """Does the run fit? FIELD=VALUE compares a field by its name or its last part, as it is written."""
    field, equals, value = word.partition("=")
    config = flat(one.record.config) if one.record else {}
    if equals:
        fitting = [v for k, v in config.items() if field in (k, k.rpartition(".")[2])]
        return any(_same(v, value) for v in fitting)
    texts = [one.name, one.state, *tags(one.path), str(config.get("command", "")), str(config.get("commit", ""))]
    return any(word.lower() in text.lower() for text in texts)


def _same(value: object, text: str) -> bool:
    try:
        return float(value) == float(text)  # 0.0003 is 3e-4
    except (TypeError, ValueError):
        return plain(value).lower() == text.lower()


def listing(command: List | Find) -> str:
    """The table, the disk use and the unfinished ones."""
    place = home(command.runs, command.where)
    words = command.what if isinstance(command, List) else ()
    paths = [p for w in words for p in locate(place, w)] if words else below(place)
    if command.where == "runs" and not words:
        paths = [p for p in paths if not p.is_relative_to(place / references.WORD)]
    rows = [look(place, p) for p in dict.fromkeys(paths)]
    if isinstance(command, Find):
        rows = [r for r in rows if all(matches(r, w) for w in command.words)]
    if command.sort != "name":
        rows.sort(key=lambda r: -r.bytes if command.sort == "size" else -r.changed)
    if not rows:
        fitting = " fit" if isinstance(command, Find) else ""
        return f"no runs{fitting} under {place}"
    header = ["run", "state", "steps", "score", "tags", "size", "changed"]
    lines = list(columns([header, *(r.cells() for r in rows)]))
    ring = sum(r.ring for r in rows)
    lines += ["", f"{total(rows)}, of it {size(ring)} in replay rings"]
    listed = command.where == "runs" and command.runs.is_dir()
    for name in (references.WORD, "archive", "trash") if listed else ():
        held = [look(command.runs, p) for p in below(home(command.runs, name))]
        if held:
            lines.append(f"{name}: {total(held)}")
    lines.append(f"free on this disk: {size(shutil.disk_usage(place).free)}")
    for title, tags_of in (
        ("damaged", [f"{r.name}: {r.fault}" for r in rows if r.record is None]),
        ("remarks", [f"{r.name}: {remark}" for r in rows for remark in r.remarks]),
        ("unfinished", [r.again for r in rows if r.state == "unfinished"] if command.where == "runs" else []),
    ):
        lines += ["", f"{title}:", *(f"  {line}" for line in tags_of)] if tags_of else []
    return "\n".join(lines)


def total(rows: Sequence[RunFolder]) -> str:
    """How many and how much."""
    return f"{len(rows)} run{'' if len(rows) == 1 else 's'}, {size(sum(r.bytes for r in rows))}"


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned text."""
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for cells in rows:
        yield "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()


def chosen(root: Path, place: Path, words: Sequence[str], several: bool) -> list[Path]:
    """The run folders that the words name, all of them inside `place`. Raises UserError or RunError."""
    if not words:
        raise cli.UserError("which run? python -m experiments.runs list shows them")
    found: dict[Path, None] = {}
    for word in words:
        paths = locate(place, word)
        if len(paths) > 1 and not several:
            raise cli.UserError(f"{word!r} stands for {len(paths)} runs; name one, or --all")
        for path in paths:
            if not path.resolve().is_relative_to(place.resolve()) or path.resolve() == place.resolve():
                raise cli.UserError(f"{path} is not a run inside {place}; --runs names another runs folder")
            if references.is_reference(path):
                raise cli.UserError(f"{path} is a reference run, a part of the repository: git rm -r takes it away")
            if place == root and path.resolve().is_relative_to((root / TRASH).resolve()):
                raise cli.UserError(f"{path} is in the trash already")
            found[path.resolve()] = None
    return list(found)


def one(root: Path, word: str) -> Path:
    """The one run that a word names."""
    paths = locate(root, word)
    if len(paths) > 1:
        raise cli.UserError(f"{word!r} stands for {len(paths)} runs; name one of them: {paths[0]}, ...")
    return paths[0]


def move(path: Path, source: Path, target: Path, numbered: bool) -> Path:
    """Moves a run from one tree to the same place in another and removes folders left empty. Returns the new path.

    numbered: where the place is taken, '-2', '-3', ... is added; otherwise that is refused.
    """
    inside = path.relative_to(source.resolve())
    if inside.parts[0] in (ARCHIVE, TRASH):
        inside = inside.relative_to(inside.parts[0])
    goal, number = target / inside, 1
    while goal.exists():
        if not numbered:
            raise cli.UserError(f"{goal} is there already; move it away first")
        number += 1
        goal = target / inside.with_name(f"{inside.name}-{number}")
    goal.parent.mkdir(parents=True, exist_ok=True)
    os.rename(path, goal)
    for parent in path.parents:
        if parent == source.resolve() or any(parent.iterdir()):
            break
        parent.rmdir()
    return goal


def put_away(command: Archive | Delete) -> None:
    """archive and delete."""
    paths = chosen(command.runs, command.runs, command.what, command.all)
    where = "archive" if isinstance(command, Archive) else "trash"
    with contextlib.ExitStack() as held:  # nobody begins to train them meanwhile
        for path in paths:
            if child.is_training(path):
                raise cli.UserError(f"{path} is being trained: stop it first")
            if (path / child.LOCK).exists() and held.enter_context(child.lock(path / child.LOCK)) is None:
                raise cli.UserError(f"{path} is being trained: stop it first")
        for path in paths:
            cli.say(f"{path} -> {move(path, command.runs, home(command.runs, where), numbered=True)}")
    print("back again: python -m experiments.runs restore NAME; all of them: list --where " + where)


def restore(command: Restore) -> None:
    """From the trash, else from the archive."""
    if not command.what:
        raise cli.UserError("which run? python -m experiments.runs list --where trash shows those in the trash")
    taken = []
    for word in command.what:
        for where in ("trash", "archive"):
            place = home(command.runs, where)
            try:
                paths = chosen(command.runs, place, [word], command.all)
            except RunError:
                continue
            for path in paths:
                try:
                    cli.say(f"{path} -> {move(path, place, command.runs, numbered=False)}")
                except cli.UserError as fault:  # the others come back all the same
                    taken.append(str(fault))
            break
        else:
            raise cli.UserError(f"{word!r} is neither in the trash nor in the archive of {command.runs}")
    if taken:
        raise cli.UserError("; ".join(taken))


def tag(command: Tag) -> None:
    """Adds or removes tags."""
    path = one(command.runs, command.run)
    if references.is_reference(path):
        raise cli.UserError(f"{path} is a reference run, which keeps what it says; tags are for runs of your own")
    if not command.tags:
        raise cli.UserError("which tag?")
    kept = [t for t in tags(path) if t not in command.tags]
    write_json(path / TAGS, kept if command.remove else [*kept, *dict.fromkeys(command.tags)])
    cli.say(f"{path}: {' '.join(tags(path)) or 'no tags'}")


def empty(command: Empty) -> None:
    """The trash, for good."""
    place = home(command.runs, "trash")
    if place.is_symlink():
        raise cli.UserError(f"{place} is a link, and nothing is deleted through a link")
    rows = [look(place, p) for p in below(place)] if place.is_dir() else []
    if not rows:
        print("the trash is empty")
        return
    size_text = total(rows)
    if not command.yes:
        if not sys.stdin.isatty():
            raise cli.UserError(f"the trash holds {size_text}; --yes deletes them for good")
        if input(f"delete {size_text} for good? [y/N] ").strip().lower() != "y":
            return
    shutil.rmtree(place)
    print(f"deleted: {size_text}")


def export(command: Export) -> Path:
    """Writes the archive file; what it holds unpacks into a runs folder."""
    path = one(command.runs, command.run)
    shown = look(command.runs, path)
    inside = Path(shown.name) if not Path(shown.name).is_absolute() else Path(path.name)
    inside = Path(*(part for part in inside.parts if part not in (ARCHIVE, TRASH, "..")))
    out = command.file or command.out or Path("-".join(inside.parts) + ".tar.gz")
    if out.exists():
        raise cli.UserError(f"{out} is there already")

    transfer.pack(path, inside, out, command.ring)
    cli.say(f"{out}: {size(out.stat().st_size)}; on the other machine: {cli.line('runs', 'import', out)}")
    if shown.ring and not command.ring:
        print(f"without the replay ring ({size(shown.ring)}) it can be watched and scored, not resumed: --ring")
    return out


def bring(command: Import) -> None:
    """Takes a run in from an archive file."""
    path = transfer.unpack(command.file, command.runs, int(command.limit * 2**30))
    cli.say(f"run: {path}")
    print(f"  watch:    {cli.line('watch', path)}")


def promote(command: Promote) -> None:
    """Makes a reference run."""
    run = finding.find_own(command.runs, command.run)
    if command.seed in (run.config["seed"], run.config["seed"] + 1):
        raise cli.UserError(f"--seed {command.seed}: the training has seen its games; name another")
    cli.starting(torch=True)
    from experiments import evaluate
    from experiments.promoting import promote as promoting

    def score(stored: Run) -> dict[str, Any]:
        return evaluate.evaluate(stored, episodes=command.episodes, seed=command.seed)

    def chance(stored: Run) -> dict[str, Any]:
        return evaluate.by_chance(stored, episodes=command.episodes, seed=command.seed)

    asked = promoting.Promotion(command.name, command.before, command.replace)
    with cli.refusing():
        made = promoting.promote(run, command.out or command.runs / references.WORD, asked, score, chance)
    weights = sum(file.stat().st_size for file in made.rglob("*.safetensors"))
    whole = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
    cli.say(f"reference: {made}, score {references.score(made):.4g}, {size(whole)}, of it weights {size(weights)}")
    print(f"  check:    {cli.line('verify', run.config['game'])}")


PROGRAMS = {List: None, Find: None, Tag: tag, Archive: put_away, Delete: put_away, Restore: restore, Empty: empty,
            Promote: promote, Export: export, Import: bring}  # fmt: skip


def main() -> None:
    with cli.edge():
        command = arguments.choose({k.__name__.lower(): k for k in PROGRAMS}, None, __doc__, "runs")
        action = PROGRAMS[type(command)]
        if action is None:
            cli.say(listing(command))
        else:
            action(command)


if __name__ == "__main__":
    main()
