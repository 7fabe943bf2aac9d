"""Mutated GTP input: every command line gets exactly one well-formed answer, and the program lives on.

The whole, 10,000 inputs: python -m pytest -m slow tests/test_gtp_fuzz.py (mutated SGF: tests/test_go_sgf.py)
"""

from __future__ import annotations

import io
import random
import re
import subprocess
import sys
import time

import lengths
import pytest

from experiments.go import players
from experiments.go.commands import Engine
from experiments.go.engine import COMMANDS, Habits
from experiments.go.protocol import INTERNAL, LONGEST, Input, Output, serve

LINES = b"""1 boardsize 9
boardsize 5
clear_board
komi 6.5
2 play b c3
play W D4
play white pass
genmove b
17 genmove w
reg_genmove b
undo
gg-undo 2
fixed_handicap 4
place_free_handicap 5
set_free_handicap c3 d4 e5
time_settings 300 30 5
time_left b 200 0
kgs-time_settings byoyomi 10 5 3
final_score
final_status_list dead
showboard
list_commands
known_command play
loadsgf fuzz.sgf 3
kata-set-rules japanese
kata-get-rules
3 lz-analyze b 10
kata-analyze w 5 maxmoves 3 ownership true avoid b c3,d4 1
kata-genmove_analyze b 10
joypad-visits
joypad-ownership
printsgf
set_random_seed 5
all_legal b
is_legal w c3
color e5
# a comment
""".splitlines()
NUMBERS = (b"0", b"-1", b"19", b"25", b"2147483648", b"1e400", b"nan", b"-0", b"99999999999999999999", b"3.5", b"361")
ANSWER = re.compile(rb"[=?][0-9]*( [^\n]+)?(\n[^\n]+)*")


def mutate(rng: random.Random) -> bytes:
    """A few lines of input, mutated."""
    lines = [rng.choice(LINES) for _ in range(rng.randrange(1, 5))]
    for _ in range(rng.randrange(4)):
        i, kind = rng.randrange(len(lines)), rng.randrange(8)
        line = bytearray(lines[i])
        at = rng.randrange(len(line) + 1)
        end = min(len(line), at + rng.randrange(1, 6))
        if kind == 0:
            del line[at:end]
        elif kind == 1:
            line[at:at] = line[at:end] * rng.randrange(1, 4)
        elif kind == 2:
            line[at:end] = bytes(rng.randrange(256) for _ in range(end - at))
        elif kind == 3:
            words = bytes(line).split() or [b""]
            words[rng.randrange(len(words))] = rng.choice(NUMBERS)
            line = bytearray(b" ".join(words))
        elif kind == 4:
            line += b" " + rng.choice(rng.choice(LINES).split() or [b"x"])
        elif kind == 5:
            line[at:at] = bytes([rng.choice((9, 10, 13, 0, 7, 35, 127, 160, 255))])
        elif kind == 6:
            line[at:at] = rng.choice((b"x", b"9", b" ", b"c3 ")) * rng.randrange(1, 3000)
        else:
            line = bytearray(rng.choice(NUMBERS) + b" " + line)
        lines[i] = bytes(line)
    return b"\n".join(lines) + (b"" if rng.random() < 0.1 else b"\n")


def commands_in(data: bytes) -> list[bytes]:
    """The numbers of the commands in an input, written anew from the specification; up to `quit`."""
    found = []
    for raw in data.split(b"\n"):
        if len(raw) >= LONGEST:
            found.append(b"")
            continue
        line = bytes(32 if c == 9 else c for c in raw if c == 9 or 32 <= c != 127).split(b"#")[0]
        words = line.decode("utf-8", "surrogateescape").split()
        if words:
            number = words[0] if words[0].isascii() and words[0].isdigit() else ""
            found.append(number.encode())
            if words[1 if number else 0 :][:1] == ["quit"]:
                break
    return found


def fuzz(count: int, seed: int) -> tuple[int, int]:
    """Feeds mutated inputs to one engine; returns how many commands were answered by = and by ?."""
    rng = random.Random(seed)
    stream = io.BytesIO()
    engine = Engine(players.rave(seed=1), Output(stream), size=5, habits=Habits(visits=4, seconds=0.05))
    granted = refused = 0
    for _ in range(count):
        data = mutate(rng)
        lines = Input(io.BytesIO(data))
        engine.waiting, engine.wait = lines.waiting, lines.wait
        stream.seek(0)
        stream.truncate()
        started = time.process_time()
        serve(lines, engine.output, engine)
        assert time.process_time() - started < 20, data
        answers = stream.getvalue()
        assert len(answers) < 2_000_000, data
        assert answers.endswith(b"\n\n") or not answers, data
        parts = answers.split(b"\n\n")[:-1]
        assert len(parts) == len(commands_in(data)), (data, answers)
        for part, number in zip(parts, commands_in(data), strict=True):
            assert ANSWER.fullmatch(part) and part[1:].startswith(number), (data, part)
            assert INTERNAL.encode() not in part, (data, part)
            granted += part[:1] == b"="
            refused += part[:1] == b"?"
        size = engine.game.size
        assert 2 <= size <= 19 and len(engine.game.moves) <= engine.game.rules.max_moves
    return granted, refused


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Mutated file names lead into a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fuzz.sgf").write_bytes(b"(;SZ[5]KM[1];B[cc];W[bb];B[cb])")


def test_mutated_input():
    assert {line.split()[1 if line[:1].isdigit() else 0].decode() for line in LINES if line[:1] != b"#"} <= set(
        COMMANDS
    )
    granted, refused = fuzz(300, 1)
    assert min(granted, refused) > 100


@pytest.mark.slow
def test_mutated_input_at_length():
    granted, refused = fuzz(lengths.repeats(3_000, 10_000), 2)
    assert min(granted, refused) > 900


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
sys.argv = ["gtp", "--size", "5", "--visits", "5"]
from experiments import gtp
gtp.main()
"""


@pytest.mark.slow
def test_endless_lines_and_floods_need_bounded_memory():
    """50 MB on one line, and 10,000 commands at once, under a limit of 3 GB for the whole process."""
    flood = b"x" * 50_000_000 + b"\n1 name\n" + b"play b c3\nundo\n" * 5_000 + b"2 name\n"
    root = __file__.rsplit("/", 2)[0]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], input=flood, capture_output=True, timeout=300, env={"PYTHONPATH": root}
    )
    assert done.returncode == 0 and done.stderr == b""
    answers = done.stdout.split(b"\n\n")
    assert (answers[0], answers[1]) == (b"? unknown command", b"=1 joypad rave")
    assert answers[-2:] == [b"=2 joypad rave", b""] and len(answers) == 10_004
    assert {part.strip() for part in answers[2:-2]} == {b"="}
