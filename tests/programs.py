"""Programs that some tests need beside Python."""

import os
import shutil

import pytest


def tool(*names: str) -> str:
    """The path of a program; where it is missing the test is skipped, or fails on the machine of .ci/run."""
    for name in names:
        if path := shutil.which(name) or shutil.which(name, path="/usr/games"):
            return path
    reason = f"{names[0]} is not installed (apt-get install {names[0].lower()})"
    if os.environ.get("CI_RUN"):
        pytest.fail(reason)
    pytest.skip(reason)
