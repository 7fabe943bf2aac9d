"""The parts of a run whose actors are on a cluster: as `experiments.lab` puts them together for one machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from agents import AGENTS, settings
from agents.core import parallel
from agents.core.clock import Clock
from agents.core.remote import BLOCK, RemoteLoop, RemoteStream
from agents.core.replay import ReplayBuffer
from agents.core.rows import Needs
from agents.core.stream import spec_of
from agents.core.transport import Transport
from experiments import building, cli
from experiments.building import Lab
from experiments.cluster import engine
from experiments.cluster.transport import RayTransport
from experiments.training import together

EXTRA_BYTES = 64  # bytes of a row on the wire, its frame not counted, at a guess: masks and policies come on top
UNDER_WAY = 3  # blocks of an actor that may be in the object store at a time: sent, awaited and being stored


def refuse(config: dict[str, Any]) -> None:
    """Raises UserError for what cannot be trained with actors elsewhere."""
    actors, agent = config["actors"], config["agent"]
    if config["num_envs"] < actors:
        raise cli.UserError(f"--actors {actors}: each plays a game at least; --num-envs {config['num_envs']} is fewer")
    if agent not in AGENTS:
        raise cli.UserError(f"--cluster: {agent} trains in a loop of its own; take an agent of the lab")
    if getattr(settings(agent), "NEEDS_TEACHER", False):
        raise cli.UserError(f"--cluster: {agent} learns from somebody else; torchrun learns it on several processors")
    for name, option in (("opponents", "--opponents"), ("normalize", "--normalize-obs, --normalize-reward")):
        if config.get(name):
            raise cli.UserError(f"{option}: what it counts is in the learner's process; leave it out with --cluster")


# What gives a run its actors: (configuration, what the agent needs, the ring) -> a transport to those of this process.
Connect = Callable[[dict[str, Any], Needs, ReplayBuffer], Transport]


def assemble(config: dict[str, Any], device: torch.device, connect: Connect | None = None) -> Lab:
    """Builds what `config` describes, with its actors on the cluster that it names, or where `connect` has them.

    Of several processes that learn together each has a share of the columns and of the actors. Raises UserError or
    ValueError.
    """
    refuse(config)
    env = building.prepare(config, device)
    games = building.games({**config, "num_envs": 1}, env)
    spec, metadata = spec_of(games), games.metadata
    if metadata.get("real_time"):
        raise cli.UserError(f"--cluster: {config['game']} goes on while nobody acts, and there is one of it")
    mine, _ = building.share(config)
    stream = RemoteStream(games, spec, mine["num_envs"], device)
    clock = Clock(config["steps"], int(metadata.get("frame_skip", 1)))
    agent = building.build_agent(mine, spec, clock, device)
    needs = agent.needs
    ring = building.ring(
        needs.capacity, mine["num_envs"], spec, needs, device, config["seed"], building.ring_option(config)
    )
    transport = (connect or on_ray)(config, needs, ring)
    loop = RemoteLoop(
        agent, stream, ring, clock, transport, seed=config["seed"],
        actors=config["actors"] // parallel.size(), in_order=config["in_order"],
    )  # fmt: skip
    loop.tell = cli.tell
    return Lab(agent, stream, ring, clock, loop)


def on_ray(config: dict[str, Any], needs: Needs, ring: ReplayBuffer) -> RayTransport:
    """Connects to the cluster, refuses what cannot work, and starts the actors. Raises UserError.

    Of several processes the first one connects and looks first: it may have to start the cluster.
    """
    actors, where, spec, device = config["actors"], config["cluster"], ring.spec, ring.device
    rows = (needs.window if needs.pace.rewrites_boundary else BLOCK) * config["num_envs"]
    row = math.prod(spec.obs_shape) * np.dtype(spec.obs_dtype).itemsize + EXTRA_BYTES + 5 * spec.num_actions
    under_way = UNDER_WAY * rows * row
    with together.alike(device):
        if not parallel.rank():
            cli.tell(f"connecting to the cluster {where} ...")
            found = engine.connect(where, 2 * under_way)
            engine.require_processors(found, actors, where)
            engine.require_store(found, under_way, "fewer --num-envs or a shorter --rollout needs less")
            engine.check_versions(found)
    address = parallel.told("" if parallel.rank() else engine.address(), device)
    with together.alike(device):
        if parallel.rank():
            engine.join(address, where)
    first, count = parallel.rank() * ring.num_envs, actors // parallel.size()
    columns = np.array_split(np.arange(first, first + ring.num_envs), count)
    with together.alike(device):
        transport = RayTransport(config, columns, cli.tell, first=parallel.rank() * count)
        places = transport.ready()
    told = ", ".join(f"{places.count(place)} on {place}" for place in dict.fromkeys(places))
    shared = "" if count == actors else f", {count} for each of {parallel.size()} processes that learn; the first one's"
    print(f"cluster {where}: {actors} actors{shared} ({told})")
    if not config["in_order"]:
        print("rows are taken as they come, so that the run is not repeatable (--in-order is, at a price)")
    return transport
