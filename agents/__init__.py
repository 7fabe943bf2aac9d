"""The registry of agents: name -> module, which offers Config, PRESETS and build. Nothing heavy is imported here."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

AGENTS: dict[str, str] = {
    "ppo": "agents.policy_gradient",
    "a2c": "agents.policy_gradient",
    "impala": "agents.policy_gradient",
    "reinforce": "agents.policy_gradient",
    "dqn": "agents.dqn",
    "rainbow": "agents.dqn",
    "c51": "agents.dqn",
    "qrdqn": "agents.dqn",
    "iqn": "agents.dqn",
    "btr": "agents.dqn",
    "pqn": "agents.pqn",
    "sac": "agents.sac",
    "clone": "agents.clone",
    "dagger": "agents.clone",
    "alphazero": "agents.alphazero",
    "random": "agents.scripted",
}

# Algorithms of another library: they train in a loop of their own and cannot be resumed.
BASELINES: dict[str, str] = {f"sb3-{name}": "agents.baselines" for name in ("ppo", "a2c", "dqn", "qrdqn")}

ABOUT: dict[str, str] = {  # name -> the algorithm in a line
    "ppo": "PPO: proximal policy optimization (Schulman et al. 2017)",
    "a2c": "A2C: synchronous advantage actor-critic (Mnih et al. 2016)",
    "impala": "IMPALA: actor-critic with V-trace, for rows that come late (Espeholt et al. 2018)",
    "reinforce": "REINFORCE: the plain policy gradient with a value baseline (Williams 1992)",
    "dqn": "DQN: deep Q-network (Mnih et al. 2015)",
    "rainbow": "Rainbow: DQN with six extensions (Hessel et al. 2018)",
    "c51": "C51: categorical distribution of returns (Bellemare et al. 2017)",
    "qrdqn": "QR-DQN: quantiles of returns (Dabney et al. 2018)",
    "iqn": "IQN: implicit quantile network (Dabney et al. 2018)",
    "btr": "BTR: Beyond The Rainbow (Clark et al. 2024)",
    "pqn": "PQN: Q(lambda) without replay or target network (Gallici et al. 2024)",
    "sac": "SAC: soft actor-critic, of continuous or discrete actions (Haarnoja et al. 2018, Christodoulou 2019)",
    "clone": "behavioural cloning from recordings or a teacher",
    "dagger": "DAgger: cloning with the teacher's labels on what the learner meets (Ross et al. 2011)",
    "alphazero": "AlphaZero: self-play with Gumbel tree search, for games with compiled rules (Danihelka et al. 2022)",
    "random": "actions at random: a baseline, nothing is learned",
    "sb3-ppo": "PPO of stable-baselines3",
    "sb3-a2c": "A2C of stable-baselines3",
    "sb3-dqn": "DQN of stable-baselines3",
    "sb3-qrdqn": "QR-DQN of sb3-contrib",
}


def settings(agent: str) -> ModuleType:
    """The module with Config and PRESETS of a registered agent: the light one in `agents/configs`, else its own."""
    name = (AGENTS | BASELINES)[agent]
    light = f"agents.configs.{name.rpartition('.')[2]}"
    return importlib.import_module(light if importlib.util.find_spec(light) else name)
