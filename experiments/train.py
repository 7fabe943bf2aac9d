"""Train an agent on a game: ``python -m experiments.train breakout``.

    python -m experiments.train breakout                     the game's recipe, with its own budget
    python -m experiments.train pong --minutes 30            turned into steps once the speed is known
    python -m experiments.train gym:CartPole-v1 --agent dqn  any Gymnasium id
    python -m experiments.train --resume runs/breakout/ppo/default-s0

Every field of the agent's and the game's configuration is an option; ``train GAME --agent A --help`` lists them.
"""

from __future__ import annotations

import contextlib
import importlib
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envs
from agents.core.run import TRAINED, Run, RunError
from experiments import child, cli, teachers
from experiments.training import options

if TYPE_CHECKING:  # what needs torch is imported where it is used: `--help` and refusals answer at once
    import torch

    from agents.core.log import Log
    from experiments import building

CHECKPOINT_COPIES = 3  # two are kept while the third is written
# Fields that cost memory.
MEMORY = ("hidden", "recurrent", "minibatch", "batch", "rollout", "replay", "batch_size", "n_steps", "buffer_size")


def start(command: options.Command, agent_config: dict[str, Any], env: dict[str, Any], argv: Sequence[str]) -> int:
    """A new run."""
    teachers.require(command.agent, command.game, env, given=bool(command.data or command.expert))
    from experiments import building, lab, provenance

    with cli.refusing():
        device = building.device_for(command.agent, command.device)
    config: dict[str, Any] = {
        "game": command.game, "agent": command.agent, "name": command.name, "recipe": command.recipe,
        "seed": command.seed, "steps": command.steps, "minutes": command.minutes, "num_envs": command.num_envs,
        "checkpoint_every": command.checkpoint_every, "checkpoint_ring": command.checkpoint_ring,
        "eval_every": command.eval_every, "stages": command.stages, "init": command.init,
        "agent_config": agent_config, "env": env, "normalize": _normalized(command), "stop_at": command.stop_at,
    }  # fmt: skip
    if command.data is not None:
        config["data"] = str(command.data)
        print(f"reading {command.data}")
    with cli.refusing():
        if command.init is not None:  # the newest run of a game may be another one tomorrow
            config["init"] = str(_run_of("--init", command.runs, command.init).path)
        if command.expert is not None:
            config["expert"] = str(_run_of("--expert", command.runs, command.expert).path)
        with _told_if_short(config):
            parts = lab.assemble(config, device)
        _take_weights(parts, command.runs, config["init"])
    config["protocol"] = parts.stream.envs.metadata.get("protocol", command.game)
    config["command"] = shlex.join(["python", "-m", "experiments.train", *argv])
    config |= provenance.surroundings(device)
    _check_disk(command.runs, parts, command.checkpoint_every, command.checkpoint_ring == "yes")
    run = Run.create(command.runs, config)
    print(f"run: {run.path}", flush=True)  # at once, into a file or a pipe, too
    with _alone(run):
        return _train(run, parts, command.eval_episodes, command.video == "yes", fresh=True)


def _normalized(command: options.Command) -> str:
    """What is normalised, as agents.core.normalize reads it."""
    return ",".join(k for k in ("obs", "reward") if getattr(command, f"normalize_{k}") == "yes")


def _run_of(option: str, runs: Path, what: str) -> Run:
    """The run that an option names. Raises UserError."""
    from experiments import players

    try:
        return players.find_run(runs, what)
    except RunError as fault:
        raise cli.UserError(f"{option} {what}: {fault}") from None


@contextlib.contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Within: no other process trains the run. Raises UserError where one does."""
    with child.lock(run.path / child.LOCK, patience=2.0) as held:
        if held is None:
            raise cli.UserError(f"{run.path} is being trained by another process")
        yield


def _take_weights(parts: building.Lab, runs: Path, init: str | None) -> None:
    """The weights of the run `init`, where one is named."""
    if init is None:
        return
    from agents.core import checkpoint
    from experiments import players

    weights, _ = checkpoint.load(_run_of("--init", runs, init).checkpoints, None, {"agent"})
    try:
        parts.agent.load_weights(weights["agent"])
    except players.MISFIT as fault:
        told = [line.strip() for line in str(fault).splitlines() if line.strip()]
        first = told[1] if len(told) > 1 else told[0]  # torch lists every tensor below a headline
        raise ValueError(f"--init {init}: its network does not fit this one; {first.rstrip('.')}") from None


def resume(command: options.Resume) -> int:
    """Goes on from the newest checkpoint that is whole; from the beginning where none was written yet."""
    from agents.core import checkpoint
    from agents.core import device as devices
    from experiments import building, lab, players

    run = players.find_run(command.runs, command.resume)
    if command.game is not None and envs.canonical(command.game) != run.config["game"]:
        raise cli.UserError(f"{run.path} is a run of {run.config['game']}, not of {command.game}")
    if command.steps is not None:
        run.config["steps"], run.config["minutes"] = command.steps, None
    if building.has_own_loop(run.config["agent"]):
        raise cli.UserError(f"{run.path} cannot be resumed: stable-baselines3 does not save its loop")
    run.require(TRAINED)
    run.require_own_files()
    with _alone(run):
        with cli.refusing():
            device = devices.choose(command.device)
            with _told_if_short(run.config):
                parts = lab.assemble(run.config, device)
                if found := checkpoint.steps(run.checkpoints):
                    _restore(run, parts, command.steps)
            if not found:
                print("there is no checkpoint yet: the run begins anew")
                _take_weights(parts, command.runs, run.config.get("init"))
        if command.minutes is not None:  # on top of those that it has trained already
            run.config["minutes"] = parts.clock.seconds / 60 + command.minutes
            run.config["steps"] = parts.clock.budget = None
        run.write_config()
        print(f"run: {run.path}, from step {parts.clock.steps:,}", flush=True)
        return _train(run, parts, command.eval_episodes, command.video == "yes", fresh=parts.clock.steps == 0)


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
    if told := provenance.changed(meta.get("made_with", run.config), parts.stream.device):
        cli.tell(f"the run goes on, but not bit for bit as it would have: {told}")
    if "replay" not in saved:
        lost = "'s replay ring is damaged" if meta.get("ring") else " holds no replay ring (--checkpoint-ring no)"
        print(f"the checkpoint{lost}: it fills anew")
        parts.loop.refill()


def _train(run: Run, parts: building.Lab, episodes: int, video: bool, fresh: bool) -> int:
    from agents.core import checkpoint
    from agents.core.log import Log, Progress
    from agents.core.loop import Diverged
    from agents.core.stream import RowFault
    from envs.gym_check import GameFault
    from experiments import building, players
    from experiments.training import faults
    from experiments.training import hooks as during

    config, clock = run.config, parts.clock
    log = Log(run, clock, stream=parts.stream)
    if fresh:
        log.start()
    progress = Progress(log, minutes=config["minutes"])
    hooks: list[Any] = [log, progress]
    if config["minutes"] is not None:
        hooks.append(during.Minutes(run, config["minutes"]))
    along = None
    if config.get("eval_every") and episodes:
        from experiments import evaluate

        best = during.Best(run, parts)
        along = evaluate.Along(run, clock, parts.stream.device, log.write, config["eval_every"], episodes, best.add)
        hooks.append(along)
    if config.get("stop_at") is not None:
        hooks.append(during.StopAt(run, config["stop_at"], log.scores, along))
    if config.get("stages") == "yes":
        hooks.append(during.Stages(run, parts))
    if parts.validation is not None:
        hooks.insert(0, during.Validation(log, parts.validation))

    def keep() -> None:
        log.report()
        log.flush()
        players.save(run, parts, config["checkpoint_ring"] == "yes")

    stop = during.Stop(saving=True)
    try:
        if building.has_own_loop(config["agent"]):  # an algorithm of another library, in its own loop
            parts.stream.reset(config["seed"], 0)
            began = time.perf_counter()
            finished = parts.agent.train_alone(parts.stream, hooks, stop, lambda: time.perf_counter() - began)
            keep()
        elif not fresh and clock.budget is not None and clock.steps >= clock.budget:
            finished = True  # a second barrier at the same step would change what the first one saved
        else:
            finished = parts.loop.train(
                hooks=hooks, barrier=config["checkpoint_every"], save=keep, stop=stop, wanted=stop.wants_save
            )
    except (GameFault, RowFault) as fault:
        told = faults.of_game(run, parts, fault, keep)
        log.close()
        raise told from None
    except (Diverged, MemoryError, RuntimeError) as fault:
        if not isinstance(fault, Diverged) and not cli.is_short_of_memory(fault):
            raise
        log.close()
        kept = checkpoint.steps(run.checkpoints)
        good = f"the checkpoint of step {kept[-1]:,} is kept" if kept else "there was no checkpoint yet"
        advice = faults.advice(parts) if isinstance(fault, Diverged) else _less_memory(config)
        raise cli.UserError(f"training stopped: {cli.beginning(fault)}; {good}; {advice}") from None
    finally:
        progress.close()
        stop.release()
        if along is not None:
            along.close()
    trust = cli.trusting(config)
    again = f"  resume:   {cli.line('train', '--resume', run.path)}{trust}"
    if not finished:
        log.close()
        print(
            f"saved at step {clock.steps:,}"
            + ("" if building.has_own_loop(config["agent"]) else f"; go on with\n{again}")
        )
        return 0
    if not clock.updates and config["agent"] != "random":
        sooner = [f"--{name}" for name in ("warmup", "rollout") if name in config["agent_config"]]
        told = f"the budget ended before the first update ({', '.join([*sooner, '--num-envs'])})"
        cli.tell(f"nothing was learned: {told}")
    if config.get("stages") == "yes":
        players.save_milestone(run, parts, 100)
    faults.attempt(run, "proper end of its games", parts.stream.close)
    try:
        _conclude(run, log, episodes, video, str(parts.stream.device), None if along is None else best.add)
    finally:  # the training is complete, whatever came after it
        log.finish()
        log.close()
    print(f"  watch:    {cli.line('watch', run.path)}{trust}")
    if said := _score_command(config["game"]):
        print(f"  score:    python -m experiments.{said.format(run=shlex.quote(str(run.path)))}")
    family = run.path.absolute().parents[1] if len(run.path.parts) < 3 else run.path.parents[1]
    print(f"  compare:  {cli.line('compare', family)}")
    print(f"  curves:   {cli.line('compare', family, '--tensorboard')}")
    if not building.has_own_loop(config["agent"]):
        print(f"{again} --steps {2 * clock.steps}")
    return 0


def _score_command(game: str) -> str | None:
    """The command that a game names for the score of a trained agent; {run} in it stands for the run's folder."""
    return getattr(importlib.import_module(envs.find(game)[0]), "NEXT", None)


@contextlib.contextmanager
def _told_if_short(config: dict[str, Any]) -> Iterator[None]:
    """Within: memory that is missing is told with the options that need less. Raises UserError."""
    try:
        yield
    except (MemoryError, RuntimeError) as fault:
        if not cli.is_short_of_memory(fault):
            raise
        raise cli.UserError(f"not enough memory: {cli.beginning(fault)}; {_less_memory(config)}") from None


def _less_memory(config: dict[str, Any]) -> str:
    """Advice: the options by which the memory of a run grows."""
    ours = [f"a smaller --{name.replace('_', '-')}" for name in MEMORY if config["agent_config"].get(name)]
    return f"a run with {' or '.join(['fewer --num-envs', *ours])} needs less"


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


def _check_disk(root: Path, parts: building.Lab, barrier: int, with_ring: bool) -> None:
    """Refuses to begin where the checkpoints cannot fit: optimizers keep two moments for each weight, and a ring is
    stored once, and as often more as checkpoints are kept or written, what has changed between them."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise cli.UserError(f"--runs {root}: {fault.strerror}") from None
    from experiments.comparing.records import size as size_text

    size = sum(p.numel() * p.element_size() for p in _tensors(parts.agent.state_dict()))
    needed = CHECKPOINT_COPIES * 3 * size
    if with_ring:
        rows = parts.replay.length * parts.replay.num_envs
        needed += int(parts.replay.nbytes * (1 + (CHECKPOINT_COPIES - 1) * min(1.0, barrier / rows)))
    free = shutil.disk_usage(root).free
    if needed > free:
        raise cli.UserError(
            f"the checkpoints need up to {size_text(needed)} and {root} has {size_text(free)} free;"
            " --checkpoint-ring no or a smaller --replay needs less"
        )


def _tensors(tree: Any) -> list[torch.Tensor]:
    import torch

    if isinstance(tree, dict):
        return [t for v in tree.values() for t in _tensors(v)]
    return [tree] if isinstance(tree, torch.Tensor) else []


def main(argv: Sequence[str] | None = None) -> None:
    argv = list(sys.argv[1:] if argv is None else argv)
    with cli.edge(argv):
        cli.starting()
        parsed = options.parse(argv, __doc__)
        cli.starting(torch=True)
        sys.exit(resume(parsed) if isinstance(parsed, options.Resume) else start(*parsed, argv))


if __name__ == "__main__":
    main()
