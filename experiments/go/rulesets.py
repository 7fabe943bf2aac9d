"""The rules that people name, and what distinguishes them: names and fields as KataGo documents them."""

from __future__ import annotations

from typing import Any, NamedTuple


class RuleSet(NamedTuple):
    """What distinguishes the rules that people name."""

    superko: str
    suicide: bool
    method: str = "area"  # counting method, see `GoGame.score`
    compensation: str = "none"  # compensation to White for handicap stones
    removal: bool = True  # True if dead stones are taken off before counting


class UnknownRules(ValueError):
    """Rules that cannot be played here; the message says which part."""


RULES = {
    "chinese": RuleSet("positional", False, compensation="full"),
    "tromp-taylor": RuleSet("positional", True, removal=False),
    "aga": RuleSet("situational", False, compensation="less_one"),
    "new-zealand": RuleSet("situational", True),
    "japanese": RuleSet("simple", False, method="territory"),
}
ALIASES = {  # other names of the rules
    "tromptaylor": "tromp-taylor", "newzealand": "new-zealand", "nz": "new-zealand", "korean": "japanese",
    "chinese-ogs": "chinese", "chinese-kgs": "chinese", "bga": "aga",
}  # fmt: skip
MISSING = {"stone-scoring": "a tax on groups", "aga-button": "a button"}  # requirements that no game here meets

# KataGo's fields: (value there, value here).
KO = {"SIMPLE": "simple", "POSITIONAL": "positional", "SITUATIONAL": "situational"}
BONUS = {"0": "none", "N": "full", "N-1": "less_one"}
FIELDS = ("ko", "scoring", "tax", "suicide", "hasButton", "whiteHandicapBonus", "friendlyPassOk")


def named(text: str) -> tuple[str, RuleSet]:
    """The rules of a name in any spelling that is in use: "New Zealand", "new_zealand". Raises UnknownRules."""
    name = "-".join(text.lower().replace("_", " ").replace("-", " ").split())
    name = ALIASES.get(name, name)
    if name in MISSING:
        raise UnknownRules(f"unknown rules: {name} needs {MISSING[name]}, which is not played here")
    if name not in RULES:
        raise UnknownRules(f"unknown rules; known are {', '.join([*RULES, *ALIASES])}")
    return name, RULES[name]


def fields(rules: RuleSet) -> dict[str, Any]:
    """The rules in KataGo's form."""
    return {
        "friendlyPassOk": rules.removal,
        "hasButton": False,
        "ko": rules.superko.upper(),
        "scoring": rules.method.upper(),
        "suicide": rules.suicide,
        "tax": "SEKI" if rules.method == "territory" else "NONE",
        "whiteHandicapBonus": next(there for there, here in BONUS.items() if here == rules.compensation),
    }  # fmt: skip


def _one_of(given: dict, name: str, choices: dict[str, Any]) -> Any:
    value = str(given[name])
    if value.upper() not in choices:
        raise UnknownRules(f"{name} is {value[:30]!r}; it must be one of {', '.join(choices)}")
    return choices[value.upper()]


def of_fields(given: dict[str, Any], base: RuleSet = RULES["tromp-taylor"]) -> RuleSet:
    """The rules of KataGo's fields; `base` has what is not named. Raises UnknownRules."""
    unknown = set(given) - set(FIELDS)
    if unknown:
        raise UnknownRules(f"unknown field {sorted(unknown)[0][:30]}; known are {', '.join(FIELDS)}")
    truth = {"TRUE": True, "FALSE": False}
    if "ko" in given:
        base = base._replace(superko=_one_of(given, "ko", KO))
    if "scoring" in given:
        base = base._replace(method=_one_of(given, "scoring", {"AREA": "area", "TERRITORY": "territory"}))
    if "suicide" in given:
        base = base._replace(suicide=_one_of(given, "suicide", truth))
    if "whiteHandicapBonus" in given:
        base = base._replace(compensation=_one_of(given, "whiteHandicapBonus", BONUS))
    if "friendlyPassOk" in given:
        base = base._replace(removal=_one_of(given, "friendlyPassOk", truth))
    if "tax" in given:
        wanted = _one_of(given, "tax", {name: name for name in ("NONE", "SEKI", "ALL")})
        played = "SEKI" if base.method == "territory" else "NONE"
        if wanted != played:
            raise UnknownRules(f"tax {wanted} is not played here; {base.method} scoring has {played}")
    if "hasButton" in given and _one_of(given, "hasButton", truth):
        raise UnknownRules("the button is not played here")
    return base._replace(removal=True) if base.method == "territory" else base


def find(given: str | dict[str, Any]) -> tuple[str, RuleSet]:
    """(name, rules) of a name or of KataGo's fields; the name of rules without one is "". Raises UnknownRules."""
    if isinstance(given, str):
        return named(given)
    rules = of_fields(given)
    return next((name for name, other in RULES.items() if other == rules), ""), rules
