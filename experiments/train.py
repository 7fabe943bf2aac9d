"""Train an agent on a game: ``python -m experiments.train breakout``.

    python -m experiments.train breakout                     the game's recipe, with its own budget
    python -m experiments.train pong --minutes 30            turned into steps once the speed is known
    python -m experiments.train gym:CartPole-v1 --agent dqn  any Gymnasium id
    python -m experiments.train --resume runs/breakout/ppo/default-s0

Every field of the agent's and the game's configuration is an option; ``train GAME --agent A --help`` lists them.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

import envs
from agents import AGENTS, BASELINES
from agents.core import checkpoint
from agents.core import device as devices
from agents.core.checkpoint import write_json
from agents.core.log import Log, Progress
from agents.core.loop import Clock, Diverged, Moment
from agents.core.replay import ReplayBuffer
from agents.core.run import Run
from experiments import cli, lab
from experiments.recipes import Recipe, recipes

CHECKPOINT_COPIES = 3  # two are kept while the third is written


@dataclasses.dataclass(frozen=True)
class Command:
    """What to train, for how long, and where it goes."""

    game: tyro.conf.Positional[str]  # breakout, pong, any other ALE game, a game of the lab, or gym:ID
    agent: str = "ppo"  # the algorithm; without it the recipe's
    recipe: str = "default"  # a tuned configuration to start from
    steps: int | None = None  # budget in agent decisions, over all environments
    minutes: float | None = None  # budget in minutes of training, turned into steps once the speed is known
    seed: int = 0  # of everything that is drawn at random
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    num_envs: int = 8  # environments that are played side by side
    name: str | None = None  # of the run; without it the recipe's
    config: Path | None = None  # a JSON file to start from instead of a recipe: a run's config.json
    init: str | None = None  # start from the weights of another run
    data: Path | None = None  # a dataset, for agents that learn from data
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


def parse(argv: Sequence[str]) -> Resume | tuple[Command, dict[str, Any], dict[str, Any]]:
    """Options -> what to resume, or (command, agent's configuration, game's options)."""
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
    kind, options = lab.module(agent).Config, type(envs.options(game))
    preset = lab.module(agent).PRESETS.get(agent, {})
    fitting = choice.config if choice.agent == agent else {}
    with cli.refusing():
        defaults = (
            Command(
                game=game, agent=agent, recipe=known.recipe or "default", num_envs=choice.num_envs,
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
            description=__doc__,
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagConversionOff),
        )
    command = dataclasses.replace(parsed.command, game=game)
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
    if name is not None and name not in known:
        raise cli.UserError(f"{game} has no recipe {name!r}; {_nearest(name, known)}")
    if name is not None:
        return known[name], name
    if agent is not None:  # the default where it is of that agent, else the first that is
        fitting = [k for k in ("default", *known) if k in known and known[k].agent == agent]
        if fitting:
            return known[fitting[0]], fitting[0]
        base = known.get("default", Recipe(agent=agent, note=""))
        note = "the agent's own defaults; there is no recipe for it here"
        return dataclasses.replace(base, agent=agent, config={}, note=note), "default"
    plain = Recipe(agent="ppo", note="the agent's own defaults; there is no recipe for this game yet")
    return known.get("default", plain), "default"


class Stop:
    """Ctrl-C and SIGTERM ask the loop to stop at the next step; a second Ctrl-C does not wait."""

    def __init__(self, what: str = "the run is being saved") -> None:
        self.asked, self.what = False, what
        self._before = {n: signal.signal(n, self._ask) for n in (signal.SIGINT, signal.SIGTERM)}

    def release(self) -> None:
        """Puts back what the signals did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
        print(f"\nstopping: {self.what} (Ctrl-C again to leave at once)", file=sys.stderr)

    def __call__(self) -> bool:
        return self.asked


class Stages:
    """A hook: keeps the weights at some shares of the budget; the last of them is kept at the very end."""

    def __init__(self, run: Run, parts: lab.Lab):
        self.run, self.parts = run, parts
        kept = lab.stages(run)
        self.left = [percent for percent in lab.STAGES if percent not in kept and percent < 100]
        self.seconds = 60 * (run.config["minutes"] or float("inf"))  # counts until minutes have become steps
        self(Moment(parts.clock, [], [], parts.agent))

    def __call__(self, moment: Moment) -> None:
        clock = moment.clock
        share = clock.progress if clock.budget else clock.seconds / self.seconds
        while self.left and share * 100 >= self.left[0]:
            lab.save_stage(self.run, self.parts, self.left.pop(0))


class Minutes:
    """A hook: turns `--minutes` into a step budget once, when the speed of learning is known."""

    def __init__(self, run: Run, minutes: float):
        self.run, self.limit = run, minutes * 60
        self.mark: tuple[float, int] | None = None

    def __call__(self, moment: Moment) -> None:
        clock = moment.clock
        if clock.budget is not None:
            return
        if self.mark is None and clock.updates and clock.seconds > min(10.0, 0.05 * self.limit):
            self.mark = (clock.seconds, clock.steps)
        if self.mark is None:
            if clock.seconds >= self.limit:
                self._settle(clock, clock.steps)
            return
        elapsed = clock.seconds - self.mark[0]
        if elapsed < min(60.0, 0.1 * self.limit):
            return
        rate = (clock.steps - self.mark[1]) / elapsed
        self._settle(clock, clock.steps + max(0, int(rate * (self.limit - clock.seconds))))

    def _settle(self, clock: Clock, steps: int) -> None:
        """Names the budget, in the run's configuration too: a run without one could not be told to be finished."""
        clock.budget = self.run.config["steps"] = steps
        write_json(self.run.path / "config.json", self.run.config)


class Validation:
    """A hook: how far off the agent is on laps that it does not learn from, every so many updates and at the end."""

    def __init__(self, log: Log, ring: ReplayBuffer, period: int = 500):
        self.log, self.ring, self.period = log, ring, period

    def __call__(self, moment: Moment) -> None:
        clock = moment.clock
        if moment.learned and (clock.updates % self.period == 0 or clock.steps == clock.budget):
            values = {f"validation/{k}": v for k, v in self.figures(moment.agent).items()}
            self.log.write({"clock/updates": clock.updates, **values})

    def figures(self, agent: Any) -> dict[str, float]:
        """Means over all rows of the ring."""
        rows, batches = torch.arange(len(self.ring), device=self.ring.device), []
        for index in rows.split(256):
            batches.append({k: float(v) * len(index) for k, v in agent.examine(self.ring.windows(index)).items()})
        return {k: sum(b[k] for b in batches) / len(rows) for k in batches[0]}


def start(command: Command, agent_config: dict[str, Any], env: dict[str, Any], argv: Sequence[str]) -> int:
    """A new run."""
    with cli.refusing():
        device = devices.choose(command.device)
    config: dict[str, Any] = {
        "game": command.game, "agent": command.agent, "name": command.name, "recipe": command.recipe,
        "seed": command.seed, "steps": command.steps, "minutes": command.minutes, "num_envs": command.num_envs,
        "checkpoint_every": command.checkpoint_every, "checkpoint_ring": command.checkpoint_ring,
        "eval_every": command.eval_every, "stages": command.stages, "init": command.init,
        "agent_config": agent_config, "env": env,
    }  # fmt: skip
    if command.data is not None:
        config["data"] = str(command.data)
        print(f"reading {command.data}")
    with cli.refusing():
        parts = lab.assemble(config, device)
        _take_weights(parts, command.runs, command.init)
    config["protocol"] = parts.stream.envs.metadata.get("protocol", command.game)
    config["command"] = shlex.join(["python", "-m", "experiments.train", *argv])
    config |= lab.surroundings(device)
    _check_disk(command.runs, parts, command.checkpoint_ring == "yes")
    run = Run.create(command.runs, config)
    print(f"run: {run.path}")
    return _train(run, parts, command.eval_episodes, command.video == "yes", fresh=True)


def _take_weights(parts: lab.Lab, runs: Path, init: str | None) -> None:
    """The weights of the run `init`, where one is named."""
    if init is None:
        return
    weights, _ = checkpoint.load(lab.find_run(runs, init).checkpoints, None, {"agent"})
    try:
        parts.agent.load_weights(weights["agent"])
    except (KeyError, RuntimeError) as fault:
        raise ValueError(f"--init {init}: its network does not fit this one ({fault})") from None


def resume(command: Resume) -> int:
    """Goes on from the newest checkpoint that is whole; from the beginning where none was written yet."""
    run = lab.find_run(command.runs, command.resume)
    if command.game is not None and envs.canonical(command.game) != run.config["game"]:
        raise cli.UserError(f"{run.path} is a run of {run.config['game']}, not of {command.game}")
    if command.steps is not None:
        if command.steps <= 0:
            raise cli.UserError(f"--steps {command.steps}: must be above 0")
        run.config["steps"] = command.steps
    if lab.is_foreign(run.config["agent"]):
        raise cli.UserError(f"{run.path} cannot be resumed: stable-baselines3 does not save its loop")
    with cli.refusing():
        device = devices.choose(command.device)
        parts = lab.assemble(run.config, device)
        if checkpoint.steps(run.checkpoints):
            _restore(run, parts, command.steps)
        else:
            print("there is no checkpoint yet: the run begins anew")
            _take_weights(parts, command.runs, run.config.get("init"))
    if command.steps is not None:
        write_json(run.path / "config.json", run.config)
    print(f"run: {run.path}, from step {parts.clock.steps:,}")
    return _train(run, parts, command.eval_episodes, command.video == "yes", fresh=parts.clock.steps == 0)


def _restore(run: Run, parts: lab.Lab, steps: int | None) -> None:
    """Everything as it was at the newest checkpoint. steps: a new budget."""
    saved, meta = checkpoint.load(run.checkpoints)
    lab.check_kin(run, meta, parts.stream.spec)
    if steps is not None and steps < meta["step"]:
        raise ValueError(f"--steps {steps}: the run has {meta['step']:,} steps already")
    try:
        parts.restore(saved)
    except (KeyError, RuntimeError) as fault:
        raise ValueError(f"{run.path} was made by another version of the lab: {fault}") from None
    checkpoint.discard_after(run.checkpoints, meta["step"])
    if not meta["ring"]:
        print("the checkpoint holds no replay ring (--checkpoint-ring no): it fills anew")
        parts.loop.refill()


def _train(run: Run, parts: lab.Lab, episodes: int, video: bool, fresh: bool) -> int:
    config, clock = run.config, parts.clock
    log = Log(run, clock, stream=parts.stream)
    if fresh:
        log.start()
    progress = Progress(log, minutes=config["minutes"])
    hooks: list[Any] = [log, progress]
    if config["minutes"] is not None and config["steps"] is None:
        hooks.append(Minutes(run, config["minutes"]))
    along = None
    if config.get("eval_every") and episodes:
        from experiments import evaluate

        along = evaluate.Along(run, clock, parts.stream.device, log.write, config["eval_every"], episodes)
        hooks.append(along)
    if config.get("stages") == "yes":
        hooks.append(Stages(run, parts))
    if parts.validation is not None:
        hooks.insert(0, Validation(log, parts.validation))

    def keep() -> None:
        log.report()
        log.flush()
        lab.save(run, parts, config["checkpoint_ring"] == "yes")

    stop = Stop()
    try:
        if lab.is_foreign(config["agent"]):  # an algorithm of another library, in its own loop
            parts.stream.reset(config["seed"], 0)
            began = time.perf_counter()
            finished = parts.agent.train_alone(parts.stream, hooks, stop, lambda: time.perf_counter() - began)
            keep()
        elif not fresh and clock.budget is not None and clock.steps >= clock.budget:
            finished = True  # a second barrier at the same step would change what the first one saved
        else:
            finished = parts.loop.train(hooks=hooks, barrier=config["checkpoint_every"], save=keep, stop=stop)
    except Diverged as fault:
        log.close()
        kept = checkpoint.steps(run.checkpoints)
        good = f"the checkpoint of step {kept[-1]:,} is kept" if kept else "there was no checkpoint yet"
        raise cli.UserError(f"training stopped: {fault}; {good}; try a smaller --lr") from None
    finally:
        progress.close()
        stop.release()
        if along is not None:
            along.close()
    again = f"  resume:   python -m experiments.train --resume {run.path}"
    if not finished:
        log.close()
        print(f"saved at step {clock.steps:,}" + ("" if lab.is_foreign(config["agent"]) else f"; go on with\n{again}"))
        return 0
    if config.get("stages") == "yes":
        lab.save_stage(run, parts, 100)
    parts.stream.close()
    _conclude(run, log, episodes, video)
    log.close()
    print(f"  watch:    python -m experiments.watch {run.path}")
    print(f"  compare:  python -m experiments.compare {run.path.parents[1]} --tensorboard")
    if not lab.is_foreign(config["agent"]):
        print(f"{again} --steps {2 * clock.steps}")
    return 0


def _conclude(run: Run, log: Log, episodes: int, video: bool) -> None:
    """The score at the end, a video, and a clip for TensorBoard."""
    from experiments import evaluate, watch
    from experiments.video import size_of

    if episodes:
        result = evaluate.evaluate(run, episodes=episodes, seed=run.config["seed"] + 1, device="auto")
        log.write(evaluate.scalars(result))
        print(evaluate.sentence(result))
    if video:
        path = run.inside("videos/final.mp4")
        watch.record(run, path, episodes=1, seconds=60.0)
        print(f"  video:    {path}")
        clip = run.inside("videos/final.gif")
        watch.record(run, clip, episodes=1, seconds=10.0)
        log.clip(clip, size_of(clip))
    log.finish()


def _check_disk(root: Path, parts: lab.Lab, with_ring: bool) -> None:
    """Refuses to begin where the checkpoints cannot fit."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise cli.UserError(f"--runs {root}: {fault.strerror}") from None
    size = sum(p.numel() * p.element_size() for p in _tensors(parts.agent.state_dict()))
    needed = CHECKPOINT_COPIES * size + (parts.replay.nbytes if with_ring else 0)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise cli.UserError(
            f"the checkpoints need up to {needed / 2**30:.1f} GiB and {root} has {free / 2**30:.1f} GiB free;"
            " --checkpoint-ring no or a smaller --replay needs less"
        )


def _tensors(tree: Any) -> list[torch.Tensor]:
    if isinstance(tree, dict):
        return [t for v in tree.values() for t in _tensors(v)]
    return [tree] if isinstance(tree, torch.Tensor) else []


def main(argv: Sequence[str] | None = None) -> None:
    argv = list(sys.argv[1:] if argv is None else argv)
    with cli.edge():
        parsed = parse(argv)
        sys.exit(resume(parsed) if isinstance(parsed, Resume) else start(*parsed, argv))


if __name__ == "__main__":
    main()
