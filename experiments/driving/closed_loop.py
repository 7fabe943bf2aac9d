"""Closed-loop figures of a driver on fixed tracks: what `evaluate RUN --tracks test:20` prints.

Every track is driven for the same time, all side by side. The expert drives the same races (tracks, looks, noise), so
that a lap time can be told as a share of the expert's. An *intervention* is what a person beside the driver would do:
the car was off the road for a second without a break, or it was rescued (3 s stuck). Autonomy is PilotNet's formula
(Bojarski et al. 2016): the share of the time that is left when each intervention costs six seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

import envs
from agents.core.actor import Actor
from agents.core.evaluate import Policy
from agents.core.rows import Spec
from envs.driving import Driving
from experiments.comparing import statistics

COST = 6.0  # time that an intervention costs, in s
OFF_ROAD = 1.0  # unbroken time off the road after which somebody has to intervene, in s

Act = Callable[[np.ndarray, dict[str, Any]], np.ndarray]  # driver: (observations, info) -> actions of the game


class Drive(NamedTuple):
    """Figures of one driver, one entry per track, [N]."""

    track: np.ndarray  # number of the track
    interventions: np.ndarray
    off_road: np.ndarray  # time off the road, in s
    contacts: np.ndarray
    laps: np.ndarray  # laps, with fraction
    lap_time: np.ndarray  # median time of the flying laps, in s; nan without one
    jerk: np.ndarray  # mean change of the steering from step to step
    seconds: np.ndarray

    @property
    def autonomy(self) -> np.ndarray:
        """0..1 of each track."""
        return np.maximum(0.0, 1.0 - COST * self.interventions / self.seconds)


class Watch:
    """Counts interventions of N cars step by step. rate: steps a second."""

    def __init__(self, num: int, rate: float):
        self.long = round(OFF_ROAD * rate)  # steps off the road that are one intervention
        self.count = np.zeros(num, np.int64)
        self.spell = np.zeros(num, np.int64)  # steps off the road without a break
        self.rescues = np.zeros(num)

    def __call__(self, off_road: np.ndarray, rescues: np.ndarray) -> None:
        """off_road: bool [N], rescues: so far [N]."""
        rescued = rescues > self.rescues
        counted = self.spell >= self.long  # this spell has been counted already
        self.spell = np.where(off_road, self.spell + 1, 0)
        self.count += self.spell == self.long
        self.count += rescued & ~counted
        self.rescues = rescues.copy()


class ClosedLoopTest(NamedTuple):
    """What is driven: the tracks of a game (`envs.driving.Course`), each for the same time."""

    game: str
    options: dict[str, Any]  # options of the game
    tracks: str
    seconds: float  # time on each track, in s

    @property
    def driving(self) -> Driving:
        """Returns the driving interface of the game under these options."""
        return envs.describe(self.game, **self.options).driving

    def open(self, count: int | None = None) -> Any:
        """The batch: game i drives track i. Raises ValueError for tracks that there are not."""
        course = self.driving.course
        num = course.count(self.tracks) if count is None else count
        return envs.make_vec(self.game, num, **course.options(self.options, self.tracks, self.seconds))

    def straight(self, obs: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        """The constant predictor: whoever is no better than this has learned nothing."""
        return self.driving.course.straight(len(obs))


def drive(what: ClosedLoopTest, act: Act, seed: int, follow: Callable[[float], None] | None = None) -> Drive:
    """One driver on every track."""
    course, rate, env = what.driving.course, what.driving.rate, what.open()
    num = env.num_envs
    obs, info = env.reset(seed=seed)
    watch = Watch(num, rate)
    off, jerk, before, lap = np.zeros(num), np.zeros(num), None, np.zeros(num)
    times: list[list[float]] = [[] for _ in range(num)]
    steps = round(what.seconds * rate)
    for t in range(steps):
        action = act(obs, info)
        if action.dtype.kind == "f":
            action = np.clip(action, -1.0, 1.0)
        steering = course.steering(action)
        if before is not None:
            jerk += np.abs(steering - before)
        before = steering
        obs, _, _, _, info = env.step(action)
        watch(info["off_road"], info["rescues"])
        off += info["off_road"] / rate
        for i in np.flatnonzero(info["lap"] > lap):
            if info["lap"][i] > 1:  # the first is from standstill
                times[i].append(float(info["lap_time"][i]))
        lap = info["lap"].copy()
        if follow is not None:
            follow((t + 1) / steps)
    env.close()
    middle = np.array([np.median(ts) if ts else np.nan for ts in times])
    return Drive(
        info["track"].copy(), watch.count, off, info["contacts"].copy(), np.maximum(info["progress"], 0.0), middle,
        jerk / max(1, steps - 1), np.full(num, steps / rate),
    )  # fmt: skip


def at_the_wheel(policy: Policy, spec: Spec, device: torch.device) -> Act:
    """A policy as a driver: the first call says how many karts it drives, all of them from the start."""
    actors: list[Actor] = []

    def act(obs: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        if not actors:
            actors.append(Actor(policy, spec, len(obs), device))
        actors[0].observe(obs)
        action = actors[0].act().action
        return (action.float() if spec.action_dim else action).cpu().numpy()

    return act


def expert(obs: np.ndarray, info: dict[str, Any]) -> np.ndarray:
    """The teacher; needs the option expert_info."""
    return info["expert"]


def figures(mine: Drive, teacher: Drive) -> dict[str, Any]:
    """Means over tracks with 95 % bootstrap intervals over tracks, and every track's own figures."""
    ratio = mine.lap_time / teacher.lap_time
    known = ratio[np.isfinite(ratio)]
    minutes = mine.seconds / 60.0
    each = {
        "autonomy": mine.autonomy,
        "laps": mine.laps,
        "interventions_per_minute": mine.interventions / minutes,
        "off_road_share": mine.off_road / mine.seconds,
        "contacts_per_minute": mine.contacts / minutes,
        "steering_change": mine.jerk,
    }
    result: dict[str, Any] = {}
    for name, values in each.items():
        result[name] = float(values.mean())
        result[f"{name}_interval"] = _interval(statistics.mean, values)
    total = float(mine.interventions.sum())
    result["autonomy"] = max(0.0, 1.0 - COST * total / float(mine.seconds.sum()))
    result["interventions"], result["seconds"] = int(total), float(mine.seconds.sum())
    result["lap_time_ratio"] = float(np.median(known)) if len(known) else None
    result["lap_time_ratio_interval"] = _interval(statistics.median, known)
    result["tracks_without_a_lap"] = int(len(ratio) - len(known))
    result["expert"] = {
        "laps": float(teacher.laps.mean()), "interventions": int(teacher.interventions.sum()),
        "off_road_share": float((teacher.off_road / teacher.seconds).mean()),
        "steering_change": float(teacher.jerk.mean()),
    }  # fmt: skip
    result["tracks"] = [
        {"track": int(mine.track[i]), "interventions": int(mine.interventions[i]),
         "laps": round(float(mine.laps[i]), 3), "off_road": round(float(mine.off_road[i]), 2),
         "contacts": int(mine.contacts[i]), "lap_time": _number(mine.lap_time[i]),
         "expert_lap_time": _number(teacher.lap_time[i])}
        for i in range(len(mine.track))
    ]  # fmt: skip
    return result


def _interval(statistic: Any, values: np.ndarray) -> list[float] | None:
    """None where there are too few tracks for one."""
    if len(values) < statistics.MIN_SEEDS:
        return None
    if (values == values[0]).all():
        return [float(values[0])] * 2
    low, high = statistics.interval(statistic, [values])
    return [float(low), float(high)]


def _number(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None


def sentence(result: dict[str, Any]) -> str:
    """The figures in a few lines."""
    between = result["autonomy_interval"]
    between = f" (tracks' mean {100 * between[0]:.1f} to {100 * between[1]:.1f})" if between else ""
    ratio, without = result["lap_time_ratio"], result["tracks_without_a_lap"]
    ratio = "no flying lap" if ratio is None else f"lap time {ratio:.3f} of the expert's (median)"
    ratio += f", {without} tracks without one" if without and result["lap_time_ratio"] is not None else ""
    return (
        f"autonomy {100 * result['autonomy']:.1f} %{between},"
        f" {result['interventions']} interventions in {result['seconds'] / 60:.0f} min"
        f" on {len(result['tracks'])} tracks\n"
        f"{result['laps']:.1f} laps a track (expert {result['expert']['laps']:.1f}), {ratio},"
        f" off the road {100 * result['off_road_share']:.1f} % of the time (expert"
        f" {100 * result['expert']['off_road_share']:.1f} %), {result['contacts_per_minute']:.2f} contacts a minute,"
        f" steering moves {result['steering_change']:.3f} a step (expert {result['expert']['steering_change']:.3f})"
    )
