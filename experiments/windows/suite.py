"""Every game that has a profile, one after the other, with one recipe: ``python -m experiments.suite screen``

Each is trained for so many minutes of real time, scored, and set beside the random player and, where the game has one,
the scripted player. The difference from the random player stands with its 95 % interval (bootstrap over episodes).
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import envs
from agents.core.run import RunError, duration, safe
from experiments import child, cli
from experiments.comparing import records
from experiments.comparing.report import TextTable, markdown, number

RESAMPLES = 10_000
LEVEL = 95.0  # per cent of the interval


class WindowScores(NamedTuple):
    """The scores of one game's full episodes, by who played."""

    game: str
    random: np.ndarray
    scripted: np.ndarray | None
    ours: np.ndarray | None
    failure: str = ""  # reason why there is no score of ours


@dataclasses.dataclass(frozen=True)
class WindowSuite:
    """What is trained, and for how long."""

    family: str  # game of the registry whose option `game` names the profiles
    games: tuple[str, ...]
    minutes: float
    agent: str
    episodes: int
    name: str
    runs: Path
    out: Path
    rest: tuple[str, ...] = ()  # further options of every `train`
    device: str = "auto"  # device of every `train`

    def path(self, game: str) -> Path:
        """The run folder of one game."""
        return self.runs / safe(self.family) / safe(self.agent) / f"{safe(f'{self.name}-{game}')}-s0"

    def training(self, game: str) -> list[str]:
        """The options of `train` for one game."""
        words = [self.family, "--env.game", game, "--xvfb", "--agent", self.agent, "--minutes", f"{self.minutes:g}"]
        words += ["--name", f"{self.name}-{game}", "--runs", self.runs, "--eval-episodes", 0, "--no-video"]
        words += ["--device", self.device] if self.device != "auto" else []
        return [*map(str, words), *self.rest]


def work(suite: WindowSuite) -> list[WindowScores]:
    """Trains and scores what is not done yet, and writes the table after every game."""
    found: list[WindowScores] = []
    print(f"{len(suite.games)} games, about {duration(60 * suite.minutes * len(suite.games))} and their evaluations")
    for game in suite.games:
        print(game, flush=True)
        failure = ""
        try:
            failure = _train(suite, game)
            found.append(scores_of(suite, game, failure))
        except ValueError as fault:  # a game that is not installed or shows no window: the others are played
            found.append(WindowScores(game, np.zeros(0), None, None, str(fault)))
        print(f"  {found[-1].failure or _row(found[-1])}", flush=True)
        write(suite, found)
    return found


def _train(suite: WindowSuite, game: str) -> str:
    """Trains a game whose run is not finished. Returns what failed, "" where nothing did."""
    path = suite.path(game)
    with np.errstate(all="ignore"):
        try:
            record = records.read(path)
            begun = shlex.join(["python", "-m", "experiments.train", *suite.training(game)])
            if record.config.get("command") != begun:
                raise ValueError(f"{path} was begun with other options; --name names another run")
            if None not in (record.budget, record.newest) and record.newest >= record.budget:
                return ""
            words = ["--resume", str(path), "--eval-episodes", "0", "--no-video", "--runs", str(suite.runs)]
            words += ["--device", suite.device]
        except RunError:
            words = suite.training(game)
    log = suite.out / "logs" / f"{safe(game)}.txt"
    process = child.start("train", words, log)
    try:
        code = process.wait()
    except BaseException:  # Ctrl-C reaches this process alone
        child.stop(process)
        raise
    return f"train failed: {child.reason(code, log)}" if code else ""


def scores_of(suite: WindowSuite, game: str, failure: str = "") -> WindowScores:
    """The scores of the random player, of the scripted one, and of our run; those kept are not played again."""
    kept = suite.out / f"{safe(game)}.json"
    held: dict[str, list[float]] = json.loads(kept.read_text()) if kept.is_file() else {}
    about = envs.describe(suite.family, game=game, xvfb=True)
    players = ["random", *(["scripted"] if about.scripted else []), *(["ours"] if not failure else [])]
    for who in players:
        if len(held.get(who, ())) < suite.episodes:
            held[who] = _play(suite, game, who)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(held))
    arrays = {who: np.array(held[who]) for who in players}
    return WindowScores(game, arrays["random"], arrays.get("scripted"), arrays.get("ours"), failure)


def _play(suite: WindowSuite, game: str, who: str) -> list[float]:
    """The scores of full episodes of one player."""
    from agents.core.clock import Clock
    from agents.core.evaluate import Policy, play
    from agents.core.run import Run
    from agents.core.stream import Stream
    from experiments import building, players
    from experiments.watching.scripted import Expert

    teaching = {envs.describe(suite.family, game=game).info["expert"]: True} if who == "scripted" else {}
    run = Run.open(suite.path(game)) if who == "ours" else None
    env = envs.scored(suite.family, run.config["env"]) if run else {"game": game, "xvfb": True, **teaching}
    device = building.device_for("random", "cpu")
    stream = Stream(envs.make_vec(suite.family, 1, **env), device)
    try:
        if who == "random":
            config = {"agent": "random", "agent_config": {}, "seed": 1, "num_envs": 1}
            agent = building.build_agent(config, stream.spec, Clock(1), device)
        else:
            agent = Expert(stream) if run is None else players.load_player(run, stream.spec, device)[0]
        policy = Policy(agent, "sampled" if who == "random" else agent.evaluation, stream.spec, 1)
        return [float(episode.score) for episode in play(policy, stream, suite.episodes, 1)]
    finally:
        stream.close()


def random_scores(family: str, game: str, episodes: int) -> list[float]:
    """The scores of full episodes of the random player. Raises ValueError where the game cannot be played."""
    nowhere = Path()
    return _play(WindowSuite(family, (game,), 0.0, "random", episodes, "", nowhere, nowhere), game, "random")


def advantage(ours: np.ndarray, other: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean of `ours` less that of `other`, and its 95 % interval by resampling the episodes of both."""
    rng = np.random.default_rng(seed)
    means = [x[rng.integers(len(x), size=(RESAMPLES, len(x)))].mean(1) for x in (ours, other)]
    low, high = np.percentile(means[0] - means[1], [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(ours.mean() - other.mean()), float(low), float(high)


def _row(found: WindowScores) -> list[str]:
    def mean(scores: np.ndarray | None) -> str:
        return "-" if scores is None or not len(scores) else number(float(scores.mean()))

    gain = "-"
    if found.ours is not None and len(found.random):
        value, low, high = advantage(found.ours, found.random)
        gain = f"{number(value)} ({number(low)} to {number(high)})"
    return [found.game, mean(found.random), mean(found.scripted), mean(found.ours), gain]


def table(suite: WindowSuite, found: Sequence[WindowScores]) -> TextTable:
    """random / scripted / ours, and by how much ours is better than random."""
    header = ["game", "random", "scripted", suite.agent, "more than random, 95 %"]
    remark = (
        f"{suite.agent}, one recipe, {suite.minutes:g} minutes of real time for each game, from its window alone; mean"
        f" of {suite.episodes} full episodes under the protocol of each profile. Interval: bootstrap over the episodes."
    )
    return TextTable("Games on the screen", header, [_row(row) for row in found], remark)


def write(suite: WindowSuite, found: Sequence[WindowScores]) -> Path:
    """suite.md, with what failed below the table."""
    parts = [markdown(table(suite, found))]
    parts += [f"- {row.game}: {row.failure}" for row in found if row.failure]
    suite.out.mkdir(parents=True, exist_ok=True)
    path = suite.out / "suite.md"
    path.write_text("\n\n".join(parts) + "\n")
    return path


def run(command: Any, rest: Sequence[str]) -> None:
    """`suite` of a game whose option `game` names profiles; `command` is a SuiteCommand."""
    from envs.screen.profile import load, names

    with cli.refusing():
        own = tuple(name for name in names() if load(name).install)  # games that others wrote
        chosen = tuple(w.strip() for w in command.games.split(",") if w.strip()) if command.games else own
        for game in chosen:
            envs.describe(command.family, game=game)
    out = command.out or Path("suites") / f"{safe(command.family)}-{safe(command.agent)}-{safe(command.called)}"
    suite = WindowSuite(
        command.family, chosen, command.minutes_per_game, command.agent, command.eval_episodes, command.called,
        command.runs, out, tuple(rest), command.device,
    )  # fmt: skip
    found = work(suite)
    print(markdown(table(suite, found)))
    print(f"\nwritten: {write(suite, found)}")
    if any(row.failure for row in found):
        raise cli.UserError("some games have no score; called again with the same words, the suite goes on")
