"""The options of `train`: those of the run, of the chosen agent and of the game, from a recipe or a file."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import envs
from agents import AGENTS, BASELINES, settings
from experiments import cli, lab
from experiments.recipes import Recipe, recipes

BARE = "none"  # instead of a recipe's name


@dataclasses.dataclass(frozen=True)
class Command:
    """What to train, for how long, and where it goes."""

    game: tyro.conf.Positional[str]  # breakout, pong, any other ALE game, a game of the lab, or gym:ID
    agent: str = "ppo"  # the algorithm; without it the recipe's
    recipe: str = "default"  # a tuned configuration to start from; none: the defaults of agent and game alone
    steps: int | None = None  # budget in agent decisions, over all environments
    minutes: float | None = None  # budget in minutes of training, turned into steps as fast as it is
    seed: int = 0  # of everything that is drawn at random
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    num_envs: int = 8  # environments that are played side by side
    name: str | None = None  # of the run; without it the recipe's
    config: Path | None = None  # a JSON file to start from instead of a recipe: a run's config.json
    init: str | None = None  # start from the weights of another run
    data: Path | None = None  # a dataset, for agents that learn from data
    expert: str | None = None  # a run of --obs state that teaches clone and dagger, instead of the game's own expert
    checkpoint_every: int = 500_000  # steps between checkpoints
    checkpoint_ring: Literal["yes", "no"] = "yes"  # save the replay ring; without it a resume starts with an empty one
    stages: Literal["yes", "no"] = "yes"  # keep the weights of 0, 1, 10 and 100 % of training, for `watch --stages`
    eval_episodes: int = 30  # full games at the end, 0 for none
    eval_every: int = 0  # steps between evaluations along the way, each of as many games; 0: only at the end
    video: Literal["yes", "no"] = "yes"  # write a video at the end
    runs: Path = Path("runs")  # where run folders go

    def __post_init__(self) -> None:
        if self.steps is not None and self.minutes is not None:
            raise ValueError("--steps and --minutes: name one budget")
        for name in ("steps", "minutes", "num_envs", "checkpoint_every"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"--{name.replace('_', '-')} {value}: must be above 0")
        for name in ("eval_episodes", "eval_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 0")
        if self.eval_every and not self.eval_episodes:
            raise ValueError("--eval-every needs games to play: --eval-episodes above 0")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"--seed {self.seed}: must lie in 0..2147483647")


@dataclasses.dataclass(frozen=True)
class Resume:
    """Go on with a run that was stopped. Its configuration is fixed; only the budget may grow."""

    resume: str  # the run's folder
    game: tyro.conf.Positional[str | None] = None  # checked against the run's, if given
    steps: int | None = None  # a new budget in all
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    eval_episodes: int = 30  # full games at the end, 0 for none
    video: Literal["yes", "no"] = "yes"  # write a video at the end
    runs: Path = Path("runs")  # where run folders are


def parse(argv: Sequence[str], description: str = "") -> Resume | tuple[Command, dict[str, Any], dict[str, Any]]:
    """Options -> what to resume, or (command, agent's configuration, game's options). description: for --help."""
    if any(a == "--resume" or a.startswith("--resume=") for a in argv):
        return tyro.cli(Resume, args=argv, prog="train")
    first = argparse.ArgumentParser(prog="train", add_help=False, allow_abbrev=False)
    for name in ("--agent", "--recipe", "--config"):
        first.add_argument(name)
    known, _ = first.parse_known_args([a for a in argv if a not in ("-h", "--help")])
    known.game = _positional(argv)
    if known.game is None and not {"-h", "--help"} & set(argv):
        raise cli.UserError("which game? try: python -m experiments.train breakout")
    game = envs.canonical(known.game or "breakout")
    code, _ = envs.find(game)
    choice, name = _recipe(game, code, known.recipe, known.agent, known.config)
    agent = known.agent or choice.agent
    if agent not in AGENTS | BASELINES:
        raise cli.UserError(f"there is no agent {agent!r}; {_nearest(agent, AGENTS | BASELINES)}")
    kind, options = settings(agent).Config, type(envs.options(game))
    preset = settings(agent).PRESETS.get(agent, {})
    fitting = choice.config if choice.agent == agent else {}
    with cli.refusing():
        defaults = (
            Command(
                game=game, agent=agent, recipe="default" if known.config else name, num_envs=choice.num_envs,
                checkpoint_every=choice.checkpoint_every, name=name,
            ),
            _apply(kind, {**preset, **fitting}),
            _apply(options, choice.env),
        )  # fmt: skip
        whole = dataclasses.make_dataclass(
            "Train",
            [
                ("command", Annotated[Command, tyro.conf.arg(name="")]),
                ("config_", Annotated[kind, tyro.conf.arg(name="")]),
                ("env_", Annotated[options, tyro.conf.arg(name="")]),
            ],
        )
        parsed = tyro.cli(
            whole,
            args=argv,
            default=whole(*defaults),
            prog="train",
            description=description,
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagConversionOff),
        )
    command = dataclasses.replace(parsed.command, game=game)
    if getattr(parsed.env_, "protocol", None) == "nature":
        raise cli.UserError(
            "--protocol nature is for scores: train under baselines, then evaluate RUN --protocol nature"
        )
    if command.steps is None and command.minutes is None:
        with cli.refusing():
            command = dataclasses.replace(command, steps=choice.steps)
        print(f"budget: {choice.steps:,} steps, the recipe's (--steps or --minutes names another)")
    print(f"recipe {command.recipe!r}: {choice.note}")
    return command, dataclasses.asdict(parsed.config_), dataclasses.asdict(parsed.env_)


def _positional(argv: Sequence[str]) -> str | None:
    """The first word that is not the value of an option: every option but --help takes one."""
    words = iter(argv)
    for word in words:
        if not word.startswith("-"):
            return word
        if "=" not in word and word not in ("-h", "--help"):
            next(words, None)
    return None


def _nearest(name: str, known: Any) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"choose {', '.join(known)}"


def _apply(kind: type, values: Any) -> Any:
    lab.check_fields(kind, values)
    return kind(**values)


def _check_types(file: str, content: dict[str, Any]) -> None:
    """Raises UserError where a configuration file holds something of another kind than a run's config.json."""
    kinds = dict(game=str, agent=str, name=str, steps=int, num_envs=int, checkpoint_every=int)
    for name, kind in {**kinds, "agent_config": dict, "env": dict}.items():
        value = content.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise cli.UserError(f"--config {file}: {name} must be of type {kind.__name__}, not {value!r}")


def _recipe(game: str, code: str, name: str | None, agent: str | None, file: str | None) -> tuple[Recipe, str]:
    """The recipe to start from, and the name that a run gets from it."""
    if file is not None:
        if name is not None:
            raise cli.UserError("--config and --recipe: name one start")
        with cli.refusing():
            content = lab.read_config(Path(file))
        if content.get("game", game) != game:
            raise cli.UserError(f"--config {file} is of the game {content['game']}, not {game}")
        _check_types(file, content)
        taken = {k: content[k] for k in ("steps", "num_envs", "checkpoint_every") if content.get(k)}
        source = dict(config=content.get("agent_config", {}), env=content.get("env", {}))
        stem = content.get("name", Path(file).stem)
        return Recipe(agent=content.get("agent", "ppo"), note=f"from {file}", **taken, **source), stem
    known = recipes(game, code)
    if name == BARE:
        return Recipe(agent=agent or "ppo", note="the defaults of agent and game alone"), name
    if name is not None and name not in known:
        raise cli.UserError(f"{game} has no recipe {name!r}; {_nearest(name, [*known, BARE])}")
    if name is not None:
        recipe = known[name]
        if agent is not None and agent != recipe.agent:
            if not recipe.env:
                raise cli.UserError(f"--recipe {name} is of {recipe.agent}, and nothing of it is left for {agent}")
            return dataclasses.replace(recipe, note=f"its game; {agent} with its own defaults"), name
        return recipe, name
    if agent is not None:  # the default where it is of that agent, else the first that is
        fitting = [k for k in ("default", *known) if k in known and known[k].agent == agent]
        if fitting:
            recipe = known[fitting[0]]
            return dataclasses.replace(recipe, note=f"{recipe.note} (--recipe {BARE}: {agent} as it is)"), fitting[0]
        base = known.get("default", Recipe(agent=agent, note=""))
        note = "the agent's own defaults; there is no recipe for it here"
        return dataclasses.replace(base, agent=agent, config={}, note=note), "default"
    plain = Recipe(agent="ppo", note="the agent's own defaults; there is no recipe for this game yet")
    return known.get("default", plain), "default"
