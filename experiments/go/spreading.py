"""Tasks spread over threads, each with a worker of its own: games of a tournament, games that are judged, self-play."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

Task, Done = TypeVar("Task"), TypeVar("Done")


class Hand(Protocol[Task, Done]):
    """Whoever does one task after the other."""

    def do(self, task: Task) -> Done:
        """Does one task; called in the hand's own thread."""
        ...

    def close(self) -> None:
        """Ends what the hand keeps open. Called once, in the same thread."""
        ...


def spread(
    tasks: Iterable[Task], threads: int, hand: Callable[[], Hand[Task, Done]], done: Callable[[Task, Done], None]
) -> None:
    """Does all tasks, begun in their order. hand: makes a thread's worker, in that thread.

    `done` is called after every task, by one thread at a time. Whatever it or a worker raises is raised here, and
    nothing is begun or told any more.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    lock, enough, faults = threading.Lock(), threading.Event(), []

    def work() -> None:
        mine = None
        try:
            while not enough.is_set():
                task = waiting.get_nowait()
                mine = mine or hand()
                result = mine.do(task)
                with lock:
                    if enough.is_set():
                        return
                    done(task, result)
        except queue.Empty:
            pass
        except BaseException as fault:  # handed over to the caller's thread
            faults.append(fault)
            enough.set()
        finally:
            if mine is not None:
                mine.close()

    running = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        for thread in running:
            while thread.is_alive():
                thread.join(0.2)
    finally:
        enough.set()
    if faults:
        raise faults[0]
