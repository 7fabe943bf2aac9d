"""Programs: those that some tests need beside Python, and our own, run in this process."""

import shutil
import sys

import pytest


def tool(*names: str) -> str:
    """The path of a program that pip does not install; where it is missing the test is skipped with the reason.

    `tests/conftest.py` collects these skips for .ci/run, which installs the programs and runs the tests again.
    """
    for name in names:
        if path := shutil.which(name) or shutil.which(name, path="/usr/games"):
            return path
    pytest.skip(f"{names[0]} is not installed (apt-get install {names[0].lower()})")


def program(main, argv, capsys, monkeypatch=None) -> tuple[int, str, str]:
    """Runs a program in this process: exit code, standard output, standard error."""
    code = 0
    try:
        if monkeypatch is None:
            main(argv)
        else:
            monkeypatch.setattr(sys, "argv", ["program", *argv])
            main()
    except SystemExit as stop:
        code = stop.code or 0
    out, err = capsys.readouterr()
    return code, out, err
