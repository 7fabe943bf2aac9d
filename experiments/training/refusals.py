"""What `train` refuses before anything is loaded or built: options that the agent, the game or a run has not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import envs
from agents import BASELINES, settings
from agents.core import manifest
from agents.core.run import TRAINED, Run, RunError
from experiments import cli, finding, teachers
from experiments.training import tracking
from experiments.training.options import Resume, TrainCommand


def refuse(command: TrainCommand, agent_config: Mapping[str, Any], env: Mapping[str, Any]) -> None:
    """Raises UserError for options of a new run that do not go together."""
    tracking.require(command.track)
    needs_teacher = getattr(settings(command.agent), "NEEDS_TEACHER", False)
    for name, kind in (("data", "dataset"), ("teacher_run", "teacher")):
        if getattr(command, name) and not needs_teacher:
            raise cli.UserError(f"--{name.replace('_', '-')}: {command.agent} learns by playing; it takes no {kind}")
    for name in ("obs", "reward"):
        if getattr(command, f"normalize_{name}") and (needs_teacher or command.agent in BASELINES):
            raise cli.UserError(
                f"--normalize-{name}: {command.agent} does not take it; agents of the lab that learn by playing do"
            )
    if needs_teacher:
        _require_teacher(command, env)
    if command.agent in BASELINES and command.device not in ("auto", "cpu"):
        raise cli.UserError(
            f"--device {command.device}: {command.agent} runs on the processor alone here; name --device cpu, or none"
        )
    about = envs.describe(command.game, **env)
    if about.most and command.num_envs > about.most:
        raise cli.UserError(f"--num-envs {command.num_envs}: {command.game} is played {about.most} at a time here")
    if agent_config.get("critic") == "privileged" and about.tells("numbers") is False:
        how = teachers.asking(about, "numbers", "; {} asks for them")
        raise cli.UserError(f"--critic privileged: {command.game} tells none with these options{how}")
    if agent_config.get("freeze_trunk") and command.init is None:
        raise cli.UserError("--freeze-trunk: a trunk that nobody has trained says nothing; name a run with --init RUN")
    if command.init is not None:
        finding.require_checkpoint(run_of("--init", command, command.init), None)


def _require_teacher(command: TrainCommand, env: Mapping[str, Any]) -> None:
    """Raises UserError where it is known beforehand that there is nobody to learn from."""
    for data in command.data:
        if not Path(data).exists():
            raise cli.UserError(f"--data {data}: there is no such dataset")
    if command.teacher_run is not None:
        teacher = run_of("--teacher-run", command, command.teacher_run)
        if teacher.config["game"] != command.game:
            told = f"is a run of {teacher.config['game']}; an expert is a run of {command.game} with --obs state"
            raise cli.UserError(f"--teacher-run {command.teacher_run}: {told}")
        finding.require_checkpoint(teacher, None)
    teachers.require(command.agent, command.game, env, given=bool(command.data or command.teacher_run))


def refuse_resume(command: Resume) -> Run:
    """The run that goes on. Raises UserError or RunError where it cannot, or not with these options."""
    tracking.require(command.track)
    run = finding.find_own(command.runs, command.resume)
    if command.game is not None and envs.canonical(command.game) != run.config["game"]:
        raise cli.UserError(f"{run.path} is a run of {run.config['game']}, not of {command.game}")
    if run.config["agent"] in BASELINES:
        raise cli.UserError(f"{run.path} cannot be resumed: stable-baselines3 does not save its loop")
    run.require(TRAINED)
    run.require_own_files()
    newest = manifest.newest(run.checkpoints)
    if command.steps is not None and newest is not None and command.steps < newest[0]:
        raise cli.UserError(f"--steps {command.steps}: the run has {newest[0]:,} steps already")
    if command.cluster is not None and not run.config.get("actors"):
        raise cli.UserError(f"--cluster {command.cluster}: {run.path} is a run of one machine; --init starts from it")
    if newest is not None and not {"clock", "loop", "stream"} & newest[1]["values"].keys():
        begin = cli.line("train", run.config["game"], "--agent", run.config["agent"], "--init", run.path)
        raise cli.UserError(f"{run.path} holds weights alone and cannot be resumed; {begin} starts from them")
    return run


def run_of(option: str, command: TrainCommand | Resume, what: str) -> Run:
    """The run that an option names; ``reference`` is the game's best reference run. Raises UserError."""
    try:
        return finding.look_for(command.runs, what, command.game)[0]
    except RunError as fault:
        raise cli.UserError(f"{option} {what}: {fault}") from None
