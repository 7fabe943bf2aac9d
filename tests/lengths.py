"""How long the longest tests are: short in the check, which every change waits for, and long where somebody asks.

    JOYPAD_AT_LENGTH=1 python -m pytest -m slow tests/test_go_rules.py
"""

import os


def repeats(short: int, long: int) -> int:
    """`long` with JOYPAD_AT_LENGTH=1 in the environment, else `short`."""
    return long if os.environ.get("JOYPAD_AT_LENGTH") == "1" else short
