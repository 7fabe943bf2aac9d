"""The rules that people name, and what distinguishes them."""

from __future__ import annotations

from typing import NamedTuple


class RuleSet(NamedTuple):
    """What distinguishes the rules that people name."""

    superko: str
    suicide: bool
    method: str = "area"  # of counting, see `Game.score`
    compensation: str = "none"  # to White for handicap stones
    removal: bool = True  # dead stones are taken off before counting


RULES = {
    "chinese": RuleSet("positional", False, compensation="full"),
    "tromp-taylor": RuleSet("positional", True, removal=False),
    "aga": RuleSet("situational", False, compensation="less_one"),
    "new-zealand": RuleSet("situational", True),
    "japanese": RuleSet("simple", False, method="territory"),
}
