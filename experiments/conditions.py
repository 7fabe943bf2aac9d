"""Under which options of its game a run may be scored: what `evaluate` refuses before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import envs
from agents.core.run import Run
from envs.driving import Course
from experiments import configuration


class Conditions(NamedTuple):
    """What is asked of the games that score a run; the run's own where nothing is."""

    protocol: str | None = None  # protocol of the evaluation; None: the run's own
    under: str | None = None  # options of the game that differ from the run's, such as theme=all,latency=2
    max_steps: int = 0  # steps after which a game is cut; 0: as in the training


def of_games(run: Run, asked: Conditions) -> dict[str, Any]:
    """The game's options that the run is scored with. Raises ValueError for those that it may not be scored with."""
    protocol, under, max_steps = asked
    if max_steps and "max_steps" not in run.config["env"]:
        raise ValueError(f"--max-steps {max_steps}: only for gym:ID; {run.config['game']} has an end of its own")
    limit = {"max_steps": max_steps} if max_steps else {}
    game, trained = run.config["game"], run.config["protocol"]
    env = envs.scored(game, {**run.config["env"], **limit})
    protocols = envs.describe(game, **env).protocols
    if under is not None:
        if protocols:
            raise ValueError(f"--options {under}: {game} is scored under a protocol, see --protocol")
        env |= asked_for(game, under)
    if protocol is not None and protocol != trained:
        if protocol not in (protocols[trained].scores if trained in protocols else ()):
            raise ValueError(
                f"--protocol {protocol}: {run.path} was trained under {trained};"
                " scores of different protocols are never mixed"
            )
        env["protocol"] = protocol
    envs.options(game, **env)  # refuses what is out of range
    return env


def told(run: Run, asked: Conditions) -> str | None:
    """What of the conditions is otherwise than in the training, for the evaluation; None where nothing is.

    A protocol is told by itself. Such scores stand for nothing but themselves (`comparing.evaluations.own`).
    """
    limit = ""
    if asked.max_steps not in (0, run.config["env"].get("max_steps")):
        limit = f"max_steps={asked.max_steps}"
    return ",".join(filter(None, (asked.under, limit))) or None


def asked_for(game: str, under: str) -> dict[str, Any]:
    """The options that `--options` names. Raises ValueError for one that only trainings have."""
    asked = configuration.read_options(game, under)
    if only := sorted(asked.keys() - envs.scored(game, asked).keys()):
        raise ValueError(f"--options {only[0]}=...: only trainings have it; scores of games with it would say nothing")
    return asked


def of_tracks(run: Run, tracks: str, under: str | None, policy: str | None) -> dict[str, Any]:
    """The game's options that its tracks are driven with. Raises ValueError for those that they cannot be."""
    game = run.config["game"]
    if _course(game, run.config["env"]) is None:
        raise ValueError(f"--tracks: {run.path} is a run of {game}, which has no tracks to drive on")
    asked = asked_for(game, under or "")
    env = {**envs.scored(game, run.config["env"]), **asked}
    course = _course(game, env)
    if fixed := sorted(asked.keys() & course.fixed):
        raise ValueError(
            f"--options {fixed[0]}=...: --tracks drives alone, for --seconds from the grid of each track; races against"
            f" others are scored without --tracks, such as --options {course.example}"
        )
    course.count(tracks)
    if policy == "straight":
        try:
            course.straight(1)
        except ValueError as fault:
            raise ValueError(f"--policy straight: {fault}") from None
    return env


def _course(game: str, env: Mapping[str, Any]) -> Course | None:
    driving = envs.describe(game, **env).driving
    return None if driving is None else driving.course
