"""The trials of a sweep: drawn by Optuna, trained by `train` in processes of their own, kept in the sweep's folder.

    sweep.json  study.db  locks/  trials/0007.json  logs/0007.txt  runs/GAME/AGENT/trial-0007-s0/  sweep.md  best.json

Nothing is lost when a process dies. A trial belongs to whoever holds the lock on its file; the training process
inherits that lock, so that a trial is nobody's only when nothing trains it any more, and whoever finds one that is
unfinished and nobody's goes on with its run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agents.core.files import write_json
from agents.core.run import RunError, duration
from experiments import child, cli
from experiments.child import lock
from experiments.comparing import records
from experiments.comparing.report import TextTable, markdown, number
from experiments.sweeping import space

PARTS = 20  # parts of a trial's minutes; at the end of each it is compared with the others
WARM = 5  # trials that run to the end before any is ended early; also those drawn at random before the model draws
EARLIEST = 5  # part from which on a trial may be ended
PERIOD = 1.0  # seconds between looks at a training run
METRIC = "train/return"  # metric compared along the way


@dataclasses.dataclass(frozen=True)
class Plan:
    """What every trial shares."""

    game: str
    agent: str
    minutes: float  # minutes of training for each trial
    eval_episodes: int  # full games that score a trial, 0: its last training score does
    seed: int
    search: list[str]  # dimensions, as words of `space`
    num_envs: int
    init: str | None
    checkpoint_every: int
    agent_config: dict[str, Any]
    env: dict[str, Any]
    device: str
    normalize: str = ""  # parts that are normalised: obs, reward, or both with a comma
    further: list[str] = dataclasses.field(default_factory=list)  # further options of every `train`, as words

    def configuration(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A file for ``train --config``."""
        chosen = dict(params)
        top = {"num_envs": chosen.pop("num_envs", self.num_envs), "checkpoint_every": self.checkpoint_every}
        return {
            "game": self.game,
            "agent": self.agent,
            **top,
            "agent_config": {**self.agent_config, **chosen},
            "env": self.env,
            "normalize": self.normalize,
        }


class Sweep:
    """The study in a folder; any number of threads and processes may work on it."""

    def __init__(self, folder: Path, plan: Plan, prune: bool = True, start: Callable[..., Any] | None = None):
        """start: starts a program of the lab elsewhere, as `child.start` does here."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.folder, self.plan, self.prune = optuna, folder, plan, prune
        self.start = start or child.start
        self.dimensions = space.parse(plan.search, space.kinds(plan.agent))
        self.stopping = threading.Event()
        with lock(folder / "locks" / "study", wait=True):
            fresh = not (folder / "study.db").exists()
            self.study = self._open()
            if fresh:
                self._begin_with_the_recipe()

    def _open(self) -> Any:
        storage = self.optuna.storages.RDBStorage(
            f"sqlite:///{self.folder / 'study.db'}", engine_kwargs={"connect_args": {"timeout": 120}}
        )
        pruner = self.optuna.pruners.NopPruner()
        if self.prune:
            pruner = self.optuna.pruners.MedianPruner(n_startup_trials=WARM, n_warmup_steps=EARLIEST)
        return self.optuna.create_study(
            storage=storage, study_name="sweep", direction="maximize", load_if_exists=True, pruner=pruner
        )

    def _begin_with_the_recipe(self) -> None:
        known = {**self.plan.agent_config, "num_envs": self.plan.num_envs}
        self.study.enqueue_trial({d.field: known[d.field] for d in self.dimensions if d.holds(known[d.field])})

    def trials(self, *states: str) -> list[Any]:
        """Frozen trials, by their number; of these states, without any of all."""
        wanted = tuple(self.optuna.trial.TrialState[s] for s in states)
        return [t for t in self.study.get_trials(deepcopy=False, states=wanted or None) if t.state.name != "WAITING"]

    def done(self) -> int:
        """Counts the trials that have ended: completed, pruned or failed."""
        return len(self.trials("COMPLETE", "PRUNED", "FAIL"))

    def work(self, total: int, cores: set[int]) -> None:
        """One trial after the other until there are `total`, the unfinished ones that are nobody's first."""
        study = self._open()  # a connection of this thread's own
        while not self.stopping.is_set():
            if self._go_on(study, cores):
                continue
            with contextlib.ExitStack() as held:
                with lock(self.folder / "locks" / "study", wait=True):
                    drawn = len(self.trials())
                    if drawn >= total:
                        break
                    study.sampler = self.optuna.samplers.TPESampler(
                        seed=int(np.random.SeedSequence([self.plan.seed, drawn]).generate_state(1)[0]),
                        n_startup_trials=WARM, multivariate=True, constant_liar=True,
                    )  # fmt: skip
                    trial = study.ask()
                    mine = held.enter_context(lock(self._lock(trial.number)))
                    params = {d.field: d.draw(trial) for d in self.dimensions}
                if mine is not None:
                    self._carry_out(study, trial, params, cores, mine)
        while self.trials("RUNNING") and not self.stopping.wait(PERIOD):  # others', until they are done or nobody's
            self._go_on(study, cores)

    def _go_on(self, study: Any, cores: set[int]) -> bool:
        """Goes on with an unfinished trial that is nobody's; False where there is none."""
        for frozen in self.trials("RUNNING"):
            with contextlib.ExitStack() as held:
                with lock(self.folder / "locks" / "study", wait=True):  # another may have drawn it, and not locked it
                    mine = held.enter_context(lock(self._lock(frozen.number)))
                    if mine is None or self._state(frozen.number) != "RUNNING":
                        continue
                    study.get_trials(deepcopy=False)  # Optuna draws only for trials that this connection has seen
                    trial = self.optuna.trial.Trial(study, frozen._trial_id)
                    params = {d.field: d.draw(trial) for d in self.dimensions}
                self._carry_out(study, trial, params, cores, mine)
                return True
        return False

    def _lock(self, number: int) -> Path:
        return self.folder / "locks" / f"{number:04d}"

    def _state(self, number: int) -> str:
        return next(t.state.name for t in self.trials() if t.number == number)

    def _carry_out(self, study: Any, trial: Any, params: dict[str, Any], cores: set[int], mine: int) -> None:
        """Trains one configuration, or goes on with its run, and tells the study how it ended."""
        name, plan = f"{trial.number:04d}", self.plan
        config, log = self.folder / "trials" / f"{name}.json", self.folder / "logs" / f"{name}.txt"
        config.parent.mkdir(exist_ok=True)
        write_json(config, {**plan.configuration(params), "name": f"trial-{name}"})
        path = self._run(trial.number)
        common = [
            "--runs",
            self.folder / "runs",
            "--eval-episodes",
            plan.eval_episodes,
            "--no-video",
            "--device",
            plan.device,
        ]
        if path is not None and self._score(path) is not None:  # it came to its end while nobody looked
            code = 0
        else:
            words = [plan.game, "--config", config, "--agent", plan.agent, "--minutes", plan.minutes]
            words += [
                "--seed",
                plan.seed,
                "--no-checkpoint-ring",
                *(["--init", plan.init] if plan.init else []),
                *plan.further,
                *common,
            ]
            words = words if path is None else ["--resume", path, *common]
            process = self.start("train", words, log, cores=cores, keep=[mine])
            if self._follow(study, trial, process):
                study.tell(trial.number, state=self.optuna.trial.TrialState.PRUNED)
                print(f"trial {trial.number}: ended early, {parameter_text(params)}", flush=True)
                return
            if getattr(process, "lost", False):
                print(f"trial {trial.number}: its node died; another goes on with it", flush=True)
                return
            code = process.returncode
            path = self._run(trial.number)
            if self.stopping.is_set() and (path is None or self._score(path) is None):
                return  # unfinished, or stopped before it had a folder: for the next one
        score = None if code or path is None else self._score(path)
        if score is None:
            trial.set_user_attr("reason", child.reason(code, log))
            study.tell(trial.number, state=self.optuna.trial.TrialState.FAIL)
            print(f"trial {trial.number}: failed ({trial.user_attrs['reason']}), {parameter_text(params)}", flush=True)
            return
        study.tell(trial.number, score)
        print(f"trial {trial.number}: {number(score)}, {parameter_text(params)}", flush=True)

    def _follow(self, study: Any, trial: Any, process: Any) -> bool:
        """Reports along the way until the process ends; True where the trial was ended early."""
        seen = max(study.get_trials(deepcopy=False)[trial.number].intermediate_values, default=0)
        while process.poll() is None:
            if self.stopping.wait(PERIOD):
                child.stop(process)
                return False
            path = self._run(trial.number)
            for part, value in progress(path, self.plan.minutes) if path else ():
                if part <= seen:
                    continue
                trial.report(value, seen := part)
                if self.prune and trial.should_prune():
                    child.stop(process)
                    return True
        return False

    def _run(self, number: int) -> Path | None:
        """The run folder of a trial, where it has one."""
        found = [p for p in records.below(self.folder / "runs") if p.name.startswith(f"trial-{number:04d}-s")]
        return found[-1] if found else None

    def _score(self, path: Path) -> float | None:
        """What the run reached; None where it is unfinished."""
        try:
            record = records.read(path)
        except RunError:
            return None
        if not self.plan.eval_episodes:
            curve = record.curve(METRIC)
            return float(curve.values[-1]) if record.finished and len(curve.values) else None
        return next((s.value for s in record.scores("eval/return").values()), None) if record.finished else None

    def progress(self, total: int) -> str:
        """One line."""
        complete, running = self.trials("COMPLETE"), len(self.trials("RUNNING"))
        best = max(complete, key=lambda t: t.value, default=None)
        reached = f"best {number(best.value)} (trial {best.number})" if best else "none complete yet"
        left = duration(max(0, total - self.done()) * self.plan.minutes * 60 / max(1, running))
        return f"{self.done()} of {total} trials, {running} running, {reached}, about {left} left"

    def report(self) -> str:
        """Writes table, pictures and best.json; returns what is to be printed."""
        from experiments.comparing import plots

        rows, everything = [], self.trials()
        ranked = sorted(everything, key=lambda t: (t.state.name != "COMPLETE", -(t.value or 0.0), t.number))
        for t in ranked:
            score = number(t.value) if t.state.name == "COMPLETE" else t.user_attrs.get("reason", STATES[t.state.name])
            rows.append([str(t.number), score, *(records.plain(t.params.get(d.field)) for d in self.dimensions)])
        what = f"eval/return over {self.plan.eval_episodes} games" if self.plan.eval_episodes else METRIC
        remark = (
            f"Score: {what} after {self.plan.minutes:g} minutes of training, one seed ({self.plan.seed}) each: the best"
            " of many is partly luck, so train it with new seeds before believing it."
        )
        table = TextTable(
            f"{self.plan.game}, {self.plan.agent}",
            ["trial", "score", *(d.field for d in self.dimensions)],
            rows,
            remark,
        )
        parts, written = [markdown(table._replace(rows=rows[:15]))], [self.folder / "sweep.md"]
        complete = [t for t in ranked if t.state.name == "COMPLETE"]
        weights = importance(self.optuna, self.study, complete)
        if weights:
            written.append(plots.search(complete, weights, self.folder / "importance.png", what))
            parts.append("importance: " + ", ".join(f"{k} {100 * v:.0f} %" for k, v in weights.items()))
        else:
            parts.append("importance: not known from fewer than 5 complete trials with different scores")
        written[0].write_text("\n\n".join([markdown(table), *parts[1:]]) + "\n")
        if complete:
            path = self.folder / "best.json"
            best, run = complete[0], self._run(complete[0].number)
            steps = records.read(run).budget if run else None
            found = {"sweep": str(self.folder), "trial": best.number, "score": best.value, "minutes": self.plan.minutes}
            content = {**self.plan.configuration(best.params), "name": "best", "steps": steps, "found": found}
            write_json(path, {k: v for k, v in content.items() if v is not None})
            written.append(path)
            again = cli.line(
                "train", self.plan.game, "--config", path, "--seed", self.plan.seed + 1, *self.plan.further
            )
            parts.append(f"best: trial {best.number}; with a new seed:\n  {again}")
        parts.insert(-1 if complete else len(parts), "written: " + ", ".join(map(str, written)))
        return "\n\n".join(parts)


STATES = {"PRUNED": "ended early", "RUNNING": "running", "FAIL": "failed"}


def parameter_text(params: Mapping[str, Any]) -> str:
    """Formats hyperparameters as name=value, with spaces between them."""
    return " ".join(f"{k}={records.plain(v)}" for k, v in params.items())


def progress(path: Path, minutes: float) -> list[tuple[int, float]]:
    """(part 1..PARTS of the minutes, training score at its end), as far as the run has come."""
    try:
        curve = records.read(path).curve(METRIC)
    except RunError:
        return []
    known = np.isfinite(curve.minutes)
    found = {}
    for at, value in zip(curve.minutes[known], curve.values[known], strict=True):
        if 1 <= (part := int(at / minutes * PARTS)) <= PARTS:
            found.setdefault(part, float(value))  # the first within the part, the same for every trial
    return sorted(found.items())


def importance(optuna: Any, study: Any, complete: list[Any]) -> dict[str, float]:
    """Share of each field in what tells good trials from the rest (PED-ANOVA), the largest first; {} of too few."""
    varied = {k for t in complete for k in t.params if len({str(o.params.get(k)) for o in complete}) > 1}
    if len(complete) < 5 or len({t.value for t in complete}) < 2 or not varied:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=sorted(varied))
    whole = sum(found.values())
    return {k: v / whole for k, v in found.items()} if whole > 0 else {}
