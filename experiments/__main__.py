"""``joypad NAME ...``: the same programs as ``python -m experiments.NAME``."""

from __future__ import annotations

import difflib
import importlib
import sys

FIRST = "home"  # program that is started where none is named
PROGRAMS = {  # name -> what it is for; read without importing any of them
    "home": "one page for everything: games, runs, trainings, boards, recordings",
    "list": "what there is: games, agents, recipes",
    "train": "train an agent on a game",
    "watch": "watch agents play, and see why they act",
    "play": "play a game yourself",
    "evaluate": "score a run over full games",
    "verify": "check the scores of the reference runs",
    "compare": "which of these runs is better?",
    "sweep": "search for a better configuration",
    "suite": "train and score an agent on game after game",
    "runs": "keep the run folders in order: list, find, tag, archive, delete, promote, export, import",
    "drive": "drive a toy car: camera, page, network, and a guardian that stops it",
    "record": "record driving for cloning",
    "data": "look at recordings, and edit those of driving",
    "gtp": "play Go by the Go Text Protocol, or by KataGo's analysis protocol",
    "selfplay": "games of a player against itself, as records to learn from",
    "tournament": "matches between Go programs",
    "export": "write a run's policy as ONNX, or for a car",
    "bench": "measure speed beside the peers",
}


def main() -> None:
    if len(sys.argv) < 2 or (sys.argv[1].startswith("--") and sys.argv[1] not in ("--help", "--version")):
        sys.argv.insert(1, FIRST)
    if sys.argv[1] in ("-h", "--help"):
        print("joypad: a reinforcement-learning lab for game agents\n\nusage: joypad PROGRAM ... (--help for each)")
        print("       joypad, with nothing behind it, opens the page of everything\n")
        for name, purpose in PROGRAMS.items():
            print(f"  {name:12} {purpose}")
        print("\nThe first steps: joypad train breakout --minutes 10, then joypad watch breakout")
        return
    name = sys.argv.pop(1)
    if name == "--version":
        from experiments import cli

        print(cli.version())
        return
    if name not in PROGRAMS:
        near = difflib.get_close_matches(name, PROGRAMS, n=1)
        message = f"did you mean {near[0]}?" if near else "joypad --help lists them"
        print(f"joypad: there is no program {name!r}; {message}", file=sys.stderr)
        sys.exit(2)
    sys.argv[0] = f"joypad {name}"
    importlib.import_module(f"experiments.{name}").main()


if __name__ == "__main__":
    main()
