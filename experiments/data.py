"""Look at recordings and edit those of driving: ``python -m experiments.data DATA``.

    python -m experiments.data DATA                          statistics, and what would keep a network from learning
    python -m experiments.data DATA --sheet frames.png       frames with their steering
    python -m experiments.data DATA --web                    the same to browse and to cut, as a page
    python -m experiments.data DATA --video drive.mp4
    python -m experiments.data DATA --delete 100:200 lap:3 off-road
    python -m experiments.data DATA --trim 50:9000           deletes everything else
    python -m experiments.data DATA --undo                   takes the last deletion back, then the one before, ...
    python -m experiments.data DATA --split OUT --validation 0.2    whole laps into OUT/train and OUT/validation
    python -m experiments.data A B --merge OUT               good records of all into one (also to mend a damaged one)
    python -m experiments.data OLD --convert OUT             version 1 of the format -> version 2
    python -m experiments.data DATA --to lerobot OUT         for other programs: LeRobotDataset v3, or minari

DATA is a recording of driving, what `play GAME --record` has written, a file of arrays (.npz), or Go games in SGF.
Those that are not of driving can be looked at (statistics, --sheet), and not be edited.
Deleted records stay in the files, marked: `--restore A:B` or `--undo` brings them back, `--merge` leaves them out.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import envs
from agents.core.progress import TimeLeft
from envs.recordings import other_formats, reader, summary, tub_copies, tub_edits, tub_statistics, tub_version1
from envs.recordings.tub import Tub, TubError
from experiments import arguments, cli, overlay
from experiments.arguments import Positional
from experiments.web import address

ACTIONS = ("sheet", "web", "video", "delete", "trim", "restore", "undo", "split", "merge", "convert", "to")
TILE = 120  # rows of a frame on the sheet


@dataclasses.dataclass(frozen=True)
class DataCommand:
    """Which dataset, and what to do with it; without anything: statistics."""

    data: Positional[tuple[Path, ...]]  # folders of datasets
    sheet: Path | None = None  # write a PNG of frames with their steering here
    frames: int = 40  # frames on the sheet, evenly spread
    web: bool = False  # a page on this machine; its address is printed
    port: int = 0  # port of the page; 0 takes a free one
    video: Path | None = None  # write a video here, .mp4 or .gif
    delete: tuple[str, ...] = ()  # records: A:B (A to B-1), N, lap:K, off-road
    trim: str | None = None  # keep only these
    restore: tuple[str, ...] = ()  # bring deleted records A:B or N back
    undo: bool = False  # take the last edit back
    split: Path | None = None  # new folder for train and validation
    validation: float = 0.2  # share of the laps for validation
    seed: int = 0  # seed of the draw of laps for validation
    merge: Path | None = None  # new folder for the good records of all
    convert: Path | None = None  # new folder for a dataset of version 1
    to: tuple[str, ...] = ()  # another format, lerobot or minari, and a new folder for it
    json: bool = False  # statistics as JSON

    def __post_init__(self) -> None:
        chosen = [name for name in ACTIONS if getattr(self, name)]
        if len(chosen) > 1:
            raise ValueError(f"--{chosen[0]} and --{chosen[1]}: one thing at a time")
        if not self.data:
            raise ValueError("which dataset? name its folder")
        if len(self.data) > 1 and chosen and chosen[0] != "merge":
            raise ValueError(f"--{chosen[0]} takes one dataset, not {len(self.data)}")
        if self.to and (len(self.to) != 2 or self.to[0] not in other_formats.FORMATS):
            raise ValueError(f"--to {' '.join(self.to)}: say a format and a new folder, such as --to lerobot OUT")
        arguments.within(self, 0.001, 0.999, "validation")
        arguments.at_least(self, 0, "seed")
        arguments.within(self, 1, 1000, "frames")
        address.check("127.0.0.1", self.port)
        if self.sheet is not None and self.sheet.suffix != ".png":
            raise ValueError(f"--sheet {self.sheet}: must end in .png")


def frame(tub: Tub, row: int, height: int = TILE) -> np.ndarray:
    """A record's picture with its steering, enlarged to about `height` rows."""
    tub.require("user/angle")
    get = tub.records.get
    pilot = get("pilot/angle")
    picture = overlay.larger(tub.image(row), height)
    return overlay.with_steering(picture, tub.records["user/angle"][row], None if pilot is None else pilot[row])


def spread(length: int, count: int) -> np.ndarray:
    """Places of `count` of so many records, evenly spread; of fewer records all: int [at most count]."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int))


def sheet(tub: Tub, count: int) -> np.ndarray:
    """`count` frames, evenly spread over the records, as one picture."""
    rows = spread(len(tub), count)
    tiles = [frame(tub, row) for row in rows]
    captions = [f"{tub.index[row]}  {tub.records['user/angle'][row]:+.2f}" for row in rows]
    return overlay.sheet(tiles, captions)


def video(tub: Tub, path: Path) -> int:
    """All good records at 20 Hz, with steering, pedals and numbers; returns how many."""
    from experiments.video import Video

    tub.require("user/angle")
    plot, progress = overlay.Plot(tub_statistics.FPS), TimeLeft(len(tub), "frames written")
    get = tub.records.get
    throttle, pilot, speed = get("user/throttle"), get("pilot/angle"), get("game/speed")
    with Video(path, tub_statistics.FPS) as out:
        for row in range(len(tub)):
            wanted = None if pilot is None else pilot[row]
            plot.add(tub.records["user/angle"][row], None if throttle is None else throttle[row], wanted)
            lines = [
                f"record {tub.index[row]}",
                f"lap {tub.laps[row]}",
                f"steering {tub.records['user/angle'][row]:+.2f}",
            ]
            if speed is not None:
                lines.append(f"speed {speed[row]:.1f} m/s")
            if not tub.labelled[row]:
                lines.append("the network drives")
            out.write(overlay.panel(frame(tub, row, 400), plot, lines))
            progress(row + 1)
    return len(tub)


def edit(command: DataCommand) -> None:
    """--delete, --trim, --restore, --undo."""
    path = command.data[0]
    if command.undo:
        what, count = tub_edits.undo(path)
        print(f"undone: {count:,} records are {'back' if what == 'deleted' else 'deleted again'}")
        return
    if command.restore:
        count = tub_edits.restore(path, set().union(*(_indexes(path, what) for what in command.restore)))
        print(f"{count:,} records are back")
        return
    tub = Tub(path, check=False)
    if command.trim is not None:
        chosen = set(tub.index.tolist()) - tub_copies.choose(tub, command.trim)
    else:
        chosen = set().union(*(tub_copies.choose(tub, what) for what in command.delete))
    if chosen >= set(tub.index.tolist()):
        raise TubError(f"that would delete every record of {path}; remove the folder if that is what you want")
    count = tub_edits.delete(path, chosen)
    print(f"{count:,} records deleted; take it back: {cli.line('data', path, '--undo')}")


def _indexes(path: Path, what: str) -> range:
    low, colon, high = what.partition(":")
    if not tub_copies.is_number(low) or (colon and not tub_copies.is_number(high)):
        raise TubError(f"--restore {what}: say A:B (records A to B-1) or N")
    chosen = range(int(low), int(high) if colon else int(low) + 1)
    if chosen and chosen[-1] >= (count := tub_edits.count(path)):
        raise TubError(f"{path} has no record {chosen[-1]}; its records are 0 to {count - 1}")
    return chosen


def copies(command: DataCommand) -> None:
    """--split, --merge, --convert."""
    path, skipped = command.data[0], []
    if command.convert is not None:
        total = sum(1 for _ in path.glob("record_*.json")) if path.is_dir() else 0
        done, skipped, notes = tub_version1.convert(path, command.convert, TimeLeft(total, "records converted"))
        print(f"{done:,} records in {command.convert}")
        _tell(skipped)
        for note in notes:
            print(f"  note: {note}")
        print(f"look: {cli.line('data', command.convert)}")
        return
    if len({each.resolve() for each in command.data}) < len(command.data):
        raise TubError("one dataset is named twice: its records would be there twice")
    tubs = [Tub(each) for each in command.data]
    for tub in tubs:
        if tub.damaged:
            print(f"{tub.path}: {len(tub.damaged):,} damaged records left out: {tub.damaged[0]}")
        for remark in (*tub.faults, *tub.notes):
            print(f"{tub.path}: {remark}")
    if command.split is not None:
        counts = tub_copies.split(tubs[0], command.split, command.validation, command.seed, skipped)
        for name, count in counts.items():
            print(f"{count:,} records in {command.split / name}")
        _tell(skipped)
        print(f"train: {cli.line('train', _game(tubs[0]), '--agent', 'clone', '--data', command.split / 'train')}")
    else:
        total = sum(len(tub) for tub in tubs)
        sources = [(tub, np.arange(len(tub))) for tub in tubs]
        done = tub_copies.copy(sources, command.merge, TimeLeft(total, "records copied"), skipped)
        print(f"{done:,} records in {command.merge}")
        _tell(skipped)
        print(f"look: {cli.line('data', command.merge)}")


def hand_over(command: DataCommand) -> None:
    """--to."""
    tub, (form, out) = Tub(command.data[0]), command.to
    if tub.damaged:
        print(f"{tub.path}: {len(tub.damaged):,} damaged records left out: {tub.damaged[0]}")
    done = other_formats.WRITERS[form](tub, Path(out), TimeLeft(len(tub), "records written"))
    print(f"{done:,} records in {out}, as {form} reads them")


def _tell(skipped: Sequence[str]) -> None:
    if skipped:
        print(f"  skipped: {len(skipped):,} record{'s' * (len(skipped) > 1)}")
    for reason in skipped[:5]:
        print(f"  skipped: {reason}")
    if len(skipped) > 5:
        print(f"  skipped: {len(skipped) - 5:,} more")


def serve(command: DataCommand) -> None:
    """--web, until Ctrl-C."""
    from experiments.driving.page import DataPage

    ended, page = cli.ending(), DataPage(command.data[0], command.port)
    from experiments.front import house

    front = house.join(page.server, Path("runs"), command.data[0].absolute().parent)
    print(page.server.invitation(page.page), flush=True)
    try:
        cli.until(ended)
    finally:
        front.close()
        page.server.stop()


def show(command: DataCommand) -> None:
    """Statistics, --sheet, --video."""
    if command.sheet is not None:
        from PIL import Image

        path, kind = command.data[0], kind_of(command.data[0])
        picture = sheet(Tub(path), command.frames) if kind == "tub" else play_sheet(path, kind, command.frames)
        command.sheet.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(command.sheet)
        print(f"frames with what was done: {command.sheet}")
    elif command.video is not None:
        print(f"video: {command.video}, {video(Tub(command.data[0]), command.video):,} frames")
    elif command.json:
        print(json.dumps([figures(path)[0] for path in command.data]))
    else:
        for path in command.data:
            print(figures(path)[1])


def figures(path: Path) -> tuple[dict, str]:
    """The statistics of a recording: for programs, and for people."""
    kind = kind_of(path)
    if kind != "tub":
        found = summary.summary(path, kind)
        return found, summary.report(found)
    tub = Tub(path)
    found = tub_statistics.statistics(tub)
    report = tub_statistics.report(found, tub.damaged)
    return {"kind": kind, **found, "warnings": tub_statistics.balance(found)}, report


def play_sheet(path: Path, kind: reader.Kind, count: int) -> np.ndarray:
    """Frames of a recording of play, evenly spread, each with its number and the action there."""
    if kind == "games":
        raise TubError(f"{path}: Go games have no pictures here; --sheet shows recordings of what was seen")
    columns = summary.columns(path, kind, [])
    obs, action = columns["obs"], columns["action"]
    if obs.dtype != np.uint8 or obs.ndim not in (3, 4):
        raise TubError(f"{path}: what was seen is {obs.dtype} of {obs.shape[1:]}, no picture")
    rows = spread(len(obs), count)
    tiles = [overlay.coloured(obs[row]) for row in rows]
    captions = [f"{row}  {np.array2string(action[row], precision=2)}" for row in rows]
    return overlay.sheet(tiles, captions)


def kind_of(path: Path) -> reader.Kind:
    """The format of a recording. Raises TubError where there is none; a tub says itself what is wrong with it."""
    kind = reader.kind_of(path)
    if kind == "several":
        raise TubError(f"{path} holds {', '.join(part.name for part in reader.inside(path))}; name one of them")
    return "tub" if kind in (None, "tub 1") else kind


def require_tub(command: DataCommand) -> None:
    """Raises TubError where a recording that is no drive is to be edited, copied or browsed."""
    for path in command.data:
        chosen = next((name for name in ACTIONS if name not in ("sheet", "convert") and getattr(command, name)), None)
        if chosen and kind_of(path) != "tub":
            reason = f"{path} is none, and `train --data` takes it as it is"
            raise TubError(f"--{chosen}: is for recordings of driving; {reason}")


def run(argv: Sequence[str]) -> None:
    """Does what `argv` says."""
    command = arguments.read(DataCommand, argv, __doc__, "data")
    with cli.refusing():
        require_tub(command)
        if command.delete or command.trim is not None or command.restore or command.undo:
            edit(command)
        elif command.split or command.merge or command.convert:
            copies(command)
        elif command.to:
            hand_over(command)
        elif command.web:
            serve(command)
        else:
            show(command)


def _game(tub: Tub) -> str:
    """The game that a recording is of, as far as it names one that there is."""
    try:
        return envs.canonical(str(tub.metadata.get("game")))
    except envs.UnknownGame:
        return "GAME"


def main() -> None:
    with cli.edge():
        run(sys.argv[1:])


if __name__ == "__main__":
    main()
