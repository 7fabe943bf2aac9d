"""`python -m experiments.bench` from outside: every benchmark runs, tells finite figures and writes them down."""

import contextlib
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from agents.core import device as devices
from experiments import bench, building, configuration
from experiments.benchmarks import agents, atari, flappy, in_rounds, replay


@pytest.mark.parametrize(
    ("what", "told"),
    [
        pytest.param("flappy", "pixels, steps/s", marks=pytest.mark.slow),
        pytest.param("kart", "kart_160x120 / car_racing", marks=pytest.mark.slow),
        pytest.param("throughput", "dqn, batch 256, steps/s", marks=pytest.mark.slow),
        pytest.param("search", "go 9x9, no network, microseconds per visit", marks=pytest.mark.slow),
    ],
)
def test_a_benchmark_prints_its_table_and_writes_json(what: str, told: str, tmp_path) -> None:
    words = [sys.executable, "-m", "experiments.bench", what, "--seconds", "0.1", "--rounds", "1"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "runs" / "bench").glob(f"{what}-*.json")
    assert str(file.relative_to(tmp_path)) in done.stdout
    result = json.loads(file.read_text())
    assert told in result["figures"]
    assert result["commit"]
    for name, value in result["figures"].items():
        assert name in done.stdout
        assert not isinstance(value, float) or (math.isfinite(value) and value > 0), name


def test_without_the_game_to_compare_with_flappy_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "flappy_bird_gymnasium", None)
    monkeypatch.setattr(flappy, "_ours", lambda observation: lambda: 1)
    figures = flappy.flappy(seconds=0.001, rounds=1)
    assert "in an environment of its own: pip install" in figures["flappy-bird-gymnasium"]
    assert "pixels, steps/s" in figures and not any(" over " in name for name in figures)


def children(parent: int) -> list[int]:
    """Processes that have been started by another one."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    found = []
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, ppid = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[:2]
            if int(ppid) == parent and state != "Z":
                found.append(pid)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="/proc tells whose child a process is")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_bench_that_is_stopped_leaves_nobody_behind(how: signal.Signals, tmp_path) -> None:
    words = [sys.executable, "-m", "experiments.bench", "agents", "--seconds", "300"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as bench:
        until = time.monotonic() + 120
        while len(started := children(bench.pid)) < 2 and time.monotonic() < until:  # one is Python's own helper
            time.sleep(0.2)
        assert len(started) >= 2
        time.sleep(5.0)  # the contender is at work
        bench.send_signal(how)
        bench.wait(30)
        until = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").is_dir() for pid in started) and time.monotonic() < until:
            time.sleep(0.2)
        assert not [pid for pid in started if Path(f"/proc/{pid}").is_dir()]


class Here:
    """A contender in this process, not in one of its own: with few environments, small networks and short warm-ups."""

    def __init__(self, build, *args):
        if build is atari.emulators:
            args = (4, *args[1:])
        if build is atari.loop:
            config, _ = atari.settings(args[0])
            small = dict(
                replay=400, warmup=64, batch=8, rollout=8, minibatch=16, epochs=1, hidden=8, encoder="small", atoms=5,
                encoder_width=1, pool=False, spectral=False,
            )  # fmt: skip
            known = configuration.fields(building.module(args[0]).Config)
            args = (*args[:2], ({**config, **{k: v for k, v in small.items() if k in known}}, 4), *args[3:])
        self.meter = build(*args)

    def __call__(self, seconds: float) -> tuple[int, float]:
        return self.meter(seconds)

    def close(self) -> None:
        self.meter = None


def tiny_sb3(kind: str, device: torch.device, processes: bool, game: str):
    """The same algorithms on CartPole."""
    from sb3_contrib import QRDQN
    from stable_baselines3 import A2C, DQN, PPO
    from stable_baselines3.common.env_util import make_vec_env

    more = dict(n_steps=16, batch_size=16) if kind == "ppo" else {} if kind == "a2c" else dict(learning_starts=16)
    algorithm = {"ppo": PPO, "a2c": A2C, "dqn": DQN, "qrdqn": QRDQN}[kind]
    return algorithm("MlpPolicy", make_vec_env("CartPole-v1", 2), device=device, **more)


def figures(what: str, tmp_path, monkeypatch, capsys) -> dict:
    """Those that the command writes down, which are those that it prints."""
    monkeypatch.chdir(tmp_path)
    words = ["bench", what, "--seconds", "0.05", "--rounds", "1", "--device", "cpu", "--json", "here.json"]
    monkeypatch.setattr(sys, "argv", words)
    bench.main()
    told, result = capsys.readouterr().out, json.loads((tmp_path / "here.json").read_text())
    assert "written:  here.json" in told and result["commit"] and result["what"] == what
    for name, value in result["figures"].items():
        assert any(line.split("  ")[0] == name and bench._shown(value) in line for line in told.splitlines()), name
        assert not isinstance(value, float) or (math.isfinite(value) and value > 0), name
    return result["figures"]


PAIRS = [(kind, f"sb3-{kind}") for kind in agents.BESIDE_SB3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "pairs", "alone"),
    [
        ("atari", [("loop with random agent", "emulators alone"), PAIRS[0], PAIRS[2]], ()),
        ("agents", [*PAIRS, ("pqn", "emulators alone")], agents.ALONE),
    ],
)
def test_ratios_are_quotients_of_the_figures_beside_them(what, pairs, alone, tmp_path, monkeypatch, capsys) -> None:
    for module in (atari, agents):
        monkeypatch.setattr(module, "Apart", Here)
    monkeypatch.setattr(atari, "sb3", tiny_sb3)
    monkeypatch.setattr(atari, "PIECE", 32)
    monkeypatch.setattr(atari, "WARM", 64)
    monkeypatch.setattr(devices, "cores", lambda: 1)
    rows = figures(what, tmp_path, monkeypatch, capsys)
    names = [*(name for pair in pairs for name in pair), *alone]
    assert set(rows) == {f"{name}, steps/s" for name in names} | {one for one, _ in pairs}
    for one, other in pairs:
        ratio = rows[f"{one}, steps/s"] / rows[f"{other}, steps/s"]
        assert rows[one] == f"{ratio:.2f}x {other} ({ratio:.2f} to {ratio:.2f})"


def test_the_ring_is_measured(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(replay, "ROWS", 64 * 40)
    threads = torch.get_num_threads()
    rows = figures("replay", tmp_path, monkeypatch, capsys)
    torch.set_num_threads(threads)
    assert rows["ring of 1M transitions, GB"] == pytest.approx(64 * 40 * 84 * 84 / 1e9, rel=0.05)
    drawing = [name for name in rows if "drawing 32 windows" in name or "frames alone" in name]
    assert len(drawing) == 4 and "prioritized: updating 32 priorities, us (median)" in rows and len(rows) == 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", agents.BESIDE_SB3)
def test_stable_baselines3_has_our_settings(kind) -> None:
    """The zoo's, as ours in the same table: network, batch, epochs, rollout and replay ratio."""
    model = atari.sb3(kind, torch.device("cpu"), processes=False)
    code = building.module(kind)
    config, num_envs = atari.settings(kind)
    ours = code.Config(**config)
    if kind in ("ppo", "a2c"):
        assert model.n_steps * model.n_envs == ours.rollout * num_envs
        assert (model.gamma, model.ent_coef) == (ours.gamma, ours.entropy_coef)
    if kind == "ppo":
        assert (model.batch_size, model.n_epochs, model.lr_schedule(1)) == (ours.minibatch, ours.epochs, ours.lr)
        assert (model.clip_range(1), model.gae_lambda, model.vf_coef) == (ours.clip, ours.lam, ours.value_coef)
    if kind in ("dqn", "qrdqn"):
        trained = model.gradient_steps * model.batch_size / (model.train_freq.frequency * model.n_envs)
        assert (model.batch_size, trained, model.learning_starts) == (ours.batch, ours.ratio, ours.warmup)
    model.env.close()


def test_a_benchmark_that_is_not_there_is_refused(tmp_path) -> None:
    words = [sys.executable, "-m", "experiments.bench", "breakout"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "no benchmark 'breakout'" in done.stderr
    assert "atari" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "told"),
    [("atari --game chess", "--game chess: must be an Atari game"), ("replay --game pong", "has no choice of games"),
     ("atari --game pong --race", "--race: the score to reach is one of breakout")],
)  # fmt: skip
def test_a_game_that_cannot_be_measured_is_refused(words: str, told: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *words.split()])
    with pytest.raises(SystemExit) as stop:
        bench.main()
    assert stop.value.code == 2 and told in capsys.readouterr().err


def test_another_game_is_measured_with_its_own_actions(monkeypatch) -> None:
    monkeypatch.setattr(devices, "cores", lambda: 1)
    done, taken = atari.emulators(2, "boxing")(0.05)  # 18 actions
    assert done >= 2 and taken >= 0.05
    assert atari.sb3("dqn", torch.device("cpu"), False, "up-n-down").env.envs[0].spec.id == "ALE/UpNDown-v5"


class Steady:
    """A meter that makes `rate` steps a second, at least `least` seconds at a time."""

    def __init__(self, rate: int, least: float):
        self.rate, self.least, self.asked, self.closed = rate, least, 0, False

    def __call__(self, seconds: float) -> tuple[int, float]:
        self.asked += 1
        seconds = max(seconds, self.least)
        return round(self.rate * seconds), seconds

    def close(self) -> None:
        self.closed = True


def test_two_take_turns_until_each_has_had_its_seconds() -> None:
    quick, slow = Steady(600, 0.0), Steady(200, 7.0)
    assert atari.in_turns([quick, slow], 5.0) == [600, 200]
    assert quick.asked == 5 and slow.asked == 1
    alone = Steady(50, 0.0)
    rows = atari.compared({"quick": quick, "slow": slow, "alone": alone}, [("quick", "slow")], 0.5, 3)
    assert rows == {
        "quick, steps/s": 600, "slow, steps/s": 200, "alone, steps/s": 50, "quick": "3.00x slow (3.00 to 3.00)"
    }  # fmt: skip
    assert quick.closed and slow.closed and alone.closed


@pytest.mark.slow
def test_contenders_in_processes_of_their_own() -> None:
    """Ours and stable-baselines3's, of the agent that needs the shortest warm-up."""
    cpu = torch.device("cpu")
    meters = {"a2c": atari.Apart(atari.loop, "a2c", cpu), "sb3-a2c": atari.Apart(atari.sb3_meter, "a2c", cpu, False, 1)}
    rows = atari.compared(meters, [("a2c", "sb3-a2c")], 1.0, 1)
    assert rows["a2c, steps/s"] > 50 and rows["sb3-a2c, steps/s"] > 50


def test_a_contender_that_dies_is_told(capfd) -> None:
    meter = atari.Apart(json.loads, "{")
    with pytest.raises(RuntimeError, match="process has died"):
        meter(1.0)
    assert "JSONDecodeError" in capfd.readouterr().err
    meter.close()


def test_works_take_turns_after_one_piece_each_that_is_not_counted() -> None:
    done: list[str] = []
    works = {name: lambda name=name: [done.append(name), sum(range(10_000))][1] * 0 + 3 for name in "ab"}
    rates = in_rounds(works, 0.01, 2)
    assert done[:2] == ["a", "b"] and list(rates) == ["a", "b"] and all(len(v) == 2 for v in rates.values())
    turns = [name for name, other in zip(done[2:], [None, *done[2:]], strict=False) if name != other]
    assert turns == ["a", "b", "a", "b"] and all(speed > 0 for v in rates.values() for speed in v)
