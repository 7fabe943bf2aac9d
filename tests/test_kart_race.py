"""Races of the kart game: laps, wrong way, stuck, rewards, scores, rivals."""

import numpy as np
import pytest
from kartdriving import drive

from envs.kart import columns as c
from envs.kart import physics, race
from envs.kart.env import make_vec
from envs.kart.track import make_track

DT = c.SUBSTEP


def test_laps_need_every_checkpoint_in_order_and_count_once():
    length, row = 100.0, np.zeros(c.RACE_COLUMNS)
    row[[c.LAST_LAP, c.BEST_LAP, c.FINISH]] = np.nan

    def drive(begin, end, seconds):
        places = np.linspace(begin, end, round(seconds / DT) + 1)
        for a, b in zip(places, places[1:], strict=False):
            row[c.CLOCK] += DT
            race.count_laps(row, a, b, length, 2.0)

    drive(-5.0, 60.0, 6.0)
    assert row[c.GATE] == 4 and np.isnan(row[c.LAST_LAP])
    drive(60.0, 20.0, 4.0)  # back
    drive(20.0, 99.9, 8.0)
    assert row[c.GATE] == 7 and np.isnan(row[c.LAST_LAP])
    drive(99.9, 100.4, 0.5)
    assert row[c.GATE] == 8 and row[c.LAST_LAP] == pytest.approx(18.1, abs=1e-6)
    drive(100.4, 90.0, 1.0)  # over the line backwards and again: not a second lap
    drive(90.0, 101.0, 1.0)
    assert row[c.GATE] == 8 and np.isnan(row[c.FINISH])
    drive(101.0, 200.0, 9.9)
    assert row[c.GATE] == 16 and row[c.FINISH] == pytest.approx(30.4, abs=1e-6)
    assert row[c.LAST_LAP] == pytest.approx(30.4 - 18.1, abs=1e-6) and row[c.BEST_LAP] == row[c.LAST_LAP]


def turned_round(**options):
    env = make_vec(1, tracks="oval", obs="state", **options)
    env.reset(seed=[1])
    scene = env.batch.scene
    kart = env.batch.karts[0, 0]
    physics.stand(kart, scene.line[0], scene.count[0], scene.step[0], scene.half[0], 30.0, 0.0, np.pi, 5.0)
    return env


def test_wrong_way_is_seen_and_ends_in_a_rescue_or_the_end():
    env = turned_round(cost_off_road=0.0)
    for step in range(1, 65):
        _, reward, terminated, _, info = env.step(np.float32([[0.0, -0.5]]))
        if step < 50:
            assert info["wrong_way"][0] and reward[0] < 0 and info["heading"][0] ** 2 > 8
        if info["rescues"][0]:
            break
    assert step == 60 and not terminated[0]
    _, _, _, _, info = env.step(np.float32([[0.0, -0.5]]))
    assert not info["wrong_way"][0] and abs(info["heading"][0]) < 0.1
    env = turned_round(on_stuck="end")
    ends = [env.step(np.float32([[0.0, -0.5]]))[2][0] for _ in range(61)]
    assert ends == [False] * 59 + [True, False]


def test_standing_still_is_stuck_and_grass_is_lost():
    env = make_vec(1, tracks="oval", obs="state")
    infos, rewards = drive(env, lambda info: np.float32([[0, -1]]), 61)
    assert [info["rescues"][0] for info in infos[-3:]] == [0, 1, 1] and (rewards == 0).all()
    kart, scene = env.batch.karts[0, 0], env.batch.scene
    seen = []
    for _ in range(61):
        along = kart[c.ALONG] + 1.0  # somebody pushes it along on the grass
        progress = kart[c.PROGRESS] + 1.0
        physics.stand(
            kart, scene.line[0], scene.count[0], scene.step[0], scene.half[0], along, scene.half[0] + 0.8, 0, 0
        )
        kart[c.PROGRESS] = progress
        _, reward, _, _, info = env.step(np.float32([[0, -1]]))
        seen.append((info["off_road"][0], info["rescues"][0], reward[0] < 0))
    assert seen[0] == (True, 1, True) and seen[58] == (True, 1, True) and seen[59][1] == 2


def test_rewards_are_options():
    base = dict(tracks="oval", obs="state", expert_info=True, laps=1)
    env = make_vec(1, **base, reward_progress=0.5, reward_finish=7.0, cost_contact=0.0)
    infos, rewards = drive(env, lambda info: info["expert"], 700)
    end = next(k for k, info in enumerate(infos[1:]) if info["terminated"][0])
    length = make_track(-1).length
    metres = (infos[end + 1]["progress"][0] - infos[0]["progress"][0]) * length
    assert rewards[: end + 1].sum() == pytest.approx(0.5 * metres + 7.0)
    assert rewards[end + 1] == 0.0  # the step that only resets
    straight = np.float32([[0.0, 0.4]])
    plain, costly = (
        make_vec(1, **base, reward_progress=0.0, cost_off_road=a, cost_contact=b) for a, b in ((0, 0), (2, 3))
    )
    assert (drive(plain, lambda info: straight, 200)[1] == 0).all()
    infos, rewards = drive(costly, lambda info: straight, 200)
    last = infos[-1]
    assert last["contacts"][0] > 0 and last["episode"]["off_road_seconds"][0] > 0
    expected = -2 * last["episode"]["off_road_seconds"][0] - 3 * last["contacts"][0]
    assert rewards.sum() == pytest.approx(expected)


def test_the_cost_of_the_grass_may_begin_before_it():
    """Held at places across the road: one step costs 0.05 s of 4 from `margin` before the place where it is grass."""
    base = dict(tracks="oval", obs="state", reward_progress=0.0, cost_contact=0.0, cost_off_road=4.0)
    for margin, beyond, cost, grass in ((0.0, -0.1, 0, 0), (0.7, -0.8, 0, 0), (0.7, -0.6, 0.2, 0), (0.7, 0.1, 0.2, 1)):
        env = make_vec(2, **base, cost_margin=margin)
        env.reset(seed=1)
        scene = env.batch.scene
        for i, side in enumerate((-1, 1)):
            half = scene.half[i]
            physics.stand(
                env.batch.karts[i, 0], scene.line[i], scene.count[i], scene.step[i], half, 5.0,
                side * (half + race.OFF_MARGIN + beyond), 0, 0,
            )  # fmt: skip
        _, reward, _, _, info = env.step(np.float32([[0, -1], [0, -1]]))
        assert reward == pytest.approx([-cost, -cost]) and info["off_road"].tolist() == [grass, grass]


def test_score_of_an_unfinished_race_is_its_laps():
    env = make_vec(2, tracks="named", obs="state", expert_info=True, time_limit=5.0)
    infos, _ = drive(env, lambda info: info["expert"], 100)
    assert infos[-1]["truncated"].all() and not infos[-1]["terminated"].any()
    assert np.array_equal(infos[-1]["score"], infos[-1]["progress"]) and (infos[-1]["score"] < 1).all()
    assert infos[-1]["episode"]["seconds"] == pytest.approx([5.0, 5.0])
    assert infos[-1]["place"].tolist() == [1, 1] and infos[-1]["episode"]["won"].tolist() == [0, 0]  # not finished


@pytest.mark.parametrize("karts, won", [(1, 1), (8, 0)])
def test_a_race_is_won_by_finishing_first(karts, won):
    """The expert starts last of eight and does not overtake seven of its own speed."""
    env = make_vec(1, tracks="validation:1", obs="state", karts=karts, rival_speed=1.0, laps=1, expert_info=True)
    infos, _ = drive(env, lambda info: info["expert"], 1200)
    last = next(info for info in infos[1:] if info["terminated"][0])
    assert last["episode"]["won"][0] == won and (last["place"][0] == 1) == won


def test_a_race_against_seven():
    env = make_vec(2, tracks="validation:2", order="cycle", obs="state", karts=8, rival_speed=1.0, expert_info=True)
    infos, _ = drive(env, lambda info: info["expert"], 700)
    assert infos[0]["place"].tolist() == [8, 8]
    progress = env.batch.karts[:, :, c.PROGRESS]
    assert (progress > 150.0).all()  # nobody is left behind
    expected = 1 + (progress[:, 1:] > progress[:, :1]).sum(axis=1)
    assert np.array_equal(infos[-1]["place"], expected)
    gaps = np.hypot(*(env.batch.karts[0, :, None, :2] - env.batch.karts[0, None, :, :2]).transpose(2, 0, 1))
    assert gaps[~np.eye(8, dtype=bool)].min() > 1.9 * physics.RADIUS
