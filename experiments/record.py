"""Record driving for cloning: ``python -m experiments.record kart --out data/kart``.

    python -m experiments.record kart --out data/me                                   you drive, in a window
    python -m experiments.record kart --out data/expert --driver expert --minutes 10  the scripted expert, in a moment

Pictures and controls are stored at every control step as a dataset that `python -m experiments.data DATA` shows and
edits. Recording into a dataset that exists adds a session. Options of the game (record GAME --help) choose its tracks,
looks, picture and physics: kart has --tracks, --theme, --obs pilotnet for 66x200, --camera picam and many more.
Without a display: python -m experiments.play kart --web --record data/me, you drive on a page.

    python -m experiments.record screen --game xracer --out data/me          you play in the game's own window
    python -m experiments.record screen --game xracer --xvfb --driver expert --minutes 10 --out data/expert
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import envs
from agents.core.progress import TimeLeft
from envs.description import Description
from envs.driving import Driving
from envs.recordings.tub import IMAGE
from experiments import arguments, cli, display, overlay
from experiments.arguments import Positional
from experiments.driving import dashboard, races
from experiments.driving.hands import HELP

if TYPE_CHECKING:  # whoever lets the expert drive needs no torch
    from experiments.watching.driving import Laps
    from experiments.windows.recording import WindowRecording

NOISE_OFF_ROAD = 0.25  # more of the time off the road than this, and the data teach accidents


@dataclasses.dataclass(frozen=True)
class RecordCommand:
    """What to record, and who drives."""

    game: Positional[str]  # a game that is driven, such as kart, or that has a window of its own
    out: Path  # the dataset's folder: new, or one that gets another session
    driver: Literal["person", "expert"] = "person"  # expert: scripted, in simulated time, faster than real time
    minutes: float | None = None  # minutes of driving; a person also ends with Escape
    noise: float = 0.4  # expert: pushes against its steering (standard deviation, 1 is full lock), to show recoveries
    seed: int | None = None  # seed of the expert's tracks, looks and pushes; without it the number of sessions so far
    video: Path | None = None  # also write what the window shows
    preview: bool = True  # games in windows of their own: show what is recorded in another window
    profile: Path | None = None  # a window that is named with --window and --keys: write them there as a profile

    def __post_init__(self) -> None:
        arguments.within(self, 0.001, 24 * 60, "minutes")
        arguments.within(self, 0, 1, "noise")
        arguments.within(self, *arguments.SEEDS, "seed")
        arguments.video(self.video)
        if self.driver == "expert" and self.minutes is None:
            raise ValueError("--driver expert: how long? name --minutes, such as --minutes 10")


def parse(argv: Sequence[str]) -> tuple[RecordCommand, Any]:
    """Options -> the command and the game's options."""
    group = arguments.OptionGroup("recording", RecordCommand)
    named = cli.named_game(argv)
    if named is None:
        arguments.read_groups([group], argv, __doc__, "record")  # the help of what every game has, or what is missing
        raise cli.UserError("which game? try: python -m experiments.record kart --out data/mine")
    with cli.refusing():
        game = envs.canonical(named)
    about = envs.describe(game)
    if about.window:
        return _of_window(command_group=group, about=about, argv=argv)
    if (driving := about.driving) is None:
        raise cli.UserError(f"{game} is not driven; {cli.line('play', game, '--record', 'DATA')} records what you play")
    helps = {**driving.option_helps, **dict.fromkeys(driving.unused, arguments.HIDDEN)}
    start = dataclasses.replace(about.options, **driving.start)
    group = group._replace(helps=dict.fromkeys(("profile", "preview"), arguments.HIDDEN))
    groups = [group, arguments.OptionGroup(game, type(start), start, helps)]
    command, options = arguments.read_groups(groups, argv, __doc__, "record")
    if command.profile is not None:
        raise cli.UserError(f"--profile: describes the window of another program; {game} is a game of the lab")
    if refusal := envs.describe(game, **dataclasses.asdict(options)).driving.refusal:
        raise cli.UserError(refusal)
    return dataclasses.replace(command, game=game), options


def _of_window(command_group: arguments.OptionGroup, about: Description, argv: Sequence[str]) -> tuple[Any, Any]:
    """The options of a game that is played in its own window."""
    helps = dict.fromkeys(("noise", "video"), arguments.HIDDEN)
    groups = [command_group._replace(helps=helps),
              arguments.OptionGroup(about.name, type(about.options), about.options, prefix="env")]  # fmt: skip
    command, options = arguments.read_groups(groups, argv, __doc__, "record")
    found = envs.describe(about.name, **dataclasses.asdict(options))
    if not hasattr(found.actions, "n"):
        raise cli.UserError("recordings of a window hold sets of keys: without --control axes")
    if command.profile is not None and not options.keys:
        raise cli.UserError("--profile writes a window that is named with --window and --keys")
    if command.profile is not None and command.profile.exists():
        raise cli.UserError(f"{command.profile} is there already; name another file for the profile")
    if command.video is not None:
        raise cli.UserError(f"--video: {about.name} is recorded as it is played; `watch --video` films an agent")
    if command.driver == "expert":
        if not found.info:
            raise cli.UserError("--driver expert: this game has no scripted player; play it yourself")
        options = dataclasses.replace(options, **{found.info["expert"]: True})
    return dataclasses.replace(command, game=about.name), options


def _driving(command: RecordCommand, options: Any) -> Driving:
    return envs.describe(command.game, **dataclasses.asdict(options)).driving


def by_expert(command: RecordCommand, options: Any) -> races.Recorder:
    """The expert drives in simulated time, pushed aside now and then; its label is what it wants, not the push."""
    driving = _driving(command, options)
    minute = 60 * driving.rate  # steps
    steps = max(1, round(command.minutes * minute))
    seed = races.sessions(command.out) if command.seed is None else command.seed  # never the same drive twice
    pushes = races.Pushes(command.noise, np.random.default_rng([19, seed]), driving.rate)
    began, progress = time.monotonic(), TimeLeft(steps, "records")
    about = dict(noise=command.noise, seed=seed)
    with (
        races.open_writer(command.out, command.game, driving, "expert", **about) as writer,
        dashboard.video_of(command.video, driving.rate) as video,
        contextlib.closing(races.Recorder(writer, command.game, options, seed)) as recorder,
    ):
        board = dashboard.Dashboard(driving.rate) if command.video else None
        for done in range(1, steps + 1):
            label = recorder.expert()
            sent = label.copy()
            sent[0] = np.clip(sent[0] + pushes.step(), -1.0, 1.0)
            record = recorder.step(label, sent)
            if board:
                board.add(record)
                video(board.picture(record, overlay.larger(record[IMAGE], 400), recorder))
            progress(done)
    seconds = time.monotonic() - began
    print(f"{steps:,} records, {steps / minute:.1f} minutes of driving in {seconds:.1f} s, {recorder.race + 1} races")
    return recorder


def by_person(command: RecordCommand, options: Any, screen: Any = None) -> Laps:
    """A person drives in real time, in the window of `play`. screen: stands in for the window (tests)."""
    page = cli.line("play", command.game, "--web", "--record", command.out)
    advice = f"`{page}` opens a page to drive on, and --driver expert --minutes M needs none"
    if screen is None and not display.has_display():
        raise cli.UserError(f"there is no display here to drive on; {advice}")
    from experiments import watch
    from experiments.watching.driving import Cockpit, Laps
    from experiments.watching.player import Player
    from experiments.watching.source import Source

    source = Source(command.game, env=dataclasses.asdict(options))
    player = Player([source], seed=secrets.randbelow(2**31 - 1), panels=False)
    player.command("take", True)
    if screen is None:
        from experiments.watching.window import PlayerWindow

        try:
            screen = PlayerWindow(f"joypad: recording into {command.out}", player.fps)
        except RuntimeError as fault:  # pygame.error: a display that is named and not there
            raise cli.UserError(f"no window can be opened to drive in ({fault}); {advice}") from None
    laps = Laps(command.out, player.focus)
    player.focus.listeners.append(laps)
    limit = None if command.minutes is None else round(command.minutes * 60 * player.fps)
    print(f"{HELP}\nx: pause recording or go on, Backspace: delete the last 3 s, Escape: end")
    with contextlib.closing(laps), dashboard.video_of(command.video, player.fps) as film:
        player.focus.view = Cockpit(player, laps, limit, film)
        watch.interactive(player, screen)
    print(f"{laps.steps:,} records, {laps.steps / player.fps / 60:.1f} minutes of driving")
    return laps


def in_window(command: RecordCommand, options: Any) -> WindowRecording:
    """A person plays in the game's own window, or its scripted player does."""
    from experiments.windows import recording

    values, scripted = dataclasses.asdict(options), command.driver == "expert"
    preview = None
    if command.preview and (shown := os.environ.get("DISPLAY")) and display.has_display():
        preview = recording.preview_on(shown)
    recorder = recording.WindowRecorder(command.game, values, command.out, scripted=scripted)
    if not scripted:
        print("play in the game's own window; Ctrl-C here ends")
    result = recording.record(recorder, minutes=command.minutes, seed=command.seed, preview=preview)
    print(result.sentence(recorder.rate))
    if command.profile is not None:
        try:
            recording.write_profile(command.profile, options)
        except OSError as fault:
            raise cli.UserError(f"{command.profile}: {fault.strerror}; the recording is whole") from None
        print(f"profile: {command.profile} (--game {command.profile}; docs/screen.md says what more it may hold)")
    elif getattr(options, "keys", ""):
        print("a profile of this window: the same command with --profile FILE.toml writes one")
    return result


def training(command: RecordCommand, options: Any) -> str:
    """The command that learns from the recording: with what its pictures depend on, where that is not the default."""
    usual, about = envs.options(command.game), _driving(command, options).about()
    other = {name: value for name, value in about.items() if getattr(usual, name, None) not in (None, value)}
    words = [word for name, value in other.items() if name != "protocol" for word in (f"--{name}", value)]
    return cli.line("train", command.game, "--agent", "clone", "--data", command.out, *words)


def changed(options: Any) -> dict[str, Any]:
    """The options that are not the game's defaults, those that teach left out."""
    usual = type(options)()
    names = [field.name for field in dataclasses.fields(options) if field.name != "expert_info"]
    return {name: value for name in names if (value := getattr(options, name)) != getattr(usual, name)}


def main() -> None:
    with cli.edge(), cli.ended_by_signals():
        command, options = parse(sys.argv[1:])
        cli.starting(kernels=True)
        if envs.describe(command.game).window:
            with cli.refusing():
                recorded = in_window(command, options)
            if recorded.rows == 0:
                raise cli.UserError("nothing was recorded")
            asked = [word for name, value in changed(options).items() for word in (f"--env.{name}", value)]
            print(f"look:  {cli.line('data', command.out)}")
            print(f"train: {cli.line('train', command.game, '--agent', 'clone', '--data', command.out, *asked)}")
            return
        with cli.refusing():
            recorder = by_expert(command, options) if command.driver == "expert" else by_person(command, options)
        if recorder.steps == 0:
            raise cli.UserError("nothing was recorded")
        share = recorder.off / recorder.steps
        if share > NOISE_OFF_ROAD:
            print(f"warning: {share:.0%} of the time the car was off the road; less --noise keeps it there")
        print(f"look:  {cli.line('data', command.out)}")
        print(f"train: {training(command, options)}")


if __name__ == "__main__":
    main()
