"""A run as one file: written for another machine, and taken in from one, which nobody has to trust."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from agents.core.run import Run, RunError, safe
from experiments import references
from experiments.cli import UserError
from experiments.comparing.wording import size

FILES = 100_000  # members of an archive, at most
DAMAGE = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError)  # exceptions for a broken archive


def pack(path: Path, inside: Path, out: Path, ring: bool) -> None:
    """Writes a run into `out`, a .tar.gz in which it is called `inside`. ring: with the replay ring.

    Raises UserError where a file of it goes or shrinks meanwhile, and leaves nothing half written.
    """

    def keep(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        file.inodes.clear()  # files of two names are written twice: no hard links
        parts = Path(member.name).relative_to(inside).parts
        hidden = any(part.startswith(".") for part in parts)  # a checkpoint being written
        hidden |= parts == (references.ABOUT,)  # elsewhere it is a run of one's own
        plain = member.isreg() or member.isdir()
        member.uid = member.gid = 0  # accounts of this machine are nobody's business elsewhere
        member.uname = member.gname = ""
        return member if plain and not hidden and (ring or parts[:2] != ("checkpoints", "ring")) else None

    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.part")
    try:
        with tarfile.open(unfinished, "w:gz") as file:
            file.add(path, str(inside), filter=keep)
        os.replace(unfinished, out)
    except OSError as fault:
        if fault.errno not in (None, errno.ENOENT):
            raise
        raise UserError(f"{path} has changed while it was packed: try again, or stop its training first") from None
    finally:
        unfinished.unlink(missing_ok=True)


def unpack(file: Path, root: Path, limit: int) -> Path:
    """Takes the run of an archive into the runs folder `root`; returns its folder. Raises UserError, leaving nothing.

    Nothing but ordinary files and folders with plain names is written, never more than `limit` bytes, and never over
    what is there. It is unpacked beside its place, read as a run, and then moved.
    """
    if not hasattr(tarfile, "data_filter"):
        raise UserError("this Python unpacks archives without safety checks; 3.10.12, 3.11.4 and newer have them")
    if not file.is_file():
        raise UserError(f"{file}: there is no such file")
    with _one_sentence(file), tarfile.open(file, "r:*") as archive:
        inside, total = _look_through(file, archive, limit)
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if total > free:
        raise UserError(f"{file} needs {size(total)} and {size(free)} are free in {root}")
    with tempfile.TemporaryDirectory(prefix=".import-", dir=root) as place:
        with _one_sentence(file), tarfile.open(file, "r:*") as archive:
            for member in archive:
                archive.extract(member, place, filter="data")
        found = Path(place, *inside.parts)
        try:
            config = Run.open(found).config
        except RunError as fault:
            raise UserError(f"{file} holds no run that can be read: {str(fault).replace(f'{place}/', '')}") from None
        game = safe(str(config["game"]))
        if game.casefold() == references.WORD:  # its folder would be that of the reference runs
            raise UserError(f"{file} is refused: its game is called {game}, and reference runs are not imported")
        if references.is_reference(found):
            (found / references.ABOUT).unlink()  # here it is a run of one's own
        goal = root / game / safe(str(config["agent"])) / safe(inside.name or file.stem)
        if os.path.lexists(goal):
            raise UserError(f"{goal} is there already; move it away first (python -m experiments.runs archive)")
        goal.parent.mkdir(parents=True, exist_ok=True)
        os.rename(found, goal)
    return goal


@contextlib.contextmanager
def _one_sentence(file: Path) -> Iterator[None]:
    """Within: what a broken archive raises is one sentence."""
    try:
        yield
    except UserError:
        raise
    except DAMAGE as fault:
        raise UserError(f"{file} cannot be unpacked: {' '.join(str(fault).split()) or type(fault).__name__}") from None


def _look_through(file: Path, archive: tarfile.TarFile, limit: int) -> tuple[PurePosixPath, int]:
    """Refuses what an archive of a run does not hold; returns the folder of the run in it, and the bytes of all."""
    runs, names, total = [], set(), 0
    for member in archive:
        name = PurePosixPath(member.name)
        odd = name.is_absolute() or ".." in name.parts or "\\" in member.name or PureWindowsPath(member.name).drive
        odd = odd or any(part.startswith(".") or not part.isprintable() for part in name.parts)
        if odd:
            raise UserError(f"{file} is refused: it holds {member.name!r}, which is no plain name inside a runs folder")
        if not (member.isreg() or member.isdir()):
            raise UserError(f"{file} is refused: {member.name!r} is a link or a device")
        if member.isreg() and name in names:
            raise UserError(f"{file} is refused: it holds {member.name!r} twice")
        names.add(name)
        total += member.size
        if total > limit or len(names) > FILES:
            raise UserError(
                f"{file} is refused: it holds more than {size(limit)} or {FILES:,} files; --limit names more"
            )
        if name.name == "config.json":
            runs.append(name.parent)
    if len(runs) != 1:
        raise UserError(f"{file} is refused: it holds {len(runs) or 'no'} run{'s' * (len(runs) != 1)}, not one")
    outside = next((n for n in names if runs[0] not in (n, *n.parents) and n not in runs[0].parents), None)
    if outside is not None:
        raise UserError(f"{file} is refused: {str(outside)!r} lies outside the run {str(runs[0])!r}")
    return runs[0], total
