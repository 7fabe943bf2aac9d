"""The environments: rewards and discounts of both sides, autoreset, state, errors, pictures."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from envs.go.env import FPS, GoOptions, make, make_vec
from envs.go.picture import FOOT, SIDE, action_at, draw, geometry
from envs.go.rules import go_rules
from envs.go.scoring import score


def random_actions(rng, legal):
    return np.array([rng.choice(np.flatnonzero(row)) for row in legal])


def test_rows_equal_a_plain_loop_over_the_rules():
    """Every array of a batch against single games played through the compiled rules."""
    n, size = 5, 4
    envs, rules, rng = (
        make_vec(n, size=size, komi=0.0, max_moves=30),
        go_rules(size, 0.0, max_moves=30),
        np.random.default_rng(0),
    )
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP and envs.metadata["frame_stack"] == 1
    obs, info = envs.reset(seed=3)
    states, over = [rules.new_state() for _ in range(n)], [False] * n
    assert (info["discount"] == 1).all()
    ends = set()
    for _ in range(120):
        actions = random_actions(rng, info["legal"])
        obs, rewards, terminated, truncated, info = envs.step(actions)
        assert not truncated.any()
        for i in range(n):
            if over[i]:
                states[i], over[i] = rules.new_state(), False
                expected = (0.0, False, 1.0, 0.0)
            else:
                mover = rules.to_move(states[i])
                rules.play(states[i], int(actions[i]))
                over[i] = not np.isnan(rules.outcome(states[i]))
                lead = score(states[i])
                result = np.sign(lead) * (1 if mover == 0 else -1)
                expected = (result, True, 0.0, lead) if over[i] else (0.0, False, -1.0, 0.0)
                if over[i]:
                    ends.add(float(result))
            assert (rewards[i], terminated[i], info["discount"][i], info["score"][i]) == expected
            assert (info["state"][i] == states[i]).all() and info["to_move"][i] == rules.to_move(states[i])
            planes, mask = np.empty(rules.planes, np.float32), np.empty(rules.num_actions, bool)
            rules.features(states[i], planes.reshape(-1))
            rules.legal(states[i], mask)
            assert (obs[i] == planes).all() and (info["legal"][i] == mask).all()
    assert {1.0, -1.0} <= ends


def test_arrays_are_fresh_and_a_batch_equals_single_games():
    rng = np.random.default_rng(4)
    envs, singles = make_vec(3, size=5), [make(size=5) for _ in range(3)]
    obs, info = envs.reset(seed=[1, 2, 3])
    kept, copies = [(obs, info["legal"], info["state"])], [(obs.copy(), info["legal"].copy(), info["state"].copy())]
    one = [env.reset(seed=seed) for seed, env in enumerate(singles, 1)]
    for _ in range(18):
        for i in range(3):
            assert (obs[i] == one[i][0]).all() and (info["legal"][i] == one[i][-1]["legal"]).all()
        actions = random_actions(rng, info["legal"][:, :-1])  # no passes: no game ends
        obs, rewards, over, _, info = envs.step(actions)
        assert not over.any()
        kept.append((obs, info["legal"], info["state"]))
        copies.append((obs.copy(), info["legal"].copy(), info["state"].copy()))
        one = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        assert [result[1] for result in one] == rewards.tolist()
    for before, after in zip(copies, kept, strict=True):
        assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_a_saved_state_continues_exactly():
    rng = np.random.default_rng(6)
    envs = make_vec(4, size=4, max_moves=20)
    _, info = envs.reset(seed=0)
    for _ in range(27):
        *_, info = envs.step(random_actions(rng, info["legal"]))
    state, legal, plan = envs.state_dict(), info["legal"], []
    for _ in range(40):
        plan.append(random_actions(rng, legal))
        plan.append(envs.step(plan[-1]))
        legal = plan[-1][-1]["legal"]
    other = make_vec(4, size=4, max_moves=20)
    other.load_state_dict(state)
    for actions, (obs, rewards, terminated, _, info) in zip(plan[::2], plan[1::2], strict=True):
        again = other.step(actions)
        assert (again[0] == obs).all() and (again[1] == rewards).all() and (again[2] == terminated).all()
        assert all((again[-1][name] == info[name]).all() for name in info)
    with pytest.raises(ValueError, match="states must have shape"):
        make_vec(3, size=4, max_moves=20).load_state_dict(state)
    with pytest.raises(ValueError, match="other rules"):
        make_vec(4, size=4, max_moves=20, komi=0.5).load_state_dict(state)


def test_illegal_actions_are_refused_before_anything_moves():
    envs = make_vec(2, size=3)
    envs.reset()
    envs.step(np.array([4, 0]))
    before = envs.state_dict()["states"]
    for actions in ([0, 0], [10, 1], [-1, 1], [1.0, 2.0], [1]):
        with pytest.raises(ValueError, match="action"):
            envs.step(np.array(actions))
        assert (envs.state_dict()["states"] == before).all()
    envs.step(np.array([9, 9]))
    *_, over, _, _ = envs.step(np.array([9, 9]))
    assert over.all()
    envs.step(np.array([4, 4]))  # ignored: the games begin anew


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"size": 1}, "size"), ({"size": 9.0}, "size"), ({"komi": "7"}, "komi"), ({"superko": "none"}, "superko"),
        ({"max_moves": -1}, "max_moves"), ({"suicide": 1}, "suicide"), ({"colour": 1}, "colour"),
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(options, word):
    with pytest.raises(ValueError, match=word):
        make_vec(1, **options)


def test_bad_seeds_and_numbers_are_refused():
    with pytest.raises(ValueError, match="num_envs"):
        make_vec(0)
    for seed in (-1, [1], [1, -2], [0.5, 1]):
        with pytest.raises(ValueError, match="seed"):
            make_vec(2, size=3).reset(seed=seed)


def test_the_protocol_names_what_changes_scores():
    labels = {
        GoOptions(**o).protocol for o in ({}, {"size": 7}, {"komi": 6.5}, {"superko": "simple"}, {"suicide": True})
    }
    assert len(labels) == 5 and GoOptions().protocol.startswith("go9 komi=7.5")


def test_the_single_game_passes_gymnasiums_checks(recwarn):
    env = make("rgb_array", size=5)
    check_env(env, skip_render_check=True)
    assert not [w for w in recwarn if "WARN" in str(w.message)]
    env.reset(seed=1)
    _, _, _, _, info = env.step(12)
    assert env.metadata["render_fps"] == FPS and info["discount"] == -1 and info["to_move"] == 1
    env.step(25)
    *_, terminated, _, info = env.step(25)
    assert terminated and info["score"] == 25 - 7.5
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


def test_pictures_show_the_stones(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = make("rgb_array", size=5)
    env.reset()
    empty = env.render()
    env.step(12)
    black = env.render()
    env.step(6)
    first, gap = geometry(5)
    x, y = round(first + gap), round(first + gap)
    assert empty.shape == black.shape == (SIDE + FOOT, SIDE, 3) and empty.dtype == np.uint8
    at = (round(first + 2 * gap + gap / 4), round(first + 2 * gap + gap / 4))  # beside the mark of the last move
    assert black[at].max() < 90 < empty[at].max()
    white = env.render()[y + round(gap / 4), x + round(gap / 4)]
    assert white.min() > 180 > empty[y + round(gap / 4), x + round(gap / 4)].min()
    for action in range(25):
        assert action_at(first + gap * (action % 5) + gap / 3, first + gap * (action // 5) - gap / 3, 5) == action
    assert action_at(1, 1, 5) == -1
    assert len(make_vec(2, size=3).render()) == 2
    for size in (2, 19):
        assert draw(np.zeros((size, size), np.int8), foot="x").std() > 10
    human = make("human", size=3)
    human.reset()
    human.step(4)
    human.close()
    human.close()
    text = make("ansi", size=3)
    text.reset()
    text.step(4)
    assert text.render() == ". . .\n. X .\n. . ."
