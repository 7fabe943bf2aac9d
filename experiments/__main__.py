"""``joypad NAME ...``: the same programs as ``python -m experiments.NAME``."""

from __future__ import annotations

import difflib
import importlib
import sys
from pathlib import Path


def programs() -> list[str]:
    """The names of the programs: the modules beside this one that have a `main`."""
    files = (p for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("__"))
    return sorted(p.stem for p in files if "\ndef main(" in p.read_text())


def main() -> None:
    names = programs()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print("joypad: a reinforcement-learning lab for game agents\n\nusage: joypad PROGRAM ... (--help for each)\n")
        for name in names:
            doc = importlib.import_module(f"experiments.{name}").__doc__ or ""
            print(f"  {name:12} {doc.strip().splitlines()[0]}")
        return
    name = sys.argv.pop(1)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        print(f"joypad: there is no program {name!r}" + (f"; did you mean {near[0]}?" if near else ""), file=sys.stderr)
        sys.exit(2)
    sys.argv[0] = f"joypad {name}"
    importlib.import_module(f"experiments.{name}").main()


if __name__ == "__main__":
    main()
