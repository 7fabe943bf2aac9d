"""The registry of agents: name -> module, which offers Config, PRESETS and build. Nothing heavy is imported here."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

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


def settings(agent: str) -> ModuleType:
    """The module with Config and PRESETS of a registered agent: the light one in `agents/configs`, else its own."""
    name = (AGENTS | BASELINES)[agent]
    light = f"agents.configs.{name.rpartition('.')[2]}"
    return importlib.import_module(light if importlib.util.find_spec(light) else name)
