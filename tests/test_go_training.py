"""What Go offers to a training: komi around the lead that is played for, games that end when all is settled."""

import numpy as np
import pytest

import envs
from envs.go.board import KOMI
from envs.go.rules import go_rules, is_settled, outcome_settled
from envs.go.scoring import bounds, pass_alive, score
from experiments.go.openings import openings


def komis(games) -> np.ndarray:
    return games._states[:, KOMI].copy().view(np.float64)


def step(games, rng, legal, avoid_pass: bool = False):
    """A random legal move everywhere."""
    chosen = []
    for row in legal:
        points = np.flatnonzero(row[:-1])
        chosen.append(rng.choice(points) if len(points) and (avoid_pass or rng.random() < 0.9) else len(row) - 1)
    return games.step(np.array(chosen))


def test_without_a_spread_every_game_has_the_komi():
    games = envs.make_vec("go", 20, size=3, komi=1.5)
    _, info = games.reset(seed=4)
    rng = np.random.default_rng(0)
    for _ in range(60):
        *_, info = step(games, rng, info["legal"])
        assert (komis(games) == 1.5).all()
    assert not envs.describe("go", size=3).chance and "lead" not in games.state_dict()


def test_komi_is_spread_around_the_mean_lead_in_half_of_the_games():
    games = envs.make_vec("go", 400, size=4, komi=2.5, komi_spread=3.0)
    _, info = games.reset(seed=1)
    assert envs.describe("go", size=4, komi_spread=3.0).chance
    first = komis(games)
    kept = first == 2.5
    assert 0.4 < kept.mean() < 0.62  # a half, and those that are drawn so
    drawn = first[~kept]
    assert (drawn * 2 == np.round(drawn * 2)).all() and abs(drawn.mean()) < 0.8 and 2 < drawn.std() < 4
    rng, leads, mean, count = np.random.default_rng(1), [], 0.0, 0
    for _ in range(120):
        before = komis(games)
        *_, terminated, _, info = step(games, rng, info["legal"])
        for n in np.flatnonzero(terminated):
            leads.append(info["score"][n] + komis(games)[n])
            count += 1
            mean += (leads[-1] - mean) / min(count, 200)
        assert (komis(games) == before)[~games.over].sum() >= 0
    assert len(leads) > 300 and games._lead == pytest.approx(mean)
    games._lead = 10.0
    games._draw_komi(np.arange(400))
    again = komis(games)
    assert abs(again[again != 2.5].mean() - 10.0) < 0.9


def test_the_komi_of_a_game_is_what_its_planes_and_its_score_say():
    games = envs.make_vec("go", 30, size=3, komi=0.5, komi_spread=2.0)
    obs, info = games.reset(seed=3)
    np.testing.assert_allclose(obs[:, 13, 0, 0] * 20, -komis(games), atol=1e-6)  # Black's view
    rng = np.random.default_rng(0)
    for _ in range(50):
        obs, reward, terminated, _, info = step(games, rng, info["legal"])
        view = np.where(info["to_move"] == 1, 1, -1)
        np.testing.assert_allclose(obs[:, 13, 0, 0] * 20, view * komis(games), atol=1e-6)
        for n in np.flatnonzero(terminated):
            assert info["score"][n] == score(games._states[n])
            assert reward[n] == np.sign(info["score"][n]) * (1 if info["to_move"][n] == 1 else -1)


def test_spread_games_are_saved_exactly_and_seeds_differ():
    def go_on(games, legal, count):
        rng, found = np.random.default_rng(7), []
        for _ in range(count):
            obs, reward, _, _, info = step(games, rng, legal)
            legal = info["legal"]
            found.append((obs, reward, komis(games)))
        return found

    one, other = (envs.make_vec("go", 12, size=3, komi_spread=2.0) for _ in range(2))
    _, info = one.reset(seed=1)
    go_on(one, info["legal"], 40)
    state = one.state_dict()
    mask = np.ones((12, 10), bool)
    for n, position in enumerate(one._states):
        one.rules.legal(position, mask[n])
    expected = go_on(one, mask, 40)
    other.reset(seed=9)
    different = komis(other)
    other.load_state_dict(state)
    for a, b in zip(expected, go_on(other, mask, 40), strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    one.reset(seed=1)
    assert not np.array_equal(komis(one), different)
    plain = envs.make_vec("go", 12, size=3)
    with pytest.raises(ValueError, match="other rules"):
        plain.load_state_dict(state)


@pytest.mark.parametrize("size", [3, 5])
def test_a_game_is_settled_where_benson_gives_every_point_to_a_side(size):
    """Held against the theorem on random games that fill no eye of their own; then no move changes the result."""
    rules, rng = go_rules(size, 0.5, settle=True), np.random.default_rng(size)
    plain, settled, with_dead = go_rules(size, 0.5), 0, 0
    for _ in range(60):
        state, mask, owner = rules.new_state(), np.zeros(size**2 + 1, bool), np.zeros(size**2, np.int8)
        while np.isnan(plain.outcome(state)):
            pass_alive(state, owner)
            expected = bool((owner != 0).all())
            assert is_settled(state) == expected
            assert np.isnan(rules.outcome(state)) != expected
            if expected:
                settled += 1
                low, high = bounds(state)
                lead, dead = rules.owner(state, owner), score(state) != low
                assert low == high == lead == owner.sum() - 0.5
                with_dead += dead
                assert outcome_settled(state) == np.sign(low) * (1 - 2 * rules.to_move(state))
                break
            rules.legal(state, mask)
            open_points = [p for p in np.flatnonzero(mask[:-1]) if owner[p] == 0]
            rules.play(state, int(rng.choice(open_points)) if open_points else size**2)
    assert settled > 5 and with_dead > 0  # stones that cannot live are nobody's territory


def test_settled_games_end_in_the_batch_and_only_with_the_option():
    lengths = {}
    for settle in (False, True):
        games = envs.make_vec("go", 50, size=3, komi=0.5, settle=settle)
        _, info = games.reset(seed=1)
        rng, ended = np.random.default_rng(3), 0
        for _ in range(60):
            *_, terminated, _, info = step(games, rng, info["legal"], avoid_pass=True)
            for n in np.flatnonzero(terminated):
                ended += is_settled(games._states[n])
        lengths[settle] = ended
    assert lengths[True] > 20 > lengths[False]


def test_scores_are_made_without_what_only_training_has():
    options = dict(size=5, komi=24.5, komi_spread=3.0, settle=True, suicide=False, superko="positional", max_moves=0)
    kept = envs.scored("go", options)
    assert kept == {k: v for k, v in options.items() if k not in ("komi_spread", "settle")}
    with pytest.raises(ValueError, match="komi_spread is -1"):
        envs.options("go", komi_spread=-1.0)


def test_openings_of_boards_whose_value_is_known():
    assert openings("empty", 7, 3) == [(), (), ()]
    assert openings("centre", 5, 2) == [(12,), (12,)]
    assert openings("centre", 7, 1) == [(24,)]
