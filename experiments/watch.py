"""Watch agents play, and see why they act: ``python -m experiments.watch breakout``.

    python -m experiments.watch breakout                the newest run; else a player without training
    python -m experiments.watch RUN --web               a page on this machine; its address is printed
    python -m experiments.watch RUN --video out.mp4 --panels
    python -m experiments.watch RUN --live              a run that is training: follows its newest checkpoint
    python -m experiments.watch RUN RUN                 two agents side by side, on the same seeds
    python -m experiments.watch RUN --milestones --video out.mp4   at 0, 1, 10 and 100 % of training
    python -m experiments.watch kart --record data/mine     hold h to take over: your corrections become data
    python -m experiments.watch kart --shadow               you drive, the network's steering wheel is drawn beside

With a display a window opens, without one the page. Keys: p pause, n one step, + and - speed, e new episode, g greedy
or sampled, t take over and hand back, o what drives the choice, v panels, c save the last 30 seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envs
from experiments import arguments, cli, configuration, finding
from experiments.arguments import Positional, Repeated
from experiments.display import has_display
from experiments.watching import commands
from experiments.web import address

if TYPE_CHECKING:  # imports of torch stand where they are used: `--help` answers at once
    from agents.core.run import Run
    from experiments.watching.driving import Laps
    from experiments.watching.player import Player
    from experiments.watching.source import Source

STAGE_SECONDS = 20.0  # longest clip of a milestone where no length is asked for, in s


@dataclasses.dataclass(frozen=True)
class WatchCommand:
    """What to watch."""

    what: Positional[tuple[str, ...]]  # a game, a run's folder or a checkpoint's; two stand side by side
    live: bool = False  # follow a run that is training, and read only
    milestones: bool = False  # the agent at 0, 1, 10 and 100 % of its training
    web: bool = False  # a page instead of a window
    video: Path | None = None  # write a video here, .mp4 or .gif
    panels: bool | None = None  # explanations beside the picture; by default not in videos
    overlay: str = "off"  # over the picture: gradient or occlusion (what drives the choice), policy, visits, ownership
    copies: int = 1  # copies of the game, in a grid
    episodes: int | None = None  # stop after so many games; a video without any limit has one
    seconds: float | None = None  # stop after so much of the game's time
    speed: float = 1.0  # 1: as fast as the game really is, 0: unlimited
    seed: int = 1  # seed of the game
    policy: str | None = None  # greedy, sampled or "epsilon E"; without it the agent's
    checkpoint: str | None = None  # step of the checkpoint, or best: of the evaluations along the way; else the newest
    port: int = 0  # port of the page; 0 takes a free one
    host: str = "127.0.0.1"  # address of the page; another one of this machine lets others in who know the token
    env: Repeated = ()  # an option of the game, as NAME=VALUE; may be repeated: the run must have it
    game: str | None = None  # short for --env game=NAME
    xvfb: bool = False  # short for --env xvfb=yes
    shadow: bool = False  # you drive, and the network's steering wheel is drawn around yours
    record: Path | None = None  # a dataset of the drive, where one drives; your take-overs are overrides in it
    trust: str | None = None  # gym:MODULE:ID or MODULE:CLASS of the run, whose code you allow to be imported
    runs: Path = Path("runs")  # folder of the run folders

    def __post_init__(self) -> None:
        arguments.within(self, *arguments.SEEDS, "seed")
        arguments.at_least(self, 1, "episodes")
        arguments.within(self, 0.05, 1e6, "seconds")
        arguments.checked("--speed", commands.speed, self.speed)
        if self.policy is not None:
            arguments.checked("--policy", commands.policy, self.policy)
        if not 1 <= len(self.what) <= 4:
            raise ValueError("name one game, run or checkpoint, or up to four to see them side by side")
        arguments.within(self, 1, 64, "copies")
        cli.checkpoint(self.checkpoint)
        address.check(self.host, self.port)
        arguments.video(self.video)
        if self.web and self.video is not None:
            raise ValueError("--web and --video: name one")
        if self.milestones and (self.live or len(self.what) > 1 or self.copies > 1 or self.checkpoint is not None):
            raise ValueError("--milestones shows one run alone, without --live, --copies and --checkpoint")
        if (self.shadow or self.record) and (len(self.what) > 1 or self.copies > 1 or self.milestones):
            raise ValueError("--shadow and --record: one agent in one game")
        if self.shadow and self.video is not None:
            raise ValueError("--shadow: you drive in a window or on the page; --video has nobody at the wheel")
        if self.live and (self.video is not None or self.checkpoint is not None):
            raise ValueError("--live follows a run in a window or on the page, without --video and --checkpoint")


def record(run: Run | None, path: Path, *, game: str | None = None, episodes: int | None, seconds: float | None,
           panels: bool = False, overlay: str = "off", **options: Any) -> Player:  # fmt: skip
    """Writes a video of a run (of the random agent at `game`); returns the player with its scores."""
    from experiments.watching.player import Player
    from experiments.watching.source import Source

    step = options.pop("step", None)
    source = Source(game or run.config["game"], run, step)
    player = Player([source], episodes=episodes, seconds=seconds, panels=panels or overlay != "off", **options)
    return write(player, path, panels, overlay)


def write(player: Player, path: Path, panels: bool, overlay: str) -> Player:
    """Plays into a video file. Frames: exactly those of the play, each once."""
    from agents.core.progress import Live
    from experiments.video import Video
    from experiments.watching.panels import beside, titled

    if overlay != "off":
        choose_overlay(player, overlay)
    with contextlib.closing(player), Video(path, player.fps) as video, Live() as live:
        for frame in player.frames():
            picture = beside(frame.picture, player) if panels else frame.picture
            seat = player.focus
            if player.stages:
                message = f"{seat.source.stage} % of training, step {seat.at:,}: score {seat.score:.10g}"
                picture = titled(picture, f"{player.game}  {message}")
            video.write(picture)
            live(f"video: {video.frames / player.fps:.0f} s written, score {seat.score:.10g}")
    return player


def choose_overlay(player: Player, name: str) -> None:
    """Raises ValueError for one that the agents have not."""
    try:
        commands.obey(player, "overlay", name)
    except commands.CommandRefused as fault:
        raise ValueError(f"--overlay: {fault}") from None


def stages_of(source: Source) -> list[Source]:
    """The run at each stage that it has kept. Raises ValueError where there is none."""
    kept = [] if source.run is None else finding.milestones(source.run)
    if not kept:
        whose = source.run.path if source.run else source.game
        raise ValueError(f"--milestones: {whose} has kept no milestones of its training (train --milestones)")
    return [source._replace(stage=percent, step=None) for percent in kept]


def screen_for(player: Player, command: Any, title: str) -> Any:
    """A window, or a page where that is asked for or there is no display."""
    screen = None
    if has_display() and not getattr(command, "web", False):
        from experiments.watching.window import PlayerWindow

        try:
            screen = PlayerWindow(title, player.fps)
        except RuntimeError as fault:  # pygame.error: a display that is named and not there
            print(f"no window can be opened ({fault}); a page instead")
    if screen is None:
        from experiments.watching.browser import PlayerPage

        with cli.refusing():
            screen = PlayerPage(player.fps, command.host, command.port)
        from experiments.front import house

        screen.joined = house.join(screen.server, command.runs)
        print(screen.server.invitation(screen.page), flush=True)
    return screen


def interactive(player: Player, screen: Any) -> None:
    """Plays on a screen until it is closed."""
    from experiments.watching.player import drive

    try:
        drive(player, screen)
    except KeyboardInterrupt:
        print()
    finally:
        try:
            screen.close()  # a clip that is being written is waited for
        finally:
            player.close()


def found(command: WatchCommand) -> list[Source]:
    """What is to be watched. Raises UserError for what is not there or cannot be shown, before anything is loaded."""
    from experiments.watching.source import refuse_overlay, require_driven

    step = cli.checkpoint(command.checkpoint)
    with cli.refusing():
        sources = [_found(what, command, step) for what in command.what]
        if len({source.game for source in sources}) > 1:
            raise ValueError(f"side by side must be one game, not {' and '.join(s.game for s in sources)}")
        for source in sources:
            refuse_overlay(source, command.overlay)
        if command.milestones:
            stages_of(sources[0])
        if command.shadow or command.record:
            require_driven(sources[0], command.shadow)
        if command.shadow and sources[0].run is None:
            raise ValueError(f"--shadow: {sources[0].game} has no run yet, so there is no network to drive beside")
    return sources


def _found(what: str, command: WatchCommand, step: int | str | None) -> Source:
    """One of the sources, with the options of the game that are asked for."""
    from experiments.watching.source import find

    words = [*command.env, *([f"game={command.game}"] if command.game else []), *(["xvfb=yes"] if command.xvfb else [])]
    if not words:
        return find(what, command.runs, step=step, live=command.live)
    if not finding.is_game(what):
        find(what, command.runs, step=step, live=command.live)  # says where there is nothing of that name
        raise ValueError(f"--env, --game and --xvfb: of a game; {what} is a run, and has options of its own")
    env = configuration.read_options(envs.canonical(what), ",".join(words))
    return find(what, command.runs, step=step, live=command.live, env=env)


def watch(command: WatchCommand) -> Player:
    """Finds what is asked for and shows it."""
    sources = found(command)
    cli.starting(torch=True)
    import torch

    from experiments.watching.player import Player

    torch.set_num_threads(1)
    for source in sources:
        if source.note:
            print(source.note)
    if command.live and hasattr(os, "nice"):
        os.nice(10)  # the run has the right of way
    to_video = command.video is not None
    with cli.refusing():
        stages = stages_of(sources[0]) if command.milestones else []
        limits: dict[str, Any] = dict(episodes=command.episodes, seconds=command.seconds)
        if (to_video or stages) and not (command.episodes or command.seconds):
            limits["episodes"] = 1
            if stages:
                limits["seconds"] = STAGE_SECONDS
        panels = not to_video if command.panels is None else command.panels
        player = Player(
            stages[:1] or sources, stages=stages, copies=command.copies, seed=command.seed, policy=command.policy,
            panels=panels or command.overlay != "off", **limits,
        )  # fmt: skip
        player.panels, player.speed, player.loops = panels, command.speed, not to_video
        laps = to_drive(player, command)
        try:
            if to_video:
                write(player, command.video, panels, command.overlay)
                print(f"video: {command.video}")
            else:
                if command.overlay != "off":
                    choose_overlay(player, command.overlay)
                interactive(player, screen_for(player, command, player.game))
        finally:
            if laps is not None:
                laps.close()
                print(f"recorded: {laps.count:,} records in {command.record}, {laps.overrides:,} new overrides")
                print(f"  look:    {cli.line('data', command.record)}")
    return player


def to_drive(player: Player, command: WatchCommand) -> Laps | None:
    """What --shadow and --record ask for, of a game that is driven (`require_driven`)."""
    from experiments.watching.driving import Laps, drives
    from experiments.watching.rows import RowRecorder

    seat = player.focus
    if command.shadow:
        player.command("take", True)
    if command.record is None:
        return None
    if drives(seat):
        laps = Laps(command.record, seat, command.shadow)
    else:
        laps = RowRecorder(command.record, seat.source.game, seat.source.options, seat.spec)
    seat.listeners.append(laps)
    return laps


def main() -> None:
    with cli.edge(), cli.ended_by_signals():
        command = arguments.read(WatchCommand, None, __doc__, "watch")
        player = watch(command)
        message = ", ".join(f"{s:.10g}" for s in player.scores) or f"{player.focus.score:.10g} so far"
        print(f"scores: {message}")
        if player.focus.source.run is None:
            print(f"  train:    {cli.line('train', player.game)}")


if __name__ == "__main__":
    main()
