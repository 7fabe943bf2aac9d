"""Seats in step, and what a person does to them: the same for a window, a web page and a video.

    player = Player([source], seed=1)
    for frame in player.frames(): ...              # as fast as it goes: videos
    drive(player, screen)                          # in its own time, with a person's commands: window and page

Commands (name, value) are the only way in (commands.py). Side by side, two agents play games of the same seeds: the one
that has ended waits for the other.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from experiments.overlay import tile
from experiments.watching.commands import CommandRefused, obey
from experiments.watching.seat import Seat
from experiments.watching.source import Source

SHOWN = 60.0  # pictures per second shown at most, however fast the game runs
BEHIND = 0.25  # delay above which the clock is set anew instead of catching up, in s
LATE = 0.01  # delay above which a picture counts as late, in s


class PlayerFrame(NamedTuple):
    """What is to be seen at one moment."""

    picture: np.ndarray  # uint8 [H, W, 3]: all seats and copies
    decided: bool  # True if the picture shows the state that the newest decision was made in
    redrawn: bool = False  # True if it stood there before, and something else lies over it now


class Screen(Protocol):
    """Where people look."""

    def show(self, player: Player, frame: PlayerFrame) -> None:
        """Shows one frame of the play."""

    def commands(self, player: Player) -> list[tuple[str, Any]]:
        """Returns the (name, value) of all commands since the last call; ("quit", None) ends the play."""

    def looks(self) -> bool:
        """Tells whether anybody looks; the player waits while nobody does."""


class Beat:
    """The rhythm of a play: when the next picture is due, how many came late, and how many come in a second."""

    def __init__(self) -> None:
        self.due, self.late = 0.0, 0
        self._times: deque[float] = deque(maxlen=41)

    def strike(self, now: float, period: float, hurries: bool) -> None:
        """A picture comes now. After a hold-up a play `hurries` after its clock; without, it goes on from then."""
        self.late += now - self.due > LATE
        self._times.append(now)
        if hurries:
            self.due = max(self.due + period, now - BEHIND)
        else:
            self.due = self.due + period if now - self.due <= period else now + period

    @property
    def rate(self) -> float:
        """Pictures per second over the last 40."""
        span = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        return (len(self._times) - 1) / span if span else 0.0


class Player:
    """Games of one or more agents.

    stages: agents that play one after the other in the only seat, each for `episodes` games or `seconds`.
    """

    def __init__(
        self, sources: Sequence[Source], *, copies: int = 1, seed: int = 1, policy: str | None = None,
        episodes: int | None = None, seconds: float | None = None, stages: Sequence[Source] = (), panels: bool = True,
    ):  # fmt: skip
        if len({source.game for source in sources}) > 1:
            raise ValueError(f"side by side must be one game, not {' and '.join(s.game for s in sources)}")
        if len(sources) > 1 and copies > 1:
            raise ValueError("--copies: shows one agent; side by side stand one game of each")
        self.seats: list[Seat] = []
        try:
            for source in sources:
                self.seats.append(Seat(source, copies=copies, seed=seed, policy=policy, explaining=panels))
            if len({seat.fps for seat in self.seats}) > 1:
                raise ValueError("side by side: the games run at different speeds")
        except BaseException:  # a game may be a program of its own
            self.close()
            raise
        self.game, self.fps = sources[0].game, self.seats[0].fps
        self.stages, self.episodes, self.seconds = list(stages), episodes, seconds
        self.paused, self.speed, self.panels, self.ended = False, 1.0, panels, False
        self.key = (seed,)  # numbers of the present episode; the first is the seed
        self.beat = Beat()
        self.messages: list[str] = []  # messages for the person since the last reading
        self.loops = False  # True if milestones begin again after the last one
        self._again, self.stepping, self._frame = False, False, None
        self._shown: list[np.ndarray] = []

    @property
    def focus(self) -> Seat:
        """The seat that panels and people belong to."""
        return self.seats[0]

    @property
    def scores(self) -> list[float]:
        """Of finished games, seat by seat."""
        return [score for seat in self.seats for score in seat.scores]

    @property
    def keeps_time(self) -> bool:
        """Does the game itself say when its next picture comes, as one in real time does?"""
        return self.focus.about.real_time

    @property
    def waits(self) -> bool:
        """Is it a person's turn, in a game that waits for it?"""
        return any(seat.waits for seat in self.seats)

    def frames(self) -> Iterator[PlayerFrame]:
        """Pictures at `fps`, until the limits are reached (or for ever)."""
        program = self.stages or [None]
        while True:
            for source in program:
                if source is not None:
                    self.focus.load(source)
                    self._begin(self.key)
                yield from self._play()
                if self.ended:
                    return
            if not (self.loops and self.stages):
                return

    def _play(self) -> Iterator[PlayerFrame]:
        shown, limit = 0, None if self.seconds is None else max(1, round(self.seconds * self.fps))
        while not self.ended:
            for frame in self._pictures():
                yield frame
                shown += 1
                if shown == limit:
                    return
            if self._again:
                self._again = False
                self._begin(self.key, keep=True)
                continue
            if self.episodes is not None and all(len(seat.scores) >= self.episodes for seat in self.seats):
                return
            self._advance()

    def _pictures(self) -> Iterator[PlayerFrame]:
        """The pictures that have come since the last decision; the last of them shows the newest one's state."""
        groups = [pictures for seat in self.seats for pictures in seat.pictures()]
        length = max(1, *map(len, groups))
        before = self._shown or [None] * len(groups)  # a game that waits for the other may have no new one
        for i in range(length):
            now = zip(groups, before, strict=True)
            self._shown = [group[min(i, len(group) - 1)] if group else old for group, old in now]
            decided = i == length - 1
            if decided:
                for seat in self.seats:
                    seat.decide_once()
            self._frame = PlayerFrame(self.compose(), decided)
            yield self._frame

    def compose(self) -> np.ndarray:
        """All games in one picture; what is laid over the picture, over the first copy of each seat."""
        pictures, at = list(self._shown), 0
        for seat in self.seats:
            if at < len(pictures):
                pictures[at] = seat.decorate(pictures[at])
            at += seat.copies
        if len(pictures) == 1:
            return pictures[0]
        columns = len(self.seats) if len(self.seats) > 1 else int(np.ceil(np.sqrt(len(pictures))))
        return tile(pictures, columns)

    def _advance(self) -> None:
        for seat in self.seats:
            if seat.follow():
                self.messages.append(f"now playing the checkpoint of step {seat.at:,}")
        if len(self.seats) == 1:
            self.focus.advance()
            return
        if all(seat.over for seat in self.seats):
            self._begin((*self.key[:1], len(self.focus.scores)), keep=True)
            return
        for seat in self.seats:
            if not seat.over:
                seat.advance()

    def _begin(self, key: tuple[int, ...], keep: bool = False) -> None:
        """A new episode on every seat, all with the same seed. keep: the scores so far."""
        for seat in self.seats:
            scores = seat.scores
            seat.begin(*key)
            if keep:
                seat.scores = scores

    def command(self, name: str, value: Any = None) -> None:
        """Does what a person asks for; what is not known, or makes no sense, is told in `messages`."""
        try:
            obey(self, name, value)
        except CommandRefused as fault:
            self.messages.append(str(fault))

    def begin_soon(self, seed: int) -> None:
        """An episode with this seed, before the next decision."""
        self.key, self._again = (seed,), True

    def may_go_on(self) -> bool:
        """Is the next picture due, as far as pause and a person's turn go? Both wait for the end of a decision."""
        return self._again or not self._decided or not (self.waits or (self.paused and not self.stepping))

    @property
    def _decided(self) -> bool:
        return self._frame is not None and self._frame.decided

    def went_on(self) -> None:
        """Ends a single step with the picture of its decision."""
        if self._decided:
            self.stepping = False

    def redrawn(self) -> PlayerFrame | None:
        """The present picture once more, after a command has changed what lies over it."""
        if self._frame is not None:
            self._frame = self._frame._replace(picture=self.compose(), redrawn=True)
        return self._frame

    def status(self) -> dict[str, Any]:
        """Everything about the play that is not a seat's, as JSON."""
        return {
            "game": self.game, "fps": self.fps, "paused": self.paused, "speed": self.speed, "panels": self.panels,
            "seed": self.key[0], "copies": self.focus.copies, "seats": [seat.facts() for seat in self.seats],
        }  # fmt: skip

    def close(self) -> None:
        for seat in self.seats:
            seat.close()


def drive(player: Player, screen: Screen) -> None:
    """Plays in the game's own time on a screen, obeying its commands, until it or the limits end it."""
    frames, beat, last = player.frames(), player.beat, 0.0
    beat.due = time.monotonic()
    while not player.ended:
        commands, speed = screen.commands(player), player.speed
        for name, value in commands:
            player.command(name, value)
        if player.speed != speed:  # decisions that were due at the old speed are not waited for
            beat.due = time.monotonic()
        if player.ended:
            return
        now = time.monotonic()
        if not screen.looks() or not player.may_go_on():
            if commands and (frame := player.redrawn()) is not None:
                screen.show(player, frame)
            beat.due = now
            time.sleep(0.01)
            continue
        if player.speed and beat.due > now and not player.keeps_time:
            time.sleep(min(beat.due - now, 0.02))  # short sleeps, so that commands are obeyed at once
            continue
        frame = next(frames, None)
        if frame is None:
            return
        if player.speed:  # nobody would have made the decisions that a person's game hurries through
            beat.strike(now, 1 / (player.fps * player.speed), hurries=player.focus.human is None)
        else:
            beat.due = now
        player.went_on()
        now = time.monotonic()
        if 0 < player.speed * player.fps <= SHOWN + 1 or now - last >= 1 / SHOWN:
            screen.show(player, frame)
            last = now
