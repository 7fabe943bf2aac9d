"""The toy car as Gymnasium environments: drives on the kart's tracks, seen and steered as a toy car is.

The picture is that of the car's camera (option `camera`, 120x160), reduced to 60x80 as the program on the car reduces
it. Actions, by option `control`, in [-1, 1]^2: steering (right is positive), and
  speed     a target speed: -1 is 0, 1 the highest (8 m/s). It becomes the throttle that holds it, as on a car without a
            sensor of speed.
  throttle  -1 is 0, 1 the option `throttle_cap`.

`info` is the kart's, with `sign` (int64 [N]: 0 none, 1 stop, 2 another one) where `sign_info` asks for it. A car that
stands because nobody wants to drive is not stuck. Units are metres of the kart's world: a car of a tenth of a real
one's size lives in a fourth of it.
"""

from envs.batches import read_options
from envs.car_game.batch import CarBatch
from envs.car_game.facts import CarOptions, describe
from envs.description import Description
from envs.kart import env as kart


class CarVectorEnv(kart.KartVectorEnv):
    """N simulated cars in one compiled step; autoreset NEXT_STEP; returned arrays are fresh."""

    races = CarBatch

    def describe(self, options: CarOptions) -> Description:
        """The game with these options."""
        return describe(options)

    def _info(self) -> dict:
        info = super()._info()
        if self.options.sign_info:
            info["sign"] = self.batch.signs()[0]
        return info


class CarEnv(kart.KartEnv):
    """One simulated car; with the same seed it equals `CarVectorEnv` reset with `[seed]`."""

    title = "joypad: car"
    several = CarVectorEnv


def make_vec(num_envs: int, **options) -> CarVectorEnv:
    """A batch of drives; `options` are the fields of `CarOptions`."""
    return CarVectorEnv(num_envs, read_options(CarOptions, options, "car"), render_mode="rgb_array")


def make(render_mode: str | None = None, **options) -> CarEnv:
    """One drive; `options` are the fields of `CarOptions`."""
    return CarEnv(read_options(CarOptions, options, "car"), render_mode)
