"""Imports point one way, and what must be light is light (docs/architecture.md)."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("agents", "envs", "experiments")
DEVICES = {"ale_py", "pygame", "cv2", "mss", "pynput", "serial", "gpiozero", "smbus2", "picamera2", "onnxruntime"}
HEAVY = DEVICES | {"torch", "numpy", "numba", "gymnasium", "tensorboard", "stable_baselines3", "PIL", "imageio_ffmpeg"}
# Modules of `agents` that algorithms may share.
SHARED = {"critics", "exploration", "heads", "imitation", "losses", "optimizers", "ranges", "recurrent", "rewards"}
SHARED |= {"boards", "driving", "rollouts"}
CORE = {"graphs", "pace", "parallel", "rows", "returns", "device", "samplers"}  # parts that an algorithm may import
TORCH_FREE = {"drive", "gtp", "go", "selfplay", "tournament", "data", "record", "web"}  # programs


class Import(NamedTuple):
    """One imported name of one file."""

    module: str  # dotted, of the importing file
    name: str  # dotted, what is imported; with `from a import b`: a.b
    top: bool  # executed when the file is imported
    line: int

    def __str__(self) -> str:
        return f"{self.module} line {self.line}: {self.name}"

    def within(self, *packages: str) -> bool:
        return any(self.name == p or self.name.startswith(f"{p}.") for p in packages)


def files() -> list[Path]:
    return sorted(p for top in OURS for p in (ROOT / top).rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file; one inside a function is not `top`, one for type checkers only is left out."""
    module, package = dotted(path), dotted(path.parent / "__init__.py")

    def walk(node: ast.AST, top: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, top, node.lineno)
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join(parents[: len(parents) - node.level + 1] + ([base] if base else []))
            for alias in node.names:
                yield Import(module, f"{base}.{alias.name}", top, node.lineno)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, top and not inside)

    yield from walk(ast.parse(path.read_text()), True)


ALL = [found for path in files() for found in imports(path)]


def algorithms() -> set[str]:
    """Modules directly in `agents` that are neither shared nor the package itself, and the search."""
    return {dotted(p) for p in (ROOT / "agents").glob("*.py")} - {"agents"} - {f"agents.{s}" for s in SHARED}


def test_the_parser_sees_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "envs" / "go" / "env.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import torch.nn as nn\nfrom agents import dqn\nfrom ..atari import x\nfrom . import y\n"
        "def f():\n    import pygame\nclass C:\n    import numba\nif TYPE_CHECKING:\n    import torch\n"
    )
    seen = {(i.name, i.top) for i in imports(path)}
    expected = {"torch.nn", "agents.dqn", "envs.atari.x", "envs.go.y", "numba"}
    assert seen == {(name, True) for name in expected} | {("pygame", False)}


def test_environments_know_neither_agents_nor_experiments() -> None:
    wrong = [
        i
        for i in ALL
        if i.module.split(".")[0] == "envs"
        and (i.within("torch", "experiments") or (i.within("agents") and not i.within("agents.perception.preprocess")))
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_agents_know_neither_environments_nor_experiments() -> None:
    wrong = [i for i in ALL if i.module.split(".")[0] == "agents" and i.within("envs", "experiments")]
    assert not wrong, "\n".join(map(str, wrong))


def test_an_algorithm_knows_no_other_and_no_loop_or_ring() -> None:
    names = algorithms() - {"agents.baselines"}  # another library's own loop, over our stream
    assert {"agents.dqn", "agents.policy_gradient", "agents.scripted"} <= names
    wrong = []
    for i in ALL:
        if i.module not in names or not i.within("agents"):
            continue
        parts = i.name.split(".")
        if parts[1] in SHARED | {"perception", "search", "configs"}:
            continue
        if parts[1] == "core" and parts[2] in CORE:
            continue
        if i.name.startswith(i.module):
            continue
        wrong.append(i)
    assert not wrong, "\n".join(map(str, wrong))


def room(module: str) -> str:
    """A folder of a package, or a module that lies in the package itself: agents.core, experiments.train."""
    return ".".join(module.split(".")[:2])


def arrows(found: list[Import]) -> dict[str, dict[str, Import]]:
    """Room -> the rooms that it imports, wherever the import stands, each with one import that does so."""
    names = {dotted(p) for p in files()}
    graph: dict[str, dict[str, Import]] = {}
    for i in found:
        parts = i.name.split(".")
        known = [n for k in range(len(parts), 0, -1) if (n := ".".join(parts[:k])) in names]
        if known and room(known[0]) != room(i.module):
            graph.setdefault(room(i.module), {})[room(known[0])] = i
    return graph


def circles(graph: dict[str, dict[str, Import]]) -> list[Import]:
    """The imports that are part of a circle: from where they lead, a way goes back."""

    def reached(start: str) -> set[str]:
        seen, waiting = {start}, [start]
        while waiting:
            new = graph.get(waiting.pop(), {}).keys() - seen
            seen |= new
            waiting += new
        return seen

    return [i for at, some in graph.items() for there, i in some.items() if at in reached(there)]


def test_rooms_import_each_other_in_no_circle() -> None:
    graph = arrows(ALL)
    assert graph["experiments.train"].keys() >= {"experiments.lab", "experiments.training"}
    assert not (found := circles(graph)), "\n".join(map(str, found))
    back = Import("experiments.training.hooks", "experiments.train.main", False, 1)
    assert {room(i.module) for i in circles(arrows([*ALL, back]))} >= {"experiments.train", "experiments.training"}


def test_no_room_imports_a_program() -> None:
    """A folder of `experiments` is used by programs, never the other way round."""
    programs = {dotted(p) for p in (ROOT / "experiments").glob("*.py") if "def main(" in p.read_text()}
    assert {"experiments.train", "experiments.watch"} <= programs
    wrong = [i for i in ALL if i.module.count(".") > 1 and i.within(*programs)]
    assert not wrong, "\n".join(map(str, wrong))


def test_search_is_torch_free_and_knows_no_game() -> None:
    wrong = [i for i in ALL if i.module.startswith("agents.search") and i.within("torch", "envs", "agents.core")]
    assert not wrong, "\n".join(map(str, wrong))


def test_preprocessing_needs_numpy_alone() -> None:
    path = ROOT / "agents/perception/preprocess.py"
    used = {i.name.split(".")[0] for i in imports(path)}
    assert used - set(sys.stdlib_module_names) == {"numpy"}


def test_libraries_of_games_and_devices_are_imported_where_they_are_used() -> None:
    wrong = [i for i in ALL if i.top and i.within(*DEVICES) and i.module.split(".")[0] != "experiments"]
    assert not wrong, "\n".join(map(str, wrong))


def test_packages_import_nothing_heavy() -> None:
    packages = {dotted(p) for p in files() if p.name == "__init__.py"}
    wrong = [i for i in ALL if i.module in packages and i.top and i.within(*HEAVY)]
    assert not wrong, "\n".join(map(str, wrong))


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    ).stdout


def loaded(modules: list[str], watched: set[str]) -> list[str]:
    """Which of `watched` a fresh interpreter has loaded after importing `modules`."""
    code = (
        "import importlib, json, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print(json.dumps(sorted(set({sorted(watched)!r}) & set(sys.modules))))"
    )
    return json.loads(run(code).splitlines()[-1])


def torch_free() -> set[str]:
    """Modules that must work where torch is not even installed."""
    names = {dotted(p) for p in files()}
    roots = ["envs", "agents.search", "agents.perception.preprocess", *(f"experiments.{p}" for p in sorted(TORCH_FREE))]
    return {n for n in names if any(n == root or n.startswith(f"{root}.") for root in roots)}


def test_torch_free_parts_reach_no_torch_through_others() -> None:
    """Follows the imports at the top of each file, packages on the way included."""
    names = {dotted(p) for p in files()}
    reached = {n: n for n in torch_free()}  # module -> the part that leads there
    assert {"envs.atari", "envs.gym", "agents.search.puct"} <= set(reached)
    waiting, wrong = list(reached), []
    while waiting:
        module = waiting.pop()
        for i in ALL:
            if i.module != module or not i.top:
                continue
            if i.within("torch"):
                wrong.append(f"{reached[module]} -> {i}")
            parts = i.name.split(".")
            for n in (".".join(parts[:k]) for k in range(1, len(parts) + 1)):
                if n in names and n not in reached:
                    reached[n] = reached[module]
                    waiting.append(n)
    assert not wrong, "\n".join(wrong)


def test_torch_free_parts_really_load_no_torch() -> None:
    parts = ["envs", "envs.atari", "envs.gym", "agents.search", "agents.perception.preprocess"]
    assert loaded(parts, {"torch", "ale_py", "pygame"}) == []


def test_packages_load_nothing_heavy() -> None:
    packages = sorted({dotted(p) for p in files() if p.name == "__init__.py"})
    assert {"agents", "agents.core", "envs", "experiments.recipes"} <= set(packages)
    assert loaded(packages, HEAVY) == []


def test_a_run_that_learns_by_playing_loads_no_reader_of_recordings() -> None:
    """`train breakout`, until its first step: nothing of teachers, tubs and driving."""
    code = (
        "import sys, envs, torch\n"
        "from agents import settings\n"
        "from agents.core import training\n"
        "from experiments import lab, train\n"
        "config = dict(game='breakout', agent='ppo', seed=1, steps=64, num_envs=1, env=envs.defaults('breakout'),\n"
        "    agent_config=dict(rollout=8, minibatch=8, epochs=1, hidden=8))\n"
        "training.train(lab.assemble(config, torch.device('cpu')).loop)\n"
        "strange = ('experiments.imitation', 'experiments.driving', 'envs.recordings', 'envs.kart', 'PIL', 'pygame')\n"
        "print([name for name in strange if name in sys.modules])"
    )
    assert run(code).splitlines()[-1] == "[]"
