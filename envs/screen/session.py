"""One running game: its process, its window, the keys that are held, and what is done when something goes wrong.

A window that was moved is found again, one that was covered, minimised or resized in the lab's own virtual display is
put back, and a game that ended there is started anew. On a person's display the person is asked instead: no picture is
taken of anything but the window, and no key is held meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agents.perception import preprocess
from envs.screen import orphans
from envs.screen.display import XVFB, Desktop, open_display
from envs.screen.faults import DisplayLost, KeeperLost, ScreenFault
from envs.screen.lab import ROOT, KeeperLink, WindowLock
from envs.screen.profile import ProfileStep, ScreenProfile, condition, holds, parse_step

GAMES = "/usr/games"  # Debian's folder of games, which is not on everybody's PATH
SETTLED = 0.3  # time that a new window has to draw itself, in s
BACK = 0.15  # time in s after which a window that comes into sight again has drawn itself
ASKED = 10.0  # longest time in s that a window may be out of sight before the play ends with a sentence
STARTS = 3  # starts in a row of a game that ends at once, before that is a fault
LASTS = 5.0  # time from which a game counts as having run, in s
LONGEST_WAIT = 90.0  # longest time for a step that waits for what is seen, in s
ANSWERED = 1.2  # time that a game has to answer a key of a step that is done until something is seen, in s
RELEASE = 0.25  # time after which keys are let go that nobody asks for any more, in s, where a step is shorter


class WindowGone(ScreenFault):
    """The game's window or its process has ended: it may be started anew."""


class Shot(NamedTuple):
    """A picture of the window."""

    picture: np.ndarray  # uint8 [H, W, 3], of the profile's size
    at: float  # time at which it was taken (`time.monotonic`), s
    stale: bool  # True where it equals the one before
    age: float  # time since the picture changed last, s
    hidden: str  # reason why the window cannot be seen, and the picture is an old one; "" where it can


class ScreenSession:
    """A game that is played. `open` it first; `close` it at the end."""

    def __init__(self, profile: ScreenProfile, xvfb: bool = False, seed: int = 0):
        self.profile, self.xvfb, self.seed = profile, xvfb, seed
        self.starts = 0  # starts of the game in a row that came to nothing
        self.desktop: Desktop | None = None
        self.link: KeeperLink | None = None
        self.window: Any = None
        self.remarks: list[str] = []  # sentences about what was put right, for whoever wants to tell
        self._lock: WindowLock | None = None
        self._home: str | None = None
        self._picture: np.ndarray | None = None  # the newest picture of the window
        self._changed = self._began = 0.0
        self._hidden_since: float | None = None
        self._out_of_sight = -BACK  # moment at which the window was last seen covered or minimised, in s
        self._codes: Mapping[str, int] = {}

    # -- start and end -----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Starts the game, or finds its window. Raises ScreenFault, and then leaves nothing behind."""
        program = self._program()  # a missing program is told before anything is started
        try:
            self._open(program)
        except BaseException:
            self.close()
            raise

    def _open(self, program: list[str]) -> None:
        if self.xvfb:
            if shutil.which("Xvfb") is None:
                raise ScreenFault("--xvfb needs the virtual display Xvfb, which is not installed: apt-get install xvfb")
            self.link = KeeperLink()
            self.desktop = open_display(self.link.screen(self.profile.display), own=True)
        else:
            self.desktop = open_display()
            self.link = KeeperLink()
        self.link.connect(self.desktop.name)
        self._codes = self.desktop.codes(self.profile.keys)
        self._launch(program)

    def restart(self) -> None:
        """Ends the game and starts it anew. Raises ScreenFault where it ended again and again, or is not ours."""
        if not self.profile.command:
            raise ScreenFault(f"the window {self.profile.window!r} was closed; it was not started here")
        self.starts = self.starts + 1 if time.monotonic() - self._began < LASTS else 1
        if self.starts > STARTS:
            raise ScreenFault(f"{self.profile.title} ended {STARTS} times right after its start{self._words()}")
        try:
            self._release_window()
            self.link.stop()
            self._launch(self._program())
        except (DisplayLost, KeeperLost) as fault:  # one goes with the other where the display is the lab's
            if isinstance(fault, DisplayLost) and not self.xvfb:
                raise
            gone = "its virtual display" if self.xvfb else "the process that starts it"
            self.remarks.append(f"{gone} has gone, and another one is started")
            self.close()
            self.open()

    def _program(self) -> list[str]:
        """The command of the game, with the whole path of its program; empty where it is started by hand."""
        if not self.profile.command:
            if self.xvfb:
                raise ScreenFault(f"--xvfb: the profile {self.profile.name} does not say how the game is started")
            return []
        words = [w.replace("{python}", sys.executable).replace("{seed}", str(self.seed)) for w in self.profile.command]
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), GAMES])
        if (program := shutil.which(words[0], path=path)) is None:
            how = f": {self.profile.install}" if self.profile.install else ""
            raise ScreenFault(f"{self.profile.title} is not installed{how}")
        return [program, *words[1:]]

    def _launch(self, program: list[str]) -> None:
        if program:
            home = self._new_home()
            self.link.run(program, self._environment(home), home)
        self.window = self._await_window(bool(program))
        self._lock = WindowLock(self.desktop.identity(self.window), self.profile.title)
        self.desktop.restore(self.window, self.profile.size if self.xvfb else None)
        self._began = self._changed = time.monotonic()
        self._picture, self._hidden_since = None, None
        self.perform(self.profile.start)

    def _new_home(self) -> str:
        """A home folder with the profile's files: settings and first questions of the game are always the same."""
        if self._home is not None:
            orphans.remove(self._home)
        self._home = orphans.home()
        for name, text in self.profile.files.items():
            path = (Path(self._home) / name).resolve()
            if not path.is_relative_to(Path(self._home).resolve()):
                raise ScreenFault(f"the profile {self.profile.name} writes {name!r} outside of the home folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return self._home

    def _environment(self, home: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER")}
        here = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        drawn = {"LIBGL_ALWAYS_SOFTWARE": "1", "LP_NUM_THREADS": "1", "vblank_mode": "0"} if self.xvfb else {}
        quiet = {"SDL_AUDIODRIVER": "dummy", "ALSOFT_DRIVERS": "null", "AUDIODEV": "null"} if self.xvfb else {}
        mine = {"HOME": home, "DISPLAY": self.desktop.name, "PYTHONPATH": os.pathsep.join(here)}
        return {**kept, **drawn, **quiet, **mine, **self.profile.environment}

    def _await_window(self, ours: bool) -> Any:
        """The game's window, once it is shown. Raises ScreenFault where it does not come."""
        end = time.monotonic() + (self.profile.patience if ours else 0.0)
        while True:
            found = self.desktop.find(self.profile.window, largest=self.xvfb and not self.profile.window)
            place = None if found is None else self.desktop.place(found)
            if place is not None and place.shown and min(place.width, place.height) > 15:
                time.sleep(SETTLED if ours else 0.0)
                return found
            if ours and (code := self.link.exit_code()) is not None:
                raise WindowGone(f"{self.profile.title} ended at once, exit status {code}{self._words()}")
            if time.monotonic() >= end:
                break
            time.sleep(0.05)
        there = ", ".join(map(repr, self.desktop.titles()[:8])) or "none"
        raise ScreenFault(f"there is no window {self.profile.window!r} on {self.desktop.name} (there are: {there})")

    def _words(self) -> str:
        return self.link.last_words() if self.link is not None else ""

    def _release_window(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def close(self) -> None:
        """Lets go of every key, ends what was started. Calling it again does nothing."""
        self._release_window()
        if self.link is not None:
            self.link.close()
            self.link = None
        if self.desktop is not None:
            self.desktop.close()
            self.desktop = None
        if self._home is not None:
            orphans.remove(self._home)
            self._home = None

    # -- keys --------------------------------------------------------------------------------------------------------

    def hold(self, keys: Iterable[str], seconds: float) -> None:
        """Holds these keys, and no others, for so long at most."""
        self._tell({self._code(key): max(seconds, RELEASE) for key in keys})

    def share(self, shares: Mapping[str, float], period: float) -> None:
        """Holds each key for its share of the step that begins now: 1 is all of it, and on into the next."""
        held = {self._code(key): max(period, RELEASE) if part >= 1.0 else part * period
                for key, part in shares.items() if part > 0.02}  # fmt: skip
        self._tell(held)

    def _tell(self, keys: Mapping[int, float]) -> None:
        """Tells the keeper which keys are held. Raises KeeperLost, and then none is down."""
        try:
            self.link.hold(keys)
        except KeeperLost:
            with contextlib.suppress(DisplayLost):
                self.desktop.let_go(self._codes.values())
            raise

    def release(self) -> None:
        """Lets go of every key, and returns once they are up. Raises KeeperLost, and then they are up as well."""
        if self.link is not None and self.link.held:
            self._tell({})
            self.link.exit_code()

    def _code(self, key: str) -> int:
        if key not in self._codes:
            raise ScreenFault(f"{key!r} is no key of the profile {self.profile.name}; it has {', '.join(self._codes)}")
        return self._codes[key]

    def perform(self, steps: Sequence[str]) -> None:
        """Keys that are pressed one after the other, and pauses: how a game is begun.

        Raises WindowGone where what a step waits for is not seen: the game may be started anew.
        """
        for text in steps:
            step, end = parse_step(text), time.monotonic() + LONGEST_WAIT
            while not self._is_done(step.until):
                if time.monotonic() > end:
                    raise WindowGone(f"{self.profile.title} has not come to {step.until!r} in {LONGEST_WAIT:g} s")
                self._do(step)
                if not step.until:
                    break

    def _do(self, step: ProfileStep) -> None:
        if step.key:
            self._tell({self._code(step.key): step.seconds})
            time.sleep(step.seconds)
            self._tell({})
            time.sleep(ANSWERED if step.until else 0.05)
        elif step.point is None:
            time.sleep(step.seconds)
        elif (place := self.desktop.place(self.window)) is not None:
            x, y = step.point
            self.link.click(place.x + round(x * place.width), place.y + round(y * place.height))

    def _is_done(self, until: str) -> bool:
        """Is what a step waits for seen? A step that waits for nothing is done once."""
        if not until:
            return False
        reader = self.profile.readers[name := condition(until)[0]]
        value = reader.read(self.shoot().picture, self.title())
        return value is not None and holds(until, {name: value})

    def held(self, names: Iterable[str]) -> set[str]:
        """Those of the keys that are down on the display, whoever pressed them. Raises DisplayLost."""
        down = self.desktop.held()
        codes = {name: self._codes.get(name) or self.desktop.codes((name,))[name] for name in names}
        return {name for name, code in codes.items() if code in down}

    # -- pictures ----------------------------------------------------------------------------------------------------

    def shoot(self) -> Shot:
        """A picture of the window as it is now. Raises WindowGone, DisplayLost, or ScreenFault."""
        for _ in range(3):
            place = self.desktop.place(self.window)
            if place is None:
                raise WindowGone(f"the window of {self.profile.title} was closed{self._ended()}")
            why = "minimised" if not place.shown else "covered by another window" if place.covered else ""
            if not why and not self.xvfb and not self.desktop.focused(self.window):
                why = "without the keyboard"  # keys would go to whatever the person types into
                if self._hidden_since is None:
                    self.remarks.append("another window has the keyboard: click into the game's, and the play goes on")
            if self.xvfb and (why or (place.width, place.height) != self.profile.size or self._beside(place)):
                self.desktop.restore(self.window, self.profile.size)
                self.remarks.append(f"the window was {why or 'moved or resized'}, and is put back")
                continue
            if why:
                self._out_of_sight = time.monotonic()
                return self._old(why)
            if time.monotonic() - self._out_of_sight < BACK:  # the window that lay over it may still be seen there
                return self._old("coming back into sight")
            picture = self.desktop.grab(place)
            if self.desktop.place(self.window) == place:  # nothing has changed meanwhile: it is the window's
                return self._new(picture)
        return self._old("changing its place and size")

    def _beside(self, place: Any) -> bool:
        """Does a part of the window lie beside its virtual display?"""
        wide, high = self.desktop.size
        return place.x < 0 or place.y < 0 or place.x + place.width > wide or place.y + place.height > high

    def _new(self, picture: np.ndarray) -> Shot:
        now, (width, height) = time.monotonic(), self.profile.size
        if picture.shape[:2] != (height, width):  # windows on a person's display have any size
            picture = preprocess.resize(picture, height, width)
        stale = self._picture is not None and np.array_equal(picture, self._picture)
        if not stale:
            self._changed = now
        self._picture, self._hidden_since = picture, None
        return Shot(picture, now, stale, now - self._changed, "")

    def _old(self, why: str) -> Shot:
        """The newest picture once more, while the window cannot be seen. Raises ScreenFault after a while."""
        now = time.monotonic()
        self.release()
        if self._hidden_since is None:
            self._hidden_since = now
        if now - self._hidden_since > ASKED:
            raise ScreenFault(f"the window of {self.profile.title} has been {why} for {ASKED:g} s; {XVFB}")
        if self._picture is None:
            self._picture = np.zeros((*self.profile.size[::-1], 3), np.uint8)
        return Shot(self._picture, now, True, now - self._changed, why)

    def title(self) -> str:
        """The window's title."""
        return self.desktop.title(self.window)

    def hangs(self, shot: Shot) -> bool:
        """Has the game not drawn anything for longer than its profile allows?"""
        return bool(self.profile.still) and not shot.hidden and shot.age > self.profile.still

    def _ended(self) -> str:
        code = self.link.exit_code() if self.profile.command else None
        return "" if code is None else f"; its exit status is {code}{self._words()}"
