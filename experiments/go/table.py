"""A Go board with a person and a player at it: what the window and the page show, and what they may do.

A thread of the table's own thinks, plays and applies commands; `view` is what there is to be seen, as JSON. Chances and
ownership are in Black's view there. Whoever looks back at an earlier move leaves the game as it is: the player answers
again when they return to its newest move, or play on from where they are.
"""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from envs.go import record, sgf
from envs.go.board import ACTION, KO
from envs.go.game import GoGame, fixed_handicap
from experiments.go.commands import Engine
from experiments.go.engine import Habits
from experiments.go.players import SearchPlayer
from experiments.go.protocol import Output
from experiments.go.reviewing import Review, Seen, look
from experiments.go.stopwatch import Stopwatch
from experiments.go.telling import counted, findings, given_up, outcome, why_illegal
from experiments.web.values import Type, flag, nothing, number, optional, take, text, whole
from experiments.web.values import record as fields

SIDES = ("black", "white", "both", "none")  # sides that the person may play
EVERY = 0.25  # s between two looks at a running search
ENOUGH = 40_000  # visits after which an analysis rests
WAITING = 200  # commands that wait at most; more are dropped
LONGEST = 10**7  # characters of a game that is loaded


def game_text(value: Any) -> str | bytes:
    """A game as SGF: text, or the bytes of a file, whose character set is told inside."""
    return value if isinstance(value, bytes) and len(value) <= LONGEST else text(LONGEST)(value)


class TableCommand(NamedTuple):
    """Something that the people at the table can ask for."""

    takes: Type  # type of the value
    do: Callable[[Any, Any], None]  # function of (table, value)


USUAL = Habits(seconds=2.0)


class GoTable:
    """The game, whoever plays it. `publish` is called with every new view, in the table's thread.

    seconds, visits: of the player's moves. human: one of SIDES.
    """

    def __init__(
        self, player: SearchPlayer, publish: Callable[[dict], None] = lambda view: None, *, size: int = 9,
        komi: float = 7.5, human: str = "black", habits: Habits = USUAL, handicap: int = 0,
        rules: str = "chinese",
    ):  # fmt: skip
        self.player, self.publish, self.analysing = player, publish, True
        self.human = self.side = human  # human: player of the present game; side: the person's choice for new games
        self.engine = Engine(player, Output(io.BytesIO()), size=size, komi=komi, rules=rules)
        self.seconds, self.visits = habits.seconds, habits.visits
        self.message, self.thinking, self.ended, self.result = "", False, "", ""
        self.resigned: int | None = None  # side that gave the game up, or whose time is over
        self.late = False  # True if the time was over
        self.watch, self.review = Stopwatch(), Review()
        self.names = ("", "")  # names of the players of a loaded game: black, white
        self.saved = b""  # present game as SGF; any thread may read it
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self._looked, self._closed = 0.0, False
        self._new(size, komi, handicap)

    @property
    def game(self) -> GoGame:
        """Returns the game on the board."""
        return self.engine.game

    # Outside the table's thread

    def start(self) -> None:
        """Starts the thread in which the table runs."""
        self._thread = threading.Thread(target=self._run, name="table", daemon=True)
        self._thread.start()

    def command(self, name: str, value: Any = None) -> None:
        """Hands over a command, see COMMANDS; from any thread."""
        if not self._queue.full():
            self._queue.put_nowait((name, value))

    def close(self) -> None:
        self._closed = True
        self.command("quit")
        if self._thread is not None:
            self._thread.join(30)

    # Inside

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as fault:  # the people at the table would otherwise wait for ever
            self.message = f"the player has failed: {fault}"
            self._show()
            raise

    def _serve(self) -> None:
        while not self._closed:
            while not self._queue.empty():
                self._apply(*self._queue.get_nowait())
            if self._closed:
                return
            game = self.game
            self.thinking = not self.ended and not self._persons_turn()
            self._show()
            if self.thinking:
                self._move()
            elif self.review.waiting:
                self._review()
            elif self.analysing and not game.over and self.found.get("visits", 0) < ENOUGH:
                self._think(visits=ENOUGH)
                self._look()
                if self._queue.empty():
                    self._wait()
            else:
                self._wait()

    def _wait(self) -> None:
        self._show()
        try:
            self._apply(*self._queue.get(timeout=self.watch.remaining()))
        except queue.Empty:
            self._fall()

    def _fall(self) -> None:
        """The time of the side that is to move is over."""
        if self.watch.remaining() == 0:
            self.resigned, self.late = self.watch.running, True
            self._go(len(self.line))

    def _running(self) -> int | None:
        """The side whose time passes: not the player's while a person looks back, since it does not think then."""
        turn = 1 - self.line[-1][0] if self.looking_back else self.game.turn
        waits = not self.watch.begun if self._is_persons(turn) else self.looking_back
        return None if waits or self.ended or self.result else turn

    @property
    def looking_back(self) -> bool:
        """Is an earlier move than the game's newest on the board?"""
        return len(self.game.moves) < len(self.line)

    def _persons_turn(self) -> bool:
        return self.looking_back or self._is_persons(self.game.turn)

    def _is_persons(self, side: int) -> bool:
        return self.human in ("both", ("black", "white")[side])

    def _think(self, **limits: Any) -> Any:
        rules, state = self.engine.position()
        self._looked = 0.0
        return self.player.think(rules, state, stop=self._tick, **limits)

    def _tick(self) -> bool:
        if time.monotonic() - self._looked >= EVERY:
            self._look()
            self._show()
            self._looked = time.monotonic()
        return not self._queue.empty() or self.watch.remaining() == 0

    def _move(self) -> None:
        """The player's turn; a command that comes meanwhile is heard first."""
        if self.engine.may_pass(self.game.turn):
            self._play(self.game.size**2)
            return
        allowed = self.watch.clock().allowed(self.game.turn, len(self.game.moves), self.game.size**2)
        seconds = min((limit for limit in (self.seconds, allowed) if limit is not None), default=None)
        found = self._think(visits=self.visits, seconds=seconds, settle=True)
        self._look()
        self._fall()
        if self._queue.empty() and self.resigned is None:
            action = int(found.action[0])
            try:
                self._play(self.game.size**2 if action < 0 else action)
                self.message = ""
            except ValueError as fault:
                self.message = f"{self.player.name} chose a move that is refused: {fault}"

    def _play(self, action: int) -> None:
        self.review.cut(len(self.game.moves))
        if reason := why_illegal(self.game, action):
            raise ValueError(reason)
        self.watch.played(len(self.game.moves), self.game.turn)
        self.game.play(action)
        self._cut()
        self._settle()

    def _cut(self) -> None:
        """The line ends here."""
        self.line = list(self.game.moves)
        self.review.cut(len(self.line))
        self.watch.cut(len(self.line))
        self.resigned, self.late, self.result = None, False, ""

    def _settle(self) -> None:
        """Forgets what was found about another position; counts the game if it is over."""
        self.found, self.ended = {}, ""
        if self.resigned is not None and not self.looking_back:
            self.result, self.ended = given_up(self.resigned, self.late)
        elif self.game.over:
            lead = self.engine.score()
            self.result, self.ended = outcome(lead)
            judged = self.engine.judged()
            self.found = {
                "ownership": counted(self.engine), "chance": float(lead > 0) if lead else 0.5,
                "dead": sorted(action for chain in judged.status["dead"] for action in chain),
                "seki": sorted(action for chain in judged.status["seki"] for action in chain),
            }  # fmt: skip
            self.review.note(len(self.game.moves), Seen(self.found["chance"], lead))
        self.saved = self._saved()

    def _new(self, size: int, komi: float, handicap: int = 0) -> None:
        points = fixed_handicap(handicap, size) if handicap else []
        before, self.engine.komi = self.engine.komi, komi
        try:
            self.engine.new_game(size)
        except ValueError:
            self.engine.komi = before
            raise
        if points:
            self.game.place_handicap(points)
        self.names = ("", "")
        self._begin()

    def _begin(self) -> None:
        self.line, self.result, self.message = list(self.game.moves), "", ""
        self.review.clear()
        self.resigned, self.late = None, False
        self.watch.restart(len(self.line))
        self._settle()

    def _at(self, ply: int) -> GoGame:
        """The game after so many moves of the line, on a board of its own."""
        game = GoGame(self.game.size, self.game.komi, **self.game.options)
        game.set_up(*self.game.setup, handicap=self.game.handicap)
        for colour, action in self.line[:ply]:
            game.play(action, colour)
        return game

    def _review(self) -> None:
        """Looks at one of the positions that a review has left; a command that comes meanwhile is heard first."""
        ply = self.review.waiting[0]
        seen = look(self.engine, self._at(ply), lambda: not self._queue.empty())
        if seen is not None:
            self.review.note(ply, seen)
            self.review.waiting.pop(0)

    def _saved(self) -> bytes:
        """The whole line as SGF."""
        whole = self._at(len(self.line))
        me, other = "you", self.player.name
        sides = {"black": (me, other), "white": (other, me), "none": (other, other)}.get(self.human, ("", ""))
        black, white = (name or side for name, side in zip(self.names, sides, strict=True))
        return sgf.dump(record.write(record.of_game(whole, black=black, white=white, result=self.result)))

    def _go(self, ply: int) -> None:
        """To another move of the line."""
        ply, line = min(max(ply, 0), len(self.line)), self.line
        self.game.undo(max(len(self.game.moves) - ply, 0))
        for colour, action in line[len(self.game.moves) : ply]:
            self.game.play(action, colour)
        self._settle()

    def _apply(self, name: str, value: Any) -> None:
        """A command; what is wrong with it becomes the message."""
        self.message = ""
        try:
            checked = take(TYPES, name, value)
            COMMANDS[name].do(self, checked)
        except ValueError as fault:
            self.message = str(fault)

    def _play_by_hand(self, action: int | None) -> None:
        if not self._persons_turn():
            raise ValueError("it is not your turn")
        if self.resigned is not None and not self.looking_back:
            how = "was lost by time" if self.late else "was given up"
            raise ValueError(f"the game {how}: take a move back, or begin a new one")
        self._play(self.game.size**2 if action is None else action)

    def _undo(self, _: None) -> None:
        """To the last move of the person's own."""
        ply = len(self.game.moves)
        mine = [p for p in range(ply) if self._is_persons(self._turn_at(p))]
        if not mine:
            raise ValueError("there is nothing to take back")
        self.line, self.resigned, self.result = self.line[: mine[-1]], None, ""
        self._go(mine[-1])
        self._cut()

    def _resign(self, _: None) -> None:
        if self.looking_back:
            raise ValueError("you are looking back: go to the newest move first")
        if self.ended or self.human == "none":
            raise ValueError("the game is over" if self.ended else "you play neither side")
        self.resigned = self.game.turn if self.human == "both" else ("black", "white").index(self.human)
        self._settle()

    def _take_side(self, side: str) -> None:
        self.human = self.side = side

    def _set_level(self, seconds: float) -> None:
        self.seconds, self.visits = seconds, None

    def _analyse(self, wanted: bool) -> None:
        self.analysing = wanted

    def _ask_review(self, wanted: bool) -> None:
        self.review.ask(len(self.line)) if wanted else self.review.stop()

    def _new_game(self, wanted: dict[str, Any]) -> None:
        self._new(wanted["size"], wanted["komi"], wanted["handicap"] or 0)
        self.human = self.side

    def _turn_at(self, ply: int) -> int:
        return self.line[ply][0] if ply < len(self.line) else self.game.turn

    def load(self, game: str | bytes) -> list[str]:
        """Takes up a game from an SGF file; returns remarks on the file. For the table's thread, or before it starts.
        Raises SGFError, and leaves the game alone, if it cannot be read or played.
        """
        loaded = record.load(game.encode() if isinstance(game, str) else game)
        limits = {"max_moves": max(300, 4 * loaded.size**2, len(loaded.steps) + 100), "komi": self.engine.komi}
        try:
            played = record.replay(loaded, **self.engine.game.options | limits)
        except sgf.SGFError:  # by other rules than ours
            played = record.replay(loaded, **limits)
        self.engine.game, self.engine.komi, self.human = played, played.komi, "both"
        self.names = (loaded.black[:60], loaded.white[:60])
        self._begin()
        names = " - ".join(filter(None, (loaded.black[:60], loaded.white[:60])))
        self.message = " ".join(filter(None, ("loaded", names, loaded.result[:60])))
        if loaded.remarks:
            self.message += f" ({'; '.join(loaded.remarks[:3])})"
        self.result = loaded.result
        return loaded.remarks

    def _look(self) -> None:
        """What the search has found so far."""
        state, ply = self.engine.position()[1], len(self.game.moves)
        self.found = found = findings(self.player, state, self.game.size, self.game.turn)
        best = found["moves"][0]["move"] if found["moves"] else ""
        self.review.note(ply, Seen(found["chance"], found["lead"], best))

    def view(self) -> dict:
        """What there is to be seen; for the table's thread. Actions are row * size + column from the top."""
        game, state = self.game, self.game.state
        last = game.moves[-1][1] if game.moves else -1
        cost, chances = self.review.cost(self.line, len(game.moves)), self.review.chances
        return {
            "size": game.size, "komi": game.komi, "board": game.board().ravel().tolist(), "turn": game.turn,
            "last": last, "passed": last == game.size**2, "ko": int(state[state[KO] + ACTION]) if state[KO] else -1,
            "captured": list(game.captured()), "ply": len(game.moves), "plies": len(self.line),
            "names": list(self.names), "handicap": game.handicap, "human": self.human,
            "mine": self._persons_turn(), "thinking": self.thinking,
            "analysing": self.analysing, "seconds": self.seconds, "player": self.player.name, "message": self.message,
            "looking_back": self.looking_back,
            "loss": None if cost is None or self.ended else cost.chance,
            "points": None if cost is None or self.ended or cost.points is None else round(cost.points, 1),
            "review": self.review.view(self.line, game.size),
            "clock": self.watch.view(), "ended": self.ended, "result": self.result, "found": self.found,
            "chances": [chances.get(ply) for ply in range(len(self.line) + 1)],
        }  # fmt: skip

    def _show(self) -> None:
        self.watch.run(self._running())
        self.publish(self.view())


COMMANDS = {
    "play": TableCommand(whole(0, 19 * 19), GoTable._play_by_hand),  # action: row * size + column, size * size to pass
    "pass": TableCommand(nothing, GoTable._play_by_hand),
    "undo": TableCommand(nothing, GoTable._undo),
    "go": TableCommand(whole(-1, 10**6), GoTable._go),  # number of moves to the position; at most the newest
    "resign": TableCommand(nothing, GoTable._resign),
    "new": TableCommand(
        fields(size=whole(2, 19), komi=number(-1000, 1000), handicap=optional(whole(0, 361))), GoTable._new_game
    ),
    "side": TableCommand(text(5, SIDES), GoTable._take_side),
    "level": TableCommand(number(0.05, 120), GoTable._set_level),  # thinking time per move, in s
    "analyse": TableCommand(flag, GoTable._analyse),
    "review": TableCommand(flag, GoTable._ask_review),  # True: look at every position; False: leave off
    "load": TableCommand(game_text, GoTable.load),
    "quit": TableCommand(nothing, lambda table, _: None),
}
TYPES = {name: command.takes for name, command in COMMANDS.items()}
