"""Flappy Bird: what is seen is what the rules say, in every view and under every palette."""

import numpy as np
import pytest

from envs.flappy import art, draw, rules
from envs.flappy.env import make_vec

LOOKS = {
    "day": {},
    "night": {"light": "night"},
    "random": {"light": "random", "random_colours": True, "random_background": True},
}


def any_games(number, rng, **choice):
    """Games in arbitrary positions, whole and fractional, some of them crashed."""
    env = make_vec(number, **choice)
    env.reset(seed=int(rng.integers(1000)))
    state = env.state_dict()
    state["y"] = np.where(rng.random(number) < 0.5, rng.integers(0, 381, number), rng.uniform(0, 381, number))
    state["pipe_x"][:, :2] = rng.uniform(-50, 110, (number, 1)) + [0.0, 144.0]
    whole = rng.random(number) < 0.5
    state["pipe_x"][whole] = np.floor(state["pipe_x"][whole])
    state["frames"] = rng.integers(0, 100, number)
    state["travelled"] = rng.uniform(0, 5000, number)
    env.load_state_dict(state)
    return env


def drawn(env, i):
    """(bird, pipes, ground): the pixels of the 288x512 picture that each changes, bool [512, 288]."""
    game, look = env._games[i].copy(), env._look
    blank = np.zeros((rules.GROUND_ROW, rules.WIDTH, 3), np.uint8)
    picture = np.zeros((rules.HEIGHT, rules.WIDTH, 3), np.uint8)
    game["palette"] = 0
    game["palette"][art.PIPE] = 255
    draw.draw_world(picture, blank, look, game)
    pipes = picture[..., 0] > 0
    game["palette"] = 0
    game["palette"][art.GROUND] = 255
    draw.draw_world(picture, blank, look, game)
    ground = picture[..., 0] > 0
    picture[:] = 0
    game["palette"] = 255
    draw.draw_bird(picture, look, game)
    return picture[..., 0] > 0, pipes, ground


def test_collision_of_the_picture_is_collision_of_the_physics():
    env = any_games(1500, np.random.default_rng(3), obs="state")
    hits = 0
    for i in range(env.num_envs):
        bird, pipes, ground = drawn(env, i)
        seen = bool((bird & (pipes | ground)).any())
        assert seen == rules.crashed(env._games[i])
        hits += seen
    assert 300 < hits < 1200


def test_silhouette_is_whole_and_fills_the_box():
    shape = rules.silhouette()
    assert shape.shape == (24, 34)
    assert shape.any(0).all() and shape.any(1).all()
    for row, left, right in zip(shape, rules.BIRD_LEFT, rules.BIRD_RIGHT, strict=True):
        assert row[left:right].all() and row.sum() == right - left


@pytest.mark.parametrize("look", LOOKS)
def test_grey_view_is_the_block_mean_of_the_picture(look):
    rng = np.random.default_rng(4)
    small = any_games(60, rng, **LOOKS[look])
    large = make_vec(60, obs="rgb", **LOOKS[look])
    large.load_state_dict(small.state_dict())
    luma = large.observe().astype(np.float64) @ [0.299, 0.587, 0.114]
    wanted = luma[:, :420, 36:].reshape(60, 84, 5, 84, 3).mean((2, 4))
    error = np.abs(small.observe() - wanted)
    assert error.mean() < 0.6
    assert np.quantile(error, 0.999) < 3
    assert error.max() < 40  # a cloud's or hill's rim behind an edge: the block's mean stands for the free part


def test_pipes_and_bird_stand_out_under_every_palette():
    env = make_vec(300, light="random", random_colours=True, random_background=True)
    env.reset(seed=8)
    grey = env.state_dict()["palette"] @ np.array([0.299, 0.587, 0.114])
    sky = grey[:, art.BACK][:, :2].mean(1)
    for colour in ("pipe", "body"):
        assert np.abs(grey[:, list(art.COLOURS).index(colour)] - sky).min() > 49
    assert grey.std(0).mean() > 15 and len(np.unique(env.state_dict()["backdrop"])) == 8


def test_seed_view_samples_the_picture_like_the_seed_project():
    env = any_games(40, np.random.default_rng(9), obs="seed")
    frames = env.observe()
    assert frames.shape == (40, 80, 80) and set(np.unique(frames)) == {0, 255}
    rows = np.floor((np.arange(80) + 0.5) * 6.4 - 0.5).astype(int)
    columns = np.floor((np.arange(80) + 0.5) * 3.6 - 0.5).astype(int)
    for i in range(40):
        bird, pipes, ground = drawn(env, i)
        solid = bird | pipes | ground
        lit = np.zeros((80, 80), bool)
        for dy in (0, 1):
            for dx in (0, 1):
                lit |= solid[np.ix_(rows + dy, columns + dx)]
        assert np.array_equal(frames[i] == 255, lit)


def test_state_view():
    env = make_vec(1, obs="state")
    first, _ = env.reset(seed=3)
    state = env.state_dict()
    top, bottom = state["gap_top"][0], state["gap_bottom"][0]
    wanted = [244 / 404.48, 0, 1, 231 / 288, top[0] / 404.48, bottom[0] / 404.48]
    wanted += [375 / 288, top[1] / 404.48, bottom[1] / 404.48]
    assert first.dtype == np.float32 and first[0].tolist() == pytest.approx(wanted, abs=1e-6)
    state["pipe_x"][0, :2] = 5.0, 149.0  # its right edge is at the bird's left: passed
    env.load_state_dict(state)
    assert env.observe()[0, 3] == pytest.approx((149 - 57) / 288) and env.observe()[0, 6] == env.observe()[0, 3]


def test_pictures_show_the_score_and_do_not_disturb_the_game():
    env = make_vec(2)
    env.reset(seed=0)
    state = env.state_dict()
    zero = env.render()
    assert len(zero) == 2 and zero[0].shape == (512, 288, 3) and zero[0].dtype == np.uint8
    assert all(np.array_equal(state[name], value) for name, value in env.state_dict().items())
    state["score"][:] = 1234
    env.load_state_dict(state)
    changed = (env.render()[0] != zero[0]).any(2)
    rows, columns = np.nonzero(changed)
    assert rows.min() > 30 and rows.max() < 90 and abs((columns.min() + columns.max()) / 2 - 143.5) < 4
    plain = make_vec(2, obs="rgb")
    plain.load_state_dict(state)
    away = np.ones((512, 288), bool)
    away[rows.min() : rows.max() + 1] = False
    assert np.array_equal(plain.observe()[0][away], zero[0][away])  # the same picture elsewhere
