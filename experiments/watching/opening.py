"""A game opened to be watched: once, where it says beforehand what it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np

import envs
from envs.description import Description
from envs.gym_check import GameFault
from experiments import display
from experiments.watching.pictures import as_picture, fitted


def known(about: Description) -> dict[str, Any]:
    """What a stream of rows must know of a game, by the names of a vector environment's metadata.

    A game that says it beforehand is not opened for that: a real one may be a screen, or a car.
    """
    if about.frame_stack is not None:
        return {"frame_stack": about.frame_stack, "protocol": about.protocol, "lab_info": not about.foreign}
    probe = envs.make_vec(about.name, 1, **dataclasses.asdict(about.options))
    probe.close()
    metadata = {"frame_stack": 1, **probe.metadata}
    return {k: metadata[k] for k in ("frame_stack", "protocol", "lab_info", "name") if k in metadata}


def with_picture(about: Description) -> Any:
    """The game with every picture that it can show: a list per step where it has more than one."""
    display.go_without()
    options = dataclasses.asdict(about.options)
    if about.frame_stack is not None:
        mode = "rgb_array_list" if about.every_frame else "rgb_array"
        return LastInfo(envs.make(about.name, mode, **options), about.name)
    one = envs.make(about.name, None, **options)
    modes = one.metadata.get("render_modes", [])
    one.close()
    # Gymnasium's own list mode collects for ever.
    mode = next((m for m in ("rgb_array", "rgb_array_list") if m in modes), None)
    if mode is None:
        shows = f" (its render_modes: {', '.join(map(str, modes))})" if modes else ""
        raise ValueError(f"{about.name} has no picture to show{shows}")
    return LastInfo(envs.make(about.name, mode, **options), about.name)


class LastInfo(gymnasium.Wrapper):
    """Keeps the game's newest `info`, in `info`, and the size of its first picture."""

    info: dict[str, Any] = {}  # noqa: RUF012
    shape: tuple[int, ...] | None = None

    def __init__(self, env: gymnasium.Env, name: str):
        super().__init__(env)
        self.name = name

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        obs, self.info = self.env.reset(**options)
        return obs, self.info

    def step(self, action: Any) -> tuple[Any, ...]:
        result = self.env.step(action)
        self.info = result[4]
        return result


def rendered(env: Any) -> list[np.ndarray]:
    """The pictures since the last call: one, or all emulated frames where the game tells them."""
    shown = env.render()
    pictures = shown if isinstance(shown, list) and (not shown or isinstance(shown[0], np.ndarray)) else [shown]
    pictures = [as_picture(one, env.name) for one in pictures]
    if env.shape is None:
        if not pictures:
            raise GameFault(f"{env.name}: render() gave no picture after reset()")
        env.shape = pictures[0].shape
    return [fitted(one, env.shape) for one in pictures]
