"""Score a run over full games: ``python -m experiments.evaluate RUN --episodes 30 --json``.

    python -m experiments.evaluate RUN --options speed=4.8,random_colours=yes        under other options of the game
    python -m experiments.evaluate RUN --tracks test:20                            a driver, on tracks new to it
    python -m experiments.evaluate RUN --tracks test:20 --options theme=night,random_looks=1      and in other looks

Episodes are assigned to environments and seeds beforehand. The protocol is the run's; a run trained under
`baselines` may also be scored under `nature` (30 no-ops, epsilon 0.05 unless it samples, at most 5 minutes).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envs
from agents.core import progress
from agents.core.run import Run
from experiments import arguments, cli, conditions, finding, matches, references
from experiments.arguments import Positional
from experiments.comparing import evaluations
from experiments.conditions import Conditions

if TYPE_CHECKING:  # imports of torch stand where they are used: `--help` answers at once
    import torch

    from agents.core.clock import Clock
    from agents.core.rows import Agent
    from agents.core.stream import Stream
    from agents.core.training import Moment

MAX_ENVS = 32  # games played side by side
ALONG = 1_000_000  # addend of the seed of games along the way: what chooses weights is not what scores them


@dataclasses.dataclass(frozen=True)
class EvaluateCommand:
    """What to score."""

    run: Positional[str]  # a run's folder, or a game: its newest run
    episodes: int = 30  # full games
    policy: str | None = None  # greedy, sampled or "epsilon E"; without it the agent's and the protocol's
    protocol: str | None = None  # another protocol that the run may be scored under
    seed: int = 1  # seed of the games
    checkpoint: str | None = None  # step of the checkpoint, or best: of the evaluations along the way; else the newest
    max_steps: int = 0  # gym:ID: a game is cut after so many steps; 0: as in the training, 100,000 where it has no end
    tracks: str | None = None  # tracks that a driver drives once each, such as test:20, for autonomy and lap times
    seconds: float = 120.0  # seconds on each track, with --tracks
    options: str | None = None  # other conditions than the run's: options of the game, such as theme=all,latency=2
    against: str | None = None  # a game of two sides: a run to play against, or random; half of the games on each side
    random_moves: int = 2  # random moves at the beginning of each pair of games, with --against
    trust: str | None = None  # gym:MODULE:ID or MODULE:CLASS of the run, whose code you allow to be imported
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    json: bool = False  # print one JSON object and nothing else
    runs: Path = Path("runs")  # folder of the run folders

    @property
    def conditions(self) -> Conditions:
        """What it asks of the games."""
        return Conditions(self.protocol, self.options, self.max_steps)

    def __post_init__(self) -> None:
        arguments.within(self, *arguments.SEEDS, "seed")
        kind, _, share = (self.policy or "greedy").partition(" ")
        alone = ("greedy", "sampled", *(("straight", "expert") if self.tracks is not None else ()))
        if not (kind in alone and not share) and not (kind == "epsilon" and arguments.is_share(share)):
            raise ValueError(f"--policy {self.policy}: choose {', '.join(alone)} or 'epsilon E' with E in 0..1")
        arguments.at_least(self, 1, "episodes")
        arguments.at_least(self, 0, "max_steps")
        cli.checkpoint(self.checkpoint)
        if self.against is not None and self.episodes % 2:
            raise ValueError(f"--episodes {self.episodes}: must be even with --against, half of them on each side")
        arguments.within(self, 0, 1000, "random_moves")
        arguments.within(self, 5, 3600, "seconds")


def evaluate(
    run: Run,
    *,
    episodes: int,
    seed: int = 1,
    policy: str | None = None,
    asked: Conditions = Conditions(),  # noqa: B008  it cannot be changed
    step: int | str | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> dict[str, Any]:
    """Plays full games with the run's agent. The figures are for `keep`, once they have been told.

    asked: conditions of the games other than the run's. step: of the checkpoint, or "best".
    """
    from envs.gym_check import GameFault
    from experiments import building, players
    from experiments.training import faults

    where = building.device_for(run.config["agent"], device)
    stream = games(run, episodes, where, asked)
    agent, at = players.load_player(run, stream.spec, where, step)
    usual = usual_policy(agent, run.config["game"], asked.protocol)
    name = policy or usual
    try:
        with progress.Live(quiet=quiet) as live:
            follow = progress.of_games(live, "evaluating", episodes, stream.envs.metadata.get("max_steps"))
            result = score(run, stream, agent, at, episodes=episodes, seed=seed, policy=name, follow=follow)
    except GameFault as fault:
        raise cli.UserError(faults.traced(run, fault)) from fault
    stream.close()
    result |= {"own_policy": name == usual, "under": conditions.told(run, asked)}
    return result | {"own_protocol": asked.protocol in (None, run.config["protocol"])}


def by_chance(run: Run, *, episodes: int, seed: int) -> dict[str, Any]:
    """The figures of the random agent in the games of a run, as the run itself is scored."""
    from agents.core.clock import Clock
    from experiments import building

    where = building.device_for("random", "cpu")
    stream = games(run, episodes, where)
    config = {"agent": "random", "agent_config": {}, "seed": seed, "num_envs": stream.num_envs}
    agent = building.build_agent(config, stream.spec, Clock(1), where)
    result = score(run, stream, agent, 0, episodes=episodes, seed=seed, policy="sampled")
    stream.close()
    return result


def keep(run: Run, result: dict[str, Any]) -> None:
    """Adds the figures to the run's evaluations. Raises UserError where they cannot be stored.

    A reference keeps the score that it was committed with; `verify` compares others with it.
    """
    if references.is_reference(run.path):
        return
    try:
        evaluations.keep(run.path, result)
    except OSError as fault:
        raise cli.UserError(f"the score could not be stored in {run.path}: {fault.strerror}") from None


def usual_policy(agent: Agent, game: str, protocol: str | None) -> str:
    """The policy that scores are made with. A protocol may put some chance into what would always do the same; whoever
    samples its actions goes on sampling: the likeliest action alone is another policy than the one that was trained.
    """
    asked = envs.describe(game).protocols.get(protocol)
    chance = asked is not None and asked.epsilon and agent.evaluation != "sampled"
    return f"epsilon {asked.epsilon:g}" if chance else agent.evaluation


def games(run: Run, episodes: int, device: torch.device, asked: Conditions = Conditions()) -> Stream:  # noqa: B008
    """Games to score the run on, side by side. Raises ValueError for conditions that it may not be scored under."""
    from agents.core import device as devices
    from agents.core.stream import Stream

    env = conditions.of_games(run, asked)
    if env.get("env_threads") == 0:
        env["env_threads"] = devices.cores()
    about = envs.describe(run.config["game"], **env)
    count = min(episodes, about.most or (1 if about.real_time else MAX_ENVS))  # games in real time share the processor
    return Stream(envs.make_vec(run.config["game"], count, **env), device)


def score(
    run: Run, stream: Stream, agent: Agent, step: int, *, episodes: int, seed: int, policy: str,
    follow: Callable[[int, int], None] = lambda done, steps: None,
) -> dict[str, Any]:  # fmt: skip
    """The figures of full games of an agent, the run's at `step`."""
    from agents.core.evaluate import Policy, play, summary

    played = play(Policy(agent, policy, stream.spec, seed), stream, episodes, seed, follow)
    metadata = stream.envs.metadata
    result = summary(played, metadata.get("protocol", run.config["game"]), policy, int(metadata.get("frame_skip", 1)))
    result |= {"game": run.config["game"], "run": str(run.path), "step": step, "seed": seed}
    if limit := metadata.get("max_steps"):
        result |= {"max_steps": limit, "cut": sum(e.length >= limit for e in played)}
    published = envs.describe(run.config["game"], **run.config["env"]).published
    result["human_normalised"] = 100 * published.normalised(result["mean"]) if published else None  # in per cent
    return result


class Along:
    """A hook: scores the agent every `every` steps while it trains, and tells `write`.

    Games and player are its own, so that training goes on as if nothing had been scored; the time does not count.
    """

    def __init__(
        self, run: Run, clock: Clock, device: torch.device, write: Callable[[dict[str, float]], None], every: int,
        episodes: int, listener: Callable[[dict[str, Any]], None] = lambda result: None,
    ):  # fmt: skip
        from agents.core.clock import Clock
        from experiments import building

        self.run, self.clock, self.write, self.every, self.episodes = run, clock, write, every, episodes
        self.stream = games(run, episodes, device)
        self.player = building.build_agent(run.config, self.stream.spec, Clock(1), device)
        self.scored = clock.steps // every
        self.listener = listener  # function called with every result
        self.mean: float | None = None  # mean score of the newest evaluation

    def __call__(self, moment: Moment) -> None:
        clock = self.clock
        if clock.steps // self.every == self.scored or (clock.budget and clock.steps >= clock.budget):
            return  # the end is scored by itself
        import torch

        self.scored, began = clock.steps // self.every, time.perf_counter()
        self.player.load_weights(moment.agent.state_dict())
        policy, seed = self.player.evaluation, self.run.config["seed"] + ALONG
        with torch.random.fork_rng(devices=[]):  # stable-baselines3 draws its actions from torch's own numbers
            result = score(
                self.run, self.stream, self.player, clock.steps, episodes=self.episodes, seed=seed, policy=policy
            )
        self.write(scalars(result))
        self.mean = result["mean"]
        self.listener(result)
        clock.away += time.perf_counter() - began

    def close(self) -> None:
        self.stream.close()


def scalars(result: dict[str, Any]) -> dict[str, float]:
    """The figures that are logged, by their tags."""
    return {"eval/return": result["mean"], "eval/mean": result["mean"], "eval/median": result["median"]}


def sentence(result: dict[str, Any]) -> str:
    """The figures in one line."""
    spread = f" +- {result['sem']:.1f}" if result["sem"] is not None else ""
    human = result["human_normalised"]
    return (
        f"score: mean {result['mean']:.1f}{spread}, median {result['median']:.1f} over {result['episodes']} games"
        f" (protocol {result['protocol']}, policy {result['policy']})"
        + (f", {human:.0f} % of human" if human is not None else "")
        + (f"; {result['cut']} of them cut after {result['max_steps']:,} steps" if result.get("cut") else "")
    )


def _match(run: Run, command: EvaluateCommand, other: matches.MatchPlayer) -> dict[str, Any]:
    """The figures of games against another player."""
    return matches.against(
        run, other, games=command.episodes, seed=command.seed, random_moves=command.random_moves,
        device=command.device, quiet=command.json,
    )  # fmt: skip


def refuse(command: EvaluateCommand, run: Run) -> matches.MatchPlayer | None:
    """Raises UserError or RunError for what this run has not, or may not be asked for, before anything is loaded.

    Returns whom it plays against, where one is named.
    """
    if command.against is not None:
        for name in ("tracks", "options", "protocol", "policy", "checkpoint", "max_steps"):
            if getattr(command, name) not in (None, 0):
                flag = name.replace("_", "-")
                raise cli.UserError(f"--{flag}: not with --against: both sides play as their own runs do")
        return matches.opponent(command.against, run, command.runs)
    if command.tracks is not None and (command.protocol is not None or command.max_steps):
        raise cli.UserError("--protocol and --max-steps: not with --tracks: each track is driven for --seconds")
    finding.require_checkpoint(run, cli.checkpoint(command.checkpoint))
    with cli.refusing():
        if command.tracks is None:
            conditions.of_games(run, command.conditions)
        else:
            conditions.of_tracks(run, command.tracks, command.options, command.policy)
    return None


def main() -> None:
    with cli.edge():
        command = arguments.read(EvaluateCommand, None, __doc__, "evaluate")
        run = finding.find_run(command.runs, command.run)
        other = refuse(command, run)
        cli.starting(torch=True)
        with contextlib.redirect_stdout(sys.stderr if command.json else sys.stdout):  # words that an environment prints
            result, line = played(command, run, other)
        print(json.dumps(result) if command.json else line, flush=True)
        keep(run, result)


def played(command: EvaluateCommand, run: Run, other: matches.MatchPlayer | None) -> tuple[dict[str, Any], str]:
    """The figures, and the sentence that tells them."""
    step = cli.checkpoint(command.checkpoint)
    same = {k: getattr(command, k) for k in ("seed", "policy", "device")}
    with cli.refusing():
        if other is not None:
            result = _match(run, command, other)
            return result, matches.sentence(result)
        if command.tracks is not None:
            from experiments.driving import closed_loop, scoring

            asked = scoring.Asked(
                command.tracks, command.seconds, under=command.options, step=step, quiet=command.json, **same
            )
            result = scoring.drive(run, asked)
            return result, closed_loop.sentence(result)
        how = {"asked": command.conditions, "step": step, "quiet": command.json}
        result = evaluate(run, episodes=command.episodes, **how, **same)
        return result, sentence(result)


if __name__ == "__main__":
    main()
