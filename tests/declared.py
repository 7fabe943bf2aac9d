"""Games of one file, as docs/add-a-game.md describes them: a car that is driven, and a board of two sides."""

from __future__ import annotations

import dataclasses
import sys
import types
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from envs.description import Board, Description
from envs.driving import Driving, Frame, Wheel


def register(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """A module with `content` is the game `name` until the test ends."""
    monkeypatch.setitem(sys.modules, f"toy_{name}", types.SimpleNamespace(**content))
    monkeypatch.setitem(envs.GAMES, name, f"toy_{name}")


def vector(kind: type, num_envs: int, **metadata: Any) -> SyncVectorEnv:
    """N of them as the lab wants them."""
    games = SyncVectorEnv([kind] * num_envs, autoreset_mode=AutoresetMode.NEXT_STEP)
    games.metadata = {**games.metadata, "frame_stack": 1, "frame_skip": 1, "lab_info": True, **metadata}
    return games


# A car on an endless straight road, 10 control steps a second


@dataclasses.dataclass(frozen=True)
class CarOptions:
    """How it drives."""

    wind: float = 0.0  # push to the right, m per step


class Car(gymnasium.Env):
    """Steering, wanted speed; the picture is red to the left and green to the right of the middle."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10, "protocol": "straight"}
    observation_space = spaces.Box(0, 255, (12, 16, 3), np.uint8)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, wind: float = 0.0):
        self.wind = wind

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.at, self.steps, self.wheel, self.pace = float(self.np_random.uniform(-2, 2)), 0, 0.0, 0.0
        return self.render(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.wheel, self.pace = float(action[0]), 2.0 * (float(action[1]) + 1.0)
        self.at, self.steps = self.at + 0.3 * self.wheel + self.wind, self.steps + 1
        return self.render(), -abs(self.at), abs(self.at) > 5, self.steps == 50, {}

    def render(self) -> np.ndarray:
        picture = np.zeros((12, 16, 3), np.uint8)
        picture[..., int(self.at > 0)] = 250
        return picture

    def axes(self) -> tuple[tuple[str, str, float], ...]:
        return (("left", "right", 0.0), ("down", "up", 0.0))


class CarDriving(Driving):
    """The car, at most 4 m/s fast."""

    rate, top_speed = 10, 4.0
    columns = {"game/race": "int", "game/time": "float", "game/speed": "float", "game/lateral": "float",
               "game/off_road": "boolean", "game/lap": "int"}  # fmt: skip
    bounds = {"user/angle": (-1.0, 1.0), "user/target_speed": (0.0, 4.0)}
    labels = {"lateral": ()}
    start: dict[str, Any] = {}
    unused: frozenset[str] = frozenset()
    option_helps: dict[str, str] = {}

    def hands(self, wheel: Wheel) -> np.ndarray:
        return np.array([wheel.steer, wheel.target / 2.0 - 1.0], np.float32)

    def held(self, games: Car) -> Wheel:
        return Wheel(games.wheel, 0.0, games.pace)

    def speed(self, games: Car) -> float:
        return games.pace

    def expert(self, games: Car) -> np.ndarray:
        return np.array([np.clip(-games.at, -1, 1), 0.5], np.float32)

    def controls(self, games: Car, action: np.ndarray, who: str = "user") -> dict[str, Any]:
        target = 2.0 * (float(action[1]) + 1.0)
        return {f"{who}/angle": float(action[0]), f"{who}/throttle": 0.0, f"{who}/target_speed": target}

    def figures(self, games: Car, race: int) -> dict[str, Any]:
        return {"game/race": race, "game/time": games.steps / 10, "game/speed": games.pace, "game/lateral": games.at,
                "game/off_road": abs(games.at) > 3, "game/lap": 0}  # fmt: skip

    def about(self) -> dict[str, Any]:
        return {"protocol": "straight"}

    def frame(self) -> Frame:
        return Frame(12, 16)

    def view(self, games: Car) -> np.ndarray:
        return games.render()


def car(monkeypatch: pytest.MonkeyPatch) -> None:
    """The game `buggy`."""

    def describe(options: CarOptions) -> Description:
        return Description(Car.observation_space, Car.action_space, 1, 1, "straight", driving=CarDriving())

    def make_vec(num_envs: int, **options: Any) -> SyncVectorEnv:
        return vector(Car, num_envs, protocol="straight")

    def make(render_mode: str | None = None, **options: Any) -> Car:
        return Car(**options)

    register(monkeypatch, "buggy", Options=CarOptions, describe=describe, make_vec=make_vec, make=make)


# Two sides set marks on 2 rows of 3 points; a side that cannot move has passed: there is no winner


@dataclasses.dataclass(frozen=True)
class NoughtsOptions:
    """Nothing can be chosen."""


class Noughts(gymnasium.Env):
    """Flat observations, 10 px between points."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 2, "turn_based": True, "protocol": "noughts"}
    observation_space = spaces.Box(-1, 1, (6,), np.float32)
    action_space = spaces.Discrete(6)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.points, self.side = np.zeros(6, np.float32), 1
        return self.points.copy(), self._info(1.0)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.points[action], self.side = self.side, -self.side
        over = bool((self.points != 0).all())
        return self.points.copy() * self.side, 0.0, over, False, self._info(0.0 if over else -1.0)

    def _info(self, discount: float) -> dict[str, Any]:
        free = self.points == 0
        return {"discount": np.float32(discount), "legal": free if free.any() else ~free}

    def render(self) -> np.ndarray:
        marks = (self.points.reshape(2, 3, 1) * 100 + 120).astype(np.uint8)
        return marks.repeat(10, 0).repeat(10, 1).repeat(3, 2)

    def board_box(self) -> tuple[float, float, float]:
        return 5.0, 5.0, 10.0


class Drops(Noughts):
    """Stones fall into 3 columns of 2 points, onto those that lie there."""

    action_space = spaces.Discrete(3)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        row = 1 if self.points[3 + action] == 0 else 0
        return super().step(3 * row + action)

    def _info(self, discount: float) -> dict[str, Any]:
        free = self.points[:3] == 0
        return {"discount": np.float32(discount), "legal": free if free.any() else ~free}


def drops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The game `drops`, whose actions are columns."""
    noughts(monkeypatch, "drops", Drops, Board.of_columns(2, 3))


NOUGHTS = Board(2, 3)


def noughts(
    monkeypatch: pytest.MonkeyPatch, name: str = "noughts", kind: type[Noughts] = Noughts, board: Board = NOUGHTS,
    **more: Any,
) -> None:  # fmt: skip
    """The game `name`. more: what its module says besides; a description with its board by default."""

    def describe(options: NoughtsOptions) -> Description:
        return Description(kind.observation_space, kind.action_space, 1, 1, name, two_players=True, board=board)

    def make_vec(num_envs: int) -> SyncVectorEnv:
        return vector(kind, num_envs, protocol=name)

    def make(render_mode: str | None = None) -> Noughts:
        return kind()

    content = dict(Options=NoughtsOptions, make_vec=make_vec, make=make) | {"describe": describe, **more}
    register(monkeypatch, name, **content)
    assert "describe" in more or envs.describe(name).board == board
