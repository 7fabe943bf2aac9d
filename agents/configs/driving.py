"""What can be set of cloning a driver, beside any other clone: read by `train --help`, so nothing heavy is imported."""

from __future__ import annotations

import dataclasses

from agents import ranges


@dataclasses.dataclass(frozen=True)
class DrivingConfig:
    """Nothing by default: only of a driver is action 0 a steering wheel, and only a road can be mirrored."""

    road: float = 0.0  # weight of the losses for offset, heading and drivable area; 0: no such head
    sign: float = 0.0  # weight of the loss for the traffic sign that a picture shows; 0: no such head
    steering_weight: float = 0.0  # extra weight of a row at full steering: most of a drive is straight
    flip: float = 0.0  # share of mirrored pictures, steering with them
    shift: float = 0.0  # largest sideways shift, share of the width; the steering follows
    colour: float = 0.0  # 0 none .. 1 each colour becomes another mixture of all three
    brightness: float = 0.0  # largest relative change of brightness and contrast
    noise: float = 0.0  # largest standard deviation of noise on the pixels, of 255
    exposure: float = 0.0  # most stops (factors of two) by which a picture becomes darker; brighter by a third of it
    shade: float = 0.0  # largest share of light that one side of a picture loses
    invert: float = 0.0  # share of pictures of which a negative is made

    def __post_init__(self) -> None:
        ranges.at_least(self, 0, "road", "sign", "steering_weight", "noise", "exposure")
        ranges.share(self, "flip", "shift", "colour", "brightness", "shade", "invert")
