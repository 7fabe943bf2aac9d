"""Kart racing as Gymnasium environments: a compiled batch, and a single race for people and other libraries.

Actions, by option `control`:
  speed     Box [-1, 1]^2: steering (right positive), target speed (-1: 0, 1: 16 m/s); the environment's controller
            works engine and brakes.
  raw       Box [-1, 1]^3: steering, pedal (throttle positive, brake negative, reverse from standstill), hand brake
            (pulled above 0: the rear slides, a drift).
  discrete  Discrete(15), listed in `options.DISCRETE`.

`info` holds arrays [N] (plain numbers in the single environment): `score` (laps completed, with fraction; a race that
was finished before the time limit counts as many laps as its mean pace would have made by then), `speed` m/s,
`lateral` m from the centreline to the right, `heading` rad against the track's direction, `progress` laps with
fraction, `lap` completed laps, `checkpoint` 0..7, `lap_time` and `best_lap` s (0 before the first), `place`,
`off_road`, `wrong_way`, `rescues`, `contacts`, `track` (its number), and by option `expert` and `drivable`.
"""

import math
import re

import gymnasium
import numpy as np

from envs.batches import SingleEnv, batch_seeds, check_batch, environment_seeds, present, read_options
from envs.description import Description
from envs.kart import columns as c
from envs.kart import race
from envs.kart.batch import RENDERED, KartBatch
from envs.kart.driving import KartDriving
from envs.kart.facts import describe
from envs.kart.hud import with_figures
from envs.kart.options import DISCRETE, KartOptions

FPS = KartDriving.rate
KEYS = {  # keys -> discrete action
    "": 7, "up": 0, "up left": 3, "up right": 4, "left": 8, "right": 9, "down": 10, "down left": 11, "down right": 12,
    "up left space": 13, "up right space": 14, "left space": 13, "right space": 14,
}  # fmt: skip


def _values(options: object) -> str:
    """Options as text without the names of class and fields, some of which were others in earlier versions."""
    return re.sub(r"\b\w+=|^\w+(?=\()", "", str(options))


class KartVectorEnv(gymnasium.vector.VectorEnv):
    """N races in one compiled step without the GIL; autoreset NEXT_STEP; returned arrays are fresh.

    `reset(seed=...)` takes an integer, from which `environment_seeds` derives one seed per environment, or N of them;
    without a seed the random numbers go on.
    """

    races: type[KartBatch] = KartBatch

    def __init__(self, num_envs: int, options: KartOptions, render_mode: str | None = None):
        check_batch(num_envs, render_mode)
        self.options, self.render_mode = options, render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": FPS, "releases_gil": True}
        present(self, self.describe(options), num_envs)
        self.batch = self.races(num_envs, options)
        for i, seed in enumerate(environment_seeds(None, num_envs)):
            self.batch.seed(i, seed)
        self.reset()

    def describe(self, options: KartOptions) -> Description:
        """The game with these options."""
        return describe(options)

    def reset(self, *, seed=None, options=None):
        """Begins an episode everywhere; `seed`: int, N ints, or None to go on with the random numbers."""
        if seed is not None:
            for i, number in enumerate(batch_seeds(seed, self.num_envs)):
                self.batch.seed(i, number)
        for i in range(self.num_envs):
            self.batch.begin(i)
        return self.observe(), self._info()

    def step(self, actions):
        """One action per race; an action outside the space is a ValueError, and nothing has moved."""
        actions = self._checked(actions)
        fresh = self.batch.over.copy()
        reward, ending = self.batch.step(actions)
        for _ in range(self.options.action_repeat - 1):
            more, then = self.batch.step(actions)
            reward, ending = reward + more, np.where(ending == race.GOES_ON, then, ending)
        for i in np.flatnonzero(fresh):
            self.batch.begin(i)
        terminated = (ending == race.FINISHED) | (ending == race.LOST)
        return self.observe(), reward, terminated, ending == race.TIMED_OUT, self._info()

    def _checked(self, actions) -> np.ndarray:
        actions = np.asarray(actions)
        shape = self.action_space.shape
        if not shape[1:]:  # whole numbers
            whole = actions.shape == shape and actions.dtype.kind in "iu"
            if not whole or not ((actions >= 0) & (actions < len(DISCRETE))).all():
                raise ValueError(f"actions must be integers 0..{len(DISCRETE) - 1} of shape {shape}, not {actions!r}")
        elif actions.shape != shape or actions.dtype.kind not in "fiu" or not (np.abs(actions) <= 1.0).all():
            raise ValueError(f"actions must be numbers from -1 to 1 of shape {shape}, not {actions!r}")
        return actions

    def observe(self) -> np.ndarray:
        """The observations of the races as they stand: what `reset` or `step` returned last."""
        return self.batch.observe()

    def _info(self) -> dict:
        batch, options = self.batch, self.options
        kart, times = batch.karts[:, 0], batch.race
        laps = kart[:, c.PROGRESS] / (batch.scene.count * batch.scene.step)
        finished = ~np.isnan(times[:, c.FINISH])
        paced = options.laps * options.time_limit / np.where(finished, times[:, c.FINISH], 1.0)
        cos, sin = np.cos(kart[:, c.YAW]), np.sin(kart[:, c.YAW])
        speed = kart[:, c.VEL_X] * cos + kart[:, c.VEL_Y] * sin
        info = {
            "score": np.where(finished, paced, np.maximum(laps, 0.0)),
            "speed": speed,
            "lateral": kart[:, c.LATERAL].copy(),
            "heading": kart[:, c.HEADING].copy(),
            "progress": laps,
            "lap": times[:, c.GATE] // c.GATES,
            "checkpoint": times[:, c.GATE] % c.GATES,
            "lap_time": np.nan_to_num(times[:, c.LAST_LAP]),
            "best_lap": np.nan_to_num(times[:, c.BEST_LAP]),
            "place": times[:, c.PLACE].copy(),
            "off_road": times[:, c.OFF_NOW] > 0.0,
            "wrong_way": (np.abs(kart[:, c.HEADING]) > math.pi / 2) & (speed > 0.5),
            "rescues": times[:, c.RESCUES].copy(),
            "contacts": times[:, c.CONTACTS].copy(),
            "track": batch.track.copy(),
        }
        # Further figures of an episode, always finite, that stand beside its score.
        info["episode"] = {
            "laps": np.maximum(laps, 0.0),
            "seconds": times[:, c.CLOCK].copy(),
            "off_road_seconds": times[:, c.OFF_TOTAL].copy(),
            "rescues": info["rescues"],
            "contacts": info["contacts"],
            "place": info["place"],
            "won": (finished & (info["place"] == 1)).astype(np.float64),
        }
        if options.expert_info:
            info["expert"] = batch.expert()
        if options.privileged_info:
            info["numbers"] = batch.numbers()
        if options.drivable_info:
            info["drivable"] = batch.drivable()
        return info

    @property
    def over(self) -> np.ndarray:
        """bool [N], races that the next step begins anew."""
        return self.batch.over.copy()

    def render(self) -> tuple[np.ndarray, ...]:
        """A picture with lap times and map for each race, RGB uint8 [360, 480, 3], whatever is observed."""
        pictures = self.batch.rendered()
        return tuple(with_figures(picture, self.batch, i) for i, picture in enumerate(pictures))

    def state_dict(self) -> dict:
        """Every number that decides the future; the options must be the same where it is loaded."""
        return {**self.batch.state_dict(), "options": repr(self.options)}

    def load_state_dict(self, state: dict) -> None:
        """Continues exactly where `state_dict` was taken; `observe()` gives that moment's observation."""
        if _values(state.get("options")) != _values(repr(self.options)):
            raise ValueError(f"state: it comes from {state.get('options')}, these races have {self.options!r}")
        self.batch.load_state_dict(state)

    def close_extras(self, **kwargs) -> None:
        """Ends the threads."""
        self.batch.close()


class KartEnv(SingleEnv):
    """One race with the batch's kernels; with the same seed it equals `KartVectorEnv` reset with `[seed]`.

    `render_mode` rgb_array gives pictures of 480x360 with figures; human shows them in a window, 20 a second.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": FPS}
    title, enlarged = "joypad: kart", 2
    several: type[KartVectorEnv] = KartVectorEnv

    def __init__(self, options: KartOptions, render_mode: str | None = None):
        super().__init__(self.several(1, options), render_mode)

    @property
    def batch(self) -> KartBatch:
        """The race behind this environment, a batch of one."""
        return self.games.batch

    def seen_box(self) -> tuple[float, float, float, float] | None:
        """Which part of the picture an observation shows (px from the left, from the top, wide, high).

        None where people look through another camera (option `view`) than the agent.
        """
        if self.options.picture is None or self.options.view != self.options.camera:
            return None
        _, _, _, top, bottom = self.options.picture
        height, width = RENDERED
        return 0, top * height, width, (1 - top - bottom) * height

    def keys(self) -> dict[frozenset[str], int]:
        """Keys of a keyboard -> action, for `control` discrete: arrows, and the space bar for the hand brake."""
        return {frozenset(names.split()): action for names, action in KEYS.items()}

    def axes(self) -> tuple[tuple[str, str, float], ...]:
        """(key for -1, key for +1, value without either) of each dimension of the other controls."""
        steering = ("left", "right", 0.0)
        return {"speed": (steering, ("down", "up", 0.0))}.get(
            self.options.control, (steering, ("down", "up", 0.0), ("", "space", -1.0))
        )


def make_vec(num_envs: int, **options) -> KartVectorEnv:
    """A batch of races; `options` are the fields of `KartOptions`."""
    return KartVectorEnv(num_envs, read_options(KartOptions, options, "kart"), render_mode="rgb_array")


def make(render_mode: str | None = None, **options) -> KartEnv:
    """One race; `options` are the fields of `KartOptions`."""
    return KartEnv(read_options(KartOptions, options, "kart"), render_mode)
