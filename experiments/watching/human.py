"""Keys and gamepads -> actions, for any game.

A game may say what a keyboard does: `keys()` returns {frozenset of key names: action} where actions are discrete, and
`axes()` returns one (negative key, positive key, value at rest) for each dimension of a Box. Keys have pygame's names:
"left", "up", "space", "a". A game whose metadata holds "turn_based" waits for its player.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import envs
from envs import gym_keys
from envs.driving import Driving
from experiments.driving.hands import Hands, Pad

Keys = Mapping[frozenset[str], int]  # keys that are held together -> action
Axis = tuple[str, str, float]  # key for -1, key for +1, value without either

DEAD = 0.3  # deflection of a gamepad's stick that counts as a key
PACE = 0.34  # step of an axis per decision while a key is held, share of its range: steering by keys is gradual
FREE: tuple[Axis, ...] = (("left", "right", 0.0), ("down", "up", 0.0), ("", "space", -1.0), ("a", "d", 0.0))
PEDALS = ("up", "down", "space")  # keys of dimensions that cannot be negative, in their order
STICK = {"right": (0, 1.0), "up": (1, -1.0), "down": (1, 1.0)}  # key -> axis of a gamepad's stick, and the sign there


class Unplayable(ValueError):
    """A game that a person cannot play with what they have at hand; the message says why."""


def own(game: str, env: Any, name: str) -> Any:
    """What a game of the lab says of itself (see above); None from any other, where the word may mean anything."""
    return None if envs.is_foreign(game) else getattr(env.unwrapped, name, None)


def convention(env: Any, name: str) -> Any:
    """What `name`, one of Gymnasium's conventions, answers; None where the environment has it not, or it fails."""
    try:
        return getattr(env.unwrapped, name)()
    except Exception:  # whatever a stranger's method raises: the numbers of the actions will do
        return None


def keys_of(game: str, env: Any) -> Keys:
    """Which keys do what, from the game itself. Raises Unplayable where a keyboard cannot play it."""
    space = env.action_space
    if not hasattr(space, "n"):
        raise Unplayable(f"{game} acts in {space}: there are no keys for it")
    if keys := own(game, env, "keys"):
        return keys()
    if (declared := gym_keys.keys_of(env)) is not None:
        return declared
    found = convention(env, "get_keys_to_action")  # for gymnasium.utils.play
    if isinstance(found, dict) and all(_binds(keys, action, space) for keys, action in found.items()):
        named = {"w": "up", "s": "down", "a": "left", "d": "right", " ": "space"}
        return {frozenset(named.get(k, str(k)) for k in keys): int(action) for keys, action in found.items()}
    return {frozenset([str(a)]): a for a in range(min(int(space.n), 10))}


def _binds(keys: Any, action: Any, space: Any) -> bool:
    """Are these keys as Gymnasium has them, and an action of the game?"""
    return isinstance(keys, str | tuple) and isinstance(action, int | np.integer) and 0 <= action < space.n


def axes_of(env: Any, game: str = "") -> tuple[Axis, ...]:
    """One axis for each dimension of a Box, in [-1, 1] whatever the Box's bounds are."""
    if axes := own(game, env, "axes"):
        return tuple(axes())
    if (declared := gym_keys.axes_of(env)) is not None:
        return declared
    free, pedals, found = list(FREE), list(PEDALS), []
    for low in np.ravel(env.action_space.low):
        if low < 0:
            found.append(free.pop(0) if free else ("", "", 0.0))
        else:
            found.append(("", pedals.pop(0) if pedals else "", -1.0))
    return tuple(found)


def choose(pressed: Iterable[str], keys: Keys) -> int:
    """The action of the largest set of keys that is held; without any, that of no keys, else action 0."""
    held = set(pressed)
    fitting = [k for k in keys if k <= held]
    return keys[max(fitting, key=len)] if fitting else 0


def allows(legal: np.ndarray | None, action: int) -> bool:
    """Is the action legal? legal: bool [A]; None where every action is."""
    return legal is None or (0 <= action < len(legal) and bool(legal[action]))


class Human:
    """A person at a keyboard or a gamepad. `held`, `sticks` and `wanted` are what the window or the page tells."""

    def __init__(self, game: str, env: Any, driving: Driving | None = None):
        space = env.action_space
        self.discrete = hasattr(space, "n")
        self.keys: Keys = keys_of(game, env) if self.discrete else {}
        self.axes = () if self.discrete else axes_of(env, game)
        self.waits = is_turn_based(env) and self.discrete
        self.hands = None  # hands on the wheel, where actions are steering
        if driving is not None and not self.discrete:
            self.hands, self._games = Hands(driving), env.unwrapped
            self.hands.take(driving.held(self._games))
        self.held: set[str] = set()
        self.sticks: list[float] = []  # gamepad: right, down in -1..1; button, 0 or 1; right, left trigger in 0..1
        self.wanted: int | None = None  # action that was named itself, by a click on a board
        self._now = self._rests()

    @property
    def known(self) -> list[str]:
        """The names of all keys that do something."""
        if self.discrete:
            return sorted(set().union(*self.keys))
        return sorted({key for low, high, _ in self.axes for key in (low, high) if key})

    def pressed(self) -> set[str]:
        """Keys that are held, a gamepad's stick and buttons among them."""
        keys = set(self.held)
        for value, (low, high) in zip(self.sticks, (("left", "right"), ("up", "down")), strict=False):
            if abs(value) > DEAD:
                keys.add(high if value > 0 else low)
        if len(self.sticks) > 2 and self.sticks[2] > DEAD:
            keys.add("space")
        return keys

    def is_ready(self, legal: np.ndarray | None = None) -> bool:
        """Has the player of a game that waits made up their mind, on a move that is legal?"""
        if not self.waits:
            return True
        if self.wanted is None and not any(k and k <= self.pressed() for k in self.keys):
            return False
        return allows(legal, self._chosen())

    def _chosen(self) -> int:
        """The number of the action that is asked for."""
        return choose(self.pressed(), self.keys) if self.wanted is None else self.wanted

    def action(self, legal: np.ndarray | None = None) -> int | np.ndarray:
        """The action now: a number, or float32 [D] in [-1, 1]. One that is not legal becomes the first that is."""
        if not self.discrete:
            return self._steer()
        action, self.wanted = self._chosen(), None
        if self.waits:
            self.held.clear()  # one move for one key
        if not allows(legal, action):
            action = int(np.flatnonzero(legal)[0])
        return action

    def _steer(self) -> np.ndarray:
        held = self.held | (self.pressed() & {"space"})
        if self.hands is not None:
            return self.hands.act(held, self._pad(), self.hands.driving.speed(self._games))
        for i, (low, high, rest) in enumerate(self.axes):
            if (stick := self._stick(low, high)) is not None:
                self._now[i] = stick
                continue
            there = (high in held) - (low in held) if {low, high} & held else rest
            self._now[i] += (there - self._now[i]) * (PACE if low else 1.0)
        return self._now.clip(-1, 1).copy()

    def _stick(self, low: str, high: str) -> float | None:
        """What a gamepad's stick asks of the axis with these keys, in [-1, 1]; None where it rests."""
        place, sign = STICK.get(high, (len(self.sticks), 0.0))
        if place >= len(self.sticks) or abs(self.sticks[place]) <= 0.08:
            return None
        deflection = sign * self.sticks[place]
        if low:
            return deflection
        return 2 * deflection - 1 if deflection > 0 else None  # a pedal, whose rest is -1

    def _pad(self) -> Pad | None:
        """A gamepad for `hands`: its stick steers; forward or the right trigger is gas, back or the left one brake."""
        if len(self.sticks) < 2:
            return None
        right, down, button, gas, brake = [*self.sticks, 0.0, 0.0, 0.0][:5]
        forward, back = (max(x, 0.0) if abs(x) > DEAD else 0.0 for x in (-down, down))
        return Pad(right, max(forward, gas), max(back, brake), button > DEAD)

    def rest(self) -> None:
        """A new game begins: hands at rest, and no move chosen before."""
        self.wanted, self._now = None, self._rests()
        if self.hands is not None:
            self.hands.reset()

    def _rests(self) -> np.ndarray:
        """The value of each axis that nobody moves, float32 [D]."""
        return np.array([rest for _, _, rest in self.axes], np.float32)


def is_turn_based(env: Any) -> bool:
    """Does the game wait for its player, as board games do?"""
    if env.metadata.get("turn_based"):
        return True
    entry = getattr(getattr(env, "spec", None), "entry_point", "")
    return isinstance(entry, str) and entry.startswith("gymnasium.envs.toy_text")


def action_names(game: str, env: Any) -> list[str]:
    """A short name for every discrete action, for the axes of a Box otherwise."""
    space = env.action_space
    if names := own(game, env, "action_names"):
        return list(names())
    if not hasattr(space, "n"):
        return [f"{low}/{high}".strip("/") or str(i) for i, (low, high, _) in enumerate(axes_of(env, game))]
    meanings = convention(env, "get_action_meanings")
    if isinstance(meanings, list | tuple) and len(meanings) == int(space.n):
        return [str(name).lower() for name in meanings]
    if (text := gym_keys.names_of(env)) is not None:
        return list(text)
    names = {action: " ".join(sorted(keys)) or "nothing" for keys, action in keys_of(game, env).items()}
    return [names.get(a, str(a)) for a in range(int(space.n))]
