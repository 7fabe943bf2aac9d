"""CarRacing-v3 of Gymnasium, the same game to the pixel and many times faster.

Nearly all of its time goes into drawing 700 polygons of which some 50 can be seen, and indicators, also for frames that
nobody looks at. Here all corners are turned at once, what cannot be seen is left out, and of the frames that one action
lasts only the last is drawn; every picture stays equal to Gymnasium's. Needs ``pip install -e ".[box2d]"``.

Score, track, physics and the time limit of 1,000 frames are Gymnasium's.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from agents.perception import preprocess
from envs.car_racing_driver import Driver
from envs.car_racing_driving import CarRacingDriving
from envs.description import Description, MissingPackage

LIMIT = 1000  # frames of a game
TRAINING = {"training": True}  # metadata of options that scored games are without (`envs.scored`)
LASTING = 0.8  # share of the noise on the wheel that lasts from one action to the next
ROWS, COLUMNS = slice(0, 84), slice(6, 90)  # part of the 96x96 picture: above the indicators, and square


@dataclasses.dataclass(frozen=True)
class CarRacingOptions:
    """How the game is seen and played."""

    obs: str = "grey"  # grey: 84x84 of the middle, without the indicators; rgb: 96x96 in colours
    control: str = "pedal"  # pedal: steering, and gas (above 0) or brake (below); raw: steering, gas, brake
    frame_skip: int = 4  # frames that an action lasts
    patience: int = dataclasses.field(default=0, metadata=TRAINING)  # frames without a new tile that end it; 0: none
    limit: int = dataclasses.field(default=0, metadata=TRAINING)  # frames of a game; 0: Gymnasium's 1,000
    steer_noise: float = dataclasses.field(default=0.0, metadata=TRAINING)  # deviation of noise on the wheel, 1 is full
    expert_info: bool = False  # info `expert`: what a scripted driver would do, that sees the track

    def __post_init__(self) -> None:
        if self.obs not in ("grey", "rgb"):
            raise ValueError(f"--obs {self.obs}: choose grey or rgb")
        if self.control not in ("pedal", "raw"):
            raise ValueError(f"--control {self.control}: choose pedal or raw")
        if not 1 <= self.frame_skip <= 20:
            raise ValueError(f"--frame-skip {self.frame_skip}: must lie in 1..20")
        if self.patience < 0:
            raise ValueError(f"--patience {self.patience}: must be at least 0")
        if not 0 <= self.limit <= LIMIT:
            raise ValueError(f"--limit {self.limit}: must lie in 0..{LIMIT}")
        if not 0 <= self.steer_noise <= 1:
            raise ValueError(f"--steer-noise {self.steer_noise}: must lie in 0..1")


@functools.cache
def _game() -> type:
    """Gymnasium's class with a faster `_render`. Raises MissingPackage where Box2D is not installed."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        from gymnasium.envs.box2d import car_racing as original
    except (gymnasium.error.Error, ImportError):
        raise MissingPackage('car-racing needs Box2D: pip install -e ".[box2d]"') from None
    from pygame import Surface, gfxdraw, transform

    width, height = original.WINDOW_W, original.WINDOW_H
    field, grass = original.PLAYFIELD, _meadow(original.GRASS_DIM)

    class FastCarRacing(original.CarRacing):
        """`hidden`: frames are not drawn, the picture stays the last one. `bare`: pictures without the indicators."""

        hidden = bare = False

        def reset(self, **how: Any) -> Any:
            self.hidden, self._corners = False, None
            return super().reset(**how)

        def _render(self, mode: str) -> Any:
            if mode != "state_pixels" or not (self.hidden or self.bare):
                return super()._render(mode)
            if self.hidden:
                return self.state
            self.surf = Surface((width, height))
            x, y = self.car.hull.position
            angle = -self.car.hull.angle
            zoom = 0.1 * original.SCALE * max(1 - self.t, 0) + original.ZOOM * original.SCALE * min(self.t, 1)
            cos, sin = _rotation(angle)
            x, y = -x * zoom, -y * zoom
            move = (width / 2 + (cos * x - sin * y), height / 4 + (sin * x + cos * y))
            self._render_road(zoom, move, angle)
            self.car.draw(self.surf, zoom, move, angle, False)
            self.surf = transform.flip(self.surf, False, True)
            return self._create_image_array(self.surf, (original.STATE_W, original.STATE_H))

        def _render_road(self, zoom: float, translation: Any, angle: float) -> None:
            if self._corners is None:  # the road is laid when a game begins; nearly all of its polygons have 4 corners
                longest = max((len(p) for p, _ in self.road_poly), default=4)
                road = [[*p, *[p[-1]] * (longest - len(p))] for p, _ in self.road_poly]
                self._corners = np.array(road, float).reshape(-1, longest, 2)
            turn = _rotation(angle)
            whole = _placed(np.array([[(field, field), (field, -field), (-field, -field), (-field, field)]]),
                            turn, zoom, translation)  # fmt: skip
            if _covers(whole[0], width, height):
                self.surf.fill(self.bg_color)
            else:
                self._draw(gfxdraw, whole[0].tolist(), self.bg_color)
            for _, corners in _visible(_placed(grass, turn, zoom, translation), width, height):
                self._draw(gfxdraw, corners, self.grass_color)
            for i, corners in _visible(_placed(self._corners, turn, zoom, translation), width, height):
                shape, colour = self.road_poly[i]  # a tile's colour changes when it is visited
                self._draw(gfxdraw, corners[: len(shape)], [int(c) for c in colour])

        def _draw(self, gfx: Any, corners: list[list[float]], colour: Any) -> None:
            gfx.aapolygon(self.surf, corners, colour)
            gfx.filled_polygon(self.surf, corners, colour)

    return FastCarRacing


def _meadow(edge: float) -> np.ndarray:
    """Corners of the patches of grass, in the order in which they are drawn: [400, 4, 2]."""
    at = [(x, y) for x in range(-20, 20, 2) for y in range(-20, 20, 2)]
    return np.array([[(edge * (x + i), edge * (y + j)) for i, j in ((1, 0), (0, 0), (0, 1), (1, 1))] for x, y in at])


def _rotation(angle: float) -> tuple[float, float]:
    """Cosine and sine as pygame's Vector2 takes them: exact at quarter turns."""
    angle = math.fmod(angle, 2 * math.pi)
    angle += 2 * math.pi if angle < 0 else 0.0
    if math.fmod(angle + 1e-6, math.pi / 2) < 2e-6:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int((angle + 1e-6) / (math.pi / 2)) % 4]
    return math.cos(angle), math.sin(angle)


def _placed(shapes: np.ndarray, turn: tuple[float, float], zoom: float, move: Any) -> np.ndarray:
    """Corners in the world [P, C, 2] -> px."""
    cos, sin = turn
    x, y = shapes[..., 0], shapes[..., 1]
    return np.stack([(cos * x - sin * y) * zoom + move[0], (sin * x + cos * y) * zoom + move[1]], -1)


def _visible(shapes: np.ndarray, width: int, height: int) -> Iterator[tuple[int, list[list[float]]]]:
    """Number and corners of those of [P, C, 2] that may reach into the picture."""
    low, high = shapes.min(1), shapes.max(1)
    seen = (high > -2).all(1) & (low[:, 0] < width + 2) & (low[:, 1] < height + 2)
    for i in np.flatnonzero(seen):
        yield i, shapes[i].tolist()


def _covers(corners: np.ndarray, width: int, height: int) -> bool:
    """Does a square [4, 2] cover the whole picture, with a margin?"""
    window = np.array([(-2, -2), (width + 2, -2), (width + 2, height + 2), (-2, height + 2)])
    along = np.roll(corners, -1, 0) - corners  # [4, 2]
    offset = window[:, None] - corners  # [4 of the window, 4, 2]
    side = along[:, 0] * offset[..., 1] - along[:, 1] * offset[..., 0]
    return bool((side > 0).all() or (side < 0).all())


def _pedals(action: np.ndarray) -> np.ndarray:
    """Steering and one pedal [2] -> steering, gas, brake [3]."""
    return np.array([action[0], max(0.0, action[1]), max(0.0, -action[1])], np.float32)


class CarRacing(gymnasium.Env):
    """One game. render_mode: None, "rgb_array" or "human"."""

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 50}

    def __init__(self, options: CarRacingOptions, render_mode: str | None = None):
        self.options, self.render_mode = options, render_mode
        self.limit = options.limit or LIMIT
        self.metadata = {**self.metadata, "render_fps": 50 / options.frame_skip}
        self.game = _game()(render_mode=render_mode)
        self.game.bare = options.obs == "grey"
        about = describe(options)
        self.observation_space, self.action_space = about.observation, about.actions

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        picture, _ = self.game.reset(seed=seed)
        self.frames, self.idle, self.noise = 0, 0, 0.0
        self._driver, self.steering = None, 0.0
        return self._seen(picture), self._expert_info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        action, total, tiles = np.asarray(action, np.float32), 0.0, self.game.tile_visited_count
        if self.options.control == "pedal":
            action = _pedals(action)
        if self.options.steer_noise:
            fresh = math.sqrt(1 - LASTING**2) * self.options.steer_noise * self.np_random.normal()
            self.noise = LASTING * self.noise + fresh
            action = np.array([np.clip(action[0] + self.noise, -1, 1), *action[1:]], np.float32)
        self.steering = float(action[0])
        for i in range(self.options.frame_skip):
            last = i == self.options.frame_skip - 1 or self.frames == self.limit - 1
            self.game.hidden = not last
            picture, reward, terminated, _, _ = self.game.step(action)
            self.frames, total = self.frames + 1, total + float(reward)
            if terminated and not last:
                self.game.hidden = False
                picture = self.game._render("state_pixels")
            if terminated or self.frames == self.limit:
                break
        self.idle = 0 if self.game.tile_visited_count > tiles else self.idle + self.options.frame_skip
        lost = bool(self.options.patience) and self.idle >= self.options.patience
        return self._seen(picture), total, bool(terminated or lost), self.frames >= self.limit, self._expert_info()

    @property
    def driver(self) -> Driver:
        """The scripted driver on the present track."""
        if self._driver is None:
            self._driver = Driver(self.game)
        return self._driver

    def _expert_info(self) -> dict[str, Any]:
        if not self.options.expert_info:
            return {}
        action = self.driver.act()
        return {"expert": action if self.options.control == "pedal" else _pedals(action)}

    def _seen(self, picture: np.ndarray) -> np.ndarray:
        return preprocess.grey(picture[ROWS, COLUMNS]) if self.options.obs == "grey" else np.ascontiguousarray(picture)

    def render(self) -> Any:
        return self.game.render()

    def axes(self) -> tuple[tuple[str, str, float], ...]:
        """(key for -1, key for +1, value without either) of each dimension of the actions."""
        steering = ("left", "right", 0.0)
        if self.options.control == "pedal":
            return (steering, ("down", "up", 0.0))
        return (steering, ("", "up", -1.0), ("", "down", -1.0))

    def close(self) -> None:
        self.game.close()


class CarRacingVec(AsyncVectorEnv):
    """Games in processes of their own; they step while the learner works."""

    def __init__(self, num_envs: int, options: CarRacingOptions):
        _game()  # says what is wrong, if anything, before processes are started
        makers = [functools.partial(CarRacing, options)] * num_envs
        super().__init__(makers, context="forkserver", autoreset_mode=AutoresetMode.NEXT_STEP)
        self.metadata = {
            **self.metadata, **describe(options).metadata, "lab_info": True
        }  # fmt: skip

    def send(self, actions: np.ndarray) -> None:
        self.step_async(actions)

    def recv(self) -> Any:
        return self.step_wait()


Options = CarRacingOptions  # name under which every game's module offers its own


def describe(options: CarRacingOptions) -> Description:
    """The game with these options."""
    grey = options.obs == "grey"
    driving = CarRacingDriving(options)
    low = [-1, -1] if options.control == "pedal" else [-1, 0, 0]
    return Description(
        observation=spaces.Box(0, 255, (84, 84) if grey else (96, 96, 3), np.uint8),
        actions=spaces.Box(np.array(low, np.float32), np.ones(len(low), np.float32)),
        frame_stack=4 if grey else 1,
        frame_skip=options.frame_skip,
        protocol=driving.about()["protocol"],
        chance=True,
        saves=False,
        two_players=False,
        scripted="expert",
        info={"expert": "expert_info"},
        driving=driving,
        memory=2**26,
        controls="steering and one pedal (brake below 0), or with `control` raw Gymnasium's steering, gas and brake",
        reward="Gymnasium's: -0.1 a frame, 1000 / N for each of the track's N tiles, -100 off the field",
        score="the sum of the rewards; from 900 on the game counts as solved",
    )


def make_vec(num_envs: int, **options: Any) -> CarRacingVec:
    """`num_envs` games side by side."""
    return CarRacingVec(num_envs, CarRacingOptions(**options))


def make(render_mode: str | None = None, **options: Any) -> CarRacing:
    """One game."""
    return CarRacing(CarRacingOptions(**options), render_mode)
