"""Search for a better configuration: ``python -m experiments.sweep breakout --trials 30 --minutes 5``

    python -m experiments.sweep GAME --trials N --minutes M            minutes of training for each trial
    python -m experiments.sweep pong --search lr=1e-5..1e-3 encoder=nature,small
    python -m experiments.sweep flappy --agent dqn -- --num-envs 4     what follows -- goes to every `train`

Called again with the same words it goes on where it was, also after it was killed; a second process on the same sweep
takes its share of the trials. The first trial is the recipe, where it lies within the ranges. Ends in a table, the
importance of each field and best.json, which ``train GAME --config`` takes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import envs
from agents import AGENTS, BASELINES
from agents.core import files, renamed
from agents.core.progress import Live
from agents.core.run import duration, safe
from experiments import arguments, child, cli
from experiments.arguments import Positional
from experiments.spellings import dashed
from experiments.sweeping import space, trials
from experiments.training import options, refusals

BEFORE = {f"--{name}" for name in ("agent", "recipe", "seed", "steps", "minutes", "runs", "name", "resume", "device",
                                 "eval-episodes", "cluster")}  # options of train that are the sweep's own  # fmt: skip
# Further options of train that every trial has as they are given.
FURTHER = ("eval_every", "stop_at", "track", "milestones", "opponents", "opponent_pool", "opponent_every",
           "teacher_run")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class SweepCommand:
    """What to search, and how long."""

    game: Positional[str]  # a game
    trials: int = 20  # trials in all; a higher number later adds to them
    minutes: float = 5.0  # minutes of training for each trial, evaluation apart
    agent: str | None = None  # the algorithm; without it the recipe's
    recipe: str | None = None  # start of the search; without it the game's default
    search: tuple[str, ...] = ()  # FIELD=LOW..HIGH[:log] or FIELD=A,B,C; without it the agent's usual fields
    jobs: int | None = None  # trials side by side; without it one per processor, one on a GPU
    prune: bool = True  # end trials early that lag behind the median of the others
    eval_episodes: int = 10  # full games that score a trial; 0: its last training score
    seed: int = 0  # seed of the search and of every training
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    cluster: str | None = None  # train on a Ray cluster: local (this machine), auto, or the head's HOST:PORT
    processors: int = 1  # processors of each trial, with --cluster
    out: Path | None = None  # the sweep's folder; without it sweeps/GAME-AGENT

    def __post_init__(self) -> None:
        arguments.at_least(self, 1, "trials")
        arguments.within(self, *arguments.MINUTES, "minutes")
        arguments.at_least(self, 1, "jobs")
        if self.cluster is None and self.jobs is not None and self.jobs > cores():
            raise ValueError(f"--jobs {self.jobs}: must lie in 1..{cores()}, the processors here")
        arguments.at_least(self, 0, "eval_episodes")
        arguments.at_least(self, 1, "processors")
        arguments.within(self, *arguments.SEEDS, "seed")


def cores() -> int:
    """The processors that this process may use."""
    from agents.core import device as devices

    return devices.cores()


def plan(command: SweepCommand, rest: Sequence[str]) -> tuple[trials.Plan, Path]:
    """What every trial shares, and the sweep's folder. Raises UserError for what `train` would refuse."""
    start = ["--agent", command.agent] if command.agent else []
    start += ["--recipe", command.recipe] if command.recipe else []
    if named := sorted(BEFORE & {word.partition("=")[0] for word in rest}):
        raise cli.UserError(
            f"{named[0]}: after -- stand further options of train; agent, recipe, seed, budget, place stand before it"
        )
    words = [command.game, *start, "--minutes", str(command.minutes), "--seed", str(command.seed), *rest]
    base, agent_config, env = options.parse(words)
    if base.agent == "random":
        raise cli.UserError("the random agent has nothing to search")
    if base.data:
        raise cli.UserError("--data: sweep searches agents that learn by playing")
    # Trials have a folder of runs of their own, where nobody would find these by their names.
    starts = {name: getattr(base, name) for name in ("init", "teacher_run") if getattr(base, name) is not None}
    paths = {name: refusals.run_of(f"--{dashed(name)}", base, what).path.resolve() for name, what in starts.items()}
    base = dataclasses.replace(base, **{name: str(path) for name, path in paths.items()})
    wanted = command.search or space.defaults(base.agent, (AGENTS | BASELINES)[base.agent])
    dimensions = space.parse(wanted, space.kinds(base.agent), renamed.of_agent(base.agent))
    made = trials.Plan(
        game=base.game, agent=base.agent, minutes=command.minutes, eval_episodes=command.eval_episodes,
        seed=command.seed, search=[d.text() for d in dimensions], num_envs=base.num_envs, init=base.init,
        checkpoint_every=base.checkpoint_every, agent_config=agent_config, env=env, device=command.device,
        normalize=",".join(part for part in ("obs", "reward") if getattr(base, f"normalize_{part}")),
        further=further(base),
    )  # fmt: skip
    return made, command.out or Path("sweeps") / f"{safe(base.game)}-{safe(base.agent)}"


def further(base: options.TrainCommand) -> list[str]:
    """The words for those of FURTHER that differ from what `train` does without them."""
    words: list[str] = []
    for field in dataclasses.fields(base):
        value = getattr(base, field.name)
        if field.name in FURTHER and value != field.default:
            flag = dashed(field.name)
            switch = f"--{flag}" if value else f"--no-{flag}"
            words += [switch] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return words


def settle(folder: Path, made: trials.Plan) -> None:
    """Writes the plan into the sweep's folder; refuses another one than it was begun with, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sweep.json"
    with trials.lock(folder / "locks" / "plan", wait=True):
        if not path.exists():
            files.write_json(path, dataclasses.asdict(made))
            return
        try:
            begun = files.read_json(path)
        except (OSError, ValueError) as fault:
            raise cli.UserError(f"{path} cannot be read: {fault}") from None
        if not isinstance(begun, dict):
            raise cli.UserError(f"{path} is not the plan of a sweep")
    begun = {"normalize": "", "further": [], **renamed.config(begun)}  # sweeps of earlier versions have neither
    now = json.loads(json.dumps(dataclasses.asdict(made)))
    other = [k for k in now if begun.get(k) != now[k] and k != "device"]
    if other:
        message = ", ".join(f"{k} {begun.get(k)!r}, now {now[k]!r}" for k in other[:2])
        raise cli.UserError(f"{folder} was begun otherwise ({message}); --out names another folder")


def share(jobs: int) -> list[set[int]]:
    """The processors of each job."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return [set(cores[i::jobs]) for i in range(jobs)]


def work(sweep: trials.Sweep, jobs: int, total: int) -> bool:
    """Trials side by side until there are `total`; False where Ctrl-C came before."""
    faults: list[BaseException] = []

    def worker(cores: set[int]) -> None:
        try:
            sweep.work(total, cores)
        except BaseException as fault:
            faults.append(fault)
            sweep.stopping.set()

    from experiments.training import hooks

    stop = hooks.Stop("the running trials are being saved")
    threads = [threading.Thread(target=worker, args=(cores,)) for cores in share(jobs)]
    for thread in threads:
        thread.start()
    live = Live(60.0, lines=True)
    while any(t.is_alive() for t in threads):
        time.sleep(0.2)
        if stop():
            sweep.stopping.set()
        if live.due:
            live(sweep.progress(total))
    stop.release()
    if faults:
        raise faults[0]
    return not stop()


def main(argv: Sequence[str] | None = None) -> None:
    argv = list(sys.argv[1:] if argv is None else argv)
    with cli.edge():
        cut = argv.index("--") if "--" in argv else len(argv)
        command = arguments.read(SweepCommand, argv[:cut], __doc__, "sweep")
        cli.starting(torch=True)
        with cli.refusing():
            envs.canonical(command.game)
            made, folder = plan(command, argv[cut + 1 :])
            from experiments import building

            device = building.device_for(made.agent, command.device)
        try:
            import optuna  # noqa: F401
        except ImportError:
            raise cli.UserError('sweep needs optuna: pip install -e ".[sweep]"') from None
        settle(folder, made)
        jobs, start = command.jobs or (cores() if device.type == "cpu" else 1), child.start
        if command.cluster is not None:
            from experiments.cluster.jobs import ClusterPrograms

            cluster = ClusterPrograms(command.cluster, folder, command.processors)
            jobs, start = min(command.jobs or cluster.count, cluster.count), cluster.start
        jobs = min(jobs, command.trials)
        sweep = trials.Sweep(folder, made, prune=command.prune, start=start)
        rounds = -(-max(0, command.trials - sweep.done()) // jobs)
        print(f"sweep: {folder}, {command.trials} trials of {command.minutes:g} minutes, {jobs} side by side:"
              f" about {duration(rounds * command.minutes * 60)} and the evaluations")  # fmt: skip
        print(f"searched: {' '.join(made.search)}")
        finished = work(sweep, jobs, command.trials)
        print(sweep.report())
        if not finished:
            print(f"stopped; go on with\n  python -m experiments.sweep {shlex.join(argv)}")


if __name__ == "__main__":
    main()
