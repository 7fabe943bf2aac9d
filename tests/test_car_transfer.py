"""A head in closed form against what it is defined as, and what it is for: few frames, many features."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.car import ridge, transfer


def literal(x: np.ndarray, y: np.ndarray, strength: float, mean: np.ndarray, scale: np.ndarray, bias: float):
    """Ridge regression as it is defined, with the penalty on each weight."""
    z = (x - mean) / scale
    return np.linalg.solve(z.T @ z + strength * z.shape[1] * np.eye(z.shape[1]), z.T @ (y - bias))


@pytest.fixture
def few() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """30 frames with 3 copies each: 40 features, of which three say the answer."""
    rng = np.random.default_rng(0)
    frame = np.repeat(np.arange(30), 3)
    x = rng.normal(size=(30, 40))[frame] + 0.1 * rng.normal(size=(90, 40))
    x[:, 7] = 5.0  # a feature that says nothing
    y = np.stack([x[:, 0] - 0.5 * x[:, 1], 0.3 * x[:, 2] + 0.5 * rng.normal(size=90)], 1)
    return x, y, frame


def test_a_head_is_ridge_regression_with_the_strength_that_leaving_frames_out_chooses(few) -> None:
    x, y, frame = few
    head = ridge.fitted(x, y, frame)
    for d in range(2):
        wanted = literal(x, y[:, d], head.strength[d], head.mean, head.scale, y[:, d].mean())
        assert np.allclose(head.weights[:, d], wanted, atol=1e-8)
        errors = []
        for strength in ridge.STRENGTHS:
            left_out = []
            for one in np.unique(frame):  # mean, scale and bias stay those of all rows, as in the formula
                rest = frame != one
                weights = literal(x[rest], y[rest, d], strength, head.mean, head.scale, head.bias[d])
                told = (x[~rest] - head.mean) / head.scale @ weights + head.bias[d]
                left_out.append(np.abs(told - y[~rest, d]).mean())
            errors.append(np.mean(left_out))
        assert head.strength[d] == ridge.STRENGTHS[int(np.argmin(errors))]
    assert head.strength[0] < head.strength[1]  # noise asks for a stronger penalty


def test_copies_of_a_frame_do_not_give_each_other_away(few) -> None:
    """Were copies left out alone, an answer of pure noise would be fitted with the weakest penalty."""
    x, _, frame = few
    noise = np.random.default_rng(1).normal(size=(30, 1))[frame]
    assert ridge.fitted(x, noise, frame).strength[0] == max(ridge.STRENGTHS)
    assert ridge.fitted(x, noise, np.arange(90)).strength[0] < max(ridge.STRENGTHS)


@pytest.mark.parametrize(
    ("game", "agent", "env"),
    [("kart", "ppo", {"obs": "trunk"}), ("kart", "clone", {"obs": "state"}), ("flappy", "clone", {}),
     ("kart", "clone", {"obs": "trunk", "stack": 4})],
)  # fmt: skip
def test_a_run_that_no_car_can_begin_with_is_one_sentence(game, agent, env):
    run = SimpleNamespace(path="runs/x", config={"game": game, "agent": agent, "env": env, "agent_config": {}})
    with pytest.raises(ValueError, match="runs/x is not what a car can begin with: a clone that sees one colour"):
        transfer.network_of(run)


@pytest.mark.parametrize("wrong", [dict(seeds=0), dict(updates=0), dict(seconds=0.0), dict(out=Path("/nowhere/x"))])
def test_what_cannot_be_compared_is_refused(wrong):
    with pytest.raises(ValueError, match=f"--{next(iter(wrong))}"):
        transfer.TransferCommand("x", **wrong)


def test_what_is_emphasised_is_believed_sooner(few) -> None:
    x, y, frame = few
    plain = ridge.fitted(x, y, frame).weights[2, 1]
    emphasis = np.ones(x.shape[1])
    emphasis[2] = 10.0
    head = ridge.fitted(x, y, frame, emphasis)
    told = head(x)[:, 1]
    assert head.weights[2, 1] / head.scale[2] > plain / ridge.fitted(x, y, frame).scale[2]
    assert np.abs(told - 0.3 * x[:, 2]).mean() < np.abs(ridge.fitted(x, y, frame)(x)[:, 1] - 0.3 * x[:, 2]).mean()
