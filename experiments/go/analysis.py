"""What a board program asks for beside the moves: analysis that streams, in the formats of Leela Zero and KataGo.

`lz-analyze` and `kata-analyze` report until the next command comes; the `genmove` forms end with the move. Values are
in the view of the side that is asked about. References: Lizzie's and KataGo's GTP extensions.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from envs.go.game import from_vertex, to_vertex
from experiments.go.engine import COLOURS, SENT, Engine, Thought, colour_of, command, integer
from experiments.go.protocol import GTPCommand, GTPError

MAX_LINES = 400  # moves in one report
PV_LENGTH = 20
OWNERSHIP_PLAYOUTS = 60  # playouts for the ownership of one report
# Keywords that are accepted and have no effect.
PASSED_OVER = ("movesownership", "movesownershipstdev", "ownershipstdev", "pvvisits", "pvedgevisits")


def barred_by(size: int, limits: list[tuple[str, int, set[int], int]]) -> np.ndarray | None:
    """What `Search.restrict` takes, of ("avoid" or "allow", colour, actions, plies) each; None for no limits."""
    if not limits:
        return None
    barred = np.zeros((2, size * size + 1), np.int32)
    for kind, colour, actions, depth in limits:
        meant = np.zeros(size * size + 1, bool)
        meant[list(actions)] = True
        meant = meant if kind == "avoid" else ~meant
        barred[colour] = np.maximum(barred[colour], np.where(meant, min(depth, 2**30), 0))
    return barred


class AnalysisRequest:
    """The arguments of an analysis: whose turn, how often, which parts, and what the search may look at."""

    def __init__(self, engine: Engine, given: GTPCommand):
        words, size = [word.lower() for word in given.arguments], engine.game.size
        self.colour, self.interval = engine.game.turn, 1.0  # s
        self.most, self.least = MAX_LINES, 0
        self.flags = dict.fromkeys(("ownership", "rootinfo", "noresultvalue"), False)
        limits: list[tuple[str, int, set[int], int]] = []
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
                if depth < 1:
                    raise GTPError("syntax error")
                limits.append((key, colour, moves, depth))
            elif words:
                self._set(key, words.pop(0))
            else:
                raise GTPError("syntax error")
        for colour, name in enumerate(("black", "white")):
            kinds = [kind for kind, whose, _, _ in limits if whose == colour]
            if "allow" in kinds and len(kinds) > 1:
                raise GTPError(f"allow must be the only limit of {name}")
        self.barred = barred_by(size, limits)
        if self.barred is not None:
            free = np.flatnonzero(self.barred[self.colour] == 0)
            if not any(engine.game.is_legal(int(action), self.colour) for action in free):
                raise GTPError("no legal move is left")

    def _set(self, key: str, value: str) -> None:
        if key == "interval":
            self.interval = max(integer(value), 1) / 100
        elif key == "maxmoves":
            self.most = integer(value)
        elif key == "minmoves":
            self.least = integer(value)
        elif key in self.flags:
            self.flags[key] = value == "true"
        elif key not in PASSED_OVER:
            raise GTPError("syntax error")


class Line(NamedTuple):
    """What a report says of one move, in the view of the side that moves."""

    action: int
    visits: int
    chance: float
    prior: float
    lead: float
    variation: list[int]


def written(line: Line, order: int, dialect: str, size: int, no_result: bool = False) -> str:
    """One `info` of a report."""
    lcb = max(line.chance - 1.96 * np.sqrt(max(line.chance * (1 - line.chance), 1e-4) / max(line.visits, 1)), 0.0)
    move, pv = to_vertex(line.action, size), " ".join(to_vertex(action, size) for action in line.variation)
    if dialect == "lz":
        return (
            f"info move {move} visits {line.visits} winrate {round(line.chance * 10000)} "
            f"prior {round(line.prior * 10000)} lcb {round(lcb * 10000)} order {order} pv {pv}"
        )
    value, lead = 2 * line.chance - 1, f"{line.lead:.2f}"
    return (
        f"info move {move} visits {line.visits} edgeVisits {line.visits} utility {value:.4f} "
        f"winrate {line.chance:.4f} scoreMean {lead} scoreStdev 0 scoreLead {lead} scoreSelfplay {lead} "
        f"prior {line.prior:.4f} lcb {lcb:.4f} utilityLcb {2 * lcb - 1:.4f} "
        f"{'noResultValue 0 ' if no_result else ''}order {order} pv {pv}"
    )


def reports(engine: Engine, wanted: AnalysisRequest, dialect: str, thought: Thought | None = None) -> str:
    """One line: the moves of the last search, most visited first. thought: what it came to, always reported."""
    size, sign, lead = engine.game.size, 1 - 2 * wanted.colour, 0.0
    _, state = engine.position(wanted.colour)
    if dialect == "kata":
        owner, lead = engine.player.ownership(state, OWNERSHIP_PLAYOUTS)
        owner, lead = owner * sign, lead * sign
    if thought is not None and thought.found is None:  # judged, not searched
        lines, value, total = [Line(thought.action, 1, thought.chance, 1.0, lead, [thought.action])], 0.0, 1
        value = 2 * thought.chance - 1
    else:
        result = engine.player.result() if thought is None else thought.found
        visits, q, prior = result.visits[0], result.q[0], result.prior[0]
        value, total = float(result.value[0]), int(visits.sum()) + 1
        order = [int(action) for action in np.argsort(-visits, kind="stable") if visits[action] > 0]
        if thought is not None and thought.action not in order:  # a proof needed no visit of it
            order.insert(0, thought.action)
        lines = [
            Line(
                action, max(int(visits[action]), 1), ((value if np.isnan(q[action]) else float(q[action])) + 1) / 2,
                float(prior[action]), lead, engine.player.variation(action)[:PV_LENGTH] or [action],
            )
            for action in order[: max(wanted.most, wanted.least)]
        ]  # fmt: skip
    flags = wanted.flags
    parts = [written(line, place, dialect, size, flags["noresultvalue"]) for place, line in enumerate(lines)]
    if dialect == "kata" and parts and flags["rootinfo"]:
        parts.append(f"rootInfo visits {total} utility {value:.4f} winrate {(value + 1) / 2:.4f} scoreLead {lead:.2f}")
    if dialect == "kata" and parts and flags["ownership"]:
        parts.append("ownership " + " ".join(f"{v:.3f}" for v in owner))
    return " ".join(parts)


def reporter(engine: Engine, wanted: AnalysisRequest, dialect: str, ends):
    """A `stop` for the search that reports every interval."""
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
def analyze(engine: Engine, given: GTPCommand) -> object:
    """Reports until another command comes, or the input ends."""
    wanted, dialect = AnalysisRequest(engine, given), given.name.split("-")[0]
    engine.output.send(f"={given.number}\n")
    rules, state = engine.position(wanted.colour)
    stop = reporter(engine, wanted, dialect, engine.waiting)
    engine.player.think(rules, state, stop=stop, barred=wanted.barred)
    last = reports(engine, wanted, dialect)
    engine.output.send(last + "\n" if last else "")
    engine.wait()  # the search may have solved the position, or may have filled its memory
    engine.output.send("\n")
    return SENT


@command("lz-genmove_analyze", "kata-genmove_analyze", "kata-search_analyze")
def genmove_analyze(engine: Engine, given: GTPCommand) -> object:
    """Reports while it thinks about its move and once more at the end, then plays it (the search form does not)."""
    wanted, dialect = AnalysisRequest(engine, given), given.name.split("-")[0]
    opened: list[bool] = []

    def never() -> bool:
        """Called before the first report: what is wrong with the position has been said by then."""
        if not opened:
            opened.append(True)
            engine.output.send(f"={given.number}\n")
        return False

    def report_line(thought: Thought) -> None:
        never()
        engine.output.send(reports(engine, wanted, dialect, thought) + "\n")

    stop = reporter(engine, wanted, dialect, never)
    if given.name == "kata-search_analyze":
        thought = engine.think(wanted.colour, stop, wanted.barred)
        report_line(thought)
        move = to_vertex(thought.action, engine.game.size)
    else:
        move = engine.generate(wanted.colour, stop, wanted.barred, report_line)
    engine.output.send(f"play {move}\n\n")
    return SENT


@command("gogui-analyze_commands")
def gogui_commands(engine: Engine, given: GTPCommand) -> str:
    """Pictures for GoGui."""
    return "dboard/Ownership/joypad-ownership\ndboard/Visits/joypad-visits\ndboard/Policy/joypad-policy"


@command("joypad-ownership", "joypad-visits", "joypad-policy")
def grid(engine: Engine, given: GTPCommand) -> str:
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
