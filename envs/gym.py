"""Any other Gymnasium id, as ``gym:ID`` or ``gym:MODULE:ID``: images, vectors, Discrete and Box actions.

Images become uint8 with the channels last, large colour pictures 84x84 grey with a stack of four; vectors become
float32, discrete observations one-hot. What a stranger's `info` holds is its own affair and goes no further, but for
the mask of legal actions that `--action-mask` names. Whatever breaks Gymnasium's API is told in one sentence.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import importlib.metadata
import json
import re
import site
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from envs import gym_check
from envs.description import Description, MissingPackage
from envs.gym_check import Checked, GameFault
from envs.gym_observation import reading

ENDLESS = 100_000  # steps of a scored game at most, where the environment has no limit of its own
PLAIN = (gymnasium.wrappers.OrderEnforcing, gymnasium.wrappers.TimeLimit, gymnasium.wrappers.PassiveEnvChecker)


@dataclasses.dataclass(frozen=True)
class GymOptions:
    """How a Gymnasium environment is made and presented to an agent."""

    size: int = 84  # pictures larger than this are resized to size x size
    grey: bool = True  # large pictures become grey
    frame_stack: int = 0  # frames that an observation holds, 0: four for large pictures, else one
    env_kwargs: str = ""  # arguments of its constructor: name=value,... (numbers, true, false, text, [..] or {..})
    wrapper: str = ""  # MODULE:CLASS,... that are put around it, the first one innermost
    action_mask: str = ""  # the name in info of its mask of legal actions, such as action_mask
    max_steps: int = 0  # a game is cut after so many steps; 0: its own limit, and 100,000 where scored without one

    def __post_init__(self) -> None:
        if self.size < 8:
            raise ValueError(f"--size {self.size}: must be at least 8 pixels")
        for name in ("frame_stack", "max_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 0")
        read_kwargs(self.env_kwargs)
        for name in filter(None, self.wrapper.split(",")):
            if not all(name.strip().partition(":")[::2]):
                raise ValueError(f"--wrapper {name}: must be MODULE:CLASS")


def read_kwargs(text: str) -> dict[str, Any]:
    """``a=1,b=2.5,c=true,d=text,e={"x": [1, 2]}`` -> arguments of their types. Raises ValueError."""
    found: dict[str, Any] = {}
    for part in _parts(text):
        name, equals, value = part.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ValueError(f"--env-kwargs {text}: write name=value, with commas between")
        found[name.strip()] = _literal(value.strip(), text)
    return found


def _parts(text: str) -> list[str]:
    """Split at commas that stand in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in ")}]":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += letter
    return [part for part in parts if part.strip()]


def _literal(value: str, text: str) -> Any:
    words = {"true": True, "false": False, "none": None, "null": None}
    if value.lower() in words:
        return words[value.lower()]
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if value[:1] in ("[", "{", "(", '"', "'"):
        raise ValueError(f"--env-kwargs {text}: {value} is not whole: write lists and objects as JSON")
    return value


class Presented(gymnasium.Wrapper):
    """One environment with observations that the lab can store: uint8 pictures or float32 vectors."""

    def __init__(self, env: gymnasium.Env, name: str, options: GymOptions):
        super().__init__(env)
        self._name, self._mask_name = name, options.action_mask
        found = reading(env.observation_space, name, options.size, options.grey, options.frame_stack)
        self.frame_stack, self.note = found.stack, found.note
        self._convert, self.observation_space = found.convert, found.space
        known = env.metadata if isinstance(env.metadata, dict) else {}
        rate = known.get("render_fps")
        self.metadata = {
            "render_modes": [m for m in known.get("render_modes") or () if isinstance(m, str)],
            "render_fps": rate if isinstance(rate, int | float) and 0 < rate < 1000 else 30,
        }
        action = env.action_space
        boxed = isinstance(action, spaces.Box) and len(action.shape) == 1
        if not isinstance(action, spaces.Discrete) and not (boxed and np.isfinite([action.low, action.high]).all()):
            raise ValueError(f"{name} acts in {action}; supported are Discrete and bounded Box with one axis")
        self._start = int(action.start) if isinstance(action, spaces.Discrete) else 0
        if self._start:
            self.action_space = spaces.Discrete(int(action.n))
        if self._mask_name and not isinstance(action, spaces.Discrete):
            raise ValueError(f"--action-mask {self._mask_name}: {name} acts in {action}, which has no mask")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        return self._convert(obs), self._mask_of("reset", info) if self._mask_name else {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action + self._start if self._start else action)
        kept = self._mask_of("step", info) if self._mask_name else {}
        return self._convert(obs), reward, terminated, truncated, kept

    def _mask_of(self, method: str, info: dict[str, Any]) -> dict[str, Any]:
        """Of the environment's info the mask of legal actions that was asked for."""
        mask = np.asarray(info.get(self._mask_name))
        n = int(self.action_space.n)
        if mask.shape != (n,) or mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
            found = gym_check.described(info.get(self._mask_name))
            raise GameFault(
                f"{self._name}: {method}() must give {n} values of 0 or 1 as info[{self._mask_name!r}]; it gave {found}"
            )
        return {"legal": mask.astype(bool)}


def module_of(id: str) -> str:
    """The module that ``MODULE:ID`` asks for; empty for an id alone."""
    return id.rpartition(":")[0]


def require_known(id: str) -> None:
    """Raises ValueError for ``MODULE:ID`` whose module nobody vouches for: importing it runs its author's code.

    The person at the keyboard vouches by naming the game, whoever installed a package by installing it.
    """
    module = module_of(id)
    if module and not envs.is_trusted(f"gym:{id}") and module.partition(".")[0] not in _installed():
        raise ValueError(
            f"gym:{id} is a game of the module {module}, which is imported where a person names it, never because a"
            f" file does: write gym:{id} on the command line (--trust gym:{id})"
        )


def _require_plain(name: str, kwargs: str) -> None:
    """Raises ValueError for an argument that names a module, which some import, unless a person wrote it."""
    for word in re.findall(r"[\w.]+:[\w./-]+", kwargs):
        if not envs.is_trusted(word) and not any(word in named for named in envs.named()):
            raise ValueError(
                f"{name} was trained with --env-kwargs {kwargs}; {word} may name a module, which is imported where a"
                f" person names it, never because a file does: add --trust {word}"
            )


@functools.cache
def _installed() -> frozenset[str]:
    """Packages that are installed, not only lying about, and say that they bring environments for Gymnasium."""
    places = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    if site.ENABLE_USER_SITE:
        places.add(Path(site.getusersitepackages()).resolve())
    points = importlib.metadata.entry_points(group="gymnasium.envs")
    inside = [p for p in points if p.dist is not None and Path(str(p.dist.locate_file(""))).resolve() in places]
    return frozenset(point.module.partition(".")[0] for point in inside)


def _one(id: str, options: GymOptions, render_mode: str | None = None, number: int | None = None) -> Presented:
    name = f"gym:{id}"
    require_known(id)
    _require_plain(name, options.env_kwargs)
    try:
        env = _made(id, render_mode, read_kwargs(options.env_kwargs))
    except (gymnasium.error.DependencyNotInstalled, ImportError) as fault:
        raise MissingPackage(f"{name}: {fault}") from fault
    except gymnasium.error.Error as fault:
        raise ValueError(f"{name}: {fault}") from fault
    except GameFault:
        raise
    except (Exception, SystemExit) as fault:
        own = fault.__cause__ or fault  # Gymnasium raises what a constructor raised once more, with all its arguments
        raise GameFault(f"{name} cannot be made: {gym_check.exception_text(own)}", gym_check.trace_of(fault)) from fault
    gym_check.check_spaces(env, name)
    env = _checked(env, name, number)
    for wrapper in filter(None, (w.strip() for w in options.wrapper.split(","))):
        env = _wrapped(env, wrapper, name)
    if options.wrapper:
        env = Checked(env, f"{name} in {options.wrapper}", number)
    if options.max_steps:
        env = gymnasium.wrappers.TimeLimit(env, options.max_steps)
    return Presented(env, name if number is None else f"{name}, environment {number}", options)


def _made(id: str, render_mode: str | None, kwargs: dict[str, Any]) -> gymnasium.Env:
    make = functools.partial(gymnasium.make, id, disable_env_checker=True, **kwargs)  # `Checked` looks instead
    warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)  # the refusal says it
    try:
        return make() if render_mode is None else make(render_mode=render_mode)
    except gymnasium.error.NamespaceNotFound:  # packages that wait to be asked, such as MinAtar
        _ask_packages()
        return make() if render_mode is None else make(render_mode=render_mode)
    except TypeError as fault:
        if render_mode is None or "render_mode" not in str(fault):
            raise
        return make()  # a constructor that takes no render_mode: its pictures are what render() gives


def _checked(env: gymnasium.Env, name: str, number: int | None) -> gymnasium.Env:
    """With a `Checked` around the environment itself, and one outside where others than Gymnasium's own lie between."""
    if not isinstance(env, gymnasium.Wrapper):
        return Checked(env, name, number)
    inner, own = env, type(env) in PLAIN
    while isinstance(inner.env, gymnasium.Wrapper):
        inner = inner.env
        own &= type(inner) in PLAIN
    inner.env = Checked(inner.env, name, number)
    return env if own else Checked(env, name, number)


def _wrapped(env: gymnasium.Env, wrapper: str, name: str) -> gymnasium.Env:
    """wrapper: MODULE:CLASS."""
    if not envs.is_trusted(wrapper):
        raise ValueError(
            f"{name} was trained in the wrapper {wrapper}, whose module is imported where a person names it, never"
            f" because a file does: add --trust {wrapper}"
        )
    module, _, kind = wrapper.partition(":")
    try:
        made = functools.reduce(getattr, kind.split("."), importlib.import_module(module))(env)
    except (Exception, SystemExit) as fault:
        message = f"--wrapper {wrapper} around {name}: {gym_check.exception_text(fault)}"
        raise GameFault(message, gym_check.trace_of(fault)) from None
    if not isinstance(made, gymnasium.Env):
        raise GameFault(f"--wrapper {wrapper} around {name}: gave {gym_check.described(made)}, not an environment")
    return made


@functools.cache
def _ask_packages() -> None:
    """Lets every installed package register its environments: entry points that Gymnasium itself no longer loads."""
    for point in importlib.metadata.entry_points(group="gymnasium.envs"):
        if point.module.partition(".")[0] in _installed():
            point.load()()


@functools.cache
def _say(note: str) -> None:
    """Once in a process; on standard error, as standard output may be one JSON object."""
    print(note, file=sys.stderr)


def scored(values: dict[str, Any], id: str) -> dict[str, Any]:
    """The options of games that count: one that has no limit of its own is cut after ENDLESS steps."""
    if values.get("max_steps"):
        return values
    one = _one(id, GymOptions(**values))
    limit = None if one.spec is None else one.spec.max_episode_steps
    one.close()
    return values if limit else {**values, "max_steps": ENDLESS}


Options = GymOptions  # name under which every game's module offers its own


def describe(options: GymOptions, id: str) -> Description:
    """What Gymnasium has registered says little, and no stranger's module is imported to say more."""
    return Description(
        frame_stack=options.frame_stack or None,
        frame_skip=1,
        protocol=id,
        saves=False,
        two_players=False,
        foreign=True,
        about=f"Gymnasium's {id}",
    )


def make_vec(num_envs: int, id: str, **options: Any) -> SyncVectorEnv:
    """The environments in this process, one after the other."""
    chosen = GymOptions(**options)
    first = _one(id, chosen)  # says what is wrong, if anything, before N are made
    if first.note:
        _say(first.note)
    gym_check.trial(first, f"gym:{id}")
    stack = first.frame_stack
    first.close()
    made = [functools.partial(_one, id, chosen, number=i) for i in range(num_envs)]
    try:
        games = SyncVectorEnv(made, autoreset_mode=AutoresetMode.NEXT_STEP)
    except RuntimeError as fault:  # their spaces differ
        raise GameFault(f"gym:{id}: all environments must have the same spaces; {fault}") from None
    gym_check.watch()
    games.metadata = {
        **games.metadata,
        "frame_stack": stack,
        "frame_skip": 1,
        "protocol": id,
        "lab_info": bool(chosen.action_mask),  # `Presented` lets its mask through then, and nothing else
        "name": f"gym:{id}",
        "max_steps": chosen.max_steps,
    }
    return games


def make(render_mode: str | None, id: str, **options: Any) -> Presented:
    gym_check.watch()
    return _one(id, GymOptions(**options), render_mode)
