"""What people and pages may ask of the player: each command with its key, the type of its value, and how it is done.

Nothing else comes in, and nothing of another type (experiments/web/values.py). A command that makes no sense raises
CommandRefused with a sentence for the person; whatever else is raised is a fault of the program, and no answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.arguments import is_share
from experiments.watching.human import Unplayable
from experiments.web.values import Type, flag, items, nothing, number, optional, take, text, whole

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 0.0)  # factors of the game's own speed; 0: as fast as it goes


class CommandRefused(ValueError):
    """A command that cannot be carried out, with a sentence for the person who gave it."""


class PlayerCommand(NamedTuple):
    """One thing that the player can be asked for."""

    takes: Type  # type of the value
    do: Callable[[Any, Any], None]  # function of (player, value)
    key: str = ""  # key in the window and the page; "": for pages and programs alone
    about: str = ""  # effect of the key


def obey(player: Any, name: str, value: Any) -> None:
    """Does what is asked for. Raises CommandRefused for what is not known, of another type, or makes no sense."""
    try:
        checked = take(TYPES, name, value)
    except ValueError as fault:
        raise CommandRefused(str(fault)) from None
    COMMANDS[name].do(player, checked)


def _pause(player: Any, wanted: bool | None) -> None:
    player.paused = not player.paused if wanted is None else wanted


def _step(player: Any, _: None) -> None:
    player.paused = player.stepping = True


def _change_speed(faster: bool) -> Callable[[Any, None], None]:
    def change(player: Any, _: None) -> None:
        other = [speed for speed in SPEEDS if faster == (_rank(speed) > _rank(player.speed)) and speed != player.speed]
        if other:
            player.speed = other[0 if faster else -1]

    return change


def _rank(speed: float) -> float:
    """Speeds in their order: 0 is the fastest."""
    return speed or math.inf


def speed(value: Any) -> float:
    """A factor of the game's own speed; 0: as fast as it goes."""
    wanted = number(0, 1000)(value)
    if 0 < wanted < 0.01:
        raise ValueError("must be 0 (as fast as it goes) or from 0.01 to 1000")
    return wanted


def _speed(player: Any, wanted: float) -> None:
    player.speed = wanted


def _seed(player: Any, wanted: int) -> None:
    player.begin_soon(wanted)


def _new(player: Any, _: None) -> None:
    player.begin_soon((player.key[0] + 1) % 2**31)


def _again(player: Any, _: None) -> None:
    player.begin_soon(player.key[0])


def policy(value: Any) -> str:
    """greedy, sampled or "epsilon E" with E in 0..1."""
    name = text(40)(value)
    kind, _, share = name.partition(" ")
    if name not in ("greedy", "sampled") and not (kind == "epsilon" and is_share(share)):
        raise ValueError("must be greedy, sampled or 'epsilon E' with a share E from 0 to 1")
    return name


def _policy(player: Any, name: str | None) -> None:
    for seat in player.seats:
        try:
            seat.choose_policy(name or ("sampled" if seat.policy_name != "sampled" else "greedy"))
        except ValueError as fault:
            raise CommandRefused(str(fault)) from None
    player.messages.append(f"policy: {player.focus.policy_name}")


def _take(player: Any, taken: bool | None) -> None:
    seat = player.focus
    try:
        seat.take_over(seat.human is None if taken is None else taken)
    except Unplayable as fault:
        raise CommandRefused(str(fault)) from None
    keys = ", ".join(seat.human.known) if seat.human else ""
    player.messages.append(f"you play; keys: {keys}" if seat.human else "handed back to the agent")


def _overlay(player: Any, name: str | None) -> None:
    kinds, now = player.focus.overlays(), player.focus.overlay
    chosen = kinds[(kinds.index(now) + 1 if now in kinds else 1) % len(kinds)] if name is None else name
    if chosen not in kinds:
        raise CommandRefused(f"overlay {chosen!r}: choose {', '.join(kinds)}")
    for seat in player.seats:
        seat.overlay = chosen
    _explain(player)


def _panels(player: Any, wanted: bool | None) -> None:
    player.panels = not player.panels if wanted is None else wanted
    _explain(player)


def _explain(player: Any) -> None:
    """The reasons are computed where anybody sees them."""
    for seat in player.seats:
        seat.explaining = player.panels or seat.overlay != "off"
        seat.look_again()


def _clip(player: Any, _: None) -> None:
    # A window or a page hears this command before the player does.
    raise CommandRefused("clip: only a window or a page keeps the last 30 seconds")


def recorder_of(seat: Any) -> Any | None:
    """What records the drive at this seat; None where nothing does that can pause."""
    return next((listener for listener in seat.listeners if hasattr(listener, "discard")), None)


def _recorder(player: Any) -> Any:
    if (found := recorder_of(player.focus)) is None:
        raise CommandRefused("no drive is being recorded here")
    return found


def _record(player: Any, wanted: bool | None) -> None:
    recorder = _recorder(player)
    recorder.recording = not recorder.recording if wanted is None else wanted
    player.messages.append("recording goes on" if recorder.recording else "not recording: x goes on")


def _discard(player: Any, _: None) -> None:
    player.messages.append(f"{_recorder(player).discard()} records deleted")


def _quit(player: Any, _: None) -> None:
    player.ended = True


def _held(player: Any, keys: list[str]) -> None:
    player.focus.hold(set(keys))
    if player.focus.human is not None:
        player.focus.human.held = set(keys)


def _sticks(player: Any, values: list[float]) -> None:
    if player.focus.human is not None:
        player.focus.human.sticks = [min(max(value, -1.0), 1.0) for value in values]


def _click(player: Any, place: list[float]) -> None:
    player.focus.click(*place)


_switch, _place = optional(flag), number(-1e6, 1e6)
COMMANDS = {
    "pause": PlayerCommand(_switch, _pause, "p", "pause or go on"),
    "step": PlayerCommand(nothing, _step, "n", "one decision, then pause"),
    "slower": PlayerCommand(nothing, _change_speed(False), "-", "slower"),
    "faster": PlayerCommand(nothing, _change_speed(True), "+", "faster, at last as fast as it goes"),
    "new": PlayerCommand(nothing, _new, "e", "a new episode, with the next seed"),
    "again": PlayerCommand(nothing, _again, "r", "begin again with the same seed"),
    "policy": PlayerCommand(optional(policy), _policy, "g", "greedy (the best action) or sampled (as in training)"),
    "take": PlayerCommand(_switch, _take, "t", "take over, or hand back"),
    "overlay": PlayerCommand(
        optional(text(40)), _overlay, "o", "what is laid over the picture: what drives the choice, or a board's values"
    ),
    "panels": PlayerCommand(_switch, _panels, "v", "show or hide the panels"),
    "clip": PlayerCommand(nothing, _clip, "c", "save the last 30 seconds"),
    "record": PlayerCommand(_switch, _record, "x", "of a drive that is recorded: pause the recording, or go on"),
    "discard": PlayerCommand(nothing, _discard, "backspace", "of a drive that is recorded: delete the last 3 seconds"),
    "quit": PlayerCommand(nothing, _quit),
    "speed": PlayerCommand(speed, _speed),
    "seed": PlayerCommand(whole(0, 2**31 - 1), _seed),
    "held": PlayerCommand(items(text(20), most=16), _held),  # names of keys
    "sticks": PlayerCommand(items(number(-1e6, 1e6), most=8), _sticks),  # axes of a gamepad, see `Human`
    "click": PlayerCommand(items(_place, most=2, least=2), _click),  # point in the picture, in px
}
TYPES = {name: command.takes for name, command in COMMANDS.items()}
KEYS = {command.key: name for name, command in COMMANDS.items() if command.key}
