"""Train and score an agent on game after game: ``python -m experiments.suite atari --games nature49``

    python -m experiments.suite atari --games atari5 --minutes-per-game 30
    python -m experiments.suite atari --games pong,breakout --seeds 3 --agent dqn
    python -m experiments.suite atari --games nature49 -- --num-envs 32        what follows -- goes to every `train`
    python -m experiments.suite screen --minutes-per-game 30                   games in windows of their own

Called again with the same words it goes on where it was: runs are resumed, what is scored stays. Writes the table
random / human / Nature DQN / ours with human-normalised scores and their interquartile mean.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import envs
from agents import AGENTS, BASELINES
from agents.core.progress import Live
from agents.core.run import RunError, duration, safe
from experiments import arguments, child, cli
from experiments.arguments import Positional
from experiments.comparing import records, report, statistics
from experiments.comparing.records import RunRecord, Score
from experiments.comparing.report import TextTable, estimate, number, percent
from experiments.training import options

PERIOD = 1.0  # time between looks at a run, in s


@dataclasses.dataclass(frozen=True)
class SuiteCommand:
    """Which games, and how long."""

    family: Positional[str]  # the family of games, such as atari, or screen: games in windows of their own
    games: str | None = None  # a set such as nature49, or names with commas; without it the family's usual set, atari5
    minutes_per_game: float = 30.0  # minutes of training for each game
    agent: str | None = None  # the algorithm, with the games' own recipes; without it ppo, dqn in windows
    seeds: int = 1  # runs per game; three make an interval
    eval_episodes: int = 30  # full games that score a run
    name: str | None = None  # name of the runs; without it suite-MINUTESm
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    cluster: str | None = None  # train on a Ray cluster: local (this machine), auto, or the head's HOST:PORT
    processors: int = 1  # processors of each training, with --cluster
    runs: Path = Path("runs")  # folder of the run folders
    out: Path | None = None  # folder for the table; without it suites/AGENT-NAME

    def __post_init__(self) -> None:
        if self.agent is None:
            object.__setattr__(self, "agent", "ppo" if self.family in envs.FAMILIES else "dqn")
        windows = [game for game in envs.GAMES if envs.describe(game).window]
        if self.family not in (*envs.FAMILIES, *windows):
            raise ValueError(f"{self.family}: choose {', '.join([*envs.FAMILIES, *windows])}")
        arguments.within(self, *arguments.MINUTES, "minutes_per_game")
        arguments.at_least(self, 1, "seeds", "eval_episodes", "processors")
        other = [name for name in ("seeds", "cluster") if getattr(self, name) != getattr(type(self), name)]
        if self.family in windows and other:
            raise ValueError(
                f"--{other[0]} {getattr(self, other[0])}: games in windows are trained here, one by one and once each"
            )
        if self.cluster is not None:  # the programs of a node begin in a folder of its own
            object.__setattr__(self, "runs", self.runs.resolve())
        if self.agent not in AGENTS | BASELINES:
            raise ValueError(f"--agent {self.agent}: choose {', '.join(AGENTS | BASELINES)}")

    @property
    def called(self) -> str:
        """Returns the name of the runs: the user's, or one made of the minutes per game."""
        return self.name or f"suite-{self.minutes_per_game:g}m"


def _is_trained(record: RunRecord | None) -> bool:
    """Is its budget used up, and its newest checkpoint of that moment?"""
    known = record is not None and None not in (record.budget, record.newest)
    return known and record.newest >= record.budget


def _aside(path: Path) -> Path:
    """Renames a folder to the first free name that says so."""
    free = next(p for k in itertools.count(1) if not (p := path.with_name(f"{path.name}-unfinished-{k}")).exists())
    path.rename(free)
    return free


class TrainingTask(NamedTuple):
    """One game with one seed."""

    game: str  # canonical name of the game
    seed: int
    path: Path  # folder of the run


def games(family: str, words: str | None) -> list[str]:
    """A set of the family or names with commas -> canonical names. Raises ValueError or UnknownGame."""
    suite = envs.suite(family)
    words = next(iter(suite.sets)) if words is None else words
    names = suite.sets.get(words) or [w.strip() for w in words.split(",") if w.strip()]
    if not names:
        raise ValueError(f"--games {words}: choose {', '.join(suite.sets)} or names with commas")
    found = list(dict.fromkeys(envs.canonical(n) for n in names))
    if other := [n for n in found if not envs.is_of(n, family)]:
        raise ValueError(f"--games: {', '.join(other)} is no {suite.title} game")
    return found


class SuiteRuns:
    """The runs of a suite: what is done, what is next, and the table."""

    def __init__(self, command: SuiteCommand, rest: Sequence[str]):
        self.command, self.rest = command, list(rest)
        self.family, self.games = envs.suite(command.family), games(command.family, command.games)
        self.out = command.out or Path("suites") / f"{safe(command.agent)}-{safe(command.called)}"
        self.failed: dict[TrainingTask, str] = {}
        self.start: Callable[..., Any] = child.start  # starts a program of the lab, here or elsewhere
        self.beside = 1  # trainings side by side
        agent, called = safe(command.agent), safe(command.called)
        self.tasks = [
            TrainingTask(game, seed, command.runs / safe(game) / agent / f"{called}-s{seed}")
            for seed in range(command.seeds)
            for game in self.games
        ]

    def training(self, task: TrainingTask) -> list[str]:
        """Options of `train` for a new run."""
        c = self.command
        words = [task.game, "--agent", c.agent, "--minutes", f"{c.minutes_per_game:g}", "--seed", task.seed]
        words += ["--name", c.called, "--runs", c.runs, "--device", c.device, "--eval-episodes", 0, "--no-video"]
        return [*map(str, words), *self.rest]

    def check(self) -> None:
        """Refuses what `train` would refuse, and runs of that name that were begun otherwise."""
        _, _, env = options.parse(self.training(self.tasks[0]))
        if env.get("protocol") != self.family.trained:
            raise cli.UserError(
                f"--protocol {env.get('protocol')}: the suite scores under {self.family.protocol}, beside the published"
                f" scores, and that is for trainings under {self.family.trained}"
            )
        for task in self.tasks:
            if (task.path / "config.json").exists():
                begun = records.read(task.path).config.get("command")
                if begun != shlex.join(["python", "-m", "experiments.train", *self.training(task)]):
                    raise cli.UserError(f"{task.path} was begun with other options ({begun}); --name names another run")

    def score(self, task: TrainingTask) -> Score | None:
        """What the run's full games came to; None where they have not been played yet."""
        record = self._record(task)
        if not _is_trained(record):
            return None
        found, newest = record.scores("eval/return").get(self.family.protocol), record.newest
        enough = found is not None and found.own and found.step == newest and found.games >= self.command.eval_episodes
        return found if enough else None

    def work(self, stopping: Any) -> bool:
        """Trains and scores what is not done yet; False where `stopping` says so before the end."""
        waiting = [t for t in self.tasks if self.score(t) is None]
        print(f"{len(self.tasks) - len(waiting)} of {len(self.tasks)} runs are done; the others need about"
              f" {duration(60 * self.command.minutes_per_game * len(waiting))} and their evaluations")  # fmt: skip
        if self.beside > 1:
            return self._side_by_side(waiting, stopping)
        later = []
        for place, task in enumerate(waiting, 1):
            print(f"{task.game}, seed {task.seed} ({place} of {len(waiting)})", flush=True)
            if not self._attend(task, stopping, wait=False):
                print("  another process is at it: left for later", flush=True)
                later.append(task)
            if stopping():
                return False
            self.write()
        for task in later:
            self._attend(task, stopping, wait=True)
        return not stopping()

    def _side_by_side(self, waiting: Sequence[TrainingTask], stopping: Any) -> bool:
        """As many at a time as there are places for; False where `stopping` says so before the end."""
        ends: list[Future[bool]] = []
        with ThreadPoolExecutor(self.beside) as pool:
            for task in waiting:
                ends.append(pool.submit(self._attend, task, stopping, True))
            while not all(end.done() for end in ends):
                time.sleep(PERIOD)
                stopping()
        for end in ends:
            end.result()
        self.write()
        return not stopping()

    def _attend(self, task: TrainingTask, stopping: Any, wait: bool) -> bool:
        """Trains and scores one run, unless another process has its lock: then False, or waits for it.

        The programs inherit the lock: a training that outlives its suite is never doubled.
        """
        while not stopping():
            with child.lock(self.out / "locks" / f"{safe(task.game)}-s{task.seed}") as mine:
                if mine is not None:
                    if self.score(task) is None:
                        self._carry_out(task, stopping, mine)
                    score = self.score(task)
                    message = self.failed.get(task, "unfinished") if score is None else f"score {number(score.value)}"
                    where = f"{task.game}, seed {task.seed}: " if self.beside > 1 else ""
                    print(f"  {where}{message}", flush=True)
                    return True
            if not wait:
                return False
            time.sleep(PERIOD)
        return True

    def _carry_out(self, task: TrainingTask, stopping: Any, mine: int) -> None:
        c = self.command
        if not _is_trained(record := self._record(task)):
            words, begun = self.training(task), record is not None
            if begun and c.agent not in BASELINES:
                words = ["--resume", task.path, "--device", c.device, "--eval-episodes", 0, "--no-video"]
                words += ["--runs", c.runs]
            elif task.path.exists():  # a new run would get another name
                what = f"{c.agent} cannot be resumed" if begun else "no run can be read there: it"
                print(f"  {what} and begins anew; what there was: {_aside(task.path)}", flush=True)
            self._run("train", words, task, stopping, mine)
        if _is_trained(self._record(task)) and not stopping():
            words = [task.path, "--episodes", c.eval_episodes, "--device", c.device, "--json"]
            words += ["--protocol", self.family.protocol]
            self._run("evaluate", words, task, stopping, mine)

    def _record(self, task: TrainingTask) -> RunRecord | None:
        """The run as it lies there; None where there is none that can be read."""
        try:
            return records.read(task.path)
        except RunError:
            return None

    def _run(self, program: str, words: Sequence[object], task: TrainingTask, stopping: Any, mine: int) -> None:
        """One program to its end, its words in a log, its progress told every half minute."""
        log = self.out / "logs" / f"{safe(task.game)}-s{task.seed}.txt"
        process = self.start(program, words, log, keep=[mine])
        with Live(30.0, lines=self.beside > 1) as live:
            while process.poll() is None:
                time.sleep(PERIOD)
                if stopping():
                    child.stop(process)
                elif program == "train" and live.due and (record := self._record(task)) is not None:
                    live(f"  {self.progress(record)}")
        if getattr(process, "lost", False):
            self.failed[task] = f"{program}: its node died; the same command goes on with it"
        elif process.returncode and not stopping():  # a training that a person stopped has not failed
            self.failed[task] = f"{program} failed: {child.reason(process.returncode, log)}"

    def progress(self, record: RunRecord) -> str:
        """How far a run has come."""
        scores = record.curve("train/return").values
        left = 60 * self.command.minutes_per_game - (0 if math.isnan(record.seconds) else record.seconds)
        budget = f" of {record.budget:,}" if record.budget else ""
        score = f", score {number(scores[-1])}" if len(scores) else ""
        return f"{record.steps:,}{budget} steps{score}, {duration(left)} left"

    def scores(self) -> dict[str, np.ndarray]:
        """Game -> the scores of its seeds, of those games that have any."""
        found: dict[str, list[float]] = {}
        for task in self.tasks:
            if (score := self.score(task)) is not None:
                found.setdefault(task.game, []).append(score.value)
        return {game: np.array(found[game]) for game in self.games if game in found}

    def tables(self) -> list[TextTable]:
        """Every game, and the aggregates."""
        return [each_game(self.games, self.scores(), self.command), together(self.scores(), self.command)]

    def write(self) -> list[Path]:
        """suite.md, suite.csv and, with at least one game of the 49, suite.png."""
        from experiments.comparing import plots

        self.out.mkdir(parents=True, exist_ok=True)
        found, written = self.scores(), [self.out / "suite.md", self.out / "suite.csv"]
        rows = {g: row for g in found if (row := envs.describe(g).published) is not None}
        known = {g: row.normalised(found[g]) for g, row in rows.items()}
        if known:
            published = {g: row.normalised(row.dqn) for g, row in rows.items()}
            written.append(plots.suite(known, published, self.command.agent, self.out / "suite.png"))
        parts = [report.markdown(t) for t in self.tables()]
        parts += ["![scores](suite.png)"] if known else []
        if self.failed:
            parts.append("## Failed\n\n" + "\n".join(f"- {t.game}, seed {t.seed}: {r}" for t, r in self.failed.items()))
        written[0].write_text("\n\n".join(parts) + "\n")
        with open(written[1], "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["game", "seed", "protocol", "score", "games", "human_normalised", "run"])
            for task in self.tasks:
                if (score := self.score(task)) is not None:
                    row = envs.describe(task.game).published
                    figures = [score.value, score.games, "" if row is None else row.normalised(score.value)]
                    writer.writerow([task.game, task.seed, self.family.protocol, *figures, task.path])
        return written


def each_game(names: Sequence[str], found: dict[str, np.ndarray], command: SuiteCommand) -> TextTable:
    """random / human / Nature DQN / ours, a row per game; a game without a score keeps its row."""
    family, rows = envs.suite(command.family), []
    for game in names:
        row, mine = envs.describe(game).published, found.get(game)
        published = [number(x) for x in (row.random, row.human, row.dqn)] if row else ["-"] * 3
        ours = "-" if mine is None else number(float(mine.mean()))
        shares = ["-", "-"]
        if row:
            shares[0] = percent(row.normalised(row.dqn))
            shares[1] = "-" if mine is None else percent(float(row.normalised(mine).mean()))
        rows.append([game, *published, ours, str(0 if mine is None else len(mine)), *shares])
    header = [
        "game",
        "random",
        "human",
        family.agent,
        f"{command.agent}",
        "seeds",
        f"{family.agent}, normalised",
        "ours, normalised",
    ]
    remark = (
        f"{command.agent}: {command.minutes_per_game:g} minutes of training for each game, mean of"
        f" {command.eval_episodes} full games, protocol {family.protocol}. The other columns are published"
        f" ({family.source}). Normalised: 0 % is random play, 100 % the human."
    )
    return TextTable(family.title, header, rows, remark)


def together(found: dict[str, np.ndarray], command: SuiteCommand) -> TextTable:
    """Human-normalised scores over the games that have one."""
    known = {g: row for g in found if (row := envs.describe(g).published) is not None}
    rows = []
    if known:
        published = [np.array([row.normalised(row.dqn)]) for row in known.values()]
        mine = [row.normalised(found[g]) for g, row in known.items()]
        whose = f"{envs.suite(command.family).agent} (published)"
        for label, scores in ((whose, published), (command.agent, mine)):
            rows.append(
                [label, *(estimate(f, scores, statistics.RESAMPLES).text(percent) for f in report.AGGREGATES.values())]
            )
    few = min((len(s) for s in found.values()), default=0)
    remark = f"Over {len(known)} of {len(found)} games that have a published human score."
    if known:
        dqn, human = (sum(found[g].mean() > getattr(row, who) for g, row in known.items()) for who in ("dqn", "human"))
        remark += f" The mean of {command.agent} is above that of {envs.suite(command.family).agent} in {dqn},"
        remark += f" above the human's in {human} of them."
    remark += (
        " Intervals: 95 %, stratified bootstrap over seeds." if few >= statistics.MIN_SEEDS
        else f" No interval from fewer than {statistics.MIN_SEEDS} seeds in every game: --seeds {statistics.MIN_SEEDS}."
    )  # fmt: skip
    return TextTable("All games, human-normalised", ["agent", *report.AGGREGATES], rows, remark)


def main(argv: Sequence[str] | None = None) -> None:
    argv = list(sys.argv[1:] if argv is None else argv)
    with cli.edge():
        cut = argv.index("--") if "--" in argv else len(argv)
        command = arguments.read(SuiteCommand, argv[:cut], __doc__, "suite")
        cli.starting(torch=True)
        if command.family not in envs.FAMILIES:
            from experiments.windows import suite as windows

            windows.run(command, argv[cut + 1 :])
            return
        from experiments import building
        from experiments.training import hooks

        with cli.refusing():
            building.device_for(command.agent, command.device)
            suite = SuiteRuns(command, argv[cut + 1 :])
            suite.check()
        if command.cluster is not None:
            from experiments.cluster.jobs import ClusterPrograms

            cluster = ClusterPrograms(command.cluster, command.runs, command.processors)
            suite.start, suite.beside = cluster.start, cluster.count
        stop = hooks.Stop("the run is being saved")
        finished = suite.work(stop)
        stop.release()
        written = suite.write()
        print("\n\n".join(report.markdown(t) for t in suite.tables()))
        print("\nwritten: " + ", ".join(map(str, written)))
        if not finished or suite.failed:
            print(f"{len(suite.failed)} failed; " if suite.failed else "stopped; ", end="")
            print(f"go on with\n  python -m experiments.suite {shlex.join(argv)}")
        if finished and suite.failed:
            sys.exit(1)


if __name__ == "__main__":
    main()
