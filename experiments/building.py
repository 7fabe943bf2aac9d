"""The parts of a run, each built from its configuration (the content of config.json): games, agent, replay ring."""

from __future__ import annotations

import importlib
import math
from typing import Any, NamedTuple

import numpy as np
import torch

import envs
from agents import AGENTS, BASELINES
from agents.core import device as devices
from agents.core import normalize, parallel, pool
from agents.core.clock import Clock
from agents.core.loop import Loop
from agents.core.replay import ReplayBuffer
from agents.core.rows import Agent, Context, Needs, Spec
from agents.core.stream import Stream
from experiments.configuration import check_fields


class Lab(NamedTuple):
    """Everything that trains."""

    agent: Agent
    stream: Stream
    replay: ReplayBuffer
    clock: Clock
    loop: Loop
    validation: ReplayBuffer | None = None  # held-out rows of a dataset, which no update uses

    @property
    def own_loop(self) -> bool:
        """Whether the agent trains in a loop of its own: an algorithm of another library."""
        return hasattr(self.agent, "train_alone")

    def state(self, with_ring: bool = True) -> dict[str, dict[str, Any]]:
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


def has_own_loop(agent: str) -> bool:
    """Whether it is an algorithm of another library, which trains in a loop of its own and cannot be resumed."""
    return agent in BASELINES


def device_for(agent: str, name: str) -> torch.device:
    """The device that a person names; algorithms of another library run on the processor. Raises ValueError."""
    if not has_own_loop(agent):
        return devices.choose(name)
    if name not in ("auto", "cpu"):
        raise ValueError(f"--device {name}: {agent} runs on the processor alone here; name --device cpu, or none")
    return torch.device("cpu")


def prepare(config: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Shares the processor's threads between torch and the games. Returns the game's options, checked."""
    torch_threads, env_threads = devices.plan_threads(device)
    torch.set_num_threads(torch_threads)
    devices.keep_memory()
    env = dict(config["env"])
    check_fields(type(envs.options(config["game"])), env)
    if env.get("env_threads") == 0:
        env["env_threads"] = env_threads
    return env


def games(config: dict[str, Any], env: dict[str, Any]) -> Any:
    """The run's games as a vector environment. env: options of the game."""
    count, each = config["num_envs"], envs.describe(config["game"], **env).memory
    devices.require_memory("a batch", count, each, torch.device("cpu"), "--num-envs", "games")
    return envs.make_vec(config["game"], count, **env)


def share(config: dict[str, Any]) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """(the configuration with this process's share of the games, its columns as `Stream` takes them)."""
    count = parallel.size()
    if count == 1:
        return config, None
    mine = config["num_envs"] // count
    return {**config, "num_envs": mine}, (parallel.rank() * mine, config["num_envs"])


def actors(
    config: dict[str, Any], opened: Any, device: torch.device, block: tuple[int, int] | None = None
) -> tuple[Stream, Clock, Agent]:
    """What acts: a stream of the opened games, the clock, and the untrained agent. Raises ValueError.

    block: see `Stream`.
    """
    stream = Stream(opened, device, block)
    clock = Clock(config["steps"], int(stream.envs.metadata.get("frame_skip", 1)))
    agent = build_agent(config, stream.spec, clock, device)
    if threads := getattr(agent, "torch_threads", 0):
        torch.set_num_threads(min(threads, torch.get_num_threads()))
    agent = _opposed(agent, config, stream.spec, device)
    layer = agent
    while isinstance(layer, normalize.Normalized | pool.Pool):  # layers around the agent
        layer.training = True
        layer = layer.agent
    stream.info_wanted = tuple(agent.needs.info)
    return stream, clock, agent


def _opposed(agent: Agent, config: dict[str, Any], spec: Spec, device: torch.device) -> Agent:
    """The agent with earlier selves to play against, where the run asks for them."""
    share = float(config.get("opponents") or 0.0)
    if not share:
        return agent
    if has_own_loop(config["agent"]) or "expert" in agent.needs.info or config["agent_config"].get("recurrent"):
        raise ValueError(
            f"--opponents {share:g}: agents of the lab that learn by playing, without --recurrent, can play their"
            " earlier selves"
        )
    return pool.Pool(
        agent, lambda: build_agent(config, spec, Clock(1), device), spec, share=share, size=config["opponent_pool"],
        every=config["opponent_every"], seed=config["seed"],
    )  # fmt: skip


def info_shapes(stream: Stream) -> dict[str, tuple[int, ...]]:
    """What the game tells beside its observations, the mask and what an agent asked for: name -> shape of one row's."""
    step = stream.reset(0, 0)
    stream.step = None  # training begins with a reset of its own
    masks = {} if step.legal is None else {"legal": step.legal}
    return {name: tuple(array.shape[1:]) for name, array in {**step.info, **masks}.items()}


ROW_BYTES = 24  # bytes of a row in the ring, its frame not counted


def ring(
    length: int, num_envs: int, spec: Spec, needs: Needs, device: torch.device, seed: int, option: str
) -> ReplayBuffer:
    """The replay ring of `length` rows over all columns. option: what a person changes where memory is short."""
    slots = max(math.ceil(length / num_envs), needs.window + spec.stack)
    row = math.prod(spec.obs_shape) * np.dtype(spec.obs_dtype).itemsize + ROW_BYTES
    devices.require_memory("the replay ring", slots * num_envs, row, device, option)
    return ReplayBuffer(
        slots, num_envs, spec, needs.sampler, window=needs.window, on_episode_end=needs.on_episode_end, device=device,
        seed=seed,
    )  # fmt: skip


def ring_option(config: dict[str, Any]) -> str:
    """The options by which a person changes the length of the ring."""
    return "--replay" if "replay" in config["agent_config"] else "--rollout, --num-envs"


def build_agent(config: dict[str, Any], spec: Spec, clock: Clock, device: torch.device) -> Agent:
    """The agent of a configuration, untrained."""
    if config["agent"] not in AGENTS | BASELINES:
        raise ValueError(f"there is no agent {config['agent']!r}; choose {', '.join(AGENTS | BASELINES)}")
    code = module(config["agent"])
    check_fields(code.Config, config["agent_config"])
    chosen = code.Config(**config["agent_config"])
    with devices.within_memory(f"the network of {config['agent']}", device):
        agent = code.build(chosen, spec, Context(clock, device, config["seed"], config["num_envs"]))
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
    if has_own_loop(config["agent"]) or "expert" in agent.needs.info:
        raise ValueError(
            f"--normalize-{what[0]} yes: {config['agent']} does not take it; agents of the lab that learn by playing do"
        )
    return normalize.Normalized(agent, spec, what, float(config["agent_config"].get("gamma", 0.99)))
