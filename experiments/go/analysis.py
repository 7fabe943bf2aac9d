"""What a board program asks for beside the moves: analysis that streams, in the formats of Leela Zero and KataGo.

`lz-analyze` and `kata-analyze` report until the next command comes; the `genmove` forms end with the move. Values are
in the view of the side that is asked about. References: Lizzie's and KataGo's GTP extensions.
"""

from __future__ import annotations

import time

import numpy as np

from envs.go.game import from_vertex, to_vertex
from experiments.go.engine import COLOURS, Engine, colour_of, command, integer
from experiments.go.protocol import Command, GTPError

MAX_LINES = 400  # moves in one report
PV_LENGTH = 20
OWNERSHIP_PLAYOUTS = 60  # per report


class Wanted:
    """The arguments of an analysis: whose turn, how often, which parts and moves."""

    def __init__(self, engine: Engine, given: Command):
        words, size = [word.lower() for word in given.arguments], engine.game.size
        self.colour, self.interval = engine.game.turn, 1.0  # s
        self.most, self.least, self.ownership, self.root = MAX_LINES, 0, False, given.name.startswith("kata")
        self.allowed: set[int] | None = None
        self.avoided: set[int] = set()
        if words and words[0] in COLOURS:
            self.colour = colour_of(words.pop(0))
        if words and words[0].isdigit():
            self._set("interval", words.pop(0))
        while words:
            key = words.pop(0)
            if key in ("avoid", "allow") and len(words) >= 3:
                colour, vertices, depth = colour_of(words.pop(0)), words.pop(0), integer(words.pop(0))
                try:
                    moves = {from_vertex(vertex, size) for vertex in vertices.split(",")}
                except ValueError:
                    raise GTPError("syntax error") from None
                if colour == self.colour and depth > 0:
                    if key == "avoid":
                        self.avoided |= moves
                    else:
                        self.allowed = moves
            elif words:
                self._set(key, words.pop(0))
            else:
                raise GTPError("syntax error")

    def _set(self, key: str, value: str) -> None:
        if key == "interval":
            self.interval = max(integer(value), 1) / 100
        elif key == "maxmoves":
            self.most = integer(value)
        elif key == "minmoves":
            self.least = integer(value)
        elif key == "ownership":
            self.ownership = value == "true"
        elif key == "rootinfo":
            self.root = value == "true"
        elif key not in ("movesownership", "pvvisits", "pvedgevisits", "ownershipstdev"):  # known, not offered
            raise GTPError("syntax error")

    def shows(self, action: int) -> bool:
        return action not in self.avoided and (self.allowed is None or action in self.allowed)


def reports(engine: Engine, wanted: Wanted, dialect: str) -> str:
    """One line: the moves of the last search, most visited first."""
    result, size = engine.player.result(), engine.game.size
    visits, q, prior = result.visits[0], result.q[0], result.prior[0]
    order = [int(a) for a in np.argsort(-visits, kind="stable") if visits[a] > 0 and wanted.shows(int(a))]
    lead = None
    if dialect == "kata":
        _, state = engine.position(wanted.colour)
        owner, lead = engine.player.ownership(state, OWNERSHIP_PLAYOUTS)
        sign = 1 - 2 * wanted.colour
        owner, lead = owner * sign, lead * sign
    parts = []
    for place, action in enumerate(order[: max(wanted.most, wanted.least)]):
        chance = (q[action] + 1) / 2
        lcb = max(chance - 1.96 * np.sqrt(max(chance * (1 - chance), 1e-4) / visits[action]), 0.0)
        line = engine.player.variation(action)[:PV_LENGTH]
        move, pv = to_vertex(action, size), " ".join(to_vertex(a, size) for a in line)
        if dialect == "kata":
            parts.append(
                f"info move {move} visits {visits[action]} edgeVisits {visits[action]} utility {q[action]:.4f} "
                f"winrate {chance:.4f} scoreMean {lead:.2f} scoreStdev 0 scoreLead {lead:.2f} scoreSelfplay {lead:.2f} "
                f"prior {prior[action]:.4f} lcb {lcb:.4f} utilityLcb {2 * lcb - 1:.4f} order {place} pv {pv}"
            )
        else:
            parts.append(
                f"info move {move} visits {visits[action]} winrate {round(chance * 10000)} "
                f"prior {round(prior[action] * 10000)} lcb {round(lcb * 10000)} order {place} pv {pv}"
            )
    if dialect == "kata" and parts and wanted.root:
        value = float(result.value[0])
        parts.append(
            f"rootInfo visits {visits.sum() + 1} utility {value:.4f} winrate {(value + 1) / 2:.4f} scoreLead {lead:.2f}"
        )
    if dialect == "kata" and parts and wanted.ownership:
        parts.append("ownership " + " ".join(f"{v:.3f}" for v in owner))
    return " ".join(parts)


def reporter(engine: Engine, wanted: Wanted, dialect: str, ends):
    """A `stop` for the search that reports every interval, and the last report."""
    last = [time.monotonic()]

    def stop() -> bool:
        if ends():
            return True
        if time.monotonic() - last[0] >= wanted.interval:
            line = reports(engine, wanted, dialect)
            if line:
                engine.output.send(line + "\n")
            last[0] = time.monotonic()
        return False

    return stop


@command("lz-analyze", "kata-analyze")
def analyze(engine: Engine, given: Command) -> None:
    """Reports until another command comes, or the input ends."""
    wanted, dialect = Wanted(engine, given), given.name.split("-")[0]
    engine.output.send(f"={given.number}\n")
    rules, state = engine.position(wanted.colour)
    engine.player.think(rules, state, stop=reporter(engine, wanted, dialect, engine.waiting))
    last = reports(engine, wanted, dialect)
    engine.output.send(last + "\n" if last else "")
    engine.wait()  # the search may have solved the position, or may have filled its memory
    engine.output.send("\n")


@command("lz-genmove_analyze", "kata-genmove_analyze")
def genmove_analyze(engine: Engine, given: Command) -> None:
    """Reports while it thinks about its move, then plays it."""
    wanted, dialect = Wanted(engine, given), given.name.split("-")[0]
    head, sent = f"={given.number}\n", []

    def open_answer() -> bool:
        if not sent:
            sent.append(True)
            engine.output.send(head)
        return False

    move = engine.generate(wanted.colour, reporter(engine, wanted, dialect, open_answer))
    open_answer()
    engine.output.send(f"play {move}\n\n")


@command("gogui-analyze_commands")
def gogui_commands(engine: Engine, given: Command) -> str:
    """Pictures for GoGui."""
    return "dboard/Ownership/joypad-ownership\ndboard/Visits/joypad-visits\ndboard/Policy/joypad-policy"


@command("joypad-ownership", "joypad-visits", "joypad-policy")
def grid(engine: Engine, given: Command) -> str:
    """A number for every point, rows from the top: mean owner (Black +1), share of the visits, prior (side to move)."""
    size = engine.game.size
    rules, state = engine.position()
    if given.name == "joypad-ownership":
        values = engine.player.ownership(state)[0]
    else:
        found = engine.player.think(rules, state, visits=engine.visits or 1000, seconds=engine.seconds)
        values = (found.policy if given.name == "joypad-visits" else found.prior)[0]
    rows = np.asarray(values)[: size * size].reshape(size, size)
    return "\n".join(" ".join(f"{value:.3f}" for value in row) for row in rows)
