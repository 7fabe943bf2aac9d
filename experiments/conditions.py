"""Under which options of its game a run may be scored: what `evaluate` refuses before anything is loaded."""

from __future__ import annotations

from typing import Any

import envs
from agents.core.run import Run
from experiments import configuration

# What `--tracks` decides itself: every driver has the same time on each track, alone, from the grid.
FIXED = {"tracks", "laps", "time_limit", "order", "start", "on_stuck", "karts", "expert_info", "drivable_info"}


def of_games(run: Run, protocol: str | None, under: str | None, max_steps: int) -> dict[str, Any]:
    """The game's options that the run is scored with. Raises ValueError for those that it may not be scored with."""
    if max_steps and "max_steps" not in run.config["env"]:
        raise ValueError(f"--max-steps {max_steps}: only for gym:ID; {run.config['game']} has an end of its own")
    limit = {"max_steps": max_steps} if max_steps else {}
    env = envs.scored(run.config["game"], {**run.config["env"], **limit})
    if under is not None:
        if envs.find(run.config["game"])[0] == "envs.atari":
            raise ValueError(f"--options {under}: Atari games are scored under a protocol, see --protocol")
        env |= asked_for(run.config["game"], under)
    if protocol is not None and protocol != run.config["protocol"]:
        if (run.config["protocol"], protocol) != ("baselines", "nature"):
            raise ValueError(
                f"--protocol {protocol}: {run.path} was trained under {run.config['protocol']};"
                " scores of different protocols are never mixed"
            )
        env["protocol"] = protocol
    envs.options(run.config["game"], **env)  # refuses what is out of range
    return env


def asked_for(game: str, under: str) -> dict[str, Any]:
    """The options that `--options` names. Raises ValueError for one that only trainings have."""
    asked = configuration.read_options(game, under)
    if only := sorted(asked.keys() - envs.scored(game, asked).keys()):
        raise ValueError(f"--options {only[0]}=...: only trainings have it; scores of games with it would say nothing")
    return asked


def of_tracks(run: Run, tracks: str, under: str | None, policy: str | None) -> dict[str, Any]:
    """The options of kart that its tracks are driven with. Raises ValueError for those that they cannot be."""
    if run.config["game"] != "kart":
        raise ValueError(f"--tracks: {run.path} is a run of {run.config['game']}; only kart has tracks")
    asked = asked_for("kart", under or "")
    if fixed := sorted(asked.keys() & FIXED):
        raise ValueError(
            f"--options {fixed[0]}=...: --tracks drives alone, for --seconds from the grid of each track; races against"
            " others are scored without --tracks, such as --options karts=4,rival_speed=1.0,laps=3"
        )
    env = {**envs.scored("kart", run.config["env"]), **asked, "tracks": tracks, "karts": 1}
    env |= {"expert_info": True, "drivable_info": False}
    if policy == "straight" and env.get("control", "speed") != "speed":
        raise ValueError(f"--policy straight: holds a speed, and {run.path} has control={env['control']}, not speed")
    envs.options("kart", **env)
    return env
