"""Ranges of a configuration's fields: one sentence that names the option, its value and what is allowed.

NaN and infinities are outside every range.
"""

from __future__ import annotations

import math
from typing import Any

OPTIMIZERS = ("adam", "radam", "rmsprop", "centred-rmsprop")


def at_least(config: Any, low: float, *names: str) -> None:
    """Raises ValueError for the first field that is below `low`."""
    for name in names:
        _require(config, name, getattr(config, name) >= low, f"must be at least {low}")


def above(config: Any, low: float, *names: str) -> None:
    """Raises ValueError for the first field that is not above `low`."""
    for name in names:
        _require(config, name, getattr(config, name) > low, f"must be above {low}")


def share(config: Any, *names: str) -> None:
    """Raises ValueError for the first field outside 0..1."""
    for name in names:
        _require(config, name, 0 <= getattr(config, name) <= 1, "must lie in 0..1")


def finite(config: Any, *names: str) -> None:
    """Raises ValueError for the first field that is no finite number."""
    for name in names:
        _require(config, name, True, "must be finite")


def evaluation(config: Any, *kinds: str) -> None:
    """Raises ValueError where the policy of scores is none of `kinds`; "epsilon" stands for "epsilon E", E in 0..1."""
    kind, _, number = config.evaluation.partition(" ")
    try:
        fits = kind in kinds and (0 <= float(number) <= 1 if kind == "epsilon" else not number)
    except ValueError:
        fits = False
    if not fits:
        allowed = ", ".join("'epsilon E' with E in 0..1" if k == "epsilon" else k for k in kinds)
        raise ValueError(f"--evaluation {config.evaluation}: choose {allowed}")


def optimizer(config: Any) -> None:
    """Raises ValueError for an optimizer that `agents.optimizers` does not have."""
    if config.optimizer not in OPTIMIZERS:
        raise ValueError(f"--optimizer {config.optimizer}: choose {', '.join(OPTIMIZERS)}")


def _require(config: Any, name: str, fits: bool, allowed: str) -> None:
    value = getattr(config, name)
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        finite = False
    if not fits or not finite:
        raise ValueError(f"--{name.replace('_', '-')} {value}: {allowed}")
