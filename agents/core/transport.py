"""Between one learner and its actors elsewhere: weights and orders go out, blocks of rows come in.

The learner (`agents.core.remote`) and an actor's work (`agents.core.collector`) know nothing of processes, machines and
libraries. What lies between them is a `Transport` of four methods, which moves arrays of numbers and bytes. Ray is one
(`experiments/cluster`), `InProcess` another, for tests; any further engine offers the same four methods.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np


class Message(NamedTuple):
    """What travels: words as JSON, and arrays by their names. Nothing of it is ever executed."""

    words: bytes
    arrays: dict[str, np.ndarray]

    @property
    def nbytes(self) -> int:
        """Returns the bytes of words and arrays."""
        return len(self.words) + sum(array.nbytes for array in self.arrays.values())


class Arrival(NamedTuple):
    """What `receive` hands over: a block of rows, or the news that an actor died and is being replaced."""

    actor: int
    message: Message | None  # None where the actor died
    reason: str = ""  # cause of its death, in words


class TransportFault(Exception):
    """Nothing comes through any more; the message is one sentence that says why."""


class Transport(Protocol):
    """Moves messages between one learner and actors 0, 1, ... Every order is answered once, by a block or a death."""

    def publish(self, weights: Message) -> None:
        """The weights with which every order from now on is carried out."""
        ...

    def order(self, actor: int, words: bytes) -> None:
        """Asks an actor for a block of rows. It does one after the other, in the order of asking."""
        ...

    def receive(self, seconds: float) -> Arrival | None:
        """The next answer, of whichever actor; None where none comes within `seconds`.

        An actor that died has been replaced, or is being replaced, when its death is told.
        """
        ...

    def close(self) -> None:
        """Ends all actors."""
        ...


# What an actor does with an order: the words of the order and the published weights -> a block of rows.
Work = Callable[[bytes, Message], Message]


class InProcess:
    """Actors in this process, for tests: an order is carried out when its answer is received.

    make(actor): the work of a new actor. chosen(actors): which of those that have an order answers next, by default
    the one that was asked first.
    """

    def __init__(self, make: Callable[[int], Work], chosen: Callable[[Sequence[int]], int] | None = None):
        self.make, self.chosen = make, chosen or (lambda actors: actors[0])
        self.works: dict[int, Work] = {}
        self.waiting: list[tuple[int, bytes, Message]] = []  # orders with the weights that were published before them
        self.weights = Message(b"{}", {})
        self.dying: set[int] = set()
        self.sent = 0  # bytes of all blocks

    def publish(self, weights: Message) -> None:
        """See `Transport`."""
        self.weights = copied(weights)

    def order(self, actor: int, words: bytes) -> None:
        """See `Transport`."""
        self.waiting.append((actor, words, self.weights))

    def receive(self, seconds: float) -> Arrival | None:
        """See `Transport`."""
        if not self.waiting:
            return None
        actor = self.chosen(list(dict.fromkeys(actor for actor, _, _ in self.waiting)))
        place = next(i for i, order in enumerate(self.waiting) if order[0] == actor)
        _, words, weights = self.waiting.pop(place)
        if actor in self.dying:
            self.dying.discard(actor)
            self.works.pop(actor, None)
            return Arrival(actor, None, "it was ended")
        if actor not in self.works:
            self.works[actor] = self.make(actor)
        message = copied(self.works[actor](words, weights))
        self.sent += message.nbytes
        return Arrival(actor, message)

    def kill(self, actor: int) -> None:
        """The actor dies with the order that it has; another one takes its place."""
        self.dying.add(actor)

    def close(self) -> None:
        """See `Transport`."""
        self.works.clear()
        self.waiting.clear()


def copied(message: Message) -> Message:
    """The same message in memory of its own, as it arrives from elsewhere: nobody may write to it."""
    arrays = {name: np.array(array) for name, array in message.arrays.items()}
    for array in arrays.values():
        array.flags.writeable = False
    return Message(message.words, arrays)


def packed(state: Mapping[str, Any], **words: Any) -> Message:
    """A nested state of tensors, arrays and plain values as a message. words: what else is told."""
    arrays: dict[str, np.ndarray] = {}

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return {key: walk(inner, f"{path}/{key}") for key, inner in value.items()}
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        if isinstance(value, np.ndarray):
            arrays[path] = value
            return {"array": path}
        return {"plain": value}

    tree = walk(state, "")
    return Message(json.dumps({**words, "tree": tree}).encode(), arrays)


def unpacked(message: Message, array: Callable[[np.ndarray], Any] = np.array) -> dict[str, Any]:
    """The state of a message that `packed` made. array: what becomes of each array."""

    def walk(node: Any) -> Any:
        if set(node) == {"array"} and isinstance(node["array"], str):
            return array(message.arrays[node["array"]])
        if set(node) == {"plain"} and not isinstance(node["plain"], dict):
            return node["plain"]
        return {key: walk(inner) for key, inner in node.items()}

    return walk(json.loads(message.words)["tree"])
