"""A search where territory counts: the state's komi against the definition of the score, and what the search plays."""

import numpy as np
import pytest

from agents.search import evaluators
from agents.search.rave import Rave
from agents.search.search import Search
from envs.go import heavy, heuristic
from envs.go.game import GoGame, from_vertex
from envs.go.rules import exchanged, go_rules
from envs.go.scoring import score, territory_score


def test_area_with_that_komi_is_territory():
    """Random games with captures from a position with stones on it: at every move the two scores agree."""
    rng = np.random.default_rng(1)
    for number in range(6):
        size, komi = (3, 4, 5)[number % 3], float(rng.integers(-5, 6)) + 0.5 * (number % 2)
        game = GoGame(size, komi, superko="simple", max_moves=400)
        if number % 2:
            game.set_up([0, 4], [], 1)
        plain = game.state.copy()
        rules = go_rules(size, komi + exchanged(plain), superko="simple", max_moves=400, scoring="territory")
        state = plain.copy()
        state[: len(rules.header)] = rules.header
        mask = np.zeros(size * size + 1, bool)
        for _ in range(120):
            rules.legal(state, mask)
            action = int(rng.choice(np.flatnonzero(mask)))
            rules.play(state, action)
            game.rules.play(plain, action)
            assert score(state) == territory_score(plain)
            assert np.isnan(rules.outcome(state))  # two passes end nothing
            again = go_rules(size, komi + exchanged(plain), superko="simple", max_moves=400, scoring="territory")
            assert state[: len(again.header)].tolist() == list(again.header)


def test_the_move_limit_ends_a_game():
    rules = go_rules(3, 2.5, superko="simple", max_moves=4, scoring="territory")
    state = rules.new_state()
    for action in (9, 9, 9):
        rules.play(state, action)
        assert np.isnan(rules.outcome(state))
    rules.play(state, 9)
    assert rules.outcome(state) == -1.0  # Black to move, nothing on the board
    with pytest.raises(ValueError, match="scoring is"):
        go_rules(9, scoring="stones")


def test_the_key_knows_how_many_stones_were_spent():
    rules = go_rules(5, 0.5, superko="simple", scoring="territory")
    one, other = rules.new_state(), rules.new_state()
    assert rules.key(one) == rules.key(other)
    other[: len(rules.header)] = go_rules(5, 1.5, superko="simple", scoring="territory").header
    assert rules.key(one) != rules.key(other)


def found_by(scoring: str, komi: float):
    """(score, result): Black has the columns B and C, White D, and behind them an eye of two points and one of one;
    Black to move."""
    game = GoGame(5, 0.0, superko="simple")
    black, white = ([from_vertex(f"{column}{row}", 5) for column in columns for row in range(1, 6)]
                    for columns in ("BC", "D"))  # fmt: skip
    game.set_up(black + [from_vertex(v, 5) for v in ("A3", "A5")], white + [from_vertex(v, 5) for v in ("E3", "E5")], 0)
    rules = go_rules(5, komi, superko="simple", scoring=scoring)
    state = game.state.copy()
    state[: len(rules.header)] = rules.header
    prior = heuristic.heuristic_territory if scoring == "territory" else heuristic.heuristic
    search = Search(rules, evaluators.classical(heavy.heavy_playout, prior), Rave(), seed=1)
    search.reset(state=state)
    return float(score(state)), search.run(visits=3000)


def test_a_search_does_not_fill_its_own_territory():
    """Half a point ahead in territory: a move into it loses the game, and by area it does not."""
    spent = 12 - 7
    lead, found = found_by("territory", spent - 0.5)
    assert lead == 0.5 and found.action[0] == 25
    lead, found = found_by("area", 5 - 0.5)
    assert lead == 0.5 and np.nanmax(found.q[0][:25]) > 0.9
