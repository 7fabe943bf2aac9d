"""What a stranger's environment must keep of Gymnasium's API, looked at in every call: one sentence where it does not.

`Checked` lies around an environment. It turns what breaks the API, and whatever the environment raises, into a
`GameFault` that names environment, method, what is expected and what was found. It costs about a microsecond a step.
A thread beside it tells of a call that does not come back.
"""

from __future__ import annotations

import inspect
import numbers
import os
import sys
import threading
import time
import traceback
import weakref
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

PATIENCE = 60.0  # time that a call may take before a person is told, s
RETURNS = "(observation, reward, terminated, truncated, info)"


class GameFault(ValueError):
    """A game breaks Gymnasium's API or fails; the message is one sentence. trace: the traceback of what it raised."""

    def __init__(self, message: str, trace: str = ""):
        super().__init__(message)
        self.trace = trace


class Checked(gymnasium.Wrapper):
    """One environment whose every answer is looked at.

    name: of the environment, for people. number: its place among those that are played side by side.
    """

    def __init__(self, env: gymnasium.Env, name: str, number: int | None = None):
        super().__init__(env)
        self.label = name if number is None else f"{name}, environment {number}"
        check_spaces(env, name)
        self._space = env.observation_space
        self._seen = None  # spaces of other kinds are for a wrapper to convert
        self._dtype, self._shape = None, ()  # dtype and shape of an array, of which nothing else is checked
        if isinstance(self._space, spaces.Box | spaces.MultiBinary):
            self._seen, self._dtype, self._shape = self._box, self._space.dtype, self._space.shape
        elif isinstance(self._space, spaces.Discrete):
            self._seen = self._number_seen
        self._resets = accepted(env, name)
        self.busy: tuple[str, float] | None = None  # the call that is under way, and when it began
        with _adding:
            WATCHED.add(self)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        given = {"seed": seed, "options": options}
        result = self._called("reset", self.env.reset, **{k: given[k] for k in self._resets})
        if not isinstance(result, tuple | list) or len(result) != 2 or not isinstance(result[1], dict):
            raise self._broken("reset", "must give (observation, info), info a dict", result)
        obs, info = result
        return self._seen("reset", obs) if self._seen else obs, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        # Each line asks first for what sound environments give; the longer ways are behind it, since every step pays.
        self.busy = ("step", time.monotonic())
        try:
            result = self.env.step(action)
        except GameFault:  # a fault that a checked environment inside has named
            raise
        except (Exception, SystemExit) as fault:
            raise self._raised("step", fault) from fault
        finally:
            self.busy = None
        if type(result) is not tuple or len(result) != 5:
            self._require_five(result)
        obs, reward, terminated, truncated, info = result
        if type(reward) is not float:
            reward = self._reward(reward)
        if type(terminated) is not bool:
            terminated = self._flag("terminated", terminated)
        if type(truncated) is not bool:
            truncated = self._flag("truncated", truncated)
        if type(info) is not dict and not isinstance(info, dict):
            raise self._broken("step", "must give a dict as info", info)
        if type(obs) is not np.ndarray or obs.dtype is not self._dtype or obs.shape != self._shape:
            obs = self._seen("step", obs) if self._seen else obs
        return obs, reward, terminated, truncated, info

    def render(self) -> Any:
        return self._called("render", self.env.render)

    def close(self) -> None:
        """Whatever an environment raises here comes after its work is done, and is only told."""
        try:
            super().close()
        except Exception as fault:
            print(f"joypad: {self._raised('close', fault)}", file=sys.stderr)

    def _called(self, method: str, call: Any, *args: Any, **kwargs: Any) -> Any:
        self.busy = (method, time.monotonic())
        try:
            return call(*args, **kwargs)
        except GameFault:  # a fault that a checked environment inside has named
            raise
        except (Exception, SystemExit) as fault:
            raise self._raised(method, fault) from fault
        finally:
            self.busy = None

    def _raised(self, method: str, fault: BaseException) -> GameFault:
        return GameFault(f"{self.label}: {method}() raised {exception_text(fault, self.env)}", trace_of(fault))

    def _broken(self, method: str, expected: str, found: Any, more: str = "") -> GameFault:
        return GameFault(f"{self.label}: {method}() {expected}; it gave {described(found)}{more}")

    def _require_five(self, result: Any) -> None:
        if not isinstance(result, tuple | list) or len(result) != 5:
            older = ", as before Gymnasium" if isinstance(result, tuple | list) and len(result) == 4 else ""
            raise self._broken("step", f"must give five values {RETURNS}", result, older)

    def _reward(self, reward: Any) -> float:
        if isinstance(reward, numbers.Real) and not isinstance(reward, bool):
            return float(reward)
        array = _array(reward)
        if array is None or array.dtype.kind not in "iuf" or array.size != 1:
            raise self._broken("step", "must give one number as reward", reward)
        return float(array.reshape(()))

    def _flag(self, name: str, flag: Any) -> bool:
        array = _array(flag)
        if array is None or array.dtype.kind != "b" or array.size != 1:
            raise self._broken("step", f"must give True or False as {name}", flag)
        return bool(array.reshape(()))

    def _box(self, method: str, obs: Any) -> np.ndarray:
        space, array = self._space, obs if isinstance(obs, np.ndarray) else _array(obs)
        kind = space.dtype.kind
        if array is None or array.shape != space.shape or array.dtype.kind not in ("fiub" if kind == "f" else "iub"):
            raise self._broken(method, f"must give an observation of {space.dtype}, shape {space.shape}", obs)
        if array.dtype != space.dtype and kind in "iub" and array.size:  # whole numbers of another size
            low, high = (0, 1) if kind == "b" else (np.iinfo(space.dtype).min, np.iinfo(space.dtype).max)
            least, most = array.min(), array.max()
            if least < low or most > high:
                found = f"numbers from {least} to {most}"
                raise GameFault(f"{self.label}: {method}() must give an observation of {space.dtype}; it gave {found}")
            array = array.astype(space.dtype)
        return array

    def _number_seen(self, method: str, obs: Any) -> int:
        array, start, n = _array(obs), int(self._space.start), int(self._space.n)
        if array is None or array.dtype.kind not in "iu" or array.size != 1 or not start <= int(array) < start + n:
            raise self._broken(method, f"must give a whole number from {start} to {start + n - 1} to observe", obs)
        return int(array)


def check_spaces(env: Any, name: str) -> None:
    """Raises GameFault where an environment does not say what it observes, or how it acts."""
    for attribute in ("observation_space", "action_space"):
        space = getattr(env, attribute, None)
        if not isinstance(space, spaces.Space):
            raise GameFault(f"{name}: {attribute} must be a space of gymnasium.spaces; it is {described(space)}")


def accepted(env: gymnasium.Env, name: str) -> tuple[str, ...]:
    """Which of seed and options reset() takes. Raises GameFault where it takes no seed: no run could be repeated."""
    try:
        parameters = inspect.signature(env.reset).parameters
    except (TypeError, ValueError):  # written in C
        return "seed", "options"
    everything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    taken = tuple(k for k in ("seed", "options") if everything or k in parameters)
    if "seed" not in taken:
        found = ", ".join(["self", *parameters])
        raise GameFault(
            f"{name}: reset() must be reset(self, *, seed=None, options=None), as Gymnasium has it;"
            f" it is reset({found})"
        )
    return taken


def trial(env: gymnasium.Env, name: str) -> None:
    """One beginning and one step, before anything is built upon them. Raises GameFault."""
    obs, info = env.reset(seed=0)
    _finite(name, "reset", obs)
    env.action_space.seed(0)
    action = env.action_space.sample()
    if "legal" in info:  # the mask that `Presented` lets through
        if not info["legal"].any():
            raise GameFault(f"{name}: reset() gave a mask without a legal action")
        action = np.flatnonzero(info["legal"])[0]
    obs, reward, *_ = env.step(action)
    _finite(name, "step", obs)
    if not np.isfinite(reward):
        raise GameFault(f"{name}: step() must give a finite number as reward; it gave {reward}")


def _finite(name: str, method: str, obs: Any) -> None:
    array = _array(obs)
    if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise GameFault(f"{name}: {method}() gave an observation that is not finite: {odd_one(array)}")


def odd_one(array: np.ndarray) -> str:
    """The first number that is not finite, and where."""
    at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return f"{array[at]} at {list(at)}"


def _array(value: Any) -> np.ndarray | None:
    """None for what is no regular array of numbers."""
    try:
        array = np.asarray(value)
    except Exception:  # the value's own fault, whatever it is
        return None
    return array if array.dtype.kind in "fiub" else None


def described(value: Any) -> str:
    """A value in a few words."""
    if value is None or isinstance(value, bool | int | float | np.number | np.bool_):
        return str(value)
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, tuple | list):
        inside = ", ".join(described(x) for x in value[:5])
        return f"{len(value)} value{'s' * (len(value) != 1)} ({inside}{', ...' * (len(value) > 5)})"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    if isinstance(value, dict):
        return f"a dict with {', '.join(map(str, list(value)[:5])) or 'nothing in it'}"
    kind = type(value)
    return f"a {kind.__qualname__}" if kind.__module__ == "builtins" else f"a {kind.__module__}.{kind.__qualname__}"


def exception_text(fault: BaseException, env: Any = None) -> str:
    """An exception in a few words, and the line of the environment's own file that it passed."""
    text = " ".join(str(fault).split())
    text = f"{text[:200]} ..." if len(text) > 200 else text
    frames = [f for f in traceback.extract_tb(fault.__traceback__) if f.filename != __file__]
    try:
        own = inspect.getfile(type(env.unwrapped))
    except (TypeError, OSError, AttributeError):  # written in C, or not there yet
        own = None
    frames = [f for f in frames if f.filename == own] or frames
    place = f" ({_near(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(fault).__name__}{f': {text}' if text else ''}{place}"


def _near(path: str) -> str:
    """From the working directory, where that can be said."""
    try:
        return os.path.relpath(path)
    except ValueError:  # a path on another drive of Windows
        return path


def trace_of(fault: BaseException) -> str:
    """Returns the traceback of an exception and its causes, as Python prints it."""
    return "".join(traceback.format_exception(fault))


WATCHED: weakref.WeakSet[Checked] = weakref.WeakSet()
_adding = threading.Lock()  # the thread must not look at the set while it grows
_watchdog: threading.Thread | None = None


def watch() -> None:
    """Sees to it that a thread looks for calls that do not come back."""
    global _watchdog
    if _watchdog is None or not _watchdog.is_alive():  # it does not survive a fork
        _watchdog = threading.Thread(target=_look, name="watchdog of environments", daemon=True)
        _watchdog.start()


def _look() -> None:
    said: set[tuple[str, float]] = set()
    while True:
        time.sleep(min(5.0, PATIENCE / 4))
        with _adding:
            watched = list(WATCHED)
        for env in watched:
            busy = env.busy
            if busy is None or busy in said or time.monotonic() - busy[1] < PATIENCE:
                continue
            said.add(busy)
            since = time.strftime("%H:%M:%S", time.localtime(time.time() - time.monotonic() + busy[1]))
            sentence = f"{env.label}: {busy[0]}() has not come back since {since} ({PATIENCE:g} s)"
            rest = "Ctrl-C saves the run as soon as it does, Ctrl-C again leaves at once with what was saved before"
            print(f"joypad: {sentence}; {rest}", file=sys.stderr, flush=True)
