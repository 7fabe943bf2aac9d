"""Puts the parts of a run together from its configuration: the same for training, evaluation, watching and tests."""

from __future__ import annotations

import importlib
import json
import math
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import envs
from agents import AGENTS, BASELINES
from agents.core import checkpoint, dataset, normalize
from agents.core import device as devices
from agents.core.loop import Clock, Loop, Rounds, Study
from agents.core.replay import ReplayBuffer
from agents.core.rows import Agent, Needs, Spec
from agents.core.run import PLAYED, SEAL, Run, RunError, safe
from agents.core.samplers import Uniform
from agents.core.stream import Stream, spec_of
from experiments import cli, provenance
from experiments.configuration import check_fields
from experiments.driving import recordings
from experiments.training.expert import Taught


class Lab(NamedTuple):
    """Everything that trains."""

    agent: Agent
    stream: Stream
    replay: ReplayBuffer
    clock: Clock
    loop: Loop
    validation: ReplayBuffer | None = None  # rows of a dataset that are not learned from

    def parts(self, with_ring: bool = True) -> dict[str, dict[str, Any]]:
        """The state of a run, part by part, for a checkpoint."""
        parts = {k: getattr(self, k).state_dict() for k in ("agent", "stream", "clock", "loop")}
        return parts | ({"replay": self.replay.state_dict()} if with_ring else {})

    def restore(self, parts: dict[str, dict[str, Any]]) -> None:
        """Takes over the state of a checkpoint. Raises KeyError for a part that no run has."""
        own = {name: getattr(self, name) for name in ("agent", "stream", "clock", "loop", "replay")}
        for name, state in parts.items():
            own[name].load_state_dict(state)


def module(agent: str) -> Any:
    """The module of a registered agent."""
    return importlib.import_module((AGENTS | BASELINES)[agent])


def is_foreign(agent: str) -> bool:
    """Is it an algorithm of another library, that trains in a loop of its own and cannot be resumed?"""
    return agent in BASELINES


def device_for(agent: str, name: str) -> torch.device:
    """The device that a person names; algorithms of another library run on the processor. Raises ValueError."""
    if not is_foreign(agent):
        return devices.choose(name)
    if name not in ("auto", "cpu"):
        raise ValueError(f"--device {name}: {agent} runs on the processor alone here; name --device cpu, or none")
    return torch.device("cpu")


def next_command(game: str) -> str | None:
    """What a game says is to be done with a trained agent; {run} in it stands for the run's folder."""
    return getattr(importlib.import_module(envs.find(game)[0]), "NEXT", None)


def assemble(config: dict[str, Any], device: torch.device) -> Lab:
    """Builds what `config` (the content of a run's config.json) describes. Raises ValueError for what cannot be."""
    torch_threads, env_threads = devices.plan_threads(device)
    torch.set_num_threads(torch_threads)
    devices.keep_memory()
    env = dict(config["env"])
    check_fields(type(envs.options(config["game"])), env)
    if env.get("env_threads") == 0:
        env["env_threads"] = env_threads
    games = _taught(config, env, device) if config.get("expert") else _games(config, env)
    stream = Stream(games, device)
    clock = Clock(config["steps"], int(stream.envs.metadata.get("frame_skip", 1)))
    agent = build_agent(config, stream.spec, clock, device)
    if isinstance(agent, normalize.Normalized):
        agent.counting = True
    needs = agent.needs
    stream.labels = tuple(needs.labels)
    learner = "expert" in needs.labels  # of what somebody else does
    for name, given in (("data", "dataset"), ("expert", "teacher")):
        if config.get(name) and not learner:
            raise ValueError(f"--{name}: {config['agent']} learns by playing; it takes no {given}")
    recorded = _recorded(config, stream.spec, needs) if config.get("data") else None
    told = _labels(stream) if needs.labels else {}
    taught = learner and "expert" in told
    if "numbers" in needs.labels and told.get("numbers") != needs.labels["numbers"].shape:
        raise ValueError(
            f"--critic numbers: {config['game']} tells {told.get('numbers', 'none')} with these options, not"
            f" {needs.labels['numbers'].shape} (--numbers); kart tells them with --numbers-info True"
        )
    if learner and recorded is None and not taught:
        raise ValueError(
            f"{config['agent']} learns from a teacher and {config['game']} has none with these options;"
            " --data names a recorded drive, --expert a run, and kart and car-racing have one with --expert-info True"
        )
    alone = recorded is not None and not (taught and isinstance(needs.pace, Rounds))  # nothing but the dataset
    if alone and config.get("expert"):
        raise ValueError(f"--data and --expert: {config['agent']} has one teacher; name one, or take --agent dagger")
    length = (0 if alone else needs.length) + (len(recorded[0].lap) if recorded else 0)
    knob = "--replay" if "replay" in config["agent_config"] else "--rollout, --num-envs"
    replay = _ring(length, stream.num_envs, stream.spec, needs, device, config["seed"], knob)
    if alone and isinstance(needs.pace, Rounds):
        print("joypad: no teacher here (--expert-info True): no rounds, the recording is learned from", file=sys.stderr)
    loop = Loop(agent, stream, replay, clock, seed=config["seed"])
    if recorded is None:
        return Lab(agent, stream, replay, clock, loop)
    training, kept = recorded
    dataset.fill(replay, training, needs.labels)
    if alone:
        loop.pace = agent.pace = Study()
    else:
        loop.pace.begin()
    validation = None
    if not len(kept.lap) and config["agent_config"].get("validation"):
        print("joypad: the recording is one lap: none is kept back for validation", file=sys.stderr)
    if len(kept.lap):
        validation = _ring(len(kept.lap), 1, stream.spec, needs._replace(sampler=Uniform()), device, 0, "--data")
        dataset.fill(validation, kept, needs.labels)
    return Lab(agent, stream, replay, clock, loop, validation)


MEMORY = {  # bytes of a game, measured; what is not here is small beside its frames in the ring
    "envs.atari": 3 * 2**19, "envs.kart.env": 2**19, "envs.flappy.env": 2**16, "envs.car_racing": 2**26,
}  # fmt: skip


def _games(config: dict[str, Any], env: dict[str, Any]) -> Any:
    count, family = config["num_envs"], envs.find(config["game"])[0]
    devices.require_memory("a batch", count, MEMORY.get(family, 0), torch.device("cpu"), "--num-envs", "games")
    return envs.make_vec(config["game"], count, **env)


def _taught(config: dict[str, Any], env: dict[str, Any], device: torch.device) -> Any:
    """The games with the driver of the run `expert` beside them. Raises ValueError where it cannot teach here."""
    told = f"--expert {config['expert']}:"
    if "numbers_info" not in env:
        raise ValueError(f"{told} {config['game']} does not tell an expert the numbers of its state")
    games = _games(config, {**env, "numbers_info": True})
    numbers = games.reset()[1]["numbers"]
    spec = spec_of(games)._replace(obs_shape=numbers.shape[1:], obs_dtype=str(numbers.dtype), stack=1)
    try:
        run = Run.open(Path(config["expert"]))
        if run.config["game"] != config["game"]:
            raise RunError(f"is a run of {run.config['game']}")
        teacher, _ = load_player(run, spec, device)
    except RunError as fault:
        raise ValueError(f"{told} {fault}; an expert is a run of {config['game']} with --obs state") from None
    return Taught(games, teacher, device)


ROW_BYTES = 24  # of a row in the ring beside its frame


def _ring(
    length: int, num_envs: int, spec: Spec, needs: Needs, device: torch.device, seed: int, knob: str
) -> ReplayBuffer:
    slots = max(math.ceil(length / num_envs), needs.window + spec.stack)
    row = math.prod(spec.obs_shape) * np.dtype(spec.obs_dtype).itemsize + ROW_BYTES
    devices.require_memory("the replay ring", slots * num_envs, row, device, knob)
    return ReplayBuffer(slots, num_envs, spec, needs.sampler, window=needs.window, device=device, seed=seed)


def _recorded(config: dict[str, Any], spec: Spec, needs: Needs) -> tuple[dataset.Rows, dataset.Rows]:
    """The dataset of a run as (training, validation) rows. Raises ValueError where it is not the one of its start."""
    rows = recordings.read(Path(config["data"]), spec, config["env"].get("camera"))
    dataset.check_labels(rows, needs.labels, f"--data {config['data']}")
    known = config.setdefault("data_digest", rows.digest)
    if known != rows.digest:
        raise ValueError(f"--data {config['data']}: has changed since the run began, so that it cannot go on from it")
    return dataset.split(rows, config["agent_config"].get("validation", 0.0), config["seed"])


def _labels(stream: Stream) -> dict[str, tuple[int, ...]]:
    """What the game tells beside its observations, of what an agent asked for: name -> shape of one row's."""
    step = stream.reset(0, 0)
    stream.step = None  # training begins with a reset of its own
    return {name: tuple(label.shape[1:]) for name, label in step.labels.items()}


def build_agent(config: dict[str, Any], spec: Spec, clock: Clock, device: torch.device) -> Agent:
    """The agent of a configuration, untrained."""
    if config["agent"] not in AGENTS | BASELINES:
        raise ValueError(f"there is no agent {config['agent']!r}; choose {', '.join(AGENTS | BASELINES)}")
    code = module(config["agent"])
    check_fields(code.Config, config["agent_config"])
    chosen = code.Config(**config["agent_config"])
    with devices.within_memory(f"the network of {config['agent']}", device):
        agent = code.build(chosen, spec, clock, device, config["seed"], config["num_envs"])
    if (network := getattr(agent, "network", None)) is not None:
        weights = sum(p.numel() for p in network.parameters())
        row = 4 * devices.LEARNING  # bytes
        devices.require_memory("a network with its optimizer", weights, row, device, "smaller layers", "weights")
    return _normalized(agent, config, spec)


def _normalized(agent: Agent, config: dict[str, Any], spec: Spec) -> Agent:
    """The agent behind running figures, where the run asks for them."""
    what = normalize.parts(config.get("normalize") or "")
    if not what:
        return agent
    if is_foreign(config["agent"]) or "expert" in agent.needs.labels:
        raise ValueError(
            f"--normalize-{what[0]} yes: {config['agent']} does not take it; agents of the lab that learn by playing do"
        )
    return normalize.Normalized(agent, spec, what, float(config["agent_config"].get("gamma", 0.99)))


def find_run(root: Path, what: str) -> Run:
    """A run that can be played: `Run.find`, for games by any of their names (``gym:X`` lies in gym-X)."""
    run = _find(root, what)
    run.require(PLAYED)
    return run


def _find(root: Path, what: str) -> Run:
    try:
        return Run.find(root, what)
    except RunError as fault:
        if "/" in what or "\\" in what:  # a path, no game
            raise
        try:
            game = envs.canonical(what)
        except envs.UnknownGame as unknown:
            raise RunError(f"{fault}; {unknown}") from None
        folder = safe(game)
        if folder == what or not (root / folder).is_dir():
            raise RunError(f"{fault}; train one first: {cli.line('train', game)}") from None
        return Run.find(root, folder)


def load_player(
    run: Run, spec: Spec, device: torch.device, step: int | str | None = None, folder: Path | None = None
) -> tuple[Agent, int]:
    """The agent of a run with the weights of a checkpoint (the newest), and that checkpoint's step.

    step: of the checkpoint, or "best". folder: where the checkpoint lies, if not among the run's newest: a stage's.
    """
    run.require(PLAYED)
    if step == "best":
        folder, step = best_folder(run), None
        if not checkpoint.steps(folder):
            raise RunError(f"{run.path} has kept no best checkpoint (train --eval-every N keeps it)")
    parts, meta = read_checkpoint(run, folder or run.checkpoints, step, {"agent"})
    check_kin(run, meta, spec)
    clock = Clock(run.config["steps"] or None)
    clock.steps = meta["step"]  # an agent that is asked to explore does it as it did then
    agent = build_agent(run.config, spec, clock, device)
    try:
        agent.load_weights(parts["agent"])
    except MISFIT as fault:
        raise RunError(f"{run.path} was made by another version of the lab: {fault}") from None
    return agent, meta["step"]


def read_checkpoint(run: Run, folder: Path, *which: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """`checkpoint.load`; what it warns of, and what is wrong with the run's configuration, is told to the person."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = checkpoint.load(folder, *which, **options)
    for told in (*run.told, *(warning.message for warning in caught)):
        cli.tell(str(told))  # on standard error: standard output may be one JSON object
    return loaded


# What loading a state raises that another version wrote, or another program.
MISFIT = (KeyError, RuntimeError, TypeError, ValueError, AttributeError, IndexError)


def check_kin(run: Run, meta: dict[str, Any], spec: Spec) -> None:
    """Raises RunError where a checkpoint is not of the run that it lies in, or of a game that has changed since."""
    step = meta.get("step")
    if not isinstance(step, int) or not isinstance(meta.get("spec"), dict) or not {"game", "agent"} <= meta.keys():
        raise RunError(f"{run.path} has a checkpoint that does not say what it is of")
    for name in ("game", "agent"):
        if meta[name] != run.config[name]:
            raise RunError(f"{run.path} is a run of {run.config[name]}, but its checkpoint is of {meta[name]}")
    if meta["spec"] != json.loads(json.dumps(_plain(spec))):
        raise RunError(f"{run.path} was trained on other observations or actions than this game has")


def save(run: Run, lab: Lab, with_ring: bool) -> Path:
    """Writes a checkpoint of the whole run."""
    return checkpoint.save(run.checkpoints, lab.clock.steps, lab.parts(with_ring), _meta(run, lab, with_ring))


def _meta(run: Run, lab: Lab, with_ring: bool) -> dict[str, Any]:
    """What a checkpoint says of itself. The configuration is sealed in it: it decides what is learned."""
    config = {k: v for k, v in run.config.items() if k != SEAL}
    return {
        "game": config["game"], "agent": config["agent"], "spec": _plain(lab.stream.spec), "step": lab.clock.steps,
        "ring": with_ring, "config": config, "made_with": provenance.surroundings(lab.stream.device),
    }  # fmt: skip


STAGES = (0, 1, 10, 100)  # per cent of training of which weights are kept, for `watch --stages`


def stage_folder(run: Run, percent: int) -> Path:
    """Where the weights of a stage lie: a folder of checkpoints with one in it."""
    return run.path / "stages" / f"{percent:03d}"


def stages(run: Run) -> list[int]:
    """The stages that a run has kept, in per cent."""
    return [percent for percent in STAGES if checkpoint.steps(stage_folder(run, percent))]


def save_stage(run: Run, lab: Lab, percent: int) -> None:
    """Keeps the agent's weights alone, of a share of the budget."""
    save_weights(run, lab, stage_folder(run, percent))


def best_folder(run: Run) -> Path:
    """Where the weights lie that had the best evaluation along the way."""
    return run.path / "best"


def save_weights(run: Run, lab: Lab, folder: Path, **more: Any) -> None:
    """Keeps the agent's weights alone, neither optimizer nor ring, in a folder of their own. more: of its meta."""
    state = lab.agent.state_dict()
    state = {k: state[k] for k in ("network", "normalizer") if k in state} if "network" in state else state
    step = lab.clock.steps
    checkpoint.save(folder, step, {"agent": state}, {**_meta(run, lab, False), **more})
    checkpoint.discard_after(folder, step)


def _plain(spec: Spec) -> dict[str, Any]:
    return {k: v for k, v in spec._asdict().items() if k != "rules"}
