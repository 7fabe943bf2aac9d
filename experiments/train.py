"""Train an agent on a game: ``python -m experiments.train breakout``.

    python -m experiments.train breakout                     the game's recipe, with its own budget
    python -m experiments.train pong --minutes 30            turned into steps once the speed is known
    python -m experiments.train gym:CartPole-v1 --agent dqn  any Gymnasium id
    python -m experiments.train --resume runs/breakout/ppo/default-s0

Every field of the agent's and the game's configuration is an option; ``train GAME --agent A --help`` lists them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import envs
from agents.core.run import Run
from experiments import child, cli
from experiments.training import options, refusals, tracking

if TYPE_CHECKING:  # imports of torch stand where they are used: `--help` and refusals answer at once
    from agents.core.log import Log, Progress
    from experiments import building


def start(command: options.TrainCommand, agent_config: dict[str, Any], env: dict[str, Any], argv: Sequence[str]) -> int:
    """A new run."""
    from experiments import building, provenance
    from experiments.training import resources, together

    with cli.refusing():
        device = building.device_for(command.agent, command.device)
    config: dict[str, Any] = {
        "game": command.game, "agent": command.agent, "name": command.name, "recipe": command.recipe,
        "seed": command.seed, "steps": command.steps, "minutes": command.minutes, "num_envs": command.num_envs,
        "checkpoint_every": command.checkpoint_every, "checkpoint_ring": command.checkpoint_ring,
        "eval_every": command.eval_every, "milestones": command.milestones, "init": command.init,
        "agent_config": agent_config, "env": env, "normalize": _normalized(command), "stop_at": command.stop_at,
    }  # fmt: skip
    if command.opponents:
        config |= {name: getattr(command, name) for name in ("opponents", "opponent_pool", "opponent_every")}
    if command.cluster is not None:
        config |= {"cluster": command.cluster, "actors": command.actors, "in_order": command.in_order}
    if command.gpus_per_learner:
        config["gpus_per_learner"] = command.gpus_per_learner
        if (code := _in_processes(config, command.device, argv)) is not None:
            return code
    if command.data:
        config["data"] = command.data[0] if len(command.data) == 1 else list(command.data)
        print(f"reading {command.data[0]}" + (f" and {len(command.data) - 1} more" if command.data[1:] else ""))
    with cli.refusing():
        device = together.begin(config, device)
        if command.data:
            from experiments import imitation

            imitation.fitted(config)
        if command.init is not None:  # the newest run of a game may be another one tomorrow
            config["init"] = str(refusals.run_of("--init", command, command.init).path)
        if command.teacher_run is not None:
            config["teacher_run"] = str(refusals.run_of("--teacher-run", command, command.teacher_run).path)
        with resources.advising(config):
            parts = _assemble(config, device)
        _take_weights(parts, command, config["init"])
    config["protocol"] = parts.stream.envs.metadata.get("protocol", command.game)
    config["command"] = shlex.join(["python", "-m", "experiments.train", *argv])
    config |= provenance.surroundings(device)
    resources.require_disk(command.runs, parts, command.checkpoint_every, command.checkpoint_ring)
    run = together.open_run(command.runs, config, device)
    print(f"run: {run.path}", flush=True)  # no delay, into a file or a pipe either
    with _alone(run):
        return _train(run, parts, command, fresh=True)


def _in_processes(config: dict[str, Any], device: str, argv: Sequence[str]) -> int | None:
    """Has the run trained by as many processes as GPUs were asked for. Returns their exit code.

    None where this process trains. Raises UserError for what they cannot learn, before one of them begins.
    """
    from experiments.training import ranks, together

    ranks.require(config["gpus_per_learner"], device)
    if not ranks.are_to_start(config):
        return None
    from experiments.cluster import assembling

    together.refuse(config, config["gpus_per_learner"])
    assembling.refuse(config)
    return ranks.run(argv, config["gpus_per_learner"])


def _assemble(config: dict[str, Any], device: Any) -> building.Lab:
    """The parts of a run, with its actors in this process or on a cluster."""
    if config.get("cluster") is None:
        from experiments import lab

        return lab.assemble(config, device)
    from experiments.cluster import assembling

    return assembling.assemble(config, device)


def _normalized(command: options.TrainCommand) -> str:
    """What is normalised, as agents.core.normalize reads it."""
    return ",".join(k for k in ("obs", "reward") if getattr(command, f"normalize_{k}"))


@contextlib.contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Within: no other process trains the run, but those of the same training. Raises UserError where one does."""
    if cli.follows():
        yield
        return
    with child.lock(run.path / child.LOCK, patience=2.0) as held:
        if held is None:
            raise cli.UserError(f"{run.path} is being trained by another process")
        os.ftruncate(held, 0)
        os.pwrite(held, str(os.getpid()).encode(), 0)  # the process to ask to stop
        yield


def _take_weights(parts: building.Lab, command: options.TrainCommand | options.Resume, init: str | None) -> None:
    """The weights of the run `init`, where one is named."""
    if init is None:
        return
    from experiments import players

    weights = players.weights_of(refusals.run_of("--init", command, init))
    try:
        parts.agent.load_weights(weights)
    except players.MISFIT as fault:
        lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
        first = lines[1] if len(lines) > 1 else lines[0]  # torch lists every tensor below a headline
        raise ValueError(f"--init {init}: its network does not fit this one; {first.rstrip('.')}") from None


def resume(command: options.Resume, run: Run, argv: Sequence[str]) -> int:
    """Goes on from the newest checkpoint that is whole; from the beginning where none was written yet."""
    from agents.core import checkpoint
    from agents.core import device as devices
    from experiments.training import resources, together

    if command.cluster is not None:
        run.config["cluster"] = command.cluster
    if command.steps is not None:
        run.config["steps"], run.config["minutes"] = command.steps, None
    if run.config.get("gpus_per_learner") and (code := _in_processes(run.config, command.device, argv)) is not None:
        return code
    with _alone(run):
        with cli.refusing():
            device = together.begin(run.config, devices.choose(command.device))
            with resources.advising(run.config):
                parts = _assemble(run.config, device)
                if found := checkpoint.steps(run.checkpoints):
                    if not cli.follows():
                        _restore(run, parts, command.steps)
                    together.restore(run, parts, parts.clock.steps)
            if not found:
                print("there is no checkpoint yet: the run begins anew")
                _take_weights(parts, command, run.config.get("init"))
        if command.minutes is not None:  # minutes on top of those that it has trained already
            run.config["minutes"] = parts.clock.seconds / 60 + command.minutes
            run.config["steps"] = parts.clock.budget = None
        if not cli.follows():
            run.write_config()
        print(f"run: {run.path}, from step {parts.clock.steps:,}", flush=True)
        return _train(run, parts, command, fresh=parts.clock.steps == 0)


def _restore(run: Run, parts: building.Lab, steps: int | None) -> None:
    """Everything as it was at the newest checkpoint. steps: a new budget."""
    from agents.core import checkpoint
    from experiments import players, provenance

    required = ("agent", "stream", "clock", "loop")
    saved, meta = players.read_checkpoint(run, run.checkpoints, required=required, spare=("replay",))
    players.check_same_run(run, meta, parts.stream.spec)
    if steps is not None and steps < meta["step"]:
        raise ValueError(f"--steps {steps}: the run has {meta['step']:,} steps already")
    try:
        parts.restore(saved)
    except players.MISFIT as fault:
        if cli.is_short_of_memory(fault):
            raise
        raise ValueError(f"{run.path} was made by another version of the lab: {fault}") from None
    if parts.clock.steps != meta["step"]:
        raise ValueError(f"{run.path}: the clock of checkpoint {meta['step']} stands at {parts.clock.steps}")
    checkpoint.discard_after(run.checkpoints, meta["step"])
    if changes := provenance.changed(meta.get("made_with", run.config), parts.stream.device):
        cli.tell(f"the run goes on, but not bit for bit as it would have: {changes}")
    if "replay" not in saved:
        lost = "'s replay ring is damaged" if meta.get("ring") else " holds no replay ring (--no-checkpoint-ring)"
        print(f"the checkpoint{lost}: it fills anew")
        parts.loop.refill()


def _train(run: Run, parts: building.Lab, command: options.TrainCommand | options.Resume, fresh: bool) -> int:
    """Learns until the budget is spent or a person stops it, then scores and films what was learned.

    fresh: whether nothing was learned yet. Returns the exit code.
    """
    from agents.core.log import Log, Progress

    if cli.follows():
        from experiments.training import together

        together.follow(run, parts, fresh)
        return 0
    config, episodes, video = run.config, command.eval_episodes, command.video
    log = Log(run, parts.clock, stream=parts.stream)
    log.also = None if command.track is None else tracking.Tracker(command.track, run)
    if (figures := getattr(parts.loop, "figures", None)) is not None:
        log.sources.append(figures.take)
    if fresh:
        log.start()
    with contextlib.ExitStack() as open_parts:
        progress = Progress(log, minutes=config["minutes"])
        open_parts.callback(progress.close)
        periodic, best = _periodic_evaluation(run, parts, log, episodes)
        if periodic is not None:
            open_parts.callback(periodic.close)
        finished = _learn(run, parts, log, _hooks(run, parts, log, progress, periodic), fresh)
    if not finished:
        log.close()
        more = "" if parts.own_loop else f"; go on with\n{_resume_line(run)}"
        print(f"saved at step {parts.clock.steps:,}{more}")
        return 0
    _finish(run, parts, log, episodes, video, None if best is None else best.add)
    return 0


def _periodic_evaluation(run: Run, parts: building.Lab, log: Log, episodes: int) -> tuple[Any, Any]:
    """The hook that evaluates while training goes on, and what keeps its best weights; (None, None) without."""
    if not (run.config.get("eval_every") and episodes):
        return None, None
    from experiments import evaluate
    from experiments.training import hooks

    best = hooks.Best(run, parts)
    every, device = run.config["eval_every"], parts.stream.device
    return evaluate.Along(run, parts.clock, device, log.write, every, episodes, best.add), best


def _hooks(run: Run, parts: building.Lab, log: Log, progress: Progress, periodic: Any) -> list[Any]:
    """What the loop calls after every step, in this order."""
    from experiments.training import hooks

    config = run.config
    found: list[Any] = [] if parts.validation is None else [hooks.Validation(log, parts.validation)]
    found += [log, progress]
    if config["minutes"] is not None:
        found.append(hooks.Minutes(run, config["minutes"]))
    if periodic is not None:
        found.append(periodic)
    if config.get("stop_at") is not None:
        found.append(hooks.StopAt(run, config["stop_at"], log.scores, periodic))
    if config.get("milestones"):
        found.append(hooks.Stages(run, parts))
    return found


def _learn(run: Run, parts: building.Lab, log: Log, hooks: list[Any], fresh: bool) -> bool:
    """Trains until the budget is spent (True) or a signal says so (False); a fault ends in one sentence."""
    from agents.core import parallel, training
    from experiments import networks, players
    from experiments.training import faults, together
    from experiments.training.hooks import Stop

    config, clock = run.config, parts.clock

    def save() -> None:
        log.report()
        if ladder is not None:
            faults.attempt(run, "rung of the ladder", ladder.meet)
        log.flush()
        together.keep(run, parts)
        players.save(run, parts, config["checkpoint_ring"])
        faults.attempt(run, "network for other programs", lambda: networks.keep(run, parts.agent))

    ladder = _ladder(run, parts, log)
    stop = Stop(saving=True)
    try:
        with faults.ending(run, parts, log, save):
            if parts.own_loop:
                parts.stream.reset(config["seed"], 0)
                began = time.perf_counter()
                finished = parts.agent.train_alone(parts.stream, hooks, stop, lambda: time.perf_counter() - began)
                save()
                return finished
            every, asked, wanted = config["checkpoint_every"], stop, stop.wants_save
            if parallel.size() > 1:
                agreement = together.Agreement(parts, stop, stop.wants_save)
                hooks, asked, wanted = [*hooks, agreement], agreement.stop, agreement.wanted
            # A second barrier at the same step would change what the first one saved.
            done = not fresh and clock.budget is not None and clock.steps >= clock.budget
            done = done or training.train(
                parts.loop, hooks=hooks, barrier=every, save=save, stop=asked, wanted=wanted
            )
            together.leave(parts)
            return done
    finally:
        stop.release()


def _ladder(run: Run, parts: building.Lab, log: Log) -> Any:
    """Matches against earlier weights, of an agent that plays itself."""
    if not getattr(parts.agent, "self_play", False):
        return None
    from experiments.training.ladder import Ladder

    return Ladder(run, parts, log)


def _finish(run: Run, parts: building.Lab, log: Log, episodes: int, video: bool, best: Any) -> None:
    """What follows a complete training: its last milestone, the score, the video, and what a person may do next."""
    from experiments import players
    from experiments.training import faults

    config = run.config
    if not parts.clock.updates and config["agent"] != "random":
        sooner = [f"--{name}" for name in ("warmup", "rollout") if name in config["agent_config"]]
        reason = f"the budget ended before the first update ({', '.join([*sooner, '--num-envs'])})"
        cli.tell(f"nothing was learned: {reason}")
    if config.get("milestones"):
        players.save_milestone(run, parts, 100)
    faults.attempt(run, "proper end of its games", parts.stream.close)
    try:
        _conclude(run, log, episodes, video, str(parts.stream.device), best)
    finally:  # the training is complete, whatever came after it
        log.finish()
        log.close()
    print(f"  watch:    {cli.line('watch', run.path)}{cli.trusting(config)}")
    if said := envs.describe(config["game"], **config["env"]).score_command:
        print(f"  score:    python -m experiments.{said.format(run=shlex.quote(str(run.path)))}")
    family = run.path.absolute().parents[1] if len(run.path.parts) < 3 else run.path.parents[1]
    print(f"  compare:  {cli.line('compare', family)}")
    print(f"  curves:   {cli.line('compare', family, '--tensorboard')}")
    if not parts.own_loop:
        print(f"{_resume_line(run)} --steps {2 * parts.clock.steps}")


def _resume_line(run: Run) -> str:
    """The line that tells how the run goes on."""
    return f"  resume:   {cli.line('train', '--resume', run.path)}{cli.trusting(run.config)}"


def _conclude(run: Run, log: Log, episodes: int, video: bool, device: str, best: Any = None) -> None:
    """The score at the end, a video, and a clip for TensorBoard. Each may fail, and leaves the others as they are."""
    from experiments import evaluate, watch
    from experiments.training import faults
    from experiments.video import size_of

    def score() -> None:
        result = evaluate.evaluate(run, episodes=episodes, seed=run.config["seed"] + 1, device=device)
        log.write(evaluate.scalars(result))
        print(evaluate.sentence(result), flush=True)
        if best is not None:
            best(result)
        try:
            evaluate.keep(run, result)
        except cli.UserError as fault:  # the score is told and logged
            cli.tell(f"{fault}")

    def film() -> None:
        path = run.inside("videos/final.mp4")
        watch.record(run, path, episodes=1, seconds=60.0)
        print(f"  video:    {run.path / 'videos' / 'final.mp4'}")

    def clip() -> None:
        path = run.inside("videos/final.gif")
        watch.record(run, path, episodes=1, seconds=10.0)
        log.clip(path, size_of(path))

    if episodes:
        faults.attempt(run, "score", score)
    if video and faults.attempt(run, "video", film):
        faults.attempt(run, "clip", clip)


def main(argv: Sequence[str] | None = None) -> None:
    argv = list(sys.argv[1:] if argv is None else argv)
    with cli.edge(argv), cli.speaking():
        cli.starting()
        with cli.told_before():
            parsed = options.parse(argv, __doc__)
        if isinstance(parsed, options.Resume):
            run = refusals.refuse_resume(parsed)
            cli.starting(torch=True)
            sys.exit(resume(parsed, run, argv))
        refusals.refuse(*parsed)
        cli.starting(torch=True)
        sys.exit(start(*parsed, argv))


if __name__ == "__main__":
    main()
