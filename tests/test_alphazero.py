"""AlphaZero: targets held against their definitions, exact resume, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from selfplays import CPU, games_of, made, rows_of

import envs
from agents import alphazero
from agents.alphazero import AlphaZero, Config
from agents.core import checkpoint, training
from agents.core.clock import Clock
from agents.core.rows import Batch, Context, Spec, TimeStep
from agents.perception import symmetry
from agents.search.evaluators import network
from agents.search.gumbel import Gumbel
from agents.search.search import Result, Search
from envs.go.rules import go_rules, is_settled
from envs.go.scoring import area, pass_alive
from envs.go.symmetry import symmetries
from experiments import lab


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(envs.GAMES, "compiled", "tests.toys.compiled")


@pytest.fixture(scope="module")
def played() -> lab.Lab:
    parts = made(steps=600)
    assert training.train(parts.loop) and parts.clock.updates > 10
    return parts


def test_what_is_learned_of_a_finished_game_is_what_its_moves_say(played: lab.Lab) -> None:
    """Each game played once more by the rules: result, lead and owners in the view of the side to move."""
    games = [game for column in range(4) for game in games_of(rows_of(played, column))]
    assert len(games) > 20
    results = set()
    for game in games:
        komi = round(-40 * float(game["obs"][0, 13, 0, 0])) / 2  # the first row is in Black's view
        rules = go_rules(3, komi, settle=True)
        state, moves = rules.new_state(), game["action"][:-1]
        for move in moves:
            mask = np.zeros(10, bool)
            rules.legal(state, mask)
            assert mask[move] and np.isnan(rules.outcome(state))
            rules.play(state, int(move))
        assert not np.isnan(rules.outcome(state))
        owner = np.zeros(9, np.int8)
        pass_alive(state, owner)
        if not owner.all():  # not settled: it is counted as it stands
            area(state, owner)
        lead = int(owner.sum()) - komi
        results.add(float(np.sign(lead)))
        for t in range(len(moves)):
            view = 1 if t % 2 == 0 else -1
            assert game["outcome"][t] == view * np.sign(lead)
            assert game["score"][t] == view * lead
            assert np.array_equal(game["ownership"][t], view * owner)
    assert results >= {-1.0, 1.0}


def test_only_full_searches_of_finished_games_are_drawn_and_held_out_games_never(played: lab.Lab) -> None:
    ring, agent = played.replay, played.agent
    expected = set()
    for column in range(4):
        start = 0
        for game in games_of(rows_of(played, column)):
            drawable = np.flatnonzero(~game["skip"][:-1])
            expected |= {(start + int(t)) * ring.num_envs + column for t in drawable}
            start += len(game["skip"])
    opened = set((ring.sampler.number >= 0).nonzero().view(-1).tolist())
    drawn = set((ring.sampler.drawable.leaves.view(-1) > 0).nonzero().view(-1).tolist())
    assert opened == expected and drawn < opened and len(drawn) == len(opened) - len(opened) // 4
    skipped = [g["skip"].all() for column in range(4) for g in games_of(rows_of(played, column))]
    assert sum(skipped) >= agent.games // 4 > 0  # each fourth one is held out
    batch = ring.sample(64)
    assert (batch.weight == 1).all() and not batch.last[:, 0].any()


def test_held_out_rows_are_those_of_the_held_out_games(played: lab.Lab) -> None:
    agent = played.agent
    count = min(agent.held_rows, alphazero.HELD)
    held = {(o.numpy().tobytes(), float(z)) for o, z in zip(agent.held["obs"], agent.held["outcome"], strict=True)}
    learned = set()
    for column in range(4):
        for game in games_of(rows_of(played, column)):
            learned |= {(game["obs"][t].tobytes(), float(game["outcome"][t])) for t in np.flatnonzero(game["skip"])}
    assert count > 30 and {pair for pair in list(held)[:count] if pair[0].count(b"\0") < len(pair[0])} <= learned


def test_full_and_cheap_searches_and_their_growth() -> None:
    parts = made(visits=64, visits_start=16, cheap_visits=0.25, full_share=0.5)
    agent, asked = parts.agent, []
    run = agent._training.run
    agent._training.run = lambda states, visits: (asked.append(visits), run(states, visits))[1]
    parts.stream.reset(1, 0)
    for progress, full in ((0.0, 16), (0.5, 32), (1.0, 64)):
        agent.clock.steps = int(progress * agent.clock.budget)
        asked.clear()
        skips = [agent.act(parts.stream.step).extras["skip"] for _ in range(12)]
        assert set(asked) == {full, full // 4}
        for visits, skip in zip(asked, skips, strict=True):
            assert skip.all() or visits == full


def test_policy_and_value_are_those_of_a_fresh_search() -> None:
    """Every row is searched from scratch, by the averaged weights, with the game's own generator."""
    parts = made(full_share=1.0, openings=0.0, visits=12, visits_start=12)
    agent, rules = parts.agent, parts.stream.spec.rules
    parts.stream.reset(5, 0)
    how = Gumbel(16, c_scale=0.1, least_spread=0.2, prove=True)
    for _ in range(3):
        generators, step = agent._training.generators, parts.stream.step
        act = agent.act(step)
        for n in range(4):
            search = Search(rules, network(agent.answers), how, capacity=14)
            search._leaves.rng[0, 0] = generators[n]
            search.reset(state=step.state[n])
            found = search.run(visits=12)
            np.testing.assert_allclose(act.extras["policy"][n], found.policy[0], atol=1e-5)
            assert act.extras["value"][n] == pytest.approx(value_of(found), abs=1e-5)
            assert act.action[n] == found.action[0]
        parts.stream.send(act)
        parts.stream.receive()


def value_of(found: Result) -> float:
    """The value of the improved policy, in words of the Gumbel paper's appendix D."""
    if found.solved[0]:
        return float(found.value[0])
    tried = [a for a, n in enumerate(found.visits[0]) if n]
    share = sum(found.prior[0, a] for a in tried)
    mean = sum(found.prior[0, a] * found.q[0, a] for a in tried) / share
    visits = sum(found.visits[0])
    mixed = (found.raw_value[0] + visits * mean) / (1 + visits)
    return float(sum(p * (found.q[0, a] if a in tried else mixed) for a, p in enumerate(found.policy[0])))


def test_parts_on_threads_find_what_one_part_finds() -> None:
    parts = made(columns=16)
    agent, step = parts.agent, parts.stream.reset(2, 0)
    agent._pool = alphazero.ThreadPoolExecutor(2)
    one, two = (agent._searches(16, 8, 1.0, k, seed=4) for k in (1, 2))
    assert len(one._parts) == 1 and len(two._parts) == 2
    for _ in range(2):
        a, b = one.run(step.state, 8), two.run(step.state, 8)
        assert np.array_equal(a.action, b.action)
        np.testing.assert_allclose(a.policy, b.policy, atol=1e-5)
        assert np.array_equal(one.generators, two.generators)


def test_openings_are_drawn_and_never_learned_from() -> None:
    parts = made(openings=1.0, opening_moves=3, full_share=1.0, columns=64)
    agent, step = parts.agent, parts.stream.reset(1, 0)
    lengths = torch.zeros(64, dtype=torch.int64)
    open_still = torch.ones(64, dtype=torch.bool)
    for _ in range(5):
        act = agent.act(step)
        assert step.legal.gather(1, act.action[:, None]).all()
        open_still &= act.extras["skip"]
        lengths += open_still
        parts.stream.send(act)
        step = parts.stream.receive()
    assert set(lengths.tolist()) == {1, 2, 3}


# -- losses --------------------------------------------------------------------------------------------------------


def batch_of(agent: AlphaZero, rows: int, seed: int) -> Batch:
    """Made-up windows of two rows on 3x3."""
    rng = np.random.default_rng(seed)
    policy = rng.dirichlet(np.ones(10), (rows, 2)).astype(np.float32)
    known = {
        "policy": policy, "value": rng.uniform(-1, 1, (rows, 2)).astype(np.float32),
        "outcome": rng.integers(-1, 2, (rows, 2)).astype(np.float32),
        "score": rng.normal(0, 9, (rows, 2)).astype(np.float32),
        "ownership": rng.integers(-1, 2, (rows, 2, 9)).astype(np.int8),
    }  # fmt: skip
    last = torch.zeros((rows, 2), dtype=torch.bool)
    last[0, 1] = True  # nothing replies to the game's last move
    weight = torch.ones(rows, 1)
    weight[1] = 0
    obs = torch.from_numpy(rng.normal(size=(rows, 2, 1, *agent.rules.planes)).astype(np.float32))
    zero = torch.zeros(rows, 2)
    extras = {k: torch.from_numpy(v) for k, v in known.items()}
    return Batch(obs, zero.long(), zero, zero, last, last, None, extras, None, weight, torch.arange(rows))


def literal_losses(agent: AlphaZero, batch: Batch, drawn: list[int]) -> list[float]:
    """The losses row by row, in words of the paper; each row in its picture, turned by numpy."""

    def turn(plane: np.ndarray, g: int) -> np.ndarray:
        return np.rot90(plane[:, ::-1] if g >= 4 else plane, g % 4)

    def turned_policy(policy: np.ndarray, g: int) -> np.ndarray:
        return np.concatenate([turn(policy[:9].reshape(3, 3), g).ravel(), policy[9:]])

    parts: list[list[float]] = [[], [], [], [], []]
    for i, g in enumerate(drawn):
        if not batch.weight[i]:
            continue
        planes = np.stack([turn(p, g) for p in batch.obs[i, 0, 0].numpy()])
        with torch.no_grad():
            told = agent.network(torch.from_numpy(planes.copy())[None])
        known = {k: v[i].numpy() for k, v in batch.extras.items()}
        log_policy, log_reply = (x[0].log_softmax(0).double().numpy() for x in (told.logits, told.reply))
        parts[0].append(-(turned_policy(known["policy"][0], g) * log_policy).sum())
        if not batch.last[i, 1]:
            parts[1].append(-(turned_policy(known["policy"][1], g) * log_reply).sum())
        z, q = float(known["outcome"][0]), float(known["value"][0])
        target = 0.75 * np.array([z == 1, z == 0, z == -1]) + 0.25 * np.array([(1 + q) / 2, 0, (1 - q) / 2])
        parts[2].append(-(target * told.result[0].log_softmax(0).double().numpy()).sum())
        error = abs(float(told.score[0]) - float(known["score"][0])) / 20
        parts[3].append(0.5 * error**2 if error < 1 else error - 0.5)
        owner = (1 + turn(known["ownership"][0].reshape(3, 3), g)) / 2
        chance = (1 + told.ownership[0].double().numpy()) / 2
        parts[4].append(-(owner * np.log(chance) + (1 - owner) * np.log(1 - chance)).mean())
    return [float(np.mean(values)) for values in parts]


def test_losses_are_the_literal_ones_in_every_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = made().agent
    with torch.no_grad():
        for parameter in agent.network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    batch = batch_of(agent, 24, 2)
    state = agent.learn_generator.get_state()
    drawn = torch.randint(8, (24,), generator=agent.learn_generator).tolist()
    assert len(set(drawn)) == 8
    agent.learn_generator.set_state(state)
    ours = [float(x.detach()) for x in agent.losses(batch)]
    np.testing.assert_allclose(ours, literal_losses(agent, batch, drawn), rtol=2e-4)


def test_the_loss_falls() -> None:
    agent = made(lr=1e-2).agent
    batch, seen = batch_of(agent, 32, 5), []
    for _ in range(80):
        (learned,) = agent.learn(batch)
        seen.append({k: float(v) for k, v in learned.metrics.items()})
    for name in ("loss", "policy_loss", "value_loss", "ownership_loss"):
        assert seen[-1][name] < seen[0][name], name
    assert seen[-1]["loss"] < 0.9 * seen[0]["loss"]


def test_the_weights_that_play_are_the_average_of_those_that_learn() -> None:
    agent = made(average=0.9).agent
    batch = batch_of(agent, 8, 1)
    expected = [p.detach().clone() for p in agent.network.parameters()]
    for update in range(120):
        list(agent.learn(batch))
        share = 1 - min(0.9, (1 + update) / (10 + update))
        expected = [e + share * (p.detach() - e) for e, p in zip(expected, agent.network.parameters(), strict=True)]
    for own, wanted in zip(agent.average.parameters(), expected, strict=True):
        torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-5)
    agent._refresh()
    for own, average in zip(agent.answers.tower.parameters(), agent.average.parameters(), strict=True):
        assert torch.equal(own, average)


def test_symmetry_deviation_is_that_of_turned_boards() -> None:
    agent = made().agent
    with torch.no_grad():
        for parameter in agent.average.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    batch = batch_of(agent, 20, 3)
    agent.held["obs"][:20], agent.held["outcome"][:20], agent.held_rows = batch.obs[:, 0, 0], torch.ones(20), 20
    agent.check()
    values = []
    for g in range(8):
        boards = batch.obs[:, 0, 0].flip(3) if g >= 4 else batch.obs[:, 0, 0]
        with torch.no_grad():
            values.append(agent.average(torch.rot90(boards, g % 4, (2, 3))).value.numpy())
    assert float(agent.seen["symmetry_deviation"]) == pytest.approx(np.std(values, axis=0).mean(), rel=1e-3)
    with torch.no_grad():
        chance = agent.average(batch.obs[:, 0, 0]).result.softmax(1)[:, 0]
    assert float(agent.seen["held_value_loss"]) == pytest.approx(-float(chance.log().mean()), rel=1e-4)


# -- symmetries, contracts, resume -----------------------------------------------------------------------------------


def test_tables_of_symmetries() -> None:
    found = symmetry.tables("square", 5, 5, 26)
    assert np.array_equal(found.actions, symmetries(5)) and np.array_equal(found.points, symmetries(5)[:, :-1])
    mirror = symmetry.tables("mirror", 6, 7, 7)
    assert mirror.actions.tolist() == [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]]
    assert np.array_equal(mirror.points[1].reshape(6, 7), np.arange(42).reshape(6, 7)[:, ::-1])
    assert symmetry.tables("", 2, 3, 5).actions.tolist() == [[0, 1, 2, 3, 4]]
    for kind, height, width, actions in (("square", 3, 4, 12), ("round", 3, 3, 9), ("square", 3, 3, 7)):
        with pytest.raises(ValueError, match="square|round|neither"):
            symmetry.tables(kind, height, width, actions)


def test_a_game_without_compiled_rules_is_refused_in_one_sentence() -> None:
    spec = Spec((4,), "float32", 1, num_actions=2)
    with pytest.raises(ValueError, match="compiled rules") as refusal:
        alphazero.build(Config(), spec, Context(Clock(1), CPU, 0, 1))
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match=r"--ratio 5 with --newest 0.75: the first rows would be trained 9.2 times"):
        Config(ratio=5.0)
    with pytest.raises(ValueError, match="--newest 1.0: must be below 1"):
        Config(newest=1.0)


def same(a: Any, b: Any, where: str = "") -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for name in a:
            same(a[name], b[name], f"{where}/{name}")
    elif isinstance(a, list | tuple):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}/{i}")
    elif isinstance(a, torch.Tensor | np.ndarray):
        assert np.array_equal(np.asarray(a), np.asarray(b)), where
    else:
        assert a == b, where


@pytest.mark.parametrize("game", ["go", "compiled"])
def test_a_state_in_the_middle_of_games_goes_on_exactly(game: str, tmp_path: Path) -> None:
    one = made(game, steps=800)
    one.stream.reset(1, 0)
    for _ in range(90):
        one.loop.advance()
    one.loop.barrier()
    other = made(game, steps=800)
    checkpoint.save(tmp_path, one.clock.steps, one.state(), {})
    other.restore(checkpoint.load(tmp_path)[0])
    assert one.clock.updates > 5 and (~one.stream.step.first).any()
    for _ in range(40):
        one.loop.advance()
        other.loop.advance()
    same(one.agent.state_dict(), other.agent.state_dict())
    same(one.stream.state_dict(), other.stream.state_dict())
    for name, column in one.replay.data.items():
        assert torch.equal(column, other.replay.data[name]), name


def test_explanations_are_of_the_search_that_acts() -> None:
    parts = made(columns=3)
    agent, step = parts.agent, parts.stream.reset(1, 0)
    for _ in range(4):
        parts.stream.send(agent.act(step))
        step = parts.stream.receive()
    told = agent.explain(step)
    assert told["visits"].shape == (3, 10) and (told["visits"].sum(1) == 8).all()
    assert (told["ownership"].shape, told["winrate"].shape) == ((3, 9), (3,))
    best = agent.act(step, explore=False).action
    assert (told["visits"].gather(1, best[:, None])[:, 0] == told["visits"].amax(1)).all()
    torch.testing.assert_close(told["policy"].sum(1), torch.ones(3))
    floating = step._replace(obs=step.obs.clone().requires_grad_(True))
    agent.explain(floating)["value"].sum().backward()
    assert floating.obs.grad.abs().sum() > 0


def test_a_settled_game_that_goes_on_is_passed_to_its_end() -> None:
    """Scores are made without `settle`; an agent that was trained with it passes where nothing is left to win."""
    agent = made(env=dict(size=3, komi=0.5, settle=True)).agent
    games = envs.make_vec("go", 1, size=3, komi=0.5)
    games.reset(seed=1)
    for action in (4, 9, 1, 9, 3, 9, 5):  # Black takes the middle, White passes
        *_, info = games.step(np.array([action]))
    assert is_settled(info["state"][0]) and not games.over[0]
    no, yes = torch.zeros(1, dtype=torch.bool), torch.ones(1)
    obs, legal = torch.zeros(1, 1, 17, 3, 3), torch.from_numpy(info["legal"])
    step = TimeStep(obs, yes, -yes, no, no, legal, info["state"])
    assert agent.act(step, explore=False).action.tolist() == [9]


def test_weights_of_another_size_of_board_fit() -> None:
    small, large = made().agent, made(env=dict(size=4, komi=0.5)).agent
    large.load_weights(small.state_dict())
    same(large.network.state_dict(), small.network.state_dict())
