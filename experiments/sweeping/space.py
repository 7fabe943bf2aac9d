"""The space that `sweep` searches: fields of the configuration with ranges and choices.

lr=1e-5..1e-3         a range; drawn by its logarithm where it spans a factor of 20 or more
rollout=16..128:log   ... or where that is asked for
encoder=nature,small  choices
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from agents import settings
from agents.core.renamed import NOTHING, Names
from experiments.spellings import BOOLEANS

FACTOR = 20.0  # ratio of the ends above which a range is drawn by its logarithm

# What is searched without --search: by the agent's module, then by the agent.
DEFAULTS: dict[str, tuple[str, ...]] = {
    "agents.policy_gradient": (
        "lr=3e-5..3e-3",
        "rollout=8,16,32,64,128",
        "gamma=0.95..0.999",
        "entropy_coef=1e-4..3e-2",
    ),
    "agents.pqn": ("lr=3e-5..3e-3", "rollout=8,16,32,64", "gamma=0.95..0.999", "lam=0.5..0.95", "epochs=1..4"),
    "agents.dqn": ("lr=3e-5..3e-3", "batch=32,64,128", "ratio=1..16:log", "gamma=0.95..0.999", "n_step=1..5"),
    "agents.sac": ("lr=1e-4..3e-3", "batch=64,128,256", "tau=1e-3..5e-2", "gamma=0.95..0.999", "hidden=64,128,256"),
    "agents.baselines": ("learning_rate=3e-5..3e-3", "gamma=0.95..0.999"),
}
MORE: dict[str, tuple[str, ...]] = {
    "ppo": ("epochs=1..6", "minibatch=64,128,256,512", "clip=0.1,0.2,0.3", "lam=0.9..0.99"),
    "sb3-ppo": ("n_steps=16,32,64,128", "n_epochs=1..6", "ent_coef=1e-4..3e-2"),
}


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included."""

    field: str
    low: float
    high: float
    log: bool
    whole: bool  # True for integers

    def draw(self, trial: Any) -> Any:
        """Lets the Optuna trial suggest a number of the range."""
        if self.whole:
            return trial.suggest_int(self.field, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.field, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Tells whether the value is a number within the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def text(self) -> str:
        """Formats the range as `--search` reads it, such as gamma=0.9..0.999:log."""
        return f"{self.field}={self.low:.12g}..{self.high:.12g}" + (":log" if self.log else "")


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of these."""

    field: str
    values: tuple[Any, ...]

    def draw(self, trial: Any) -> Any:
        """Lets the Optuna trial suggest one of the values."""
        return trial.suggest_categorical(self.field, list(self.values))

    def holds(self, value: Any) -> bool:
        """Tells whether the value is one of the choice's."""
        return value in self.values

    def text(self) -> str:
        """Formats the choice as `--search` reads it, such as width=64,128."""
        return f"{self.field}=" + ",".join(f"{v:.12g}" if isinstance(v, float) else str(v) for v in self.values)


def kinds(agent: str) -> dict[str, type]:
    """The types of the fields that can be searched for an agent: as they are declared, whatever their values are."""
    known = {"bool": bool, "int": int, "float": float, "str": str}
    own = dataclasses.fields(settings(agent).Config)
    return {f.name: known[getattr(f.type, "__name__", f.type)] for f in own} | {"num_envs": int}


def parse(words: Iterable[str], known: Mapping[str, type], names: Names = NOTHING) -> list[Range | Choice]:
    """Words such as ``lr=1e-5..1e-3`` or ``agent.lr=1e-4,1e-3`` -> dimensions. Raises ValueError, by name.

    known: type of each field. names: what fields were called in earlier versions.
    """
    found: dict[str, Range | Choice] = {}
    for word in words:
        field, equals, values = word.partition("=")
        field = field.replace("-", "_").removeprefix("agent.")
        field = field if field in known else names.fields.get(field, field)
        if not equals or not values:
            raise ValueError(f"--search {word}: must be FIELD=LOW..HIGH or FIELD=A,B,C")
        if field not in known:
            import difflib

            near = difflib.get_close_matches(field, known, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"choose among {', '.join(known)}"
            raise ValueError(f"--search {word}: the configuration has no field {field}; {hint}")
        if field in found:
            raise ValueError(f"--search {word}: {field} is named twice")
        found[field] = (
            _range(word, field, values, known[field]) if ".." in values else _choice(word, field, values, known)
        )
    if not found:
        raise ValueError("--search: names nothing")
    return list(found.values())


def _range(word: str, field: str, values: str, kind: type) -> Range:
    ends, _, how = values.partition(":")
    if kind not in (int, float) or how not in ("", "log"):
        raise ValueError(f"--search {word}: a range is of numbers, FIELD=LOW..HIGH or FIELD=LOW..HIGH:log")
    try:
        low, high = (kind(float(x)) for x in ends.split(".."))
    except (ValueError, OverflowError):
        raise ValueError(f"--search {word}: {ends} is not LOW..HIGH in numbers") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"--search {word}: the first number must be below the second")
    if how and low <= 0:
        raise ValueError(f"--search {word}: a range by its logarithm must be above 0")
    return Range(field, low, high, bool(how) or (low > 0 and high / low >= FACTOR), kind is int)


def _choice(word: str, field: str, values: str, known: Mapping[str, type]) -> Choice:
    kind = known[field]
    try:
        read = [BOOLEANS[v.lower()] if kind is bool else kind(v) for v in values.split(",")]
    except (ValueError, KeyError):
        raise ValueError(f"--search {word}: {field} is of type {kind.__name__}") from None
    if len({*read}) < len(read) or len(read) < 2:
        raise ValueError(f"--search {word}: names fewer than two different values")
    return Choice(field, tuple(read))


def defaults(agent: str, module: str) -> tuple[str, ...]:
    """What is searched for an agent where the user names nothing; its learning rate at least."""
    return (*DEFAULTS.get(module, ("lr=3e-5..3e-3",)), *MORE.get(agent, ()))
