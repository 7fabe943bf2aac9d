"""Games on the screen as Gymnasium environments, in real time (docs/screen.md).

A step holds the keys of its action until the next tick of a clock at the profile's rate, and answers with the picture
that is there then. `info` tells, [N]: `stale` (the picture equals the one before), `age` (seconds since it changed),
`late` (seconds by which the tick came late), `missed` (ticks that were lost in this step), `hidden` (the window could
not be seen), `score`, `read/NAME` (the numbers of the profile's readers) and `expert` where it is asked for. A game
that crashed or hung ends its episode without a score, and is started anew.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import gymnasium
import numpy as np

from agents.perception import preprocess
from envs.batches import SingleEnv, batch_seeds, check_batch, present, read_options
from envs.screen.facts import SHAPES, ScreenOptions, describe
from envs.screen.faults import DisplayLost, KeeperLost, ScreenFault
from envs.screen.players import PLAYERS
from envs.screen.profile import ScreenProfile, holds
from envs.screen.session import ScreenSession, Shot, WindowGone

ATTEMPTS = 4  # attempts to begin a game, before it is played as it is
HOLD = "h"  # key that a person holds down to drive, on the display of the game
NAMES = {"Return": "return", "Escape": "escape", "Left": "left", "Right": "right", "Up": "up", "Down": "down"}


def pygame_name(key: str) -> str:
    """X's name of a key -> pygame's, as a page or a window tells it."""
    return NAMES.get(key, key.replace("_L", "").replace("_R", "").lower() if len(key) > 1 else key)


class ScreenGame:
    """One game with its episode: readings, reward and end."""

    def __init__(self, options: ScreenOptions):
        self.options, self.profile = options, options.profile
        self.session = ScreenSession(self.profile, options.xvfb)
        self.opened = self.over = False
        self.readings: dict[str, float] = {}
        self.player = PLAYERS[self.profile.player](self.profile) if options.expert_info else None
        self.shot: Shot | None = None
        self.lost = False  # True once this episode's game has crashed, hung or been closed
        self.reason = ""  # sentence about why keys could not be pressed any more
        self.shares: dict[str, float] = {}
        self.ticks = self._ending = 0

    def reset(self, seed: int) -> None:
        """A game from its beginning. Raises ScreenFault."""
        session = self.session
        session.seed = seed % 2**31
        for attempt in range(ATTEMPTS):
            try:
                session.release()
                if not self.opened:
                    session.open()
                    self.opened = True
                elif self.profile.command and (self.lost or attempt > 1 or not self.profile.reset):
                    session.restart()
                elif self.ticks or self.over or attempt:
                    session.perform(self.profile.reset)
                self.lost, self.over, self.ticks, self._ending = False, False, 0, 0
                self.readings = {}
                self.shot = session.shoot()
                self._read()
            except (WindowGone, DisplayLost, KeeperLost) as fault:
                self.lost = True
                theirs = not self.profile.command or (isinstance(fault, DisplayLost) and not self.options.xvfb)
                if theirs or attempt == ATTEMPTS - 1:
                    raise
                continue
            if not any(holds(text, self.readings) for text in self.profile.over):
                break  # a game that should begin anew may show its end still, and is asked once more
        if self.player is not None:
            self.player.begin()

    def press(self, action: Any, period: float) -> None:
        """Holds the keys of an action from now on."""
        if self.lost or self.over:
            return
        try:
            if self.options.control == "keys":
                keys = list(self.profile.actions.values())[int(action)]
                self.session.hold(keys, 2.0 * period)
            else:
                self.session.share(self._shares(action), period)
        except ScreenFault as fault:  # `look` tells whether it can be started anew
            self.lost, self.reason = True, str(fault)

    def _shares(self, action: Any) -> dict[str, float]:
        """Each key of the axes with its share of the step."""
        shares: dict[str, float] = {}
        for value, (low, high) in zip(np.clip(action, -1.0, 1.0), self.profile.axes.values(), strict=True):
            if key := high if value > 0 else low:
                shares[key] = max(shares.get(key, 0.0), abs(float(value)))
        return shares

    def look(self) -> tuple[float, bool, bool]:
        """A tick later: reward, terminated, truncated. Raises ScreenFault where nothing can be played any more."""
        profile, before, session = self.profile, dict(self.readings), self.session
        self.ticks += 1
        try:
            if self.lost:
                raise WindowGone(self.reason)
            self.shot = session.shoot()
            if session.hangs(self.shot):
                raise WindowGone(f"{profile.title} has drawn nothing for {profile.still:g} s")
            self._read()
        except (WindowGone, DisplayLost, KeeperLost) as fault:
            if not profile.command or (isinstance(fault, DisplayLost) and not self.options.xvfb):
                raise
            session.remarks.append(str(fault))
            self.lost = self.over = True
            with contextlib.suppress(ScreenFault):  # a keeper that has ended holds no key
                session.release()
            return 0.0, False, True
        reward = profile.reward_alive / profile.rate
        for name, value in profile.reward_change.items():
            if name in before and name in self.readings:
                reward += value * max(0.0, self.readings[name] - before[name])
        reward += sum(v * self.readings.get(name, 0.0) for name, v in profile.reward_level.items()) / profile.rate
        self._ending = self._ending + 1 if any(holds(text, self.readings) for text in profile.over) else 0
        terminated = self._ending >= profile.over_ticks
        truncated = not terminated and self.ticks >= round(profile.seconds * profile.rate)
        self.over = terminated or truncated
        if self.over:
            session.release()
        return reward + profile.reward_over * terminated, terminated, truncated

    def _read(self) -> None:
        """The numbers on the window; one that cannot be read just now keeps its value."""
        title = self.session.title() if any(r.kind == "title" for r in self.profile.readers.values()) else ""
        for name, reader in self.profile.readers.items():
            if (value := reader.read(self.shot.picture, title)) is not None:
                self.readings[name] = value

    def seen(self) -> np.ndarray:
        """What an agent sees: the window's part without masks, reduced."""
        return observe(self.shot.picture, self.profile, self.options.obs)

    @property
    def score(self) -> float | None:
        """The number that is the score; None where none is, or none was read."""
        return self.readings.get(self.profile.score) if self.profile.score else None


def observe(picture: np.ndarray, profile: ScreenProfile, obs: str) -> np.ndarray:
    """A window's picture, uint8 [H, W, 3], as an agent sees it."""
    high, wide = picture.shape[:2]
    if profile.masks:
        picture = picture.copy()
        for left, top, right, bottom in profile.masks:
            picture[round(top * high) : round(bottom * high), round(left * wide) : round(right * wide)] = 0
    left, top, right, bottom = profile.crop
    picture = picture[round(top * high) : round(bottom * high), round(left * wide) : round(right * wide)]
    shape = SHAPES[obs]
    small = preprocess.resize(picture, *shape[:2])
    return preprocess.grey(small) if len(shape) == 2 else small


class ScreenVectorEnv(gymnasium.vector.VectorEnv):
    """N games, each in a virtual display of its own where there are several; autoreset NEXT_STEP."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}

    def __init__(self, num_envs: int, options: ScreenOptions, render_mode: str | None = None):
        check_batch(num_envs, render_mode)
        if num_envs > 1 and not options.xvfb:
            raise ValueError(f"--num-envs {num_envs}: there is one screen; --xvfb gives each game a display of its own")
        self.options, self.render_mode = options, render_mode
        about = describe(options)
        present(self, about, num_envs)
        self.metadata = {**self.metadata, "render_fps": options.profile.rate}
        self.period = 1.0 / options.profile.rate
        self.games = [ScreenGame(options) for _ in range(num_envs)]
        self.over = np.zeros(num_envs, bool)
        self._rng = np.random.default_rng()
        self._due, self._began = 0.0, False
        self._pressed: Any = None
        self.hands_off = False  # True while a person presses the keys on the game's own display

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Every game from its beginning."""
        if seed is not None:
            self._rng = np.random.default_rng(batch_seeds(seed, self.num_envs))
        with self._faults():
            for game in self.games:
                game.reset(int(self._rng.integers(2**31)))
        self.over[:] = False
        self._due = time.monotonic() + self.period
        return self._seen(), self._info(0.0, 0)

    def send(self, actions: np.ndarray) -> None:
        """Holds the keys of each game's action; `recv` waits for the tick."""
        if not self.hands_off:
            for game, action, over in zip(self.games, actions, self.over, strict=True):
                if not over:
                    game.press(action, self.period)

    def recv(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Waits for the next tick, and tells what is on the screens then."""
        late, missed = self._wait()
        reward, begun = np.zeros(self.num_envs, np.float64), self.over.copy()
        terminated, truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        with self._faults():
            for i, game in enumerate(self.games):
                if begun[i]:
                    game.reset(int(self._rng.integers(2**31)))
                else:
                    reward[i], terminated[i], truncated[i] = game.look()
        self.over = terminated | truncated
        if begun.any():  # a game took its time to begin: the clock starts again
            self._due = time.monotonic() + self.period
        return self._seen(), reward, terminated, truncated, self._info(late, missed)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One action each, for one tick."""
        self.send(actions)
        return self.recv()

    def _wait(self) -> tuple[float, int]:
        """Sleeps until the next tick. Returns how late it came, in seconds, and how many ticks were lost before."""
        now, missed = time.monotonic(), 0
        if now > self._due:
            missed = int((now - self._due) / self.period)
            self._due += missed * self.period
        else:
            time.sleep(self._due - now)
        late = max(0.0, time.monotonic() - self._due)
        self._due += self.period
        return late, missed

    def _faults(self) -> Any:
        return _Released(self)

    def release(self) -> None:
        """Lets go of every key of every game."""
        for game in self.games:
            with contextlib.suppress(ScreenFault):  # a keeper that has ended holds no key
                game.session.release()

    def _seen(self) -> np.ndarray:
        return np.stack([game.seen() for game in self.games])

    def _info(self, late: float, missed: int) -> dict[str, Any]:
        games, count = self.games, self.num_envs
        info: dict[str, Any] = {
            "stale": np.array([game.shot.stale for game in games]),
            "age": np.array([game.shot.age for game in games]),
            "hidden": np.array([bool(game.shot.hidden) for game in games]),
            "late": np.full(count, late), "missed": np.full(count, missed),
        }  # fmt: skip
        for name in self.options.profile.readers:
            info[f"read/{name}"] = np.array([game.readings.get(name, np.nan) for game in games])
        counted = np.array([not game.lost for game in games])
        if self.options.profile.score:
            scores = [game.score for game in games]
            info["score"] = np.array([0.0 if s is None else s for s in scores])
            counted &= np.array([s is not None for s in scores])
        info["_score"] = counted
        if self.options.expert_info:
            info["expert"] = np.stack([game.player.act(game.shot.picture) for game in games])
        for game in games:
            remarks, game.session.remarks = game.session.remarks, []
            for remark in dict.fromkeys(remarks):
                print(f"joypad: {game.profile.title}: {remark}", file=sys.stderr)
        return info

    def render(self) -> tuple[np.ndarray, ...]:
        """The newest picture of every window, RGB uint8 [H, W, 3]."""
        return tuple(game.shot.picture for game in self.games)

    def close_extras(self, **words: Any) -> None:
        """Lets go of every key and ends every game that was started. Calling it again does nothing."""
        for game in self.games:
            game.session.close()
            game.opened = False


class _Released:
    """Within: whatever goes wrong, no key stays down."""

    def __init__(self, games: ScreenVectorEnv):
        self.games = games

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, fault: Any, trace: Any) -> None:
        if kind is not None:
            self.games.release()


class ScreenEnv(SingleEnv):
    """One game. render_mode: None, "rgb_array" or "human" (a window of the lab's, beside the game's)."""

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 15}
    title = "joypad: screen"

    def keys(self) -> dict[frozenset[str], int]:
        """The keys of each action, by pygame's names, for whoever plays in the lab's own window or on its page."""
        actions = self.options.profile.actions.values()
        return {frozenset(map(pygame_name, keys)): i for i, keys in enumerate(actions)}

    def axes(self) -> tuple[tuple[str, str, float], ...]:
        """(key for -1, key for +1, value without either) of each axis."""
        return tuple((pygame_name(low), pygame_name(high), 0.0) for low, high in self.options.profile.axes.values())

    @property
    def scored(self) -> bool:
        """Has the game of this episode come to its own end, or may it still? One that crashed has no score."""
        return not self.games.games[0].lost

    def action_names(self) -> list[str]:
        """The names of the profile's actions or axes."""
        profile = self.options.profile
        return list(profile.actions if self.options.control == "keys" else profile.axes)

    def pressed(self) -> set[str]:
        """Keys that a person holds down on the game's own display: HOLD, and while it is down those of the game, too.

        From then on the lab presses none, so that what is down is the person's. A game that has HOLD among its own keys
        hears nobody: the lab's presses would be taken for a person's.
        """
        game = self.games.games[0]
        session = game.session
        try:
            heard = game.shot is not None and not game.shot.hidden and HOLD not in self.options.profile.keys
            held = session.held([HOLD]) if heard else set()
            if held and not self.games.hands_off:
                session.release()
            self.games.hands_off = bool(held)
            return {HOLD, *map(pygame_name, session.held(self.options.profile.keys))} if held else set()
        except ScreenFault:  # the next step tells what has happened
            return set()

    def follow(self) -> tuple[int, tuple[np.ndarray, float, bool, bool, dict[str, Any]]]:
        """One tick in which a person plays on the game's own display: their action, and what `step` answers."""
        self.games.hands_off = True
        action = self.held_action()
        return action, self.step(action)

    def held_action(self) -> int:
        """The action whose keys a person holds now: the largest set of them that is down."""
        game = self.games.games[0]
        away = game.lost or bool(game.shot.hidden)  # keys typed into another window are no action
        down = set() if away else game.session.held(self.options.profile.keys)
        fitting = [(len(keys), -i) for i, keys in enumerate(self.options.profile.actions.values()) if set(keys) <= down]
        return -max(fitting)[1]

    def seen_box(self) -> tuple[int, int, int, int]:
        """The part of the picture that an agent sees: px from the left, from the top, wide, high."""
        (wide, high), (left, top, right, bottom) = self.options.profile.size, self.options.profile.crop
        x, y = round(left * wide), round(top * high)
        return x, y, round(right * wide) - x, round(bottom * high) - y


def make_vec(num_envs: int, **options: Any) -> ScreenVectorEnv:
    """N games; `options` are the fields of `ScreenOptions`."""
    return ScreenVectorEnv(num_envs, read_options(ScreenOptions, options, "screen"), render_mode="rgb_array")


def make(render_mode: str | None = None, **options: Any) -> ScreenEnv:
    """One game; `options` are the fields of `ScreenOptions`."""
    chosen = read_options(ScreenOptions, options, "screen")
    return ScreenEnv(ScreenVectorEnv(1, chosen, render_mode="rgb_array"), render_mode)


