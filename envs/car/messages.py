"""What passes between the program that drives and the guardian: one datagram a message, over a socket pair.

A command is a fixed block of numbers, so that even NaN arrives as what it is; everything else is JSON.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

LARGEST = 2**15  # bytes of a message
BLOCK = struct.Struct("<4sQdddIBddIIIId")
MAGIC = b"car1"


class CarCommand(NamedTuple):
    """What the program wants, and how old all of it is that the wish rests on."""

    seq: int  # number of the command, rising
    time: float  # moment of sending on the clock of time.monotonic, s
    steer: float  # steering, -1 (left) to 1
    throttle: float  # throttle, -1 to 1
    presses: int  # number of times that a person has pressed arm so far
    armed: bool  # False where the person wants the car disarmed
    frame_age: float  # age of the picture that the command rests on, s
    hands_age: float  # age of the last heartbeat of the person's page, s
    frame: int  # number of that picture
    content: int  # checksum of what the newest picture shows
    hands: int  # number of that heartbeat
    missed: int  # pictures since the last one that the network has answered; 0 where no network drives
    cap: float  # highest throttle that the person wants, 0 to 1

    def packed(self) -> bytes:
        """The bytes on the wire."""
        return BLOCK.pack(MAGIC, *self)


def command_of(data: bytes) -> CarCommand | None:
    """The command in a datagram; None where it is none."""
    if len(data) != BLOCK.size or not data.startswith(MAGIC):
        return None
    magic, *values = BLOCK.unpack(data)
    command = CarCommand(*values)
    return command._replace(armed=bool(command.armed))


def packed(message: dict[str, Any]) -> bytes:
    """A message as JSON."""
    return json.dumps(message).encode()


def message_of(data: bytes) -> dict[str, Any] | None:
    """The JSON object in a datagram; None where it is none."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
