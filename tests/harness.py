"""Runs of `train` in processes that can be killed at an exact moment, without paying for imports each time.

This file is a program that imports everything once and then forks a child for each job it reads; and `Lab`, which tests
use to start it and to send jobs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Kill:
    """When a run gets a signal. The moments are counted, so that a failure can be repeated exactly.

    With both a step and a file it gets two, and the files are counted from the step on.
    """

    step: int = 0  # before the vector step of this number, counted from 1; 0: not there
    file: int = 0  # after the file of this number has been written into a checkpoint; 0: not there
    torn: bool = False  # that file loses its second half first
    number: int = int(signal.SIGKILL)  # of the signal


class Result(NamedTuple):
    """How a run ended, and how many moments it had at which it could have been killed."""

    code: int  # exit code, or minus the number of the signal
    out: str
    err: str
    steps: int
    files: int


class Lab:
    """The parent's side: starts the program, sends jobs, in the folder `where`."""

    def __init__(self, where: Path):
        self.where = where
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy"}
        self.process = subprocess.Popen(
            [sys.executable, __file__], cwd=where, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def train(self, *argv: object, kill: Kill | None = None, largest: int = 0, period: float | None = None) -> Result:
        """One run. largest: bytes that a file may have, 0: any. period: seconds between log lines, else the usual."""
        job: dict[str, Any] = {"argv": [str(a) for a in argv], "largest": largest, "period": period}
        job["kill"] = dataclasses.asdict(kill or Kill())
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the harness itself has ended"
        read = {name: (self.where / f"harness.{name}").read_text() for name in ("out", "err", "count")}
        steps, files = map(int, read["count"].split())
        return Result(json.loads(answer), read["out"], read["err"], steps, files)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)


def child(job: dict[str, Any]) -> None:
    """One run in a process of its own; does not return."""
    from agents.core import checkpoint
    from agents.core.log import Log
    from agents.core.loop import Loop
    from experiments import train

    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"harness.{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    count, kill = {"steps": 0, "files": 0}, Kill(**job["kill"])
    advance, save, begun = Loop.advance, checkpoint.save, 0

    def counted(name: str) -> int:
        count[name] += 1
        Path("harness.count").write_text(f"{count['steps']} {count['files']}")
        return count[name]

    def step(self: Any) -> None:
        nonlocal begun
        if counted("steps") == kill.step:
            begun = count["files"]
            os.kill(os.getpid(), kill.number)
        advance(self)

    def written(path: Path) -> None:
        if counted("files") - begun == kill.file and (not kill.step or count["steps"] >= kill.step):
            if kill.torn and path.is_file():
                os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), kill.number)

    Path("harness.count").write_text("0 0")
    Loop.advance = step
    checkpoint.save = lambda folder, number, parts, meta: save(folder, number, parts, meta, on_write=written)
    if job["period"] is not None:
        Log.__init__.__defaults__ = (job["period"],)
    if job["largest"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["largest"], job["largest"]))
    code: Any = 1
    try:
        train.main(job["argv"])
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    import torch._dynamo  # the slow imports, once
    import torch.utils.tensorboard  # noqa: F401

    import envs
    import experiments.evaluate
    import experiments.train
    import experiments.watch  # noqa: F401

    sys.path.insert(0, str(HERE))
    envs.GAMES["worlds"] = "worlds"
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        number = os.fork()
        if number == 0:
            child(json.loads(line))
        _, status = os.waitpid(number, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), file=answers, flush=True)


if __name__ == "__main__":
    main()
