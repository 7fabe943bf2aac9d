"""Registered means tested: every game and every agent keeps the contracts, found by the registries themselves."""

import copy
import dataclasses
import importlib.metadata

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from screen_trial import trial

import envs
from agents import AGENTS, BASELINES
from agents.core.clock import Clock
from agents.core.device import seed_array
from agents.core.rows import Act, Context, Spec
from agents.core.stream import Stream
from experiments import building, configuration

ATARI = ["breakout", "pong", "space-invaders", "montezuma-revenge"]
OTHERS = ["gym:CartPole-v1", "gym:Pendulum-v1", "gym:FrozenLake-v1"]
GAMES = [*envs.GAMES, *ATARI, *OTHERS]
UNREPEATED = [game for game in envs.GAMES if not envs.entry(game).repeats]  # equal seeds make other games
LONGER = ("pong", "space-invaders")  # are tried in the slow run: another number of actions, and nothing else
SPECS = {
    "discrete vector": Spec((3,), "float32", 1, num_actions=3),
    "discrete picture": Spec((84, 84), "uint8", 4, num_actions=5),
    "colour picture": Spec((36, 36, 3), "uint8", 2, num_actions=2),
    "small picture": Spec((10, 10, 4), "uint8", 1, num_actions=6),
    "continuous vector": Spec((4,), "float32", 1, action_dim=2),
    "continuous picture": Spec((84, 84), "uint8", 4, action_dim=3),
}
ONE_THREAD = {"env_threads": 1}


def tried(*left_out: str) -> list:
    """GAMES without some, those of LONGER in the slow run."""
    games = [game for game in GAMES if game not in left_out]
    return [pytest.param(game, marks=pytest.mark.slow if game in (*LONGER, *UNREPEATED) else ()) for game in games]


def make(game: str, n: int):
    module, _ = envs.find(game)
    return envs.make_vec(game, n, **(ONE_THREAD if module == "envs.atari" else trial(game)))


def actions(env, rng, legal=None):
    """Random actions, legal ones where the game says which are."""
    space = env.single_action_space
    if legal is not None:
        return np.array([rng.choice(np.flatnonzero(row)) for row in legal])
    if hasattr(space, "n"):
        return rng.integers(space.n, size=env.num_envs)
    return rng.uniform(space.low, space.high, (env.num_envs, *space.shape)).astype(space.dtype)


def history(env, seeds, steps: int, rng):
    """Everything that an environment tells, over `steps` random steps."""
    obs, info = env.reset(seed=seeds)
    rows = [np.array(obs)]
    for _ in range(steps):
        obs, reward, terminated, truncated, info = env.step(actions(env, rng, info.get("legal")))
        rows += [np.array(obs), np.array(reward), np.array(terminated), np.array(truncated)]
    return rows


@pytest.mark.parametrize("game", tried())
def test_a_game_tells_what_the_stream_needs(game):
    env = make(game, 3)
    space = env.single_observation_space
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert env.metadata["frame_stack"] >= 1 and env.metadata["frame_skip"] >= 1 and env.metadata["protocol"]
    about = envs.describe(game)
    assert env.metadata["lab_info"] == (not about.foreign)  # words of a stranger's info mean nothing
    obs, info = env.reset(seed=[1, 2, 3])
    assert obs.shape == (3, *space.shape) and obs.dtype == space.dtype and space.dtype in (np.uint8, np.float32)
    rng, over = np.random.default_rng(0), np.zeros(3, bool)
    for _ in range(60):
        obs, reward, terminated, truncated, info = env.step(actions(env, rng, info.get("legal")))
        assert obs.shape == (3, *space.shape) and reward.shape == terminated.shape == truncated.shape == (3,)
        assert not (terminated | truncated)[over].any() and (np.asarray(reward)[over] == 0).all()  # the reset row
        if info.get("legal") is not None:
            assert info["legal"].any(1).all()
        over = terminated | truncated
    env.close()
    env.close()


@pytest.mark.parametrize("game", tried(*UNREPEATED))
def test_the_same_seeds_give_the_same_games_and_runs_share_no_stream(game):
    one, two = make(game, 2), make(game, 2)
    first = history(one, [7, 8], 40, np.random.default_rng(1))
    second = history(two, [7, 8], 40, np.random.default_rng(1))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    if envs.describe(game).chance is not False:
        rows = [history(one, [int(s) for s in seed_array(2, run, 0)], 60, np.random.default_rng(1)) for run in (1, 2)]
        for i in range(2):
            for j in range(2):  # environment i of run 1 and j of run 2 differ somewhere
                assert not all(np.array_equal(a[i], b[j]) for a, b in zip(*rows, strict=True))
    one.close()
    two.close()


@pytest.mark.parametrize("game", tried())
def test_a_game_that_can_be_saved_goes_on_exactly(game):
    env = make(game, 2)
    if not hasattr(env, "state_dict"):
        assert not Stream(env).exact
        env.close()
        return
    stream, rng = Stream(env), np.random.default_rng(2)
    stream.reset(3, 0)

    def go_on(steps: int) -> list:
        rows = []
        for _ in range(steps):
            legal = None if stream.step.legal is None else stream.step.legal.numpy()
            stream.send(Act(torch.as_tensor(actions(env, rng, legal))))
            rows.append([x.clone() for x in stream.receive() if isinstance(x, torch.Tensor)])
        return rows

    go_on(70)
    state = {k: (v if not isinstance(v, np.ndarray) else v.copy()) for k, v in stream.state_dict().items()}
    generator = rng.bit_generator.state
    before = go_on(70)
    stream.load_state_dict(state)
    rng.bit_generator.state = generator
    for a, b in zip(before, go_on(70), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    env.close()


@pytest.mark.parametrize("game", tried())
@pytest.mark.timeout(60)
def test_an_action_outside_the_space_is_refused(game):
    stream = Stream(make(game, 2))
    stream.reset(1, 0)
    if stream.spec.action_dim:
        right = torch.zeros(2, stream.spec.action_dim)  # too large a number is none: it is clipped
        wrong = (torch.full_like(right, float("nan")), right[:1], right[:, :-1])
    else:
        wrong = (torch.tensor([0, 10_000]), torch.tensor([-1, 0]), torch.tensor([0]))
    for actions in wrong:
        with pytest.raises(ValueError, match="actions must be"):
            stream.send(Act(actions))
    stream.close()


@pytest.mark.parametrize("id", [f"joypad/{short}" for short in envs.ids()])
def test_our_games_are_gymnasium_ids_and_pass_its_checker(id):
    import gymnasium
    from gymnasium.utils.env_checker import check_env

    envs.register()
    mine = trial(next(game for game in envs.GAMES if id.removeprefix("joypad/") in envs.entry(game).ids))
    env = gymnasium.make(id, **mine)
    check_env(env.unwrapped, skip_render_check=False)
    env.close()
    vector = gymnasium.make_vec(id, num_envs=2, vectorization_mode="vector_entry_point", **mine)
    assert vector.reset(seed=1)[0].shape[0] == 2
    vector.close()


@pytest.mark.slow
@pytest.mark.parametrize("game", [g for g in envs.games() if g not in envs.GAMES])
def test_every_ale_game_starts_and_steps(game):
    try:
        env = make(game, 1)
    except RuntimeError as fault:  # a few ROMs are of games for two players
        pytest.fail(f"{game}: {fault}")
    env.reset(seed=[1])
    rng = np.random.default_rng(0)
    for _ in range(10):
        env.step(actions(env, rng))
    env.close()


def tiny(agent: str) -> dict:
    """A configuration that is quick."""
    code = building.module(agent)
    known = {"rollout": 4, "minibatch": 8, "hidden": 8, "replay": 60, "warmup": 8, "batch": 4, "atoms": 5}
    if code.PRESETS[agent].get("encoder") is None:
        known["encoder"] = "auto"
    changed = {k: v for k, v in known.items() if k in configuration.fields(code.Config)}
    if agent == "a2c" or agent == "reinforce":
        changed.pop("minibatch")
    return {**code.PRESETS[agent], **changed}


class World:
    """Random rows of a spec: enough to act on and to learn from."""

    def __init__(self, spec: Spec, n: int, seed: int):
        self.spec, self.n, self.generator = spec, n, torch.Generator().manual_seed(seed)

    def step(self, first: bool, last: bool):
        from agents.core.rows import TimeStep

        shape = (self.n, self.spec.stack, *self.spec.obs_shape)
        obs = torch.rand(shape, generator=self.generator)
        obs = (obs * 255).to(torch.uint8) if self.spec.obs_dtype == "uint8" else obs
        legal = None
        if self.spec.num_actions:
            legal = torch.rand((self.n, self.spec.num_actions), generator=self.generator) < 0.6
            legal[:, 0] |= ~legal.any(1)
        flags = [torch.full((self.n,), flag) for flag in (first, last)]
        return TimeStep(obs, torch.rand(self.n, generator=self.generator), torch.ones(self.n), *flags, legal)


def learn_once(agent, spec: Spec, n: int) -> list[torch.Tensor]:
    """Fills a ring with random rows and learns until an update has happened; returns its metrics."""
    from agents.core.replay import ReplayBuffer

    needs, world = agent.needs, World(spec, n, 3)
    length = max(-(-needs.capacity // n), needs.window + spec.stack)
    ring = ReplayBuffer(length, n, spec, needs.sampler, window=needs.window)
    for t in range(length + 2):
        step = world.step(t % 7 == 0, t % 7 == 6)
        act = agent.act(step)
        if spec.num_actions:
            assert step.legal.gather(1, act.action[:, None]).all()
        else:
            assert act.action.shape == (n, spec.action_dim) and act.action.isfinite().all()
        ring.add(step, act)
    learned = list(agent.learn(ring.sample(needs.batch)))
    return [torch.stack([v.float() for v in row.metrics.values()]) for row in learned]


def cases():
    """Every agent with vectors and with two of the four kinds of pictures in turn; the others are slow."""
    pictures = [kind for kind in SPECS if "picture" in kind]
    for i, name in enumerate(AGENTS):
        turn = [pictures[(i + k) % len(pictures)] for k in (0, 1)]
        for kind in SPECS:
            heavy = name == "btr" and kind in ("discrete picture", "colour picture")
            slow = heavy or (kind in pictures and kind not in turn)
            yield pytest.param(name, SPECS[kind], id=f"{name}-{kind}", marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("name", "spec"), list(cases()))
def test_an_agent_acts_learns_and_goes_on_or_refuses_in_one_sentence(name, spec):
    code, n = building.module(name), 2
    config = code.Config(**tiny(name))

    def build():
        return code.build(config, spec, Context(Clock(1000), torch.device("cpu"), 5, n))

    try:
        agent = build()
    except ValueError as refusal:
        assert (spec.action_dim or name == "alphazero") and "needs discrete actions" in str(refusal)
        return
    assert agent.evaluation and agent.needs.window >= 1
    metrics = learn_once(agent, spec, n)
    assert all(m.isfinite().all() for m in metrics) and (metrics or name == "random")
    other = build()
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    step = World(spec, n, 9).step(False, False)
    for explore in (True, False):
        assert torch.equal(agent.act(step, explore=explore).action, other.act(step, explore=explore).action)
    for a, b in zip(learn_once(agent, spec, n), learn_once(other, spec, n), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", [*AGENTS, *BASELINES])
def test_every_preset_is_a_valid_configuration_with_a_comment_for_each_field(name):
    import inspect

    code = building.module(name)
    code.Config(**code.PRESETS[name])
    rows = [
        row.strip() for kind in code.Config.__mro__[:-1] for row in inspect.getsource(kind).splitlines()
    ]  # those of a field that is given another default come first
    for field in configuration.fields(code.Config):
        lines = [row for row in rows if row.startswith(f"{field}: ")]
        assert any("  # " in line for line in lines), f"{name}: {field} has no comment"


@pytest.mark.parametrize("name", [*AGENTS, *BASELINES])
def test_every_number_of_a_configuration_has_a_range(name):
    """-1 is sensible for no option but the bounds of values, NaN and infinity for none at all."""
    code = building.module(name)
    preset = dataclasses.asdict(code.Config(**code.PRESETS[name]))
    numbers = {k: v for k, v in preset.items() if type(v) in (int, float)}
    assert numbers
    for field, value in numbers.items():
        wrong = [] if field in ("v_min", "v_max", "munchausen_clip", "entropy_per_axis") else [-1]
        wrong += [float("nan"), float("inf")] if isinstance(value, float) else []
        for bad in wrong:
            option = field.replace("_", "-")
            with pytest.raises(ValueError, match=f"--{option} {bad}") as refusal:
                code.Config(**{**preset, field: type(value)(bad)})
            assert "\n" not in str(refusal.value)


def test_packages_that_wait_to_be_asked_register_their_games(monkeypatch):
    """MinAtar and others name their registration as an entry point, which Gymnasium no longer loads by itself."""
    import gymnasium

    from envs import gym

    class Point:
        module, dist = "waiting.registration", importlib.metadata.distribution("numpy")  # installed, as numpy is

        def load(self):
            return lambda: gymnasium.register("Waiting/Pole-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv")

    monkeypatch.setattr(gym.importlib.metadata, "entry_points", lambda group: [Point()] * (group == "gymnasium.envs"))
    gym._ask_packages.cache_clear()
    gym._installed.cache_clear()
    try:
        vector = envs.make_vec("gym:Waiting/Pole-v0", 2)
        assert vector.reset(seed=1)[0].shape == (2, 4)
        vector.close()
    finally:
        gymnasium.registry.pop("Waiting/Pole-v0", None)
        gym._ask_packages.cache_clear()
        monkeypatch.undo()
        gym._installed.cache_clear()
    with pytest.raises(ValueError, match="gym:NoSuch/Pole-v0"):
        envs.make_vec("gym:NoSuch/Pole-v0", 2)
