"""The registry of agents: name -> module, which offers Config, PRESETS and build. Nothing heavy is imported here."""

from __future__ import annotations

AGENTS: dict[str, str] = {
    "ppo": "agents.policy_gradient",
    "a2c": "agents.policy_gradient",
    "reinforce": "agents.policy_gradient",
    "dqn": "agents.dqn",
    "rainbow": "agents.dqn",
    "c51": "agents.dqn",
    "qrdqn": "agents.dqn",
    "iqn": "agents.dqn",
    "btr": "agents.dqn",
    "pqn": "agents.pqn",
    "clone": "agents.clone",
    "dagger": "agents.clone",
    "random": "agents.scripted",
}

# Algorithms of another library: they train in a loop of their own and cannot be resumed.
BASELINES: dict[str, str] = {f"sb3-{name}": "agents.baselines" for name in ("ppo", "a2c", "dqn", "qrdqn")}
