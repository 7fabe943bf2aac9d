"""Arrow keys for Gymnasium's own games, which number their actions and tell no keys.

By the id without its version: {keys: action} where actions are discrete, an axis for each dimension otherwise
(experiments/watching/human.py). A game of the lab or of somebody else says the same by methods of its own.
"""

from __future__ import annotations

from typing import Any

_SIDES = {(): 1, ("left",): 0, ("right",): 2}
KEYS: dict[str, dict[tuple[str, ...], int]] = {
    "CartPole": {("left",): 0, ("right",): 1},
    "MountainCar": _SIDES,
    "Acrobot": _SIDES,
    "LunarLander": {(): 0, ("left",): 1, ("up",): 2, ("right",): 3},
    "FrozenLake": {("left",): 0, ("down",): 1, ("right",): 2, ("up",): 3},
    "FrozenLake8x8": {("left",): 0, ("down",): 1, ("right",): 2, ("up",): 3},
    "CliffWalking": {("up",): 0, ("right",): 1, ("down",): 2, ("left",): 3},
    "Taxi": {("down",): 0, ("up",): 1, ("right",): 2, ("left",): 3, ("space",): 4, ("return",): 5},
}
NAMES = {  # names of actions that keys do not name
    "LunarLander": ["nothing", "left engine", "main engine", "right engine"],
    "Taxi": ["down", "up", "right", "left", "pick up", "drop off"],
}
_ENGINES = (("down", "up", -1.0), ("left", "right", 0.0))
AXES = {"LunarLander": _ENGINES, "LunarLanderContinuous": _ENGINES}


def kind_of(env: Any) -> str:
    """The id of one of Gymnasium's own environments without its version: "CartPole"; of any other ""."""
    spec = getattr(env, "spec", None) or getattr(env.unwrapped, "spec", None)
    theirs = str(getattr(spec, "entry_point", "")).startswith("gymnasium.envs.")
    return str(getattr(spec, "name", "")) if theirs else ""


def keys_of(env: Any) -> dict[frozenset[str], int] | None:
    """Its keys, if it is one of these and has as many actions as they need."""
    found = KEYS.get(kind_of(env))
    if found is None or max(found.values()) >= int(env.action_space.n):
        return None
    return {frozenset(keys): action for keys, action in found.items()}


def names_of(env: Any) -> list[str] | None:
    """Its actions by name."""
    names = NAMES.get(kind_of(env))
    return names if names is not None and len(names) == int(env.action_space.n) else None


def axes_of(env: Any) -> tuple[tuple[str, str, float], ...] | None:
    """Its axes."""
    found = AXES.get(kind_of(env))
    return found if found is not None and len(found) == env.action_space.shape[0] else None
