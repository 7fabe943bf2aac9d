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
from agents.core.renamed import Names
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
    wrap: bool = True  # to take away
    candles: bool | None = None  # on the cake; by default on birthdays
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
        (["--no-wrap", "soup"], "wrap", False),
        (["soup", "--wrap", "yes"], "wrap", True),
        (["soup", "--wrap", "false"], "wrap", False),
        (["soup"], "candles", None),
        (["soup", "--candles", "auto"], "candles", None),
        (["soup", "--candles"], "candles", True),
        (["soup", "--no-candles"], "candles", False),
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
        (["soup", "--hot=maybe"], "--hot=maybe: write --hot or --no-hot"),
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
        "--hot, --no-hot with chili (default: off)", "--wrap, --no-wrap to take away (default: on)",
        "--candles, --no-candles on the cake; by default on birthdays",
        "--size {small,large} of the plate (default: small)",
        "--menu PAGE 100 % of it (default: a)", "--bill FILE where the bill goes",
    ):  # fmt: skip
        assert told in words
    assert "None" not in words


@dataclasses.dataclass(frozen=True)
class Learner:
    """An agent's configuration."""

    lr: float = 0.1  # learning rate
    noise: float = 0.0  # exploration
    seed: int = 5  # of the weights
    greedy: bool = False  # no exploration


@dataclasses.dataclass(frozen=True)
class Place:
    """A game's options."""

    noise: int = 1  # of the sensors
    seed: int = 7  # of the tracks
    new_name: str = "plain"  # look


@dataclasses.dataclass(frozen=True)
class Program:
    """The options of a program."""

    seed: int = 0  # of everything


def both(*words: str) -> tuple[Program, Learner, Place]:
    earlier = Names({"old_name": "new_name"}, {"new_name": {"bare": "plain"}})
    groups = [
        arguments.OptionGroup("run", Program),
        arguments.OptionGroup("agent", Learner, prefix="agent"),
        arguments.OptionGroup("game", Place, prefix="env", renamed=earlier),
    ]
    return tuple(arguments.read_groups(groups, list(words), "Both.", "both"))


@pytest.mark.parametrize(
    ("words", "group", "field", "value"),
    [
        (["--lr", "1"], 1, "lr", 1.0),
        (["--agent.lr", "1"], 1, "lr", 1.0),
        (["--agent.lr=-1e-3"], 1, "lr", -1e-3),
        (["--agent.noise", "0.5"], 1, "noise", 0.5),
        (["--env.noise", "3"], 2, "noise", 3),
        (["--seed", "1"], 0, "seed", 1),  # the program's own
        (["--agent.seed", "1"], 1, "seed", 1),
        (["--env.seed", "1"], 2, "seed", 1),
        (["--greedy"], 1, "greedy", True),
        (["--agent.greedy"], 1, "greedy", True),
        (["--greedy", "--no-agent.greedy"], 1, "greedy", False),
        (["--greedy", "--agent.no-greedy"], 1, "greedy", False),
        (["--env.new_name", "x"], 2, "new_name", "x"),
        (["--new-name", "x"], 2, "new_name", "x"),
    ],
)
def test_a_long_form_always_works_and_a_short_one_where_it_means_one_option(
    words: list[str], group: int, field: str, value: Any
) -> None:
    found, plain = both(*words), both()
    assert getattr(found[group], field) == value
    for at in range(3):  # nothing else has changed
        assert at == group or found[at] == plain[at]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--noise", "1"], "--noise could mean --agent.noise or --env.noise: write the one that is meant"),
        (["--env.lr", "1"], "there is no option --env.lr; did you mean"),
        (["--run.seed", "1"], "there is no option --run.seed"),
        (["--agent.lr"], "--agent.lr: a value is missing (--lr N: learning rate)"),
        (["--env.noise", "x"], "--env.noise x: must be a whole number"),
        (["--agent.greedy=x"], "--greedy=x: write --greedy or --no-greedy"),
    ],
)
def test_an_option_that_could_mean_two_is_refused_with_both(words: list[str], told: str) -> None:
    with pytest.raises(cli.UserError) as fault:
        both(*words)
    assert told in str(fault.value) and "\n" not in str(fault.value)


def test_the_help_shows_the_form_that_works(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        both("--help")
    words = " ".join(capsys.readouterr().out.split())
    for told in ("--seed N of everything", "--lr N learning rate", "--agent.noise N exploration",
                 "--agent.seed N of the weights", "--env.noise N of the sensors", "--env.seed N",
                 "--greedy, --no-greedy no exploration", "Each may be written --env.NAME, too."):  # fmt: skip
        assert told in words
    assert " --noise " not in words and words.count(" --seed ") == 1


def test_a_name_of_an_earlier_version_is_understood_with_one_line(capsys: pytest.CaptureFixture) -> None:
    assert both("--old-name", "x", "--old-name", "y")[2].new_name == "y"
    assert capsys.readouterr().err == "joypad: --old-name is called --new-name now\n"
    assert both("--env.old_name=bare")[2].new_name == "plain"
    assert capsys.readouterr().err.splitlines() == [
        "joypad: --env.old_name is called --new-name now", "joypad: --new-name bare is called --new-name plain now",
    ]  # fmt: skip


def programs() -> list[tuple[str, list[str]]]:
    """Each program with words that are no mistake."""
    words = {"train": ["gym:CartPole-v1"], "suite": ["atari"], "runs": ["list"], "record": ["kart", "--out", "x"],
             "tournament": ["rave", "rave"], "data": ["x"], "list": ["games"], "gtp": [], "drive": []}  # fmt: skip
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
    from experiments.go import play, selfplay

    modules = [importlib.import_module(f"experiments.{name}") for name in PROGRAMS if name not in ("train", "runs")]
    found = [options.TrainCommand, options.Resume, play.PlayGoCommand, selfplay.SelfplayGoCommand, *runs.PROGRAMS]
    own = [v for m in modules for k, v in vars(m).items() if k.endswith("Command") and v.__module__ == m.__name__]
    assert len(own) == len(modules)  # one dataclass per program
    found += own
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


NO_NOUN = {
    "of", "what", "how", "where", "which", "whether", "that", "it", "its", "they", "their", "without", "beside", "who",
    "whose", "when", "with", "up", "per", "on", "at", "and", "in", "after", "until", "this", "these", "as", "for",
}  # fmt: skip


@pytest.mark.parametrize("kind", kinds(), ids=lambda k: f"{k.__module__}.{k.__name__}")
def test_help_begins_with_its_subject(kind: type) -> None:
    """It is read beside a name alone: a relative clause or a pronoun would need the sentence before it."""
    begins = {field: text.split()[0].rstrip(":,;").lower() for field, text in arguments.helps(kind).items()}
    assert not {field: word for field, word in begins.items() if word in NO_NOUN}


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
    assert "shared with the policy, own, or privileged" in " ".join(breakout.split())  # --critic: all three


@pytest.mark.parametrize(
    ("words", "game"),
    [
        (["breakout", "--double", "--agent", "dqn"], "breakout"),
        (["--agent", "dqn", "--double", "breakout"], "breakout"),
        (["--no-graphs", "breakout"], "breakout"),
        (["--no-graphs", "pong"], "pong"),
        (["--graphs=no", "pong"], "pong"),
        (["--lr", "-1e-3", "pong"], "pong"),
        (["--num_envs", "3", "pong"], "pong"),
        (["--video", "no", "pong"], "pong"),
        (["--no-video", "pong"], "pong"),
        (["--weather-grip", "kart"], "kart"),  # a switch of the game, which is not known yet
        (["--no-weather-grip", "kart"], "kart"),
        (["--env.weather-grip", "kart", "--agent.lr", "1"], "kart"),
        (["--agent.lr", "1", "pong"], "pong"),
        (["--no-agent.graphs", "pong"], "pong"),
        (["--tracks", "named", "kart"], "kart"),
    ],
)
def test_the_game_is_found_among_options(words: list[str], game: str) -> None:
    assert options._named(words)["game"] == game
