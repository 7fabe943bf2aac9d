"""Learning from somebody else: the teacher beside the games, the recording in the ring.

A teacher says in every state what it would do: the scripted expert of a game, or the driver of another run that knows
more than its pupil because it sees the numbers of the game (Chen et al. 2019, Learning by Cheating).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv

import envs
from agents.core import dataset
from agents.core.loop import Loop
from agents.core.replay import ReplayBuffer
from agents.core.rows import Agent, Needs, Spec, TimeStep
from agents.core.run import Run, RunError
from agents.core.samplers import Uniform
from agents.core.stream import spec_of
from envs.recordings import reader
from envs.recordings.rows import Rows, check_info, split
from envs.recordings.tub import Tub, TubError
from experiments import building, cli, players, teachers
from experiments.building import Lab


class TeacherGames:
    """N games whose `info["expert"]` [N, D] is what `teacher` does with `info["numbers"]` [N, K]; else as they were.

    The teacher acts greedily and without a memory: the same numbers are always answered alike.
    """

    def __init__(self, games: VectorEnv, teacher: Agent, device: torch.device):
        self._games, self._teacher, self._device = games, teacher, device

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._games, name)
        # A step may be cut in two: its second half tells, too.
        return (lambda: self._labelled(found())) if name == "recv" else found

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        obs, info = self._games.reset(**kwargs)
        return obs, self._with_label(info)

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        return self._labelled(self._games.step(actions))

    def _labelled(self, result: tuple[Any, ...]) -> tuple[Any, ...]:
        *rest, info = result
        return *rest, self._with_label(info)

    @torch.no_grad()
    def _with_label(self, info: dict[str, Any]) -> dict[str, Any]:
        numbers = torch.as_tensor(info["numbers"], device=self._device).unsqueeze(1)
        zeros = torch.zeros(len(numbers), device=self._device)
        seen = TimeStep(numbers, zeros, zeros + 1, zeros.bool(), zeros.bool())
        answer = self._teacher.act(seen, explore=False).action
        if answer.is_floating_point():
            answer = answer.float().clamp(-1, 1)
        return {**info, "expert": answer.cpu().numpy()}


def assemble(config: dict[str, Any], env: dict[str, Any], device: torch.device) -> Lab:
    """`lab.assemble` for a run that learns from somebody else. env: options of the game. Raises ValueError."""
    games = _with_teacher(config, env, device) if config.get("teacher_run") else building.games(config, env)
    stream, clock, agent = building.actors(config, games, device)
    needs = agent.needs
    for name, given in (("data", "dataset"), ("teacher_run", "teacher")):
        if config.get(name) and "expert" not in needs.info:
            raise ValueError(f"--{name.replace('_', '-')}: {config['agent']} learns by playing; it takes no {given}")
    recorded = _recorded(config, stream.spec, needs) if config.get("data") else None
    about, shapes = envs.describe(config["game"], **env), building.info_shapes(stream)
    teacher, masks = "expert" in shapes, "legal" in shapes
    if recorded is None and not teacher:
        raise ValueError(teachers.none(config["agent"], about))
    if recorded is not None:
        agent.take_dataset(len(recorded[0].action), teacher)
        needs = agent.needs
        rounds = config["agent_config"].get("dagger")
        if config.get("teacher_run") and not rounds:
            one = f"{config['agent']} has one teacher; name one, or take --agent dagger"
            raise ValueError(f"--data and --teacher-run: {one}")
        if rounds and not teacher:
            how = teachers.asking(about, "expert", " ({})")
            cli.tell(f"no teacher here{how}: no rounds, the recording is learned from")
    option = building.ring_option(config)
    replay = building.ring(needs.capacity, stream.num_envs, stream.spec, needs, device, config["seed"], option)
    loop = Loop(agent, stream, replay, clock, seed=config["seed"])
    if recorded is None:
        return Lab(agent, stream, replay, clock, loop)
    training, kept = recorded
    dataset.fill(replay, training, needs.info, masks)
    return Lab(agent, stream, replay, clock, loop, _validation(config, kept, stream.spec, needs, device, masks))


def _with_teacher(config: dict[str, Any], env: dict[str, Any], device: torch.device) -> Any:
    """The games with the driver of the run `teacher_run` beside them. Raises ValueError where it cannot teach here."""
    option = f"--teacher-run {config['teacher_run']}:"
    about = envs.describe(config["game"], **env)
    if "numbers" not in about.info:
        raise ValueError(f"{option} {config['game']} does not tell an expert the numbers of its state")
    games = building.games(config, {**env, about.info["numbers"]: True})
    numbers = games.reset()[1]["numbers"]
    spec = spec_of(games)._replace(obs_shape=numbers.shape[1:], obs_dtype=str(numbers.dtype), stack=1)
    try:
        run = Run.open(Path(config["teacher_run"]))
        if run.config["game"] != config["game"]:
            raise RunError(f"is a run of {run.config['game']}")
        teacher, _ = players.load_player(run, spec, device)
    except RunError as fault:
        raise ValueError(f"{option} {fault}; an expert is a run of {config['game']} with --obs state") from None
    return TeacherGames(games, teacher, device)


def _recorded(config: dict[str, Any], spec: Spec, needs: Needs) -> tuple[Rows, Rows]:
    """The recordings of a run as (training, validation) rows. Raises ValueError where they have changed since."""
    paths = named(config["data"])
    driving = envs.describe(config["game"], **config["env"]).driving
    wanted = reader.WantedRows(spec, config["game"], driving, config["env"].get("komi"))
    try:
        rows = reader.read(paths, wanted, cli.tell)
        check_info(rows, needs.info, str(paths[0]))
    except ValueError as fault:
        raise ValueError(f"--data {fault}") from None
    known = config.setdefault("data_digest", rows.digest)
    if known != rows.digest:
        raise ValueError(f"--data {paths[0]}: has changed since the run began, so that it cannot go on from it")
    return split(rows, config["agent_config"].get("validation", 0.0), config["seed"])


def fitted(config: dict[str, Any]) -> None:
    """Changes the game's options where its recordings need others, and tells of it: a throttle instead of a speed."""
    driving = envs.describe(config["game"], **config["env"]).driving
    if driving is None:
        return
    for path in named(config["data"]):
        if reader.kind_of(path) != "tub":
            continue
        try:
            held = Tub(path, check=False).records.keys()
        except TubError:
            continue  # whoever reads it tells what is wrong
        changes = driving.fitting(held)
        if changes:
            config["env"] |= changes
            told = ", ".join(f"{name}={value}" for name, value in changes.items())
            cli.tell(f"{path}: holds no {' or '.join(driving.bounds.keys() - held)}; what it holds is learned: {told}")
            return


def named(data: str | list[str]) -> list[Path]:
    """The recordings of a run's configuration: one, or a list of them."""
    return [Path(path) for path in ([data] if isinstance(data, str) else data)]


def _validation(
    config: dict[str, Any], kept: Rows, spec: Spec, needs: Needs, device: torch.device, masks: bool
) -> ReplayBuffer | None:
    """A ring of the rows that are kept back; None where there are none."""
    if not len(kept.action):
        if config["agent_config"].get("validation"):
            cli.tell("the recording is one lap or game: none is kept back for validation")
        return None
    needs = needs._replace(sampler=Uniform())
    ring = building.ring(len(kept.action), 1, spec, needs, device, 0, "--data")
    dataset.fill(ring, kept, needs.info, masks)
    return ring
