"""`python -m experiments.bench` from outside: every benchmark runs, tells finite figures and writes them down."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from agents.core import device as devices
from experiments import bench, building, configuration
from experiments.benchmarks import agents, atari, flappy, in_rounds, kart, replay, throughput
from experiments.benchmarks.contenders import apart, limits, ours, peers


@pytest.mark.parametrize(
    ("what", "told"),
    [
        pytest.param("flappy", "pixels, steps/s", marks=pytest.mark.slow),
        pytest.param("kart", "kart_160x120 / car_racing", marks=pytest.mark.slow),
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
        if build is ours.emulators:
            args = (4, *args[1:])
        if build is ours.loop:
            config, _ = ours.settings(args[0])
            small = dict(
                replay=400, warmup=64, batch=8, rollout=8, minibatch=16, epochs=1, hidden=8, encoder="small", atoms=5,
                encoder_width=1, pool=False, spectral=False,
            )  # fmt: skip
            known = configuration.fields(building.module(args[0]).Config)
            args = (*args[:2], ({**config, **{k: v for k, v in small.items() if k in known}}, 4), *args[3:])
        self.meter = build(*args)

    def __call__(self, seconds: float) -> tuple[int, float]:
        return self.meter(seconds)

    def megabytes(self) -> float:
        return 50.0

    def close(self) -> None:
        self.meter = None


def tiny_sb3(library: str, kind: str, device: torch.device, processes: bool, game: str):
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
        ("throughput", [], ("emulators alone", "ppo", "pqn", "dqn, batch 32", "dqn, batch 256")),
    ],
)
def test_ratios_are_quotients_of_the_figures_beside_them(what, pairs, alone, tmp_path, monkeypatch, capsys) -> None:
    for module in (atari, agents, throughput, peers, limits):
        monkeypatch.setattr(module, "Apart", Here)
    monkeypatch.setattr(peers, "libraries", lambda: ["sb3"])
    monkeypatch.setattr(peers, "model", tiny_sb3)
    monkeypatch.setattr(peers, "PIECE", 32)
    monkeypatch.setattr(peers, "WARM", 64)
    monkeypatch.setattr(devices, "cores", lambda: 1)
    rows = figures(what, tmp_path, monkeypatch, capsys)
    names = [*(name for pair in pairs for name in pair), *alone]
    made = {f"{name}, steps/s" for name in names} | {one for one, _ in pairs}
    made |= {f"{name}, MB of memory" for name in names}
    if what == "atari":
        made |= shares_are_quotients(rows)
    assert set(rows) == made
    for one, other in pairs:
        ratio = rows[f"{one}, steps/s"] / rows[f"{other}, steps/s"]
        assert rows[one] == f"{ratio:.2f}x {other} ({ratio:.2f} to {ratio:.2f})"


def shares_are_quotients(rows: dict) -> set[str]:
    """Checks limits and shares against their definition. Returns their names and those of the bare network."""
    trained, inferred = (f"bare network, {which}, batch {{}}, samples/s" for which in ("trained", "inferred"))
    emulators = 1 / rows["emulators alone, steps/s"]
    seconds = {  # seconds of one environment step
        "ppo": 4 / rows[trained.format(256)] + 1 / rows[inferred.format(64)] + emulators,
        "dqn": 8 / rows[trained.format(32)] + 8 / rows[inferred.format(32)] + 1 / rows[inferred.format(16)] + emulators,
    }
    found = {row for row in rows if row.startswith("bare network")}
    for kind, taken in seconds.items():
        assert rows[f"limit of {kind}, steps/s"] == pytest.approx(1 / taken)
        found.add(f"limit of {kind}, steps/s")
        for name in (kind, f"sb3-{kind}"):
            assert rows[f"{name}, share of the limit"] == pytest.approx(rows[f"{name}, steps/s"] * taken)
            found.add(f"{name}, share of the limit")
    assert len(found) == 5 + 2 * 3
    return found


def test_the_bare_network_is_natures() -> None:
    """9.35 M multiply-adds, and every kind of agent's samples as its settings have them."""
    network, counted = limits.nature_network(), 0
    for layer in network:
        layer.register_forward_hook(lambda layer, _, out: sizes.append((layer, out.shape)))
    sizes: list = []
    network(torch.zeros(1, 4, 84, 84))
    for layer, shape in sizes:
        if hasattr(layer, "weight"):
            counted += layer.weight.numel() * (shape[2] * shape[3] if len(shape) == 4 else 1)
    assert counted == pytest.approx(9.35e6, rel=0.01)
    assert [work.samples for work in limits.WORKS["ppo"]] == [4, 1]
    assert [work.samples for work in limits.WORKS["dqn"]] == [8, 8, 1]
    assert limits.limit([limits.SampleWork(4, 8, True)], {"bare network, trained, batch 8": 8.0}, 2.0) == 1.0


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="/proc tells how much memory a process has had")
def test_memory_is_that_of_a_process_and_its_children() -> None:
    """A process that has had 60 MB, whose child has 40 MB."""
    child = "x = b'1' * 40_000_000; print(flush=True); input()"
    code = f"import subprocess, sys; x = b'1' * 60_000_000; x = None\nsubprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert 100 < apart.peak(process.pid) < 200
        process.communicate(b"\n")
    assert apart.peak(process.pid) is None


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
    model = peers.model("sb3", kind, torch.device("cpu"), processes=False)
    code = building.module(kind)
    config, num_envs = ours.settings(kind)
    mine = code.Config(**config)
    if kind in ("ppo", "a2c"):
        assert model.n_steps * model.n_envs == mine.rollout * num_envs
        assert (model.gamma, model.ent_coef) == (mine.gamma, mine.entropy_coef)
    if kind == "ppo":
        assert (model.batch_size, model.n_epochs, model.lr_schedule(1)) == (mine.minibatch, mine.epochs, mine.lr)
        assert (model.clip_range(1), model.gae_lambda, model.vf_coef) == (mine.clip, mine.lam, mine.value_coef)
    if kind in ("dqn", "qrdqn"):
        trained = model.gradient_steps * model.batch_size / (model.train_freq.frequency * model.n_envs)
        assert (model.batch_size, trained, model.learning_starts) == (mine.batch, mine.ratio, mine.warmup)
    model.env.close()


def test_seconds_are_those_of_each_contender_and_round(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(kart, "kart", lambda *words: asked.append(words) or {})
    kart.run(torch.device("cpu"), 4.0, 3, False)
    assert asked == [(4.0, 3)]


def test_figures_as_a_table_of_markdown() -> None:
    told = bench.table({"one, steps/s": 1234.5, "other": "1.20x one", "us": 4.0}, markdown=True)
    assert told.splitlines() == [
        "| | figure |", "|---|---|", "| one, steps/s | 1,234 |", "| other | 1.20x one |", "| us | 4 |"
    ]  # fmt: skip


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
     ("atari --game pong --race", "--race: the score to reach is one of breakout"),
     ("replay --race", "--race: bench replay has no race")],
)  # fmt: skip
def test_a_game_that_cannot_be_measured_is_refused(words: str, told: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *words.split()])
    with pytest.raises(SystemExit) as stop:
        bench.main()
    assert stop.value.code == 2 and told in capsys.readouterr().err


def test_another_game_is_measured_with_its_own_actions(monkeypatch) -> None:
    monkeypatch.setattr(devices, "cores", lambda: 1)
    done, taken = ours.emulators(2, "boxing")(0.05)  # 18 actions
    assert done >= 2 and taken >= 0.05
    assert peers.model("sb3", "dqn", torch.device("cpu"), False, "up-n-down").env.envs[0].spec.id == "ALE/UpNDown-v5"


class Steady:
    """A meter that makes `rate` steps a second, at least `least` seconds at a time."""

    def __init__(self, rate: int, least: float):
        self.rate, self.least, self.asked, self.closed = rate, least, 0, False

    def __call__(self, seconds: float) -> tuple[int, float]:
        self.asked += 1
        seconds = max(seconds, self.least)
        return round(self.rate * seconds), seconds

    def megabytes(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True


def test_two_take_turns_until_each_has_had_its_seconds() -> None:
    quick, slow = Steady(600, 0.0), Steady(200, 7.0)
    assert apart.in_turns([quick, slow], 5.0) == [600, 200]
    assert quick.asked == 5 and slow.asked == 1
    alone = Steady(50, 0.0)
    rows = apart.compared({"quick": quick, "slow": slow, "alone": alone}, [("quick", "slow")], 0.5, 3)
    assert rows == {
        "quick, steps/s": 600, "slow, steps/s": 200, "alone, steps/s": 50, "quick": "3.00x slow (3.00 to 3.00)"
    }  # fmt: skip
    assert quick.closed and slow.closed and alone.closed


@pytest.mark.slow
def test_contenders_in_processes_of_their_own() -> None:
    """Ours and stable-baselines3's, of the agent that needs the shortest warm-up."""
    cpu = torch.device("cpu")
    other = apart.Apart(peers.meter, "sb3", "a2c", cpu, False, 1)
    meters = {"a2c": apart.Apart(ours.loop, "a2c", cpu), "sb3-a2c": other}
    rows = apart.compared(meters, [("a2c", "sb3-a2c")], 1.0, 1)
    assert rows["a2c, steps/s"] > 50 and rows["sb3-a2c, steps/s"] > 50


def test_a_contender_that_dies_is_told(capfd) -> None:
    meter = apart.Apart(json.loads, "{")
    with pytest.raises(RuntimeError, match="process has died"):
        meter(1.0)
    assert "JSONDecodeError" in capfd.readouterr().err
    meter.close()


def test_a_dead_contender_ends_the_bench_with_one_sentence(monkeypatch, capsys) -> None:
    def died(*asked):
        raise apart.DeadContender("a contender's process has died")

    monkeypatch.setattr(replay, "run", lambda device, seconds, rounds, race: died())
    monkeypatch.setattr(sys, "argv", ["bench", "replay"])
    with pytest.raises(SystemExit) as stop:
        bench.main()
    assert stop.value.code == 2 and capsys.readouterr().err.endswith("joypad: a contender's process has died\n")


def test_each_of_a_race_begins_with_its_own_environment(monkeypatch) -> None:
    """Processes read environment variables when they begin: the other library's threads are not ours."""
    began = []

    class RaceRunner:
        def __init__(self, *how):
            began.append(os.environ["GOMP_SPINCOUNT"])

        def __enter__(self):
            return self

        def __exit__(self, *fault):
            pass

        def submit(self, race, *args):
            return SimpleNamespace(result=lambda: (10.0, 100) if race is ours.our_race else (40.0, 900, 31.0))

    monkeypatch.setenv("GOMP_SPINCOUNT", "20000")
    monkeypatch.setattr(atari, "ProcessPoolExecutor", RaceRunner)
    rows = atari.race_to(30.0, "sb3", torch.device("cpu"), threads=1, processes=False)
    assert began == ["20000", "300000"] and rows["wall clock beside sb3"] == "0.25 of sb3"


def test_another_librarys_score_is_of_a_hundred_games_as_ours_is(monkeypatch) -> None:
    class SteadyLearner:
        num_timesteps, ep_info_buffer = 0, deque(maxlen=100)

        def learn(self, steps, callback):
            callback.model = self
            while callback._on_step():
                self.ep_info_buffer.append({"r": 50.0})
                self.num_timesteps += 10

    monkeypatch.setattr(peers, "model", lambda *asked: SteadyLearner())
    _, steps, mean = peers.race("sb3", 30.0, torch.device("cpu"), torch.get_num_threads(), False, 60.0)
    assert steps == 1_000 and mean == 50.0


def test_works_take_turns_after_one_piece_each_that_is_not_counted() -> None:
    done: list[str] = []
    works = {name: lambda name=name: [done.append(name), sum(range(10_000))][1] * 0 + 3 for name in "ab"}
    rates = in_rounds(works, 0.01, 2)
    assert done[:2] == ["a", "b"] and list(rates) == ["a", "b"] and all(len(v) == 2 for v in rates.values())
    turns = [name for name, other in zip(done[2:], [None, *done[2:]], strict=False) if name != other]
    assert turns == ["a", "b", "a", "b"] and all(speed > 0 for v in rates.values() for speed in v)
