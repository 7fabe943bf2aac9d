"""Command lines: every mistake is one sentence of the lab's own, and the help can be read."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from programs import program

import envs
from agents import AGENTS, BASELINES, settings
from experiments import arguments, cli
from experiments.__main__ import PROGRAMS
from experiments.arguments import Positional, Repeated, Shown
from experiments.training import options


@dataclasses.dataclass(frozen=True)
class Order:
    """What a guest may ask for."""

    dish: Positional[str]  # what to cook
    more: Positional[tuple[str, ...]] = ()  # further dishes
    plates: int = 2  # how many
    salt: float | None = None  # grams; none without it
    hot: bool = False  # with chili
    wrap: Literal["yes", "no"] = "yes"  # to take away
    size: Literal["small", "large"] = "small"  # of the plate
    sides: tuple[str, ...] = ()  # side dishes
    note: Repeated = ()  # to the cook; may be repeated
    bill: Path | None = None  # where the bill goes
    menu: Annotated[str, Shown("PAGE")] = "a"  # 100 % of it

    def __post_init__(self) -> None:
        if self.plates < 1:
            raise ValueError(f"--plates {self.plates}: must be at least 1")


def order(*words: str) -> Order:
    return arguments.read(Order, list(words), "Order.", "order")


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["soup", "--plates", "1e3"], "plates", 1000),
        (["soup", "--plates=1_000"], "plates", 1000),
        (["--plates", "2.0", "soup"], "plates", 2),
        (["soup", "--salt", "-1e-3"], "salt", -0.001),
        (["soup", "--salt", "-.5"], "salt", -0.5),
        (["--hot", "soup"], "hot", True),
        (["soup", "--hot", "no"], "hot", False),
        (["soup", "--hot=True"], "hot", True),
        (["soup", "--hot", "--no-hot"], "hot", False),
        (["soup", "--no-wrap"], "wrap", "no"),
        (["soup", "--wrap", "yes"], "wrap", "yes"),
        (["soup", "--wrap", "false"], "wrap", "no"),
        (["soup", "--size", "large"], "size", "large"),
        (["soup", "--sides", "rice", "-1", "--hot"], "sides", ("rice", "-1")),
        (["soup", "--note", "a", "--note", "b c"], "note", ("a", "b c")),
        (["soup", "--bill", "a b/ü.txt"], "bill", Path("a b/ü.txt")),
        (["soup", "rice", "--hot", "tea"], "more", ("rice", "tea")),
        (["soup"], "salt", None),
    ],
)
def test_words_become_values_of_the_fields_types(words: list[str], field: str, value: Any) -> None:
    got = getattr(order(*words), field)
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["soup", "--plates", "ten"], "--plates ten: must be a whole number, such as 1000000 or 1e6"),
        (["soup", "--plates", "1.5"], "--plates 1.5: must be a whole number"),
        (["soup", "--plates", "nan"], "--plates nan: must be a whole number"),
        (["soup", "--plates", "1e400"], "--plates 1e400: must be a whole number"),
        (["soup", "--plates", ""], "--plates : must be a whole number"),
        (["soup", "--plates", "9" * 5000], "must be a whole number"),
        (["soup", "--plates", "-3"], "--plates -3: must be at least 1"),
        (["soup", "--salt", "much"], "--salt much: must be a number, such as 0.001 or 1e-3"),
        (["soup", "--plats", "3"], "there is no option --plats; did you mean --plates?"),
        (["soup", "--plates"], "--plates: a value is missing (--plates N: how many)"),
        (["soup", "--plates", "--hot"], "--plates: a value is missing"),
        (["soup", "--hot=maybe"], "--hot maybe: must be yes or no"),
        (["soup", "--size", "larg"], "--size larg: did you mean large?"),
        (["soup", "--xyz"], "there is no option --xyz; python -m experiments.order --help lists all"),
        ([], "DISH is missing: what to cook"),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(arguments.METAVARS, "dish", "DISH")
    with pytest.raises(cli.UserError) as fault:
        order(*words)
    assert told in str(fault.value) and "\n" not in str(fault.value)


def test_the_help_tells_every_field_with_its_default(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        order("--help")
    words = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    for told in (
        "--plates N how many (default: 2)", "--salt N grams; none without it --hot",
        "--hot [yes|no] with chili (default: no)",
        "--wrap [yes|no] to take away (default: yes)", "--size {small,large} of the plate (default: small)",
        "--menu PAGE 100 % of it (default: a)", "--bill FILE where the bill goes",
    ):  # fmt: skip
        assert told in words
    assert "None" not in words


def programs() -> list[tuple[str, list[str]]]:
    """Each program with words that are no mistake."""
    words = {"train": ["gym:CartPole-v1"], "suite": ["atari"], "runs": ["list"], "record": ["kart", "--out", "x"],
             "tournament": ["rave", "rave"], "data": ["x"], "list": ["games"], "gtp": []}  # fmt: skip
    return [(name, words.get(name, ["breakout"])) for name in PROGRAMS] + [("play", ["go"])]


@pytest.mark.parametrize(("name", "words"), programs(), ids=lambda x: x if isinstance(x, str) else "")
@pytest.mark.parametrize("wrong", [["--sedd", "1"], ["--seed", "one"], ["--seed"], ["--runs"], ["--x" * 300]])
def test_all_programs_have_one_style(
    name: str, words: list[str], wrong: list[str], capsys: pytest.CaptureFixture, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    main = importlib.import_module(f"experiments.{name}").main
    code, out, err = program(main, [*words, *wrong], capsys, monkeypatch)
    assert code == 2 and not out and err.startswith("joypad: ") and err.count("\n") == 1, (out, err)
    assert not {*"│╭╰"} & {*err} and "Error parsing" not in err and wrong[0].partition("=")[0][:5] in err
    assert not list(tmp_path.iterdir())


def test_an_option_typo_names_the_nearest_and_the_real_command(capsys: pytest.CaptureFixture) -> None:
    from experiments import train

    code, _, err = program(train.main, ["breakout", "--minuts", "1"], capsys)
    assert code == 2 and "there is no option --minuts; did you mean --minutes?" in err
    assert "python -m experiments.train --help lists all" in err


def kinds() -> list[type]:
    """Every dataclass whose fields are options."""
    from experiments import runs
    from experiments.go import play

    modules = [importlib.import_module(f"experiments.{name}") for name in PROGRAMS if name not in ("train", "runs")]
    found = [options.Command, options.Resume, play.Command, *runs.PROGRAMS, *(m.Command for m in modules)]
    found += [settings(agent).Config for agent in AGENTS | BASELINES]
    found += [type(envs.options(game)) for game in (*envs.GAMES, "breakout", "gym:CartPole-v1")]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("kind", kinds(), ids=lambda k: f"{k.__module__}.{k.__name__}")
def test_every_option_is_explained_on_its_own_line(kind: type) -> None:
    """A comment that goes on in the next line would be cut off in the help."""
    helps = arguments.helps(kind)
    assert {f.name for f in dataclasses.fields(kind)} <= helps.keys()
    for field in dataclasses.fields(kind):
        assert helps[field.name], field.name
        assert not helps[field.name].rstrip().endswith((";", ",", ":")), field.name
    lines = inspect.cleandoc("\n" + inspect.getsource(kind)).splitlines()
    ends = {n.end_lineno for n in ast.parse("\n".join(lines)).body[0].body if isinstance(n, ast.AnnAssign)}
    assert not [lines[at] for at in ends if at < len(lines) and lines[at].lstrip().startswith("#")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_tells_its_version(name: str, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    main = importlib.import_module(f"experiments.{name}").main
    code, out, err = program(main, ["--version"], capsys, monkeypatch)
    assert code == 0 and out.startswith("joypad 0.") and "torch 2." in out and not err


def test_train_has_three_groups_and_general_values_without_a_game(capsys: pytest.CaptureFixture) -> None:
    from experiments import train

    _, general, _ = program(train.main, ["--help"], capsys)
    _, dqn, _ = program(train.main, ["--agent", "dqn", "--help"], capsys)
    _, breakout, _ = program(train.main, ["breakout", "--help"], capsys)
    one = " ".join(general.split())
    assert "games that are played side by side (default: 8)" in one and "--resume RUN" in one
    assert "Without a game these are the lab's own defaults" in one and "(default: breakout)" not in one
    assert "agent: dqn:" in dqn and "--replay N" in dqn
    titles = [line for line in breakout.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["run:", "agent: ppo:", "game: breakout:", "help:"]
    assert "shared with the policy, own, or numbers" in " ".join(breakout.split())  # --critic: all three


@pytest.mark.parametrize(
    ("words", "game"),
    [
        (["breakout", "--double", "--agent", "dqn"], "breakout"),
        (["--agent", "dqn", "--double", "breakout"], "breakout"),
        (["--no-graphs", "breakout"], "breakout"),
        (["--graphs", "False", "pong"], "pong"),
        (["--graphs=no", "pong"], "pong"),
        (["--lr", "-1e-3", "pong"], "pong"),
        (["--num_envs", "3", "pong"], "pong"),
        (["--video", "no", "pong"], "pong"),
    ],
)
def test_the_game_is_found_among_options(words: list[str], game: str) -> None:
    assert options._named(words)["game"] == game
