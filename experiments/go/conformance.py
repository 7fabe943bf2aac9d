"""Does a program speak GTP 2? Checks written from the specification, for any program.

    python -m experiments.go.conformance rave
    python -m experiments.go.conformance 'gtp:gnugo --mode gtp'

Every check sends lines, byte for byte, and holds what comes back against the specification (G. Farneback, version 2,
draft 2). Exit code 1 if one fails.
"""

from __future__ import annotations

import re
import selectors
import subprocess
import sys
import time
from typing import NamedTuple

from experiments import cli
from experiments.go.programs import command_line

SECONDS = 120.0  # time limit of one check, in s; the first may wait for a slow start
FRESH = b"boardsize 9\nclear_board\nkomi 6.5\n"  # commands sent ahead of every check
AFTER, MARK = b"424242 protocol_version\n", "=424242 2"  # command sent behind every check; start of its answer
OK = r"= ?"
VERTEX = r"[A-HJa-hj][1-9]"
MOVE = rf"({VERTEX}|pass|PASS|resign)"


class Check(NamedTuple):
    """One check: what is sent and, for each answer that must come, a pattern for the whole of it."""

    title: str
    send: str  # text to be sent; \n ends a line
    expect: tuple[str, ...]


def refused(message: str, number: str = "") -> str:
    """Returns the pattern of a GTP error answer with this message and command number."""
    return rf"\?{number} ?{message}"


def stones(vertices: str) -> str:
    """These vertices in any order: the specification says where the stones go, and not which one is named first."""
    names = vertices.split()
    return "= " + "".join(rf"(?=.*\b{name}\b)" for name in names) + rf"{VERTEX}( {VERTEX}){{{len(names) - 1}}}"


# A finished game: Black has the columns A to E, White F to J, 45 points to 36.
WALLS = "".join(f"play b e{row}\nplay w f{row}\n" for row in range(1, 10))
DONE = (OK,) * 18

CHECKS = [
    # Form of commands and answers
    Check("an answer carries the command's number", "17 protocol_version\n", ("=17 2",)),
    Check("a refusal carries the command's number", "17 no_such\n", (refused("unknown command", "17"),)),
    Check("no number, none in the answer", "protocol_version\n", ("= 2",)),
    Check("number 0 is a number", "0 protocol_version\n", ("=0 2",)),
    Check("the largest number", "2147483647 protocol_version\n", ("=2147483647 2",)),
    Check("a comment behind a command", "protocol_version # what? 12\n", ("= 2",)),
    Check("a comment that touches the command", "protocol_version# x\n", ("= 2",)),
    Check("a line that is a comment", "# nothing\n3 protocol_version\n", ("=3 2",)),
    Check("a comment behind spaces", "   # nothing\n3 protocol_version\n", ("=3 2",)),
    Check("empty lines", "\n\n \n4 protocol_version\n", ("=4 2",)),
    Check("a tab is a space", "5\tknown_command\tplay\n", ("=5 true",)),
    Check("several spaces", "   6    known_command    play   \n", ("=6 true",)),
    Check("carriage returns are dropped", "7 protocol_version\r\n8 protocol_version\r\n", ("=7 2", "=8 2")),
    Check("other control characters are dropped", "9 proto\x01col\x07_version\x7f\n", ("=9 2",)),
    Check("commands in one write", "1 play b c3\n2 play w d4\n3 undo\n", ("=1 ?", "=2 ?", "=3 ?")),
    Check("an answer without text", "1 clear_board\n", ("=1 ?",)),
    # Administration
    Check("protocol version", "protocol_version\n", ("= 2",)),
    Check("name", "name\n", (r"= \S.*",)),
    Check("version", "version\n", (r"= ?.*",)),
    Check("known_command of a known one", "known_command genmove\n", ("= true",)),
    Check("known_command of an unknown one", "known_command no_such\n", ("= false",)),
    Check("command names are case sensitive", "known_command GENMOVE\n", ("= false",)),
    Check(
        "list_commands has the required ones",
        "list_commands\n",
        (
            "= (?s:(?=.*^boardsize$)(?=.*^clear_board$)(?=.*^genmove$)(?=.*^known_command$)(?=.*^komi$)"
            "(?=.*^list_commands$)(?=.*^play$)(?=.*^quit$).*)",
        ),
    ),
    Check("list_commands, one to a line", "list_commands\n", (r"= \S+(\n\S+)+",)),
    Check("an unknown command", "no_such 1 2\n", (refused("unknown command"),)),
    # Board
    Check("a board size", "boardsize 7\n", (OK,)),
    Check("size 19", "boardsize 19\n", (OK,)),
    Check("a size that is too large", "boardsize 1000\n", (refused("unacceptable size"),)),
    Check("a size below all boards", "boardsize 0\n", (refused("unacceptable size"),)),
    Check("a size that is no number", "boardsize nine\n", (refused(".+"),)),
    Check("no size", "boardsize\n", (refused(".+"),)),
    Check("the board keeps its size", "boardsize 5\nclear_board\nplay b f6\nplay b e5\n", (OK, OK, r"\?.*", OK)),
    Check("clear_board takes the stones", "play b c3\nclear_board\nplay w c3\n", (OK, OK, OK)),
    Check("clear_board keeps the komi", f"komi 0.5\nclear_board\n{WALLS}final_score\n", (OK, OK, *DONE, r"= B\+8\.5")),
    Check("komi changes the score", f"{WALLS}komi 20.5\nfinal_score\n", (*DONE, OK, r"= W\+11\.5")),
    Check("a negative komi", f"komi -3.5\n{WALLS}final_score\n", (OK, *DONE, r"= B\+12\.5")),
    Check("a drawn game", f"komi 9\n{WALLS}final_score\n", (OK, *DONE, "= 0")),
    Check("a komi that is no number", "komi much\n", (refused("syntax error"),)),
    Check("no komi", "komi\n", (refused("syntax error"),)),
    # Moves
    Check("a move", "play b c3\n", (OK,)),
    Check("long colours", "play black c3\nplay white d4\n", (OK, OK)),
    Check("colours in any case", "play B c3\nplay White d4\nplay BLACK e5\n", (OK, OK, OK)),
    Check("vertices in any case", "play b C3\nplay w d4\nplay b c3\n", (OK, OK, refused("illegal move"))),
    Check("no column I", "play b i5\n", (r"\?.*",)),
    Check("column J stands beside H", "play b h5\nplay w j5\nplay w j5\n", (OK, OK, refused("illegal move"))),
    Check("a vertex off the board", "play b k5\nplay b a10\nplay b a0\n", (r"\?.*", r"\?.*", r"\?.*")),
    Check("no vertex", "play b\n", (r"\?.*",)),
    Check("no colour", "play c3\n", (r"\?.*",)),
    Check("an unknown colour", "play red c3\n", (r"\?.*",)),
    Check("a pass", "play b pass\nplay w PASS\n", (OK, OK)),
    Check("moves of one colour in a row", "play b c3\nplay b d3\nplay b e3\n", (OK, OK, OK)),
    Check("an occupied point", "play b c3\nplay w c3\n", (OK, refused("illegal move"))),
    Check("a refused move changes nothing", "play b c3\nplay w c3\nundo\nundo\n", (OK, r"\?.*", OK, r"\?.*")),
    Check("a capture empties the point", "play b a2\nplay w a1\nplay b b1\nplay b a1\n", (OK, OK, OK, OK)),
    Check(
        "a ko may not be taken back at once",
        "play b b2\nplay w c2\nplay b a1\nplay w d1\nplay b c1\nplay w b1\nplay b c1\n",
        (OK, OK, OK, OK, OK, OK, refused("illegal move")),
    ),
    Check(
        "a ko may be taken after moves elsewhere",
        "play b b2\nplay w c2\nplay b a1\nplay w d1\nplay b c1\nplay w b1\nplay b g7\nplay w g6\nplay b c1\n",
        (OK, OK, OK, OK, OK, OK, OK, OK, OK),
    ),
    Check("suicide of one stone", "play b a2\nplay b b1\nplay w a1\n", (OK, OK, refused("illegal move"))),
    Check("moves after two passes", "play b pass\nplay w pass\nplay b c3\n", (OK, OK, OK)),
    Check("undo", "play b c3\nundo\nplay w c3\n", (OK, OK, OK)),
    Check("undo of a capture", "play b a2\nplay w a1\nplay b b1\nundo\nplay b a1\n", (OK, OK, OK, OK, r"\?.*")),
    Check("undo of a pass", "play b pass\nundo\nundo\n", (OK, OK, refused("cannot undo"))),
    Check("nothing to undo", "undo\n", (refused("cannot undo"),)),
    # The program's own moves
    Check("genmove", "genmove b\n", (f"= {MOVE}",)),
    Check("genmove plays the move", "genmove b\nundo\nundo\n", (f"= {MOVE}", OK, refused("cannot undo"))),
    Check("genmove of one colour twice", "genmove w\ngenmove w\n", (f"= {MOVE}", f"= {MOVE}")),
    Check("genmove without a colour", "genmove\n", (r"\?.*",)),
    Check("genmove of an unknown colour", "genmove green\n", (r"\?.*",)),
    Check("genmove after two passes", "play b pass\nplay w pass\ngenmove b\n", (OK, OK, f"= {MOVE}")),
    Check("reg_genmove plays nothing", "reg_genmove b\nundo\n", (f"= {MOVE}", refused("cannot undo"))),
    # Handicap
    Check("fixed handicap", "fixed_handicap 2\n", (stones("C3 G7"),)),
    Check("five stones", "fixed_handicap 5\n", (stones("C3 G7 C7 G3 E5"),)),
    Check("nine stones", "fixed_handicap 9\n", (stones("C3 G7 C7 G3 C5 G5 E3 E7 E5"),)),
    Check("handicap stones are black", "fixed_handicap 2\nplay w c3\n", (r"= .+", refused("illegal move"))),
    Check("too many fixed stones", "fixed_handicap 10\n", (refused("invalid number of stones"),)),
    Check("one fixed stone", "fixed_handicap 1\n", (refused("invalid number of stones"),)),
    Check("fixed handicap on stones", "play b c3\nfixed_handicap 2\n", (OK, refused("board not empty"))),
    Check("free handicap", "place_free_handicap 3\n", (rf"= {VERTEX}( {VERTEX}){{1,2}}",)),
    Check("one free stone", "place_free_handicap 1\n", (refused("invalid number of stones"),)),
    Check("given handicap", "set_free_handicap c3 d4 e5\nplay w d4\n", (OK, refused("illegal move"))),
    Check("a point given twice", "set_free_handicap c3 c3\n", (refused("bad vertex list"),)),
    Check("a handicap pass", "set_free_handicap c3 pass\n", (refused("bad vertex list"),)),
    Check("one given stone", "set_free_handicap c3\n", (refused(".+"),)),
    Check("given handicap on stones", "play b c3\nset_free_handicap d4 e5\n", (OK, refused("board not empty"))),
    # Time
    Check("time settings", "time_settings 300 30 5\n", (OK,)),
    Check("time settings that are no numbers", "time_settings a b c\n", (refused("syntax error"),)),
    Check("too few time settings", "time_settings 300 30\n", (refused("syntax error"),)),
    Check("time left", "time_settings 300 30 5\ntime_left b 200 0\ntime_left white 20 3\n", (OK, OK, OK)),
    Check("time left of nobody", "time_left green 10 0\n", (r"\?.*",)),
    # The end
    Check("the score", f"{WALLS}play b a1\nfinal_score\n", (*DONE, OK, r"= B\+2\.5")),
    Check("no stone is dead", f"{WALLS}final_status_list dead\n", (*DONE, OK)),
    Check(
        "stones that cannot live are dead",
        f"{WALLS}play w b2\nfinal_status_list dead\nfinal_score\n",
        (*DONE, OK, "= B2", r"= B\+2\.5"),
    ),
    Check("living stones", f"{WALLS}final_status_list alive\n", (*DONE, rf"= {VERTEX}([ \n]{VERTEX}){{17}}")),
    Check("an unknown status", "final_status_list happy\n", (r"\?.*",)),
    Check("showboard", "play b c3\nshowboard\n", (OK, r"=(?s:.*)9(?s:.*)3 .*(?s:.*)",)),
    # Files
    Check("a file that is not there", "loadsgf /no/such/file.sgf\n", (refused("cannot load file"),)),
    Check("no file name", "loadsgf\n", (r"\?.*",)),
]  # fmt: skip


class Session:
    """A program on pipes."""

    def __init__(self, argv: list[str]):
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        self._buffer = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.process.stdout, selectors.EVENT_READ)

    def send(self, data: bytes) -> None:
        """Writes bytes to the program's standard input."""
        self.process.stdin.write(data)

    def answer(self, seconds: float = SECONDS) -> str:
        """The next answer without the empty line. Raises TimeoutError or EOFError."""
        deadline = time.monotonic() + seconds
        while b"\n\n" not in self._buffer:
            if not self._selector.select(max(deadline - time.monotonic(), 0)):
                raise TimeoutError(f"no answer; so far {self._buffer!r}")
            data = self.process.stdout.read(65536)
            if not data:
                raise EOFError(f"the program ended; last {self._buffer[-80:]!r}")
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\n\n")
        return text.decode("utf-8", "replace").rstrip()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self._selector.close()


def examine(session: Session, check: Check) -> str:
    """What is wrong, or "" if nothing is."""
    session.send(FRESH)
    for _ in FRESH.splitlines():
        session.answer()
    session.send(check.send.encode() + AFTER)
    answers = []
    while (text := session.answer()) != MARK:  # all of them, or the next check would read what is left of these
        answers.append(text)
    for i, (text, pattern) in enumerate(zip(answers, check.expect, strict=False)):
        if re.fullmatch(pattern, text, re.MULTILINE) is None:
            return f"answer {i + 1} is {text[:200]!r}, not {pattern}"
    many = len(answers) - len(check.expect)
    return "" if many == 0 else f"{len(answers)} answers to {len(check.expect)} commands"


def endings(argv: list[str]) -> dict[str, str]:
    """The checks that need a process of their own: quit and the end of the input."""
    found = {}
    for title, data, answers in (
        ("quit is answered and ends the program", b"1 quit\n", ["=1"]),
        ("what follows quit is not answered", b"1 quit\n2 name\n", ["=1"]),
        ("the end of the input ends the program", b"1 protocol_version\n", ["=1 2"]),
        ("no input at all", b"", []),
        ("a last line without its end", b"1 protocol_version\n2 protocol_version", None),
    ):
        done = subprocess.run(argv, input=data, capture_output=True, timeout=SECONDS)
        given = [part.rstrip() for part in done.stdout.decode().split("\n\n") if part.strip()]
        right = given[:1] == ["=1 2"] if answers is None else given == answers
        found[title] = "" if right and done.returncode == 0 else f"{given} and exit code {done.returncode}"
    session, title = Session(argv), "quit ends the program though the input stays open"
    try:
        session.send(b"1 quit\n")
        given, code = session.answer(), session.process.wait(SECONDS)
        found[title] = "" if (given, code) == ("=1", 0) else f"{given!r} and exit code {code}"
    except (TimeoutError, EOFError, OSError, subprocess.TimeoutExpired) as fault:
        found[title] = f"{type(fault).__name__}: {fault}"
    finally:
        session.close()
    return found


def conformance(argv: list[str]) -> dict[str, str]:
    """Every check's title with what is wrong, "" where nothing is."""
    found, session = {}, Session(argv)
    try:
        for check in CHECKS:
            try:
                found[check.title] = examine(session, check)
            except (TimeoutError, EOFError, OSError) as fault:
                found[check.title] = f"{type(fault).__name__}: {fault}"
                session.close()
                session = Session(argv)
    finally:
        session.close()
    return found | endings(argv)


def main() -> None:
    with cli.edge():
        if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
            print(__doc__.strip())
            sys.exit(0 if len(sys.argv) == 2 else 2)
        found = conformance(command_line(sys.argv[1], 9))
        for title, wrong in found.items():
            if wrong:
                print(f"WRONG  {title}: {wrong}")
        failed = sum(map(bool, found.values()))
        print(f"{sys.argv[1]}: {len(found) - failed} of {len(found)} checks passed")
        sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
