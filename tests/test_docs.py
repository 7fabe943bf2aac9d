"""The smallest examples of the documentation, run as they stand there."""

import re
import sys
from pathlib import Path

import pytest

import agents
import envs
from experiments import evaluate, train
from tests import programs

DOCS = Path(__file__).resolve().parent.parent / "docs"


def example(page: str, name: str, folder: Path, monkeypatch) -> str:
    """The first block of Python of a page, as a module that can be imported. Returns its source."""
    source = re.search(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL).group(1)
    (folder / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return source


def test_the_smallest_game_trains_and_is_scored(tmp_path, capsys, monkeypatch):
    source = example("add-a-game.md", "catch_of_the_docs", tmp_path, monkeypatch)
    assert len(source.splitlines()) <= 65
    monkeypatch.setitem(envs.GAMES, "catch", "catch_of_the_docs")
    argv = "catch --agent ppo --recipe none --steps 16000 --num-envs 16 --rollout 32 --lr 0.002 --seed 1 --size 5"
    argv = [*argv.split(), "--eval-episodes", "0", "--no-video", "--runs", str(tmp_path)]
    code, out, err = programs.program(train.main, argv, capsys)
    assert code == 0, err
    argv = ["catch", "--episodes", "100", "--runs", str(tmp_path)]
    code, out, err = programs.program(evaluate.main, argv, capsys, monkeypatch)
    assert code == 0, err
    assert float(re.search(r"mean (\S+)", out).group(1)) > 0.2  # chance: about -0.5
    assert "(protocol catch, " in out


@pytest.mark.parametrize("size", ["2", "100", "x"])
def test_the_smallest_game_refuses_what_it_cannot_do(size, tmp_path, capsys, monkeypatch):
    example("add-a-game.md", "catch_of_the_docs", tmp_path, monkeypatch)
    monkeypatch.setitem(envs.GAMES, "catch", "catch_of_the_docs")
    code, out, err = programs.program(train.main, ["catch", "--size", size, "--runs", str(tmp_path)], capsys)
    assert code == 2 and "size" in err and "Traceback" not in err


def test_the_smallest_agent_learns(tmp_path, capsys, monkeypatch):
    source = example("add-an-agent.md", "agent_of_the_docs", tmp_path, monkeypatch)
    assert len(source.splitlines()) <= 90
    monkeypatch.setitem(agents.AGENTS, "tiny-q", "agent_of_the_docs")
    argv = "gym:CartPole-v1 --agent tiny-q --recipe none --steps 6000 --num-envs 4 --seed 2 --eval-episodes 0"
    code, _, err = programs.program(train.main, [*argv.split(), "--video", "no", "--runs", str(tmp_path)], capsys)
    assert code == 0, err
    argv = ["gym:CartPole-v1", "--episodes", "20", "--runs", str(tmp_path)]
    code, out, err = programs.program(evaluate.main, argv, capsys, monkeypatch)
    assert code == 0, err
    assert float(re.search(r"mean (\S+)", out).group(1)) > 60.0  # chance: 22
