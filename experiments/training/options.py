"""The options of `train`: those of the run, of the chosen agent and of the game, from a recipe or a file."""

from __future__ import annotations

import dataclasses
import functools
import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import envs
from agents import AGENTS, BASELINES, settings
from agents.core import renamed
from experiments import arguments, cli
from experiments.arguments import OptionGroup, Positional, Repeated, nearest, read_groups
from experiments.configuration import check_fields, read_config
from experiments.recipes import Recipe, recipes
from experiments.spellings import BOOLEANS, dashed

BARE = "none"  # word in place of a recipe's name
GENERAL = """Without a game these are the lab's own defaults. `train GAME --help` shows those of the game's recipe,
and the options of the game."""


@dataclasses.dataclass(frozen=True)
class TrainCommand:
    """What to train, for how long, and where it goes."""

    game: Positional[str]  # breakout, pong, any other ALE game, a game of the lab, or gym:ID
    agent: str = "ppo"  # the algorithm; where none is named, the recipe's
    recipe: str = "default"  # tuned settings to start from; none: the plain defaults of agent and game
    steps: int | None = None  # budget in agent decisions, over all environments
    minutes: float | None = None  # budget in minutes of training; it becomes a number of steps once the speed is known
    seed: int = 0  # seed of all random numbers of the run
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    num_envs: int = 8  # games that are played side by side
    name: str | None = None  # name of the run; where none is given, the recipe's name
    resume: str | None = None  # go on with this run instead; its few options: train --resume RUN --help
    config: Path | None = None  # a JSON file to start from instead of a recipe: a run's config.json
    init: str | None = None  # start from the weights of another run
    data: Repeated = ()  # recordings, for agents that learn from them: folders, .npz or .sgf; several may be named
    teacher_run: str | None = None  # a run of --obs state that teaches clone and dagger, instead of the scripted driver
    checkpoint_every: int = 300_000  # steps between checkpoints
    checkpoint_ring: bool = True  # save the replay buffer; without it a resume starts with an empty one
    milestones: bool = True  # keep the weights of 0, 1, 10 and 100 % of training, for `watch --milestones`
    eval_episodes: int = 30  # full games at the end, 0 for none
    eval_every: int = 0  # steps between evaluations along the way, each of as many games; 0: only at the end
    stop_at: float | None = None  # end when the last 100 training games (with --eval-every: an evaluation) reach it
    normalize_obs: bool = False  # normalise observation vectors by their running mean and standard deviation
    track: str | None = None  # send scalars and the clip to another logger as well: trackio or wandb
    normalize_reward: bool = False  # divide rewards by the running standard deviation of their discounted sum
    opponents: float = 0.0  # games of two sides: share of the games that the agent plays against earlier selves
    opponent_pool: int = 8  # number of earlier selves that are kept, with --opponents
    opponent_every: int = 50_000  # steps between two earlier selves, with --opponents
    cluster: str | None = None  # play on a Ray cluster: local (this machine), auto, or the head's HOST:PORT
    actors: int = 2  # processes that play, each its share of the games, with --cluster
    in_order: bool = False  # take their rows in a fixed order, so that the run can be repeated, with --cluster
    gpus_per_learner: int = 0  # GPUs that learn together, with --cluster; 0: as --device says
    video: bool = True  # write a video at the end
    runs: Path = Path("runs")  # folder of the run folders

    def __post_init__(self) -> None:
        if self.stop_at is not None and not abs(self.stop_at) < float("inf"):
            raise ValueError(f"--stop-at {self.stop_at}: must be a finite score")
        if self.steps is not None and self.minutes is not None:
            raise ValueError("--steps and --minutes: name one budget")
        arguments.within(self, *arguments.MINUTES, "minutes")
        for name in ("steps", "num_envs", "checkpoint_every"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"--{name.replace('_', '-')} {value}: must be above 0")
        if self.opponents and not 0.001 <= self.opponents <= 1:
            raise ValueError(f"--opponents {self.opponents}: must be 0, or lie in 0.001..1")
        arguments.within(self, 1, 1000, "opponent_pool")
        if self.opponent_every < 1:
            raise ValueError(f"--opponent-every {self.opponent_every}: must be above 0")
        if self.opponents and envs.describe(self.game).two_players is False:
            raise ValueError(f"--opponents {self.opponents}: {self.game} has one player")
        arguments.at_least(self, 0, "eval_episodes", "eval_every")
        arguments.at_least(self, 1, "actors")
        arguments.at_least(self, 0, "gpus_per_learner")
        if self.in_order and self.cluster is None:
            raise ValueError("--in-order: of runs with --cluster; a run of one machine always is")
        if self.gpus_per_learner and self.cluster is None:
            raise ValueError("--gpus-per-learner: of runs with --cluster; --device cuda, or torchrun for several GPUs")
        if self.eval_every and not self.eval_episodes:
            raise ValueError("--eval-every needs games to play: --eval-episodes above 0")
        arguments.within(self, *arguments.SEEDS, "seed")


@dataclasses.dataclass(frozen=True)
class Resume:
    """Go on with a run that was stopped. Its configuration is fixed; only the budget may change."""

    resume: str  # the run's folder
    game: Positional[str | None] = None  # checked against the run's, if given
    steps: int | None = None  # a new budget in all
    minutes: float | None = None  # train so many minutes more
    trust: str | None = None  # gym:MODULE:ID or MODULE:CLASS of the run, whose code you allow to be imported
    track: str | None = None  # send scalars and the clip to another logger as well: trackio or wandb
    cluster: str | None = None  # place of the cluster now, for a run that has its actors on one
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    eval_episodes: int = 30  # full games at the end, 0 for none
    video: bool = True  # write a video at the end
    runs: Path = Path("runs")  # folder of the run folders

    def __post_init__(self) -> None:
        if self.steps is not None and self.minutes is not None:
            raise ValueError("--steps and --minutes: name one budget")
        arguments.within(self, *arguments.MINUTES, "minutes")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"--steps {self.steps}: must be above 0")
        arguments.at_least(self, 0, "eval_episodes")


def parse(argv: Sequence[str], description: str = "") -> Resume | tuple[TrainCommand, dict[str, Any], dict[str, Any]]:
    """Options -> what to resume, or (command, agent's configuration, game's options). description: for --help."""
    if any(a == "--resume" or a.startswith("--resume=") for a in argv):
        return _resume(argv)
    argv = _each(_joined(argv, ("wrapper", "env-kwargs")), "--data")
    named, asks = _named(argv), bool({"-h", "--help"} & {*argv})
    if "game" not in named:
        if "--version" not in argv and not asks:
            raise cli.UserError("which game? try: python -m experiments.train breakout")
        return _without_game(argv, description, named.get("agent", "ppo"))
    game = envs.canonical(named["game"])
    words = (named.get(k) for k in ("recipe", "agent", "config"))
    choice, name = _recipe(game, envs.find(game)[0], *words, _given(argv))
    agent = named.get("agent") or choice.agent
    if agent not in AGENTS | BASELINES:
        raise cli.UserError(f"there is no agent {agent!r}; {nearest(agent, AGENTS | BASELINES)}")
    fitting = choice.config if choice.agent == agent else {}
    with cli.refusing():
        code, options = settings(agent), type(envs.options(game))
        start = TrainCommand(
            game=game, agent=agent, recipe="default" if "config" in named else name, num_envs=choice.num_envs,
            checkpoint_every=choice.checkpoint_every, name=name, **_normalized(named.get("config")),
        )  # fmt: skip
        groups = [
            _of_run(start), _of_agent(agent, _apply(code.Config, {**code.PRESETS.get(agent, {}), **fitting})),
            OptionGroup(f"game: {game}", options, _apply(options, choice.env), {}, "env", renamed.of_game(game)),
        ]  # fmt: skip
    command, agent_config, env = read_groups(groups, argv, description, "train")
    command = dataclasses.replace(command, game=game)
    protocols, named = envs.describe(game).protocols, getattr(env, "protocol", None)
    if named in protocols and not protocols[named].trains:
        start = next(other for other, rules in protocols.items() if named in rules.scores)
        raise cli.UserError(
            f"--protocol {named} is for scores: train under {start}, then evaluate RUN --protocol {named}"
        )
    if command.steps is None and command.minutes is None:
        with cli.refusing():
            command = dataclasses.replace(command, steps=choice.steps)
        print(f"budget: {choice.steps:,} steps, the recipe's (--steps or --minutes names another)")
    print(f"recipe {command.recipe!r}: {choice.note}")
    return command, dataclasses.asdict(agent_config), dataclasses.asdict(env)


def _normalized(file: str | None) -> dict[str, Any]:
    """What the run of a configuration file normalised, as options."""
    words = str(read_config(Path(file)).get("normalize") or "").split(",") if file else []
    return {f"normalize_{part}": part in words for part in ("obs", "reward")}


def _of_run(default: TrainCommand | None = None) -> OptionGroup:
    return OptionGroup("run", TrainCommand, default, renamed=renamed.PROGRAMS["train"])


def _of_agent(agent: str, default: Any) -> OptionGroup:
    return OptionGroup(f"agent: {agent}", type(default), default, prefix="agent", renamed=renamed.of_agent(agent))


def _joined(argv: Sequence[str], names: Sequence[str]) -> list[str]:
    """Options that may be repeated, as one with commas between its values, where the first of them stood."""
    kept: list[str] = []
    places: dict[str, int] = {}  # option -> where its value stands
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        name = dashed(flag).removeprefix("--").removeprefix("env.")
        if not flag.startswith("--") or name not in names:
            kept.append(word)
            continue
        value = value if equals else next(words, None)
        if value is None:
            kept.append(flag)  # its value is missing, which is told where options are read
        elif name in places:
            kept[places[name]] += f",{value}"
        else:
            places[name] = len(kept) + 1
            kept += [flag, value]
    return kept


def _each(argv: Sequence[str], flag: str) -> list[str]:
    """An option that may be repeated before each of the files that follow it, as a shell writes ``--data *.sgf``."""
    kept: list[str] = []
    words = list(argv)
    while words:
        kept.append(words.pop(0))
        if kept[-1] != flag or not words:
            continue
        kept.pop()
        named = [words.pop(0)]
        while words and not words[0].startswith("-") and Path(words[0]).exists():
            named.append(words.pop(0))
        for word in named:
            found = [] if Path(word).exists() else sorted(glob.glob(word))
            kept += [part for file in found or [word] for part in (flag, file)]
    return kept


def _resume(argv: Sequence[str]) -> Resume:
    """The options of `--resume`; what only a new run has is refused by name."""
    mine = {o.flag for o in arguments.options(Resume)}
    switches, valued = _known()
    for word in argv:
        flag = dashed(word.partition("=")[0]).replace("--agent.", "--")
        positive = f"--{flag[5:]}" if flag.startswith("--no-") else flag
        if (flag in switches | valued and not {flag, positive} & mine) or flag.startswith("--env."):
            raise cli.UserError(f"{flag}: a run that goes on keeps its configuration; --steps or --minutes may be new")
    return arguments.read(Resume, argv, Resume.__doc__ or "", "train")


def _without_game(argv: Sequence[str], description: str, agent: str) -> NoReturn:
    """The help of what every game has; it ends the program."""
    if agent not in AGENTS | BASELINES:
        raise cli.UserError(f"there is no agent {agent!r}; {nearest(agent, AGENTS | BASELINES)}")
    kind = settings(agent).Config
    own = kind(**settings(agent).PRESETS.get(agent, {}))
    about = f"{description.strip()}\n\n{GENERAL}"
    read_groups([_of_run(), _of_agent(agent, own)], argv, about, "train")
    raise AssertionError("help and version end the program")


def _named(argv: Sequence[str]) -> dict[str, str]:
    """What must be known before the options are: agent, recipe, config, and the game, which is no option's value."""
    found: dict[str, str] = {}
    behind: list[str] = []  # words behind options that may be switches of the game
    switches, valued = _known()
    waiting = list(argv)
    while waiting:
        word = waiting.pop(0)
        if word in ("-h", "--help", "--version"):
            continue
        if not word.startswith("-"):
            found.setdefault("game", word)
            continue
        flag, equals, value = word.partition("=")
        flag = dashed(flag).replace("--agent.", "--").replace("--no-agent.", "--no-")
        if not equals and flag in switches - valued:
            if waiting and waiting[0].lower() in BOOLEANS:
                waiting.pop(0)
        elif not equals:
            value = waiting.pop(0) if waiting and not waiting[0].startswith("--") else None
            behind += [value] if value is not None and flag not in valued else []
        if flag in ("--agent", "--recipe", "--config"):
            if value is None:
                raise cli.UserError(f"{flag}: a value is missing")
            found[flag[2:]] = value
    if "game" not in found and (games := [word for word in behind if _is_game(word)]):
        found["game"] = games[0]
    return found


def _is_game(word: str) -> bool:
    try:
        envs.find(word)
    except envs.UnknownGame:
        return False
    return True


@functools.cache
def _known() -> tuple[set[str], set[str]]:
    """The options of the run and of all agents, under all their names: switches, and those that take a value."""
    switches, valued = set(), set()
    kinds = [(TrainCommand, renamed.PROGRAMS["train"])]
    kinds += [(settings(agent).Config, renamed.of_agent(agent)) for agent in AGENTS | BASELINES]
    for kind, names in kinds:
        for option in arguments.options(kind):
            every = {option.field, *(old for old, new in names.fields.items() if new == option.field)}
            flags = {f"--{dashed(name)}" for name in every}
            if option.switch:
                switches |= flags | {f"--no-{flag[2:]}" for flag in flags}
            elif not option.positional:
                valued |= flags
    return switches, valued


def _apply(kind: type, values: Any) -> Any:
    check_fields(kind, values)
    return kind(**values)


def _check_types(file: str, content: dict[str, Any]) -> None:
    """Raises UserError where a configuration file holds something of another kind than a run's config.json."""
    kinds = dict(game=str, agent=str, name=str, steps=int, num_envs=int, checkpoint_every=int)
    for name, kind in {**kinds, "agent_config": dict, "env": dict}.items():
        value = content.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise cli.UserError(f"--config {file}: {name} must be of type {kind.__name__}, not {value!r}")


def _given(argv: Sequence[str]) -> dict[str, str]:
    """The values of all options as they stand there, under the names of the game's fields."""
    found: dict[str, str] = {}
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            found[dashed(flag)[2:].removeprefix("env.").replace("-", "_")] = value if equals else following
    return found


def _made_for(known: Mapping[str, Recipe], agent: str | None, given: Mapping[str, str]) -> str | None:
    """The recipe that is for the game with options as they are given, if there is one."""
    for name, recipe in known.items():
        wanted = {field: str(recipe.env[field]) for field in recipe.chosen_by}
        if wanted and agent in (None, recipe.agent) and wanted.items() <= given.items():
            return name
    return None


def _recipe(
    game: str, code: str, name: str | None, agent: str | None, file: str | None, given: Mapping[str, str]
) -> tuple[Recipe, str]:
    """The recipe to start from, and the name that a run gets from it."""
    if file is not None:
        if name is not None:
            raise cli.UserError("--config and --recipe: name one start")
        with cli.refusing():
            content = read_config(Path(file))
        if content.get("game", game) != game:
            raise cli.UserError(f"--config {file} is of the game {content['game']}, not {game}")
        _check_types(file, content)
        taken = {k: content[k] for k in ("steps", "num_envs", "checkpoint_every") if content.get(k)}
        source = dict(config=content.get("agent_config", {}), env=content.get("env", {}))
        stem = content.get("name", Path(file).stem)
        return Recipe(agent=content.get("agent", "ppo"), note=f"from {file}", **taken, **source), stem
    known = recipes(game, code)
    name = name or _made_for(known, agent, given)
    if name == BARE:
        return Recipe(agent=agent or "ppo", note="the defaults of agent and game alone"), name
    if name is not None and name not in known:
        raise cli.UserError(f"{game} has no recipe {name!r}; {nearest(name, [*known, BARE])}")
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
