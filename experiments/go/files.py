"""Commands that read and write games: SGF."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from envs.go import record, sgf
from experiments.go.engine import Engine, command, integer
from experiments.go.protocol import GTPCommand, GTPError


@command("printsgf", "savesgf")
def savesgf(engine: Engine, given: GTPCommand) -> str | None:
    """The game as SGF: into a file, or without a name (`printsgf`) as the answer."""
    root = record.write(record.of_game(engine.game, rules=engine.rules_name))
    data = sgf.dump(root)
    if not given.rest:
        if given.name == "savesgf":
            raise GTPError("syntax error")
        return data.decode()
    try:
        Path(given.rest).write_bytes(data)
    except (OSError, ValueError):
        raise GTPError("cannot save file") from None


@command("loadsgf")
def loadsgf(engine: Engine, given: GTPCommand) -> None:
    """The position just before the move of that number, or at the end; on failure the game stays as it was."""
    name, upto = given.rest, None
    if not name:
        raise GTPError("syntax error")
    words = name.rsplit(None, 1)
    if not os.path.isfile(name) and len(words) == 2 and words[1].isascii() and words[1].isdigit():
        name, upto = words[0], integer(words[1])
        if upto < 1:
            raise GTPError("syntax error")
    try:
        loaded = record.load(sgf.read_file(name))
        own = engine.game.options | {"max_moves": max(300, 4 * loaded.size**2, len(loaded.steps) + 100)}
        stop = None if upto is None else upto - 1
        try:
            game = record.replay(loaded, stop, komi=engine.komi, **own)
        except sgf.SGFError:  # played by other rules than ours
            game = record.replay(loaded, stop, komi=engine.komi, max_moves=own["max_moves"])
    except (OSError, ValueError) as fault:
        _tell(name, str(getattr(fault, "strerror", None) or fault))
        raise GTPError("cannot load file") from None
    for remark in loaded.remarks:
        _tell(name, remark)
    engine.komi = game.komi
    engine.game = game
    engine.clock.restart()


def _tell(name: str, what: str) -> None:
    """Says something about a file to the person behind the controller: answers of GTP have no room for it."""
    print(f"joypad: {ascii(name[-200:])}: {what}", file=sys.stderr, flush=True)
