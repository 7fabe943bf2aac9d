"""A person's hands on keyboard or gamepad -> actions of what they drive: smooth steering, to be learnt from.

Rates are of cars that reach about 16 m/s; the wanted speed of a faster one changes faster in proportion.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any, NamedTuple

import numpy as np

from envs.driving import Driving, Wheel

TURN, RETURN = 3.5, 6.0  # speed of steering with an arrow key held, and of its return to the middle, per second
FASTER, COAST, SLOWER = 9.0, 3.0, 18.0  # change of the wanted speed: throttle, nothing, brake; m/s per second
LEAD = 3.0  # largest distance of the wanted speed from the real one, in m/s
USUAL = 16.0  # top speed that the constants above are tuned for, in m/s
DEAD = 0.06  # rest zone of a gamepad's stick around its middle
HELP = "arrows or WASD steer, accelerate and brake; gamepad: left stick, right trigger, left trigger"


class Pad(NamedTuple):
    """A gamepad: its stick in [-1, 1], triggers in [0, 1]."""

    steer: float  # stick to the right
    gas: float
    brake: float
    hand: bool = False
    down: float = 0.0  # stick towards the person


class Hands:
    """Both hands of one person, who drives what `driving` is of."""

    def __init__(self, driving: Driving):
        self.driving, self.top, self.scale = driving, driving.top_speed, driving.top_speed / USUAL
        self.dt = 1.0 / driving.rate
        self.reset()

    def reset(self) -> None:
        """Both hands at rest, as at the beginning of a race."""
        self.steer, self.target = 0.0, 0.0

    def take(self, wheel: Wheel) -> None:
        """Over from somebody else: with the wheel where it is, and at the speed that the car has."""
        self.steer, self.target = min(max(wheel.steer, -1.0), 1.0), min(max(wheel.target, 0.0), self.top)

    def act(self, held: Set[str], pad: Pad | None = None, speed: float = 0.0) -> np.ndarray:
        """The action of one control step: float32 [D], each in [-1, 1].

        held: names of keys that are down (HELP); speed: the car's, m/s. A gamepad that is touched has priority.
        """
        left, right = bool(held & {"left", "a"}), bool(held & {"right", "d"})
        gas, brake = float(bool(held & {"up", "w"})), float(bool(held & {"down", "s"}))
        hand = "space" in held
        self.steer = self._turn(right - left)
        if pad is not None:
            hand = hand or pad.hand
            gas, brake = max(gas, pad.gas), max(brake, pad.brake)
            if abs(pad.steer) > DEAD:
                self.steer = float(np.sign(pad.steer) * min((abs(pad.steer) - DEAD) / (1.0 - DEAD), 1.0))
        self._want(gas, brake, speed)
        return self.driving.hands(Wheel(self.steer, gas - brake, self.target, hand))

    def _want(self, gas: float, brake: float, speed: float) -> None:
        """The wanted speed after this control step."""
        change, lead = -SLOWER * brake if brake else FASTER * gas if gas else -COAST, LEAD * self.scale
        self.target = min(max(self.target + change * self.scale * self.dt, 0.0), self.top)
        self.target = min(max(self.target, speed - lead), max(speed, 0.0) + lead)
        below = speed - 1.0 * self.scale
        self.target = min(max(self.target, 0.0), self.top) if not brake else max(min(self.target, below), 0.0)

    def _turn(self, way: int) -> float:
        if way == 0:  # back to the middle, and no further
            step = RETURN * self.dt
            return self.steer - float(np.clip(self.steer, -step, step))
        rate = RETURN if self.steer * way < 0 else TURN
        return float(np.clip(self.steer + way * rate * self.dt, -1.0, 1.0))


class Gamepad:
    """The first gamepad that is plugged in, by SDL's table of known ones, else by the usual order of axes."""

    def __init__(self):
        import pygame
        from pygame._sdl2 import controller

        pygame.joystick.init()
        controller.init()
        self._pygame, self._controller = pygame, controller
        self._device, self._known = None, False

    def read(self) -> Pad | None:
        """What is pressed now; None without a gamepad. One that is plugged in later is found too."""
        if self._pygame.joystick.get_count() == 0:
            self._device = None
            return None
        if self._device is None:
            self._known = self._controller.is_controller(0)
            self._device = self._controller.Controller(0) if self._known else self._pygame.joystick.Joystick(0)
        return mapped(self._device) if self._known else guessed(self._device)


def mapped(device: Any) -> Pad:
    """An SDL game controller: axes as integers to 32767, named the same on each."""
    import pygame

    def axis(number: int) -> float:
        return max(device.get_axis(number) / 32767.0, -1.0)

    return Pad(
        axis(pygame.CONTROLLER_AXIS_LEFTX),
        max(axis(pygame.CONTROLLER_AXIS_TRIGGERRIGHT), 0.0),
        max(axis(pygame.CONTROLLER_AXIS_TRIGGERLEFT), 0.0),
        bool(device.get_button(pygame.CONTROLLER_BUTTON_A)),
        axis(pygame.CONTROLLER_AXIS_LEFTY),
    )


def guessed(device: Any) -> Pad:
    """A joystick that SDL does not know: axes 0 and 1 are its stick, axes 5 and 2 are triggers, which rest at -1."""
    axes = [device.get_axis(k) for k in range(device.get_numaxes())]
    # Before the first event SDL reports 0 for a trigger, which would be half throttle: that is taken as rest.
    brake, gas = ((axes[k] + 1.0) / 2.0 if len(axes) > k and axes[k] != 0.0 else 0.0 for k in (2, 5))
    right, down, *_ = *axes, 0.0, 0.0
    return Pad(right, gas, brake, bool(device.get_numbuttons() and device.get_button(0)), down)
