"""Atari under a named protocol: the emulator's arguments, lost lives, forced FIRE, one game equal to the vector's."""

from pathlib import Path

import numpy as np
import pytest

import envs
from agents.core.stream import Stream
from envs import atari
from envs.atari_scores import NATURE

GOLDEN = Path(__file__).parent / "fixtures" / "protocols.txt"


def described() -> str:
    lines = []
    for name, protocol in atari.PROTOCOLS.items():
        lines += [f"{name} life_loss={protocol.life_loss} fire={protocol.fire}"]
        lines += [f"  {key}={value}" for key, value in sorted(atari.arguments(protocol).items())]
    return "\n".join(lines) + "\n"


def test_protocols_decide_every_argument_as_written_down():
    assert described() == GOLDEN.read_text()


def test_every_argument_of_the_emulator_is_named():
    import inspect

    from ale_py.vector_env import AtariVectorEnv

    known = set(inspect.signature(AtariVectorEnv.__init__).parameters) - {"self"}
    not_protocol = {"game", "num_envs", "batch_size", "num_threads", "thread_affinity_offset"}
    silent = {"continuous_action_threshold"}  # without meaning for discrete actions
    assert set(atari.arguments(atari.PROTOCOLS["baselines"])) == known - not_protocol - silent


def random_steps(env, steps: int, seed: int):
    """(legal, lives, discount, terminated, truncated, previous over) of each step with legal random actions."""
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    over, legal = np.zeros(env.num_envs, bool), info.get("legal")
    lives = info["lives"]
    for _ in range(steps):
        action = rng.integers(env.single_action_space.n, size=env.num_envs)
        if legal is not None:
            action = np.where(legal[np.arange(env.num_envs), action], action, legal.argmax(1))
        _, _, terminated, truncated, info = env.step(action)
        yield info, lives, terminated, truncated, over
        over, lives, legal = terminated | truncated, info["lives"], info.get("legal")


def test_a_lost_life_is_discount_0_and_forces_fire_but_ends_nothing():
    env = envs.make_vec("breakout", 4, env_threads=1)
    lost_lives = ended = 0
    for info, lives, terminated, truncated, over in random_steps(env, 400, 3):
        lost = (info["lives"] < lives) & ~over & ~terminated & ~truncated
        np.testing.assert_array_equal(info["discount"] == 0, lost | terminated)
        only_fire = np.zeros((4, 4), bool)
        only_fire[:, 1] = True
        np.testing.assert_array_equal(info["legal"], np.where(lost[:, None], only_fire, True))
        lost_lives, ended = lost_lives + lost.sum(), ended + terminated.sum()
    assert lost_lives >= 12 and ended >= 3
    env.close()


def test_machado_neither_ends_lives_nor_forces_fire():
    env = envs.make_vec("breakout", 2, env_threads=1, protocol="machado")
    assert env.single_action_space.n == 18
    fallen = 0
    for info, lives, terminated, _, over in random_steps(env, 300, 3):
        assert "legal" not in info
        np.testing.assert_array_equal(info["discount"] == 0, terminated)
        fallen += ((info["lives"] < lives) & ~over).sum()
    assert fallen > 0
    env.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("wrong", [[4, 0], [-1, 0], [0], [0, 0, 0]])
def test_an_action_outside_the_space_is_refused_before_it_can_hang(wrong):
    env = envs.make_vec("breakout", 2, env_threads=1)
    env.reset(seed=1)
    with pytest.raises(ValueError, match=r"actions must be 2 numbers in 0\.\.3"):
        env.step(np.array(wrong))
    env.step(np.array([0, 3]))  # and goes on
    env.close()


@pytest.mark.parametrize(("game", "protocol"), [("breakout", "baselines"), ("pong", "machado")])
def test_the_single_game_is_the_vector_game(game, protocol):
    cv2 = pytest.importorskip("cv2")
    vector = envs.make_vec(game, 3, protocol=protocol, env_threads=1)
    single = envs.make(game, "rgb_array_list", protocol=protocol)
    seeds = [11, 22, 33]
    frames, _ = vector.reset(seed=seeds)
    frame, _ = single.reset(seed=22)
    rng = np.random.default_rng(0)
    single.render()
    distance, over = [], False
    for _ in range(250):
        np.testing.assert_array_equal(frame, frames[1])
        action = rng.integers(vector.single_action_space.n, size=3)
        frames, reward, terminated, truncated, _ = vector.step(action)
        frame, r, term, trunc, _ = single.step(int(action[1]))
        assert (r, term, trunc) == (reward[1], terminated[1], truncated[1])
        pictures = single.render()
        assert len(pictures) == (1 if over else 4) or term
        if not over and not term:  # the agent's frame: the maximum of the last two, grey, resized by area
            grey = np.maximum(*(p @ np.array([0.299, 0.587, 0.114]) for p in pictures[-2:]))
            small = cv2.resize(grey.astype(np.float32), (84, 84), interpolation=cv2.INTER_AREA)
            distance.append(np.abs(small - frame).mean())
        over = term or trunc
    assert max(distance) < 3  # of 255: the same moment (another moment of Breakout is no nearer than the ball)
    vector.close()
    single.close()


def test_stacks_are_the_emulators_own():
    ours = Stream(envs.make_vec("breakout", 2, env_threads=1))
    step = ours.reset(5, 0)
    changed = {**atari.arguments(atari.PROTOCOLS["baselines"]), "stack_num": 4}
    theirs = atari.emulators("breakout", 2, 1, **changed)
    from agents.core.device import seed_array
    from agents.core.rows import Act

    obs, _ = theirs.reset(seed=seed_array(2, 5, 0))
    import torch

    rng = np.random.default_rng(0)
    for _ in range(300):
        np.testing.assert_array_equal(step.obs.numpy(), obs)
        action = rng.integers(4, size=2)
        ours.send(Act(torch.as_tensor(action)))
        step = ours.receive()
        obs = theirs.step(action)[0]
    ours.close()


def test_the_49_games_are_all_there_and_the_table_is_the_papers():
    assert len(NATURE) == 49 and set(NATURE) <= set(envs.atari_games())
    better = sum(100 * (row.dqn - row.random) / (row.human - row.random) >= 75 for row in NATURE.values())
    assert better == 29  # "more than 75 % of the human score on 29 games", Mnih et al. (2015)


def test_keys_name_every_action_of_the_full_set():
    env = envs.make("breakout", None, protocol="machado")
    keys = env.keys()
    assert sorted(keys.values()) == list(range(18)) and keys[frozenset(["space"])] == 1
    assert keys[frozenset(["up", "right", "space"])] == 14 and keys[frozenset()] == 0
    env.close()
