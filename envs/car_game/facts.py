"""What the car game is, told without the kart's kernels: its options, and its description."""

import dataclasses

import numpy as np
from gymnasium.spaces import Box

from envs.car_game.driving import CarDriving
from envs.car_game.options import OBSERVED, CarOptions
from envs.description import Description
from envs.kart import facts as kart

Options = CarOptions  # name under which every game's module offers its own


def describe(options: CarOptions) -> Description:
    """The game with these options."""
    speed = dataclasses.replace(options, control="speed")
    return dataclasses.replace(
        kart.describe(speed),
        observation=Box(0, 255, OBSERVED, np.uint8),
        actions=Box(-1.0, 1.0, (2,), np.float32),
        frame_stack=options.stack or 1,
        protocol=options.protocol,
        info={**kart.describe(speed).info, "sign": "sign_info"},
        driving=CarDriving(options),
    )
