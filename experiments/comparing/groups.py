"""Runs grouped by their configuration over seeds, ready to be compared: never across protocols."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import envs
from agents.core.run import flat
from envs.description import Published
from experiments import cli
from experiments.comparing import statistics
from experiments.comparing.records import OmittedRun, RunRecord, Score, collect, plain

# What may differ between the seeds of one group: not part of what was tried, or follows from the machine.
FREE = {
    "agent", "checkpoint_ring", "cluster", "command", "commit", "device", "env.env_threads", "eval_every", "format",
    "game", "machine", "minutes", "name", "protocol", "recipe", "seed", "milestones", "steps",
}  # fmt: skip
STARTS = ("init", "teacher_run")  # runs that a run begins from; each seed may have a seed of theirs
SEED = re.compile(r"-s\d+(-\d+)?$")  # end of a run's name
MIN_CURVE = 3  # points; with fewer the training scores are drawn instead


class Entry(NamedTuple):
    """A run with its score."""

    record: RunRecord
    score: Score


@dataclasses.dataclass
class RunGroup:
    """Runs of one game and one configuration, one per seed."""

    game: str
    entries: list[Entry]
    label: str = ""

    @property
    def records(self) -> list[RunRecord]:
        """Returns the records of the group's runs, one per seed."""
        return [e.record for e in self.entries]

    @property
    def scores(self) -> np.ndarray:
        """float64 [seeds]."""
        return np.array([e.score.value for e in self.entries])

    def values(self, field: str) -> list[str]:
        """What the configuration's field is, in each run that differs."""
        return list(dict.fromkeys(plain(flat(r.config).get(field)) for r in self.records))


@dataclasses.dataclass
class Comparison:
    """Everything that the tables and pictures show."""

    metric: str
    curve: str  # tag of the learning curves
    groups: list[RunGroup]  # groups of every game, best first within a game
    games: list[str]
    labels: list[str]  # labels of the configurations, best first
    thresholds: dict[str, float]  # threshold of `curve` in each game
    left: list[OmittedRun]
    notes: list[str]
    resamples: int

    def group(self, game: str, label: str) -> RunGroup | None:
        """Returns the group with this label in this game, or None where no run has it."""
        return next((g for g in self.groups if (g.game, g.label) == (game, label)), None)

    def shared_games(self, labels: Iterable[str]) -> list[str]:
        """The games that all of these have runs of."""
        return [game for game in self.games if all(self.group(game, label) for label in labels)]

    def normalised(self, label: str, games: Sequence[str]) -> list[np.ndarray]:
        """Human-normalised scores, [seeds] per game: 0 is random play, 1 a professional tester."""
        return [published(game).normalised(self.group(game, label).scores) for game in games]

    @property
    def known(self) -> list[str]:
        """Games with published human scores that every agent has played."""
        return [g for g in self.shared_games(self.labels) if published(g) is not None]

    def protocols(self, games: Sequence[str]) -> list[str]:
        """The protocols of the games' scores, each once."""
        return list(dict.fromkeys(g.entries[0].score.protocol for g in self.groups if g.game in games))

    @property
    def suite(self) -> list[str]:
        """The games whose human-normalised scores may be averaged: at least two, all under one protocol."""
        whole = len(self.known) > 1 and len(self.protocols(self.known)) == 1
        return self.known if whole and self.metric in ("eval/return", "eval/mean", "train/return") else []


@functools.cache
def published(game: str) -> Published | None:
    """The scores in the literature of a game; None where there are none, or the game is no longer known."""
    try:
        return envs.describe(game).published
    except (envs.UnknownGame, ImportError):
        return None


def configuration(config: dict[str, Any]) -> dict[str, Any]:
    """The fields that were chosen, flat; of the two budgets the one that was named.

    Minutes become other steps on each machine.
    """
    fields = flat(config)
    chosen = {k: v for k, v in fields.items() if k not in FREE and not k.startswith("versions.")}
    chosen |= {k: SEED.sub("", chosen[k]) for k in STARTS if isinstance(chosen.get(k), str)}
    budget = "minutes" if fields.get("minutes") is not None else "steps"
    # A run that --stop-at has ended says how far it came, which is another number for each seed.
    open_ended = budget == "steps" and fields.get("stop_at") is not None
    return chosen | {"agent": fields["agent"]} | ({} if open_ended else {budget: fields.get(budget)})


def pick(records: Sequence[RunRecord], metric: str, protocol: str | None, left: list[OmittedRun]) -> list[Entry]:
    """Runs with their score, under one protocol per game. Raises ValueError where protocols would be mixed."""
    entries = []
    for record in records:
        scores = record.scores(metric)
        if not scores:
            left.append(OmittedRun(str(record.path), _no_score(record, metric)))
        elif protocol is not None and protocol not in scores:
            left.append(OmittedRun(str(record.path), f"it was scored under {', '.join(scores)}, not under {protocol}"))
        else:
            entries.append(Entry(record, next(iter(scores.values())) if protocol is None else scores[protocol]))
    for game in dict.fromkeys(e.record.config["game"] for e in entries):
        kinds: dict[str, list[str]] = defaultdict(list)
        for entry in entries:
            if entry.record.config["game"] == game:
                kinds[entry.score.protocol].append(str(entry.record.path))
        if len(kinds) > 1:
            message = "; ".join(f"{k}: {', '.join(v[:3])}{' ...' if len(v) > 3 else ''}" for k, v in kinds.items())
            raise ValueError(
                f"scores of different protocols are never compared, and {game} has {message}. Name runs of one"
                f" protocol, or --protocol {next(iter(kinds))}, which leaves the others out"
            )
    return entries


def _no_score(record: RunRecord, metric: str) -> str:
    if not record.lines and not record.evaluations:
        return "; ".join([f"it has no {metric}", *record.remarks])
    budget = f" of {record.budget:,}" if record.budget else ""
    reason = f"it has no {metric} (at step {record.steps:,}{budget})"
    known = {tag for line in record.lines for tag in line if "/" in tag} | {"eval/return", "eval/mean", "eval/median"}
    if metric not in known and (near := difflib.get_close_matches(metric, sorted(known), n=1)):
        return f"{reason}; did you mean --metric {near[0]}?"
    if metric.startswith("eval/"):
        reason += f"; {cli.line('evaluate', record.path)} scores it, --metric train/return does without"
    return reason


def group(entries: Sequence[Entry], left: list[OmittedRun]) -> list[RunGroup]:
    """Groups by game and configuration. The same seed twice is one piece of evidence: the longest run stays."""
    kinds: dict[str, dict[int, Entry]] = defaultdict(dict)
    order = sorted(entries, key=lambda e: (-e.record.steps, str(e.record.path)))
    for entry in order:
        config = entry.record.config
        key = json.dumps([config["game"], configuration(config)], sort_keys=True)
        first = kinds[key].setdefault(config["seed"], entry)
        if first is not entry:
            left.append(OmittedRun(str(entry.record.path), f"it repeats seed {config['seed']} of {first.record.path}"))
    return [
        RunGroup(next(iter(seeds.values())).record.config["game"], [seeds[s] for s in sorted(seeds)])
        for seeds in kinds.values()
    ]


def name(groups: Sequence[RunGroup]) -> None:
    """Gives each group, best first, a label: the agent, with more where that does not tell them apart.

    Groups of different games that get the same label are one contender of a suite.
    """
    chosen = [configuration(g.records[0].config) for g in groups]
    per_game: dict[str, list[int]] = defaultdict(list)
    for i, g in enumerate(groups):
        per_game[g.game].append(i)
    agents = [c["agent"] for c in chosen]
    names = ["+".join(sorted({str(r.config.get("name", "-")) for r in g.records})) for g in groups]
    differing = sorted(
        {k for i, j in itertools.combinations(range(len(groups)), 2) for k in chosen[i] | chosen[j]
         if groups[i].game == groups[j].game and agents[i] == agents[j] and chosen[i].get(k) != chosen[j].get(k)}
    )  # fmt: skip
    repeated = {a for inside in per_game.values() for a in agents if [agents[i] for i in inside].count(a) > 1}
    differences = [", ".join(f"{k.rpartition('.')[2]} {plain(c.get(k))}" for k in differing) for c in chosen]
    attempts = [agents, [f"{a} {n}" for a, n in zip(agents, names, strict=True)]]
    if len(differing) <= 3:
        attempts.insert(1, [f"{a}, {t}" if a in repeated else a for a, t in zip(agents, differences, strict=True)])
    for attempt in attempts:
        labels = list(attempt)
        if all(len({labels[i] for i in inside}) == len(inside) for inside in per_game.values()):
            break
    else:  # numbered within the game, best first
        for inside in per_game.values():
            for i in inside:
                same = [j for j in inside if attempts[-1][j] == attempts[-1][i]]
                labels[i] = attempts[-1][i] + (f" #{same.index(i) + 1}" if len(same) > 1 else "")
    for g, label in zip(groups, labels, strict=True):
        g.label = label


def compare(
    root: Path,
    words: Iterable[str],
    *,
    metric: str = "eval/return",
    protocol: str | None = None,
    threshold: float | None = None,
    resamples: int = statistics.RESAMPLES,
) -> Comparison:
    """Reads what the words name, groups and orders it. Raises ValueError where nothing can be compared."""
    records, left = collect(root, words)
    found = group(pick(records, metric, protocol, left), left)
    if not found:
        raise ValueError("nothing to compare: " + "; ".join(f"{x.what}: {x.reason}" for x in left[:3]))
    found.sort(key=lambda g: (g.game, -float(statistics.interquartile_mean(g.scores))))
    name(found)
    games = list(dict.fromkeys(g.game for g in found))
    places: dict[str, list[int]] = defaultdict(list)
    for game in games:
        for place, g in enumerate(g for g in found if g.game == game):
            places[g.label].append(place)
    labels = sorted(places, key=lambda k: (np.mean(places[k]), k))
    shortest = min(len(r.curve(metric).values) for g in found for r in g.records)
    curve = metric if shortest >= MIN_CURVE else "train/return"  # one that every run has
    thresholds = {
        game: half_of_best([g for g in found if g.game == game], curve) if threshold is None else threshold
        for game in games
    }
    made = Comparison(metric, curve, found, games, labels, thresholds, left, [], resamples)
    made.notes += notes(made)
    return made


def half_of_best(groups: Sequence[RunGroup], curve: str) -> float:
    """Half of the best group's last value; where scores may be negative, halfway from the lowest value to it."""
    curves = [[c.values for r in g.records if len((c := r.curve(curve)).values)] for g in groups]
    if not any(curves):
        return math.nan
    best = max(float(np.mean([v[-1] for v in group])) for group in curves if group)
    lowest = min(float(v.min()) for group in curves for v in group)
    return best / 2 if lowest >= 0 else (best + lowest) / 2


def notes(made: Comparison) -> list[str]:
    """What a reader must know before believing the tables."""
    remarks = []
    for g in made.groups:
        title = f"{g.game}, {g.label}"
        if len(g.entries) < statistics.MIN_SEEDS:
            remarks.append(
                f"{title}: {len(g.entries)} {'seed is' if len(g.entries) == 1 else 'seeds are'} too few to tell;"
                f" at least {statistics.MIN_SEEDS} make an interval"
            )
        lengths = [r.steps for r in g.records]
        if max(lengths) > 1.1 * min(lengths):
            remarks.append(f"{title}: its runs have different lengths ({min(lengths):,} to {max(lengths):,} steps)")
        for what in ("machine", "device", "commit"):
            if len(values := g.values(what)) > 1:
                remarks.append(f"{title}: its runs differ in {what} ({', '.join(values)})")
        if len(policies := {e.score.policy for e in g.entries if e.score.policy}) > 1:
            remarks.append(f"{title}: its runs were evaluated with different policies ({', '.join(sorted(policies))})")
        if policies := sorted({e.score.policy for e in g.entries if not e.score.own}):
            remarks.append(f"{title}: scored with policy {', '.join(policies)}, which is not its own")
        for entry in g.entries:
            record = entry.record
            faults = list(record.remarks)
            if not record.finished and record.budget:
                faults.append(f"unfinished, at step {record.steps:,} of {record.budget:,}")
            if entry.score.step is not None and entry.score.step < record.steps and entry.score.policy:
                faults.append(f"scored at step {entry.score.step:,}, trained to {record.steps:,}")
            remarks += [f"{record.path}: {fault}" for fault in faults]
    for game in made.games:
        counts = {e.score.games for g in made.groups if g.game == game for e in g.entries if e.score.games}
        if len(counts) > 1:
            remarks.append(f"{game}: its scores are means of {min(counts)} to {max(counts)} games")
    if made.curve != made.metric:
        remarks.append(f"curves and thresholds are of {made.curve}: {made.metric} was not logged along the way")
    if len(kinds := made.protocols(made.known)) > 1:
        remarks.append(f"games under different protocols ({', '.join(kinds)}) are not averaged")
    for label in made.labels if len(made.games) > 1 else ():
        if missing := [game for game in made.games if made.group(game, label) is None]:
            remarks.append(f"{label} has no run of {', '.join(missing)}: left out of what is averaged over games")
    return remarks
