"""The tables of a comparison: on the terminal, as Markdown and as CSV, with the pictures of `plots`."""

from __future__ import annotations

import csv
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import cli
from experiments.comparing import statistics
from experiments.comparing.groups import Comparison, RunGroup, configuration
from experiments.comparing.records import plain

ALPHA = 0.05  # significance level of p after Holm's correction
AGGREGATES = {
    "mean": statistics.mean,
    "median": statistics.median,
    "interquartile mean": statistics.interquartile_mean,
}
HOW = (
    "P: the probability that a run of the first scores above a run of the second. p: two-sided permutation test,"
    " corrected for the number of pairs; three seeds against three cannot get below 0.1, four against four can."
)


class TextTable(NamedTuple):
    """Text in columns."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    remark: str = ""  # sentence below the table


class Estimate(NamedTuple):
    """A figure with its 95 % interval; nan where there are too few seeds for one."""

    point: float
    low: float
    high: float

    def text(self, write: Callable[[float], str]) -> str:
        """Formats the figure, and its interval where there is one; `write` formats one number."""
        if math.isnan(self.low):
            return write(self.point)
        return f"{write(self.point)} [{write(self.low)}, {write(self.high)}]"


class Summary(NamedTuple):
    """One group in figures."""

    group: RunGroup
    estimates: dict[str, Estimate]  # estimates by the name of the aggregate
    steps: float  # steps to the threshold, median over seeds; nan: not reached
    minutes: float
    reached: int  # seeds that reached the threshold
    rate: float  # speed of training, median over seeds, in steps per second
    hardware: str


class Pair(NamedTuple):
    """Is the first better than the second?"""

    first: str
    second: str
    games: Sequence[str]
    improvement: Estimate  # probability that a run of the first group beats one of the second
    p: float  # p of a two-sided permutation test, corrected for the number of pairs; nan: too few seeds
    verdict: str


def estimate(statistic: Callable[..., np.ndarray], games: Sequence[np.ndarray], resamples: int) -> Estimate:
    """Computes a statistic of the scores [seeds] of each game, with its bootstrap interval."""
    low, high = statistics.interval(statistic, games, resamples=resamples)
    return Estimate(float(statistic(*games)), float(low), float(high))


def summary(made: Comparison, group: RunGroup) -> Summary:
    """The figures of one group."""
    estimates = {k: estimate(f, [group.scores], made.resamples) for k, f in AGGREGATES.items()}
    curves = [c for r in group.records if len((c := r.curve(made.curve)).values)]
    threshold = made.thresholds[group.game]
    steps = [statistics.first_reach(c.steps, c.values, threshold) for c in curves]
    clocked = [c for c in curves if np.isfinite(c.minutes).all()]  # a run without a clock says nothing of minutes
    minutes = [statistics.first_reach(c.minutes, c.values, threshold) for c in clocked]
    rates = [r.rate for r in group.records if not math.isnan(r.rate)]
    return Summary(
        group,
        estimates,
        statistics.median_reach(steps) if steps else math.nan,
        statistics.median_reach(minutes) if minutes else math.nan,
        int(np.isfinite(steps).sum()),
        float(np.median(rates)) if rates else math.nan,
        " / ".join(f"{m} ({d})" if d != "cpu" else m for m, d in hardware(group)),
    )


def hardware(group: RunGroup) -> list[tuple[str, str]]:
    """(machine, device) of the runs, each once."""
    return list(dict.fromkeys((plain(r.config.get("machine")), plain(r.config.get("device"))) for r in group.records))


def pairs(made: Comparison, labels: Sequence[str], games: Sequence[str] | None = None) -> list[Pair]:
    """Every two of the labels, on `games` or on all that both have played; the better one first."""
    found = []
    for pair in itertools.combinations(labels, 2):
        shared = made.shared_games(pair) if games is None else list(games)
        if not shared:
            continue
        xs, ys = ([made.group(game, label).scores for game in shared] for label in pair)
        if statistics.improvement(*xs, *ys) < 0.5:
            pair, xs, ys = pair[::-1], ys, xs
        few = min(len(s) for s in (*xs, *ys))
        p = math.nan if few < statistics.MIN_SEEDS else statistics.permutation_test(xs, ys)
        found.append(Pair(*pair, shared, estimate(statistics.improvement, [*xs, *ys], made.resamples), p, f"{few}"))
    tested = [i for i, pair in enumerate(found) if not math.isnan(pair.p)]
    corrected = dict(zip(tested, statistics.holm([found[i].p for i in tested]), strict=True))
    return [pair._replace(p=p, verdict=verdict(pair, p)) for i, pair in enumerate(found)
            for p in [corrected.get(i, math.nan)]]  # fmt: skip


def verdict(pair: Pair, p: float) -> str:
    """In words; pair.verdict holds the smallest number of seeds."""
    if math.isnan(p):
        return f"cannot be told: {pair.verdict} seed{'s' if pair.verdict != '1' else ''}"
    return f"{pair.first} is better" if p < ALPHA else f"cannot be told from {pair.verdict} seeds"


def number(value: float) -> str:
    """A score, to about three figures."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def percent(value: float) -> str:
    """Formats a share of 0 to 1 as whole per cent."""
    return f"{100 * value:.0f} %"


def count(value: float) -> str:
    """Steps, short."""
    if math.isnan(value):
        return "-"
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.0f} k" if value >= 1e3 else f"{value:.0f}"


def tables(made: Comparison, summaries: Sequence[Summary]) -> Iterator[TextTable]:
    """Everything, the answer first."""
    if len(made.games) > 1:
        if made.suite:
            yield suite(made)
        yield better("All games that both have played", pairs(made, made.labels), HOW)
    for game in made.games:
        inside = [s for s in summaries if s.group.game == game]
        yield scores(made, game, inside)
        if len(inside) > 1:
            how = HOW if made.games == [game] else ""
            yield better(f"{game}: which is better", pairs(made, [s.group.label for s in inside], [game]), how)
    if made.labels[1:]:
        yield differences(made)


def scores(made: Comparison, game: str, summaries: Sequence[Summary]) -> TextTable:
    """The table of one game."""
    threshold = number(made.thresholds[game])
    counted = not math.isnan(made.thresholds[game])
    to = [f"steps to {threshold}", f"minutes to {threshold}"] if counted else []
    header = ["agent", "seeds", "games each", *AGGREGATES, *to, "steps/s", "hardware"]
    rows = []
    for s in summaries:
        seeds = len(s.group.entries)
        reached = "" if s.reached == seeds else f" ({s.reached} of {seeds})"
        minutes = "-" if math.isnan(s.minutes) else f"{s.minutes:.1f}"
        rate = "-" if math.isnan(s.rate) else f"{s.rate:,.0f}"
        figures = [s.estimates[k].text(number) for k in AGGREGATES]
        figures += [f"{count(s.steps)}{reached}", minutes] if counted else []
        rows.append([s.group.label, str(seeds), games_each(s.group), *figures, rate, s.hardware])
    protocol = summaries[0].group.entries[0].score.protocol
    remark = f"{made.metric} over seeds, with 95 % bootstrap intervals; games each: played for the score of each seed."
    if counted:
        remark += (
            f" To {threshold}: the median over seeds until {made.curve} is first at or above it; a seed that never is"
            " counts as later than all others."
        )
    return TextTable(f"{game} (protocol {protocol})", header, rows, remark)


def games_each(group: RunGroup) -> str:
    """How many games stand behind the score of each seed; "-" for a score that was only logged."""
    counts = sorted({e.score.games for e in group.entries})
    return " to ".join(str(c) if c else "-" for c in dict.fromkeys((counts[0], counts[-1])))


def suite(made: Comparison) -> TextTable:
    """Human-normalised scores over the games."""
    rows = []
    for label in made.labels:
        games = made.normalised(label, made.suite)
        seeds = sorted({len(g) for g in games})
        figures = [estimate(f, games, made.resamples).text(percent) for f in AGGREGATES.values()]
        rows.append([label, str(len(games)), "-".join(map(str, {seeds[0]: 0, seeds[-1]: 0})), *figures])
    remark = (
        f"{', '.join(made.suite)}, protocol {made.protocols(made.suite)[0]}; 0 % is random play, 100 % the human of"
        " Mnih et al. (2015). 95 % intervals by bootstrap within each game."
    )
    return TextTable("All games, human-normalised", ["agent", "games", "seeds", *AGGREGATES], rows, remark)


def better(title: str, found: Sequence[Pair], remark: str) -> TextTable:
    """Pairs with the probability of improvement."""
    many = any(len(pair.games) > 1 for pair in found)
    header = ["first", "second", *(["games"] if many else []), "P(first beats second)", "p", "verdict"]
    rows = [
        [
            a,
            b,
            *([str(len(games))] if many else []),
            "-" if math.isnan(p) else chance.text(percent),
            "-" if math.isnan(p) else f"{p:.3f}",
            said,
        ]
        for a, b, games, chance, p, said in found
    ]
    return TextTable(title, header, rows, remark)


def differences(made: Comparison) -> TextTable:
    """The fields of the configuration that are not the same everywhere, one column per agent."""
    values: dict[str, dict[str, list[str]]] = {}
    for label in made.labels:
        groups = [g for g in made.groups if g.label == label]
        for config in [configuration(g.records[0].config) for g in groups]:
            for field, value in config.items():
                seen = values.setdefault(field, {}).setdefault(label, [])
                if plain(value) not in seen:
                    seen.append(plain(value))
    rows = []
    for field in sorted(values):
        cells = [" or ".join(values[field].get(label, [])) for label in made.labels]
        if len({*cells}) > 1 or any(len(v) > 1 for v in values[field].values()):
            rows.append([field, *cells])
    return TextTable("What differs in the configuration", ["field", *made.labels], rows, "Empty: it has no such field.")


def headline(made: Comparison) -> str:
    """The answer in one sentence."""
    if len(made.labels) < 2:
        return f"One configuration only ({made.labels[0]}): there is nothing to compare it with."
    found = pairs(made, made.labels)
    if not found:
        return "No two of these have played the same game."
    verdicts = [f"{p.verdict} than {p.second}" for p in found if p.p < ALPHA]
    if not verdicts:
        return "Which is better cannot be told from these seeds."
    return "; ".join(verdicts) + ("." if len(verdicts) == len(found) else "; the rest cannot be told from these seeds.")


def markdown(table: TextTable) -> str:
    """A table in Markdown, readable as plain text as well."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (table.header, *table.rows)]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(table.header))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join([f"## {table.title}", "", *lines, *(["", table.remark] if table.remark else [])])


def lists(made: Comparison) -> Iterator[tuple[str, list[str]]]:
    """(title, lines) of what must be known, and of what was left out."""
    if made.notes:
        yield "Notes", made.notes
    if made.left:
        yield "Left out", [f"{x.what}: {x.reason}" for x in made.left]


def document(made: Comparison, found: Sequence[TextTable], pictures: Sequence[Path]) -> str:
    """The whole in Markdown."""
    parts = [f"# Comparison of {made.metric}", headline(made)]
    parts += [f"![{picture.stem}]({picture.name})" for picture in pictures]
    parts += [markdown(table) for table in found]
    parts += [f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) for title, lines in lists(made)]
    return "\n\n".join(parts) + "\n"


def show(made: Comparison, found: Sequence[TextTable]) -> None:
    """On the terminal with rules and colour, elsewhere as Markdown."""
    if not sys.stdout.isatty():
        cli.say(document(made, found, ()))
        return
    from rich import box, console, table

    screen = console.Console(markup=False, highlight=False)
    screen.print(headline(made), style="bold")
    for one in found:
        grid = table.Table(*one.header, title=one.title, box=box.SIMPLE_HEAD, title_justify="left")
        for row in one.rows:
            grid.add_row(*row)
        screen.print(grid)
        screen.print(f"{one.remark}\n", style="dim")
    for title, lines in lists(made):
        screen.print(f"\n{title}", style="bold")
        for line in lines:
            screen.print(f"- {line}")


def write(made: Comparison, summaries: Sequence[Summary], found: Sequence[TextTable], folder: Path) -> list[Path]:
    """comparison.md, groups.csv, runs.csv, curves.png and, of a suite, profile.png. Returns the paths."""
    from experiments.comparing import plots

    folder.mkdir(parents=True, exist_ok=True)
    pictures = [plots.curves(made, folder / "curves.png")]
    if made.suite:
        pictures.append(plots.profiles(made, folder / "profile.png"))
    text = folder / "comparison.md"
    text.write_text(document(made, found, pictures))
    sheets = {"groups.csv": group_rows(made, summaries), "runs.csv": run_rows(made)}
    for name, rows in sheets.items():
        with open(folder / name, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return [text, *(folder / name for name in sheets), *pictures]


def group_rows(made: Comparison, summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """One row per group, figures with full precision."""
    rows = []
    for s in summaries:
        row = {"game": s.group.game, "protocol": s.group.entries[0].score.protocol, "agent": s.group.label}
        row |= {"metric": made.metric, "seeds": len(s.group.entries)}
        for name, figure in s.estimates.items():
            row |= {f"{name.replace(' ', '_')}{end}": value
                    for end, value in zip(("", "_low", "_high"), figure, strict=True)}  # fmt: skip
        row |= {"threshold": made.thresholds[s.group.game], "seeds_reached": s.reached}
        row |= {"steps_to_threshold": s.steps, "minutes_to_threshold": s.minutes}
        rows.append(row | {"steps_per_second": s.rate, "hardware": s.hardware})
    return rows


def run_rows(made: Comparison) -> list[dict[str, Any]]:
    """One row per run, with the fields of the configuration that differ."""
    fields = [row[0] for row in differences(made).rows]
    rows = []
    for g in made.groups:
        for record, score in g.entries:
            row = {"run": str(record.path), "game": g.game, "protocol": score.protocol, "agent": g.label}
            row |= {"seed": record.config["seed"], "score": score.value, "policy": score.policy, "games": score.games}
            row |= {"steps": record.steps, "minutes": record.seconds / 60, "steps_per_second": record.rate}
            row |= {k: plain(record.config.get(k)) for k in ("machine", "device", "commit")}
            chosen = configuration(record.config)
            rows.append(row | {f"config.{k}": chosen.get(k, "") for k in fields})
    return rows
