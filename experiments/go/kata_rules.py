"""Rules by the names and in the form of KataGo and KGS."""

from __future__ import annotations

import json

from experiments.go.engine import Engine, answers, command
from experiments.go.protocol import GTPCommand, GTPError
from experiments.go.rulesets import RuleSet, UnknownRules, fields, find, of_fields

answers({"kata-get-rules": lambda engine: json.dumps(fields(engine.rule_set))})


@command("kata-set-rules", "kgs-rules")
def set_rules(engine: Engine, given: GTPCommand) -> None:
    """By name, or as `kata-get-rules` gives them. Under rules that forbid a move of the game so far nothing changes."""
    text = given.rest
    if not text:
        raise GTPError("syntax error")
    try:
        wanted = json.loads(text) if text.startswith("{") else text
    except (ValueError, RecursionError):
        raise GTPError("syntax error") from None
    try:
        name, rules = find(wanted)
    except UnknownRules as fault:
        raise GTPError(str(fault)) from None
    change(engine, name, rules)


@command("kata-set-rule", takes=[str, str])
def set_rule(engine: Engine, name: str, value: str) -> None:
    """One field of the rules and its value, the others stay."""
    try:
        rules = of_fields({name: value}, engine.rule_set)
    except UnknownRules as fault:
        raise GTPError(str(fault)) from None
    change(engine, "", rules)


def change(engine: Engine, name: str, rules: RuleSet) -> None:
    """The game goes on under these rules. Raises GTPError where they forbid it."""
    before, played = (engine.rules_name, engine.rule_set), engine.game
    engine.rules_name, engine.rule_set = name, rules
    game = engine.empty(played.size)
    game.grows = True
    try:
        game.set_up(*played.setup, handicap=played.handicap)
        for colour, action in played.moves:
            game.play(action, colour)
    except ValueError:
        engine.rules_name, engine.rule_set = before
        raise GTPError("the game so far breaks these rules") from None
    game.state = game.with_turn(played.turn)
    engine.game = game
