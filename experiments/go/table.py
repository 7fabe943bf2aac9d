"""A Go board with a person and a player at it: what the window and the page show, and what they may do.

A thread of the table's own thinks, plays and applies commands; `view` is what there is to be seen, as JSON. Chances and
ownership are in Black's view there.
"""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from envs.go import record, sgf
from envs.go.board import ACTION, KO
from envs.go.game import Game, fixed_handicap, to_vertex
from experiments.go.engine import Engine
from experiments.go.players import Player
from experiments.go.protocol import Output

SIDES = ("black", "white", "both", "none")  # which the person plays
EVERY = 0.25  # s between two looks at a running search
ENOUGH = 40_000  # visits after which an analysis rests
PLAYOUTS = 60  # for the ownership, per look
SHOWN = 8  # moves in the list of candidates
WAITING = 200  # commands that wait at most; more are dropped


class Table:
    """The game, whoever plays it. `publish` is called with every new view, in the table's thread.

    seconds, visits: of the player's moves. human: one of SIDES.
    """

    def __init__(
        self, player: Player, publish: Callable[[dict], None] = lambda view: None, *, size: int = 9,
        komi: float = 7.5, human: str = "black", seconds: float | None = 2.0, visits: int | None = None,
        handicap: int = 0, rules: str = "chinese",
    ):  # fmt: skip
        self.player, self.publish, self.human, self.analysing = player, publish, human, True
        self.engine = Engine(player, Output(io.BytesIO()), size=size, komi=komi, rules=rules)
        self.seconds, self.visits = seconds, visits
        self.message, self.thinking, self.ended, self.result = "", False, "", ""
        self.saved = b""  # the game as SGF, to be read from any thread
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self._looked, self._closed = 0.0, False
        self._new(size, komi, handicap)

    @property
    def game(self) -> Game:
        return self.engine.game

    # Outside the table's thread

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="table", daemon=True)
        self._thread.start()

    def command(self, name: str, value: Any = None) -> None:
        """Hands over a command, see `_apply`; from any thread."""
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
            elif self.analysing and not game.over and self._visits() < ENOUGH:
                self._think(visits=ENOUGH)
                self._look()
                if self._queue.empty():
                    self._wait()
            else:
                self._wait()

    def _wait(self) -> None:
        self._show()
        self._apply(*self._queue.get())

    def _persons_turn(self) -> bool:
        return self.human == "both" or self.human == ("black", "white")[self.game.turn]

    def _think(self, **limits: Any) -> Any:
        rules, state = self.engine.position()
        self._looked = 0.0
        return self.player.think(rules, state, stop=self._tick, **limits)

    def _tick(self) -> bool:
        if time.monotonic() - self._looked >= EVERY:
            self._look()
            self._show()
            self._looked = time.monotonic()
        return not self._queue.empty()

    def _move(self) -> None:
        """The player's turn; a command that comes meanwhile is heard first."""
        found = self._think(visits=self.visits, seconds=self.seconds, settle=True)
        self._look()
        if self._queue.empty():
            action = int(found.action[0])
            self._play(self.game.size**2 if action < 0 else action)

    def _play(self, action: int) -> None:
        self.chances = {ply: value for ply, value in self.chances.items() if ply <= len(self.game.moves)}
        try:
            self.game.play(action)
        except ValueError as fault:
            self.message = str(fault)
            return
        self._cut()
        self.message = self.result = ""
        self._settle()

    def _cut(self) -> None:
        """The line ends here."""
        self.line = list(self.game.moves)
        self.chances = {ply: value for ply, value in self.chances.items() if ply <= len(self.line)}

    def _settle(self) -> None:
        """Forgets what was found about another position; counts the game if it is over."""
        self.found, self.ended = {}, ""
        if self.game.over:
            lead = self.engine.score()
            self.result = "0" if lead == 0 else f"{'B' if lead > 0 else 'W'}+{abs(lead):g}"
            winner = "Nobody wins" if lead == 0 else f"{'Black' if lead > 0 else 'White'} wins by {abs(lead):g}"
            self.ended = f"{winner}; dead stones are taken off. Play on to dispute it."
            owner = self.player.ownership(self.game.state, PLAYOUTS)[0]
            self.found = {"ownership": np.round(owner, 2).tolist(), "chance": float(lead > 0) if lead else 0.5}
            self.chances[len(self.game.moves)] = self.found["chance"]
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
        self._begin()

    def _begin(self) -> None:
        self.line, self.chances, self.result, self.message = list(self.game.moves), {}, "", ""
        self._settle()

    def _saved(self) -> bytes:
        """The whole line as SGF."""
        whole = Game(self.game.size, self.game.komi, **self.game.options)
        whole.set_up(*self.game.setup, handicap=self.game.handicap)
        for colour, action in self.line:
            whole.play(action, colour)
        me, other = "you", self.player.name
        black, white = {"black": (me, other), "white": (other, me), "none": (other, other)}.get(self.human, ("", ""))
        return sgf.dump(record.write(record.of_game(whole, black=black, white=white, result=self.result)))

    def _go(self, ply: int) -> None:
        """To another move of the line."""
        ply, line = min(max(ply, 0), len(self.line)), self.line
        self.game.undo(max(len(self.game.moves) - ply, 0))
        for colour, action in line[len(self.game.moves) : ply]:
            self.game.play(action, colour)
        self._settle()

    def _apply(self, name: str, value: Any) -> None:
        """A command; what is wrong with it becomes the message.

        play ACTION, pass, undo (to the person's own turn), go PLY (people may then play both sides), new {size, komi,
        handicap}, side SIDE, level SECONDS, analyse BOOL, load TEXT (SGF), quit.
        """
        self.message = ""
        try:
            if name in ("play", "pass"):
                if not self._persons_turn():
                    raise ValueError("it is not your turn")
                action = self.game.size**2 if name == "pass" else int(value)
                self._play(action)
            elif name == "undo":
                ply = len(self.game.moves)
                mine = [p for p in range(ply) if self.human in ("both", ("black", "white")[self._turn_at(p)])]
                if not mine:
                    raise ValueError("there is nothing to take back")
                self.line, self.result = self.line[: mine[-1]], ""
                self._go(mine[-1])
                self._cut()
            elif name == "go":
                ply = int(value)
                self.human = "both"
                self._go(ply)
            elif name == "new":
                self._new(int(value["size"]), float(value["komi"]), int(value.get("handicap", 0)))
            elif name == "side" and value in SIDES:
                self.human = value
            elif name == "level":
                if not 0.05 <= float(value) <= 120:
                    raise ValueError(f"{value} seconds: must be 0.05 to 120")
                self.seconds, self.visits = float(value), None
            elif name == "analyse":
                self.analysing = bool(value)
            elif name == "load":
                self._load(value)
            elif name != "quit":
                raise ValueError(f"{name} is not understood")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as fault:
            self.message = str(fault) if isinstance(fault, ValueError) else f"{name} is not understood"

    def _turn_at(self, ply: int) -> int:
        return self.line[ply][0] if ply < len(self.line) else self.game.turn

    def _load(self, text: str) -> None:
        root = sgf.parse(text)
        loaded = record.read(root)
        limits = {"max_moves": max(300, 4 * loaded.size**2, len(loaded.steps) + 100)}
        try:
            game = record.replay(loaded, **self.engine.game.options | limits)
        except sgf.SGFError:  # by other rules than ours
            game = record.replay(loaded, **limits)
        self.engine.game, self.engine.komi, self.human = game, game.komi, "both"
        self._begin()
        names = " - ".join(filter(None, (loaded.black, loaded.white)))
        self.message = " ".join(filter(None, ("loaded", names, loaded.result)))
        self.result = loaded.result

    def _visits(self) -> int:
        return self.found.get("visits", 0)

    def _look(self) -> None:
        """What the search has found so far."""
        rules, state = self.engine.position()
        result, size, turn = self.player.result(), self.game.size, self.game.turn
        owner, lead = self.player.ownership(state, PLAYOUTS)
        visits, q = result.visits[0], result.q[0]
        black = [1.0, -1.0][turn]
        total = max(int(visits.sum()), 1)
        moves = []
        for action in np.argsort(-visits, kind="stable")[:SHOWN]:
            if visits[action]:
                line = " ".join(to_vertex(a, size) for a in self.player.variation(int(action))[:8])
                moves.append({
                    "action": int(action), "move": to_vertex(int(action), size), "visits": int(visits[action]),
                    "chance": (1 + black * float(q[action])) / 2, "line": line,
                })  # fmt: skip
        chance = (1 + black * float(result.value[0])) / 2
        self.chances[len(self.game.moves)] = chance
        self.found = {
            "visits": total, "shares": np.round(visits[:-1] / total, 4).tolist(),
            "policy": np.round(self.player.policy(state, result)[:-1], 4).tolist(),
            "ownership": np.round(owner, 2).tolist(), "moves": moves, "chance": chance, "lead": round(lead, 1),
        }  # fmt: skip

    def view(self) -> dict:
        """What there is to be seen; for the table's thread. Actions are row * size + column from the top."""
        game, state = self.game, self.game.state
        last = game.moves[-1][1] if game.moves else -1
        return {
            "size": game.size, "komi": game.komi, "board": game.board().ravel().tolist(), "turn": game.turn,
            "last": last, "passed": last == game.size**2, "ko": int(state[state[KO] + ACTION]) if state[KO] else -1,
            "captured": list(game.captured()), "ply": len(game.moves), "plies": len(self.line),
            "handicap": game.handicap, "human": self.human, "mine": self._persons_turn(), "thinking": self.thinking,
            "analysing": self.analysing, "seconds": self.seconds, "player": self.player.name, "message": self.message,
            "ended": self.ended, "result": self.result, "found": self.found,
            "chances": [self.chances.get(ply) for ply in range(len(self.line) + 1)],
        }  # fmt: skip

    def _show(self) -> None:
        self.publish(self.view())
