"""Pictures of a comparison: learning curves with intervals, and performance profiles. Drawn without a display."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from experiments.comparing import statistics
from experiments.comparing.groups import Comparison, RunGroup

# Okabe and Ito (2008), told apart by colour-blind readers as well; yellow is left out, white paper swallows it.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
DASHES = ("-", (0, (6, 2)), (0, (1.5, 1.5)))  # line styles, for more curves than colours
INK, FAINT, RULE = "#222222", "#6b6b6b", "#e6e6e6"
DPI = 180
ABREAST = 3  # labels in a line of the legend
POINTS, RESAMPLES = 120, 1000  # points of a curve, resamples of its interval; a picture needs no more


def style(made: Comparison, label: str) -> dict[str, Any]:
    """The same colour and dash for a label everywhere, by its place in the ranking."""
    place = made.labels.index(label)
    return {"color": COLORS[place % len(COLORS)], "linestyle": DASHES[place // len(COLORS) % len(DASHES)]}


def curves(made: Comparison, path: Path) -> Path:
    """A row per game: the curve over steps, over minutes of training, and the scores of the seeds."""
    rows, widths, text = len(made.games), [5, 5, 3.2], explained(made)
    above = 0.5 + 0.3 * -(-len(made.labels) // ABREAST)  # inches for title and legend
    below = 0.15 + 0.17 * len(text)
    height = 3.3 * rows + above + below
    figure = Figure(figsize=(11, height), dpi=DPI, facecolor="white", layout="constrained")
    figure.get_layout_engine().set(rect=(0, below / height, 1, 1 - (above + below) / height), w_pad=0.12, h_pad=0.1)
    axes = figure.subplots(rows, 3, squeeze=False, width_ratios=widths)
    for game, (steps, minutes, scores) in zip(made.games, axes, strict=True):
        groups = [g for g in made.groups if g.game == game]
        draw_curves(steps, made, groups, over="steps")
        draw_curves(minutes, made, groups, over="minutes")
        low, high = np.array([steps.get_ylim(), minutes.get_ylim()]).T
        for axis in (steps, minutes):
            axis.set_ylim(low.min(), high.max())
            draw_threshold(axis, made.thresholds[game], named=axis is steps)
        steps.set_ylabel(made.curve)
        steps.set_title(f"{game}", loc="left", fontsize=12, fontweight="bold", color=INK)
        minutes.set_title("over wall clock", loc="left", fontsize=10.5, color=FAINT)
        draw_scores(scores, made, groups)
    handles, labels = entries(made)
    count = sum(len(g.entries) for g in made.groups)
    figure.suptitle(f"{made.metric} of {count} run{'s' * (count != 1)}", x=0.012, y=1 - 0.12 / height,
                    ha="left", va="top", fontsize=14, fontweight="bold", color=INK)  # fmt: skip
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.006, 1 - 0.42 / height), ncols=ABREAST,
                  frameon=False, fontsize=11, labelcolor=INK, handlelength=1.8, columnspacing=1.8)  # fmt: skip
    figure.text(0.012, 0.1 / height, "\n".join(text), fontsize=9, color=FAINT, va="bottom")
    return saved(figure, path)


def entries(made: Comparison) -> tuple[list[Any], list[str]]:
    """Handles and labels of the legend, with the number of seeds."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], linewidth=2.4, **style(made, label)) for label in made.labels]
    seeds = [sorted(len(g.entries) for g in made.groups if g.label == label) for label in made.labels]
    ranges = [f"{s[0]}" if s[0] == s[-1] else f"{s[0]}-{s[-1]}" for s in seeds]
    return handles, [f"{label}  ({r} seed{'' if r == '1' else 's'})"
                     for label, r in zip(made.labels, ranges, strict=True)]  # fmt: skip


def explained(made: Comparison) -> list[str]:
    """What the lines are, in lines that fit below the picture."""
    text = "Line: interquartile mean over seeds; band: its 95 % bootstrap interval; thin: each seed."
    if any(len({r.steps for r in g.records}) > 1 for g in made.groups):
        text += " Dotted: some of the seeds have ended."
    if any(len(g.entries) < statistics.MIN_SEEDS for g in made.groups):
        text += f" Without a band: fewer than {statistics.MIN_SEEDS} seeds."
    if made.curve == "train/return":
        text += " train/return: mean of the newest 100 training games."
    return textwrap.wrap(text, 150)


def draw_curves(axis: Axes, made: Comparison, groups: Sequence[RunGroup], over: str) -> None:
    """One line with its band per group, over "steps" or "minutes"."""
    prepare(axis)
    for group in groups:
        drawn = list(points(group, made.curve, over))
        if not drawn:
            continue
        look = style(made, group.label)
        for x, y in drawn:
            axis.plot(x, y, linewidth=0.8, alpha=0.28 if len(drawn) > 1 else 0, **look)
        band = statistics.band(drawn, POINTS, resamples=RESAMPLES)
        whole = band.runs == len(drawn)
        axis.fill_between(band.x, band.low, band.high, color=look["color"], alpha=0.18, linewidth=0)
        axis.plot(band.x[whole], band.line[whole], linewidth=2.2, **look)
        some = ~whole
        some[1:] |= ~whole[1:] & whole[:-1]
        some[:-1] |= ~whole[1:]  # begins where the whole line ends
        axis.plot(band.x[some], band.line[some], linewidth=1.6, color=look["color"], linestyle=":")
    if not axis.lines:
        axis.text(0.5, 0.5, f"no {made.curve} over {over}", transform=axis.transAxes, ha="center", color=FAINT)
        axis.set_axis_off()
        return
    axis.set_xlim(left=0)
    axis.set_xlabel("agent steps" if over == "steps" else "minutes of training")
    axis.xaxis.set_major_formatter(FuncFormatter(short))


def points(group: RunGroup, tag: str, over: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(x, y) of each run that logged the tag, and its clock where that is asked for."""
    for record in group.records:
        curve = record.curve(tag)
        x = curve.steps if over == "steps" else curve.minutes
        if len(x) > 1 and np.isfinite(x).all():
            yield x, curve.values


def draw_threshold(axis: Axes, threshold: float, named: bool) -> None:
    """A dotted line, named on the left, where curves are still below it."""
    low, high = axis.get_ylim()
    if not low < threshold < high:
        return
    axis.axhline(threshold, color=FAINT, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
    if named:
        axis.annotate(f"threshold {threshold:.3g}", (0, threshold), xycoords=("axes fraction", "data"), xytext=(4, 3),
                      textcoords="offset points", fontsize=8, color=FAINT, zorder=5,
                      bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})  # fmt: skip


def draw_scores(axis: Axes, made: Comparison, groups: Sequence[RunGroup]) -> None:
    """The seeds as dots, the interquartile mean with its interval beside them; the best on top."""
    prepare(axis)
    axis.grid(False, axis="y")
    axis.grid(True, axis="x", color=RULE)
    for place, group in enumerate(groups):
        color = style(made, group.label)["color"]
        axis.plot(group.scores, np.full(len(group.scores), place + 0.16), "o", color=color, alpha=0.45, markersize=5,
                  markeredgewidth=0)  # fmt: skip
        middle = float(statistics.interquartile_mean(group.scores))
        low, high = statistics.interval(statistics.interquartile_mean, [group.scores], resamples=made.resamples)
        if np.isfinite(low):
            axis.plot([low, high], [place - 0.1] * 2, color=color, linewidth=3.2, solid_capstyle="round")
        axis.plot([middle], [place - 0.1], "o", color="white", markeredgecolor=color, markeredgewidth=2, markersize=7.5)
        axis.annotate(f"{middle:.3g}" if abs(middle) < 1000 else f"{middle:,.0f}", (middle, place - 0.1),
                      xytext=(0, 8), textcoords="offset points", ha="center", fontsize=9, color=INK)  # fmt: skip
    axis.set_ylim(len(groups) - 0.5, -0.5)
    axis.set_yticks([])
    axis.margins(x=0.12)
    if min(group.scores.min() for group in groups) >= 0:
        axis.set_xlim(left=0)
    axis.set_title("score of each seed", loc="left", fontsize=10.5, color=FAINT)
    axis.set_xlabel(made.metric)


def profiles(made: Comparison, path: Path) -> Path:
    """The fraction of runs above each human-normalised score, averaged over the games of the suite."""
    figure = Figure(figsize=(8, 4.6), dpi=DPI, facecolor="white", layout="constrained")
    axis = figure.subplots()
    prepare(axis)
    scores = {label: made.normalised(label, made.suite) for label in made.labels}
    every = np.concatenate([np.concatenate(games) for games in scores.values()])
    top = 1.05 * max(0.1, min(float(every.max()), 2 * float(np.percentile(every, 95))))  # one outlier is cut off
    thresholds = np.linspace(min(0.0, float(every.min())), top, POINTS)
    for label, games in scores.items():
        above = statistics.profile(games, thresholds)
        low, high = statistics.interval(statistics.mean, above, resamples=RESAMPLES)
        look = style(made, label)
        axis.fill_between(thresholds, low, high, step="post", color=look["color"], alpha=0.18, linewidth=0)
        axis.plot(thresholds, statistics.mean(*above), drawstyle="steps-post", linewidth=2.2, label=label, **look)
    if thresholds[0] < 1 < top:
        axis.axvline(1, color=FAINT, linewidth=0.9, linestyle=(0, (2, 3)))
        axis.annotate("human", (1, 0), xycoords=("data", "axes fraction"), xytext=(4, 6),
                      textcoords="offset points", fontsize=9, color=FAINT)  # fmt: skip
    axis.set_xlim(thresholds[0], top)
    axis.set_ylim(0, 1.02)
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.set_xlabel("human-normalised score")
    axis.set_ylabel("runs with a score above it")
    axis.set_title(f"Performance profile over {len(made.suite)} games", loc="left", fontsize=14, fontweight="bold",
                   color=INK)  # fmt: skip
    axis.legend(frameon=False, fontsize=11, labelcolor=INK, loc="upper right")
    return saved(figure, path)


def suite(games: Mapping[str, np.ndarray], published: Mapping[str, float], agent: str, path: Path) -> Path:
    """Human-normalised scores game by game, the best on top. games: an array of seeds each; published: Nature DQN's."""
    order = sorted(games, key=lambda g: float(games[g].mean()))
    figure = Figure(figsize=(8, 1.3 + 0.24 * max(4, len(order))), dpi=110, facecolor="white", layout="constrained")
    axis = figure.subplots()
    prepare(axis)
    axis.grid(False, axis="y")
    axis.grid(True, axis="x", color=RULE)
    axis.set_xscale("symlog", linthresh=1.0, linscale=1.0)  # linear up to the human, logarithmic above
    places = np.arange(len(order))
    axis.barh(places, [float(games[g].mean()) for g in order], color=COLORS[0], height=0.6, alpha=0.85, label=agent)
    for place, game in zip(places, order, strict=True):
        if len(games[game]) > 1:
            axis.plot(games[game], np.full(len(games[game]), place), "o", color=INK, markersize=2.5)
    axis.plot([published[g] for g in order], places, "D", color=COLORS[1], markersize=5, label="Nature DQN (published)")
    axis.axvline(1, color=FAINT, linewidth=0.9, linestyle=(0, (2, 3)))
    axis.axvline(0, color=FAINT, linewidth=0.9)
    axis.set_yticks(places, order)
    axis.xaxis.set_major_locator(FixedLocator([-1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50, 100]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.set_xlabel("human-normalised score: 0 % random play, 100 % human")
    axis.legend(frameon=False, fontsize=10, loc="lower right", labelcolor=INK)
    return saved(figure, path)


def search(trials: Sequence[Any], weights: Mapping[str, float], path: Path, what: str) -> Path:
    """How much each field of a sweep matters, and the score over each of them. trials: complete, the best first."""
    shown = list(weights)[:6]
    figure = Figure(figsize=(3.6 + 2.4 * len(shown), 3.6), dpi=110, facecolor="white", layout="constrained")
    bars, *scatters = figure.subplots(1, 1 + len(shown), width_ratios=[1.5, *(1 for _ in shown)])
    prepare(bars)
    bars.grid(False)
    shares = [weights[k] for k in shown]
    bars.barh(shown[::-1], shares[::-1], color=COLORS[0], height=0.55)
    bars.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bars.set_title("importance", loc="left", fontsize=12, fontweight="bold", color=INK)
    for axis, field in zip(scatters, shown, strict=True):
        prepare(axis)
        values = [t.params[field] for t in trials if field in t.params]
        scores = [t.value for t in trials if field in t.params]
        if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            values = [str(v) for v in values]
        elif min(values) > 0 and max(values) / min(values) >= 20:
            axis.set_xscale("log")
        axis.plot(values, scores, "o", color=COLORS[0], alpha=0.5, markersize=6, markeredgewidth=0)
        axis.plot(values[:1], scores[:1], "o", color=COLORS[1], markersize=8, markeredgewidth=0)
        axis.set_xlabel(field)
        axis.margins(x=0.1)
        if axis is not scatters[0]:
            axis.set_yticklabels([])
    scatters[0].set_title(f"{what}; the best in colour", loc="left", fontsize=10.5, color=FAINT)
    return saved(figure, path)


def prepare(axis: Axes) -> None:
    """Light rules, no box."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("#b5b5b5")
    axis.grid(True, axis="y", color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=FAINT, labelsize=10, length=0, pad=5)
    axis.xaxis.label.set(color=INK, fontsize=11)
    axis.yaxis.label.set(color=INK, fontsize=11)
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))


def short(value: float, _: int | None = None) -> str:
    """An axis's number: 250 k, 1.5 M."""
    size, unit = (1e6, " M") if abs(value) >= 1e6 else (1e3, " k") if abs(value) >= 1e4 else (1, "")
    return f"{value / size:g}{unit}"


def saved(figure: Figure, path: Path) -> Path:
    """Writes the figure as a PNG file and returns its path."""
    FigureCanvasAgg(figure).print_png(path)
    return path
