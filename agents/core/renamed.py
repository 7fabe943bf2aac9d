"""Names that options had in earlier versions. Old runs, configuration files and command lines are read with them.

A run folder or a shell script may be years old, so a line is added to these tables and never taken out. The new name
stands on the right; a name must not be given again to something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agents import AGENTS, BASELINES


class Names(NamedTuple):
    """The renamed fields of one dataclass, and the renamed values of its fields."""

    fields: Mapping[str, str]  # old name -> new name
    values: Mapping[str, Mapping[Any, Any]] = {}  # noqa: RUF012  new name of a field -> old value -> new value


NOTHING = Names({})
SWITCH = {"yes": True, "no": False}  # the spelling of booleans in config.json until format 2
RUN = Names(  # names in config.json
    {"stages": "milestones", "expert": "teacher_run"},
    {"milestones": SWITCH, "checkpoint_ring": SWITCH},
)
PROGRAMS: dict[str, Names] = {
    "train": Names({"stages": "milestones", "expert": "teacher_run"}),
    "watch": Names({"stages": "milestones"}),
    "evaluate": Names({"under": "options"}),
}
AGENT_MODULES: dict[str, Names] = {  # module of the agent -> its Config
    "agents.policy_gradient": Names(
        {
            "policy_share": "policy_lr_scale", "numbers": "privileged_size", "idle": "initial_noop_probability",
            "value_first": "critic_warmup", "deviation": "initial_std", "ratio": "importance_ratio",
            "normalize": "normalize_advantages",
        },
        {"critic": {"numbers": "privileged"}},
    ),
    "agents.dqn": Names({"wider": "encoder_width", "lowest": "munchausen_clip"}),
    "agents.clone": Names(
        {
            "average": "ema_decay", "balance": "steering_weight", "rounds": "dagger", "first": "pretrain_updates",
            "rows": "rows_per_round", "draws": "updates_per_round", "teacher": "teacher_share",
        }
    ),
}  # fmt: skip
GAMES: dict[str, Names] = {  # game -> its Options
    "kart": Names({"hold": "action_repeat", "numbers_info": "privileged_info"}),
    "flappy": Names({"practice": "narrow_gap", "drill": "restart_before_crash"}),
}


def of_agent(agent: object) -> Names:
    """The renamed fields of an agent's configuration."""
    module = (AGENTS | BASELINES).get(agent) if isinstance(agent, str) else None
    return AGENT_MODULES.get(module or "", NOTHING)


def of_game(game: object) -> Names:
    """The renamed options of a game."""
    return GAMES.get(game, NOTHING) if isinstance(game, str) else NOTHING


def apply(names: Names, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a dataclass under the names of today. A new name that is there already keeps its value."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        new = names.fields.get(name, name)
        if new != name and new in values:
            continue
        known = names.values.get(new, {})
        found[new] = known.get(value, value) if isinstance(value, str) else value
    return found


def config(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a config.json of any version under the names of today. What is no mapping is left to checks."""
    found = apply(RUN, content)
    for part, names in (("agent_config", of_agent(found.get("agent"))), ("env", of_game(found.get("game")))):
        if isinstance(found.get(part), Mapping):
            found[part] = apply(names, found[part])
    return found
