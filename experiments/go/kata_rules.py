"""Rules by the names and in the form of KataGo and KGS."""

from __future__ import annotations

import json

from experiments.go.engine import Engine, arguments, command
from experiments.go.protocol import Command, GTPError
from experiments.go.rulesets import RULES

ALIASES = {"tromptaylor": "tromp-taylor", "newzealand": "new-zealand", "nz": "new-zealand", "korean": "japanese"}


@command("kata-get-rules")
def get_rules(engine: Engine, given: Command) -> str:
    """As KataGo writes them."""
    rules = engine.rule_set
    return json.dumps({
        "hasButton": False,
        "ko": rules.superko.upper(),
        "scoring": rules.method.upper(),
        "suicide": rules.suicide,
        "tax": "NONE",
        "whiteHandicapBonus": {"none": "0", "full": "N", "less_one": "N-1"}[rules.compensation],
        "friendlyPassOk": rules.removal,
    })  # fmt: skip


@command("kata-set-rules", "kgs-rules")
def set_rules(engine: Engine, given: Command) -> str:
    """By name. Under rules that forbid a move of the game so far nothing changes."""
    name = arguments(given, 1)[0].lower().replace("_", "-")
    name = ALIASES.get(name, name)
    if name not in RULES:
        raise GTPError(f"unknown rules; known are {', '.join(RULES)}")
    before, played = engine.rules_name, engine.game
    engine.rules_name = name
    game = engine.empty(played.size)
    try:
        game.set_up(*played.setup, handicap=played.handicap)
        for colour, action in played.moves:
            game.play(action, colour)
    except ValueError:
        engine.rules_name = before
        raise GTPError("the game so far breaks these rules") from None
    engine.game = game
    return ""
