"""What a person asks of the player: its commands, and the keys of every game."""

import numpy as np
import pytest

import envs
from envs.kart.columns import MAX_STEER, TOP_SPEED, WHEEL
from envs.kart.physics import speed_of
from experiments.watching.commands import COMMANDS, KEYS, SPEEDS
from experiments.watching.human import Human, action_names, axes_of, choose, keys_of
from experiments.watching.player import Player
from experiments.watching.source import Source, find

pytestmark = pytest.mark.usefixtures("dummy_display")


def test_commands(runs):
    player = Player([find("flappy", runs)], seed=1)
    frames = player.frames()
    next(frames)
    player.command("pause")
    assert player.paused and not player.may_go_on()
    player.command("step")
    assert player.may_go_on()
    next(frames)
    player.went_on()
    assert not player.may_go_on()
    player.command("pause", False)
    assert player.may_go_on()
    for _ in SPEEDS:
        player.command("faster")
    assert player.speed == 0
    for _ in SPEEDS:
        player.command("slower")
    assert player.speed == 0.25
    for given, slower, faster in ((0.05, 0.05, 0.25), (3.0, 2.0, 4.0), (16.0, 8.0, 0.0), (0.0, 8.0, 0.0)):
        for name, wanted in (("slower", slower), ("faster", faster)):
            player.command("speed", given)
            player.command(name)
            assert player.speed == wanted, (name, given)
    player.command("speed", 0.25)
    assert player.focus.policy_name == "sampled"
    player.command("policy")
    assert player.focus.policy_name == "greedy"
    for name, value, told in (
        ("seed", -1, "whole number"), ("seed", "x", "whole number"), ("speed", "nan", "number"),
        ("policy", "best", "policy"), ("policy", 5, "policy"), ("policy", "epsilon 2", "policy"),
        ("speed", None, "number"), ("dance", None, "there is no command"), ("held", 5, "list"), ("held", [5], "text"),
        ("sticks", ["a"], "number"), ("click", [1], "list of 2"), ("seed", 1e400, "whole number"),
        ("overlay", {}, "text"), ("overlay", "heat", "choose"), ("clip", None, "the last 30 seconds"),
    ):  # fmt: skip
        player.messages.clear()
        player.command(name, value)
        assert player.messages and told in player.messages[-1], (name, player.messages)
    assert player.speed == 0.25 and player.key == (1,)
    player.close()


def test_every_command_has_a_key_of_its_own():
    keys = [command.key for command in COMMANDS.values() if command.key]
    assert len(set(keys)) == len(keys) == len(KEYS)


def test_a_person_takes_over_and_hands_back():
    player = Player([Source("flappy")], seed=1)
    seat, frames = player.focus, player.frames()
    chosen = []
    seat.listeners.append(type("L", (), {"add": lambda s, step, a, p: chosen.append((int(a[0]), p)), "ended": print})())
    next(frames)
    player.command("take")
    for held in ([], ["space"], [], ["space", "x"]):
        player.command("held", held)
        next(frames)
    player.command("sticks", [0, 0, 1])
    player.command("held", [])
    next(frames)
    assert chosen == [(0, True), (1, True), (0, True), (1, True), (1, True)]
    player.command("take")
    next(frames)
    assert chosen[-1][1] is False and seat.human is None
    player.close()


def test_a_board_waits_for_its_person_and_answers_in_turn():
    player = Player([Source("go", env={"size": 5})], seed=1)
    seat, frames = player.focus, player.frames()
    moves = []
    seat.listeners.append(type("L", (), {"add": lambda s, step, a, p: moves.append((int(a[0]), p)), "ended": print})())
    next(frames)
    player.command("take")
    assert player.waits and not player.may_go_on()
    left, top, gap = seat.facts()["box"]
    player.command("click", [left + 2 * gap + 3, top + 1 * gap - 3])
    assert player.may_go_on()
    next(frames)
    assert moves == [(7, True)] and player.may_go_on()  # now the agent's turn
    next(frames)
    assert moves[1][1] is False and player.waits
    player.command("click", [left + 2 * gap, top + 1 * gap])  # taken: not legal
    assert player.waits
    player.command("held", ["return"])
    next(frames)
    assert moves[2] == (25, True)  # the pass
    player.close()


def test_a_forced_action_is_carried_out_whatever_is_pressed():
    legal = np.array([False, True, False, False])
    env = envs.make("breakout")
    human = Human("breakout", env)
    human.held = {"left"}
    assert human.action() == 3 and human.action(legal) == 1
    env.close()


def test_keys_and_axes():
    for name, dims in (("gym:Pendulum-v1", 1), ("kart", 2)):
        env = envs.make(name)
        assert len(axes_of(env)) == dims
        human = Human(name, env, envs.describe(name).driving)
        human.held = {"left"}
        for _ in range(30):
            action = human.action()
        assert action.shape == (dims,) and action[0] == pytest.approx(-1, abs=0.01)
        human.held, human.sticks = set(), [0.5, -0.25]
        assert human.action()[0] == pytest.approx(0.5 if name != "kart" else (0.5 - 0.06) / 0.94)  # hands rest so far
        env.close()
    env = envs.make("kart", control="discrete")
    keys = keys_of("kart", env)
    assert choose({"up", "left"}, keys) == 3 and choose(set(), keys) == 7 and choose({"space"}, keys) == 7
    env.close()


def test_a_person_takes_over_the_wheel_where_it_is_and_the_speed_that_the_kart_has():
    env = envs.make("kart", tracks="named", expert_info=True)
    _, info = env.reset(seed=3)
    wheels = []
    for _ in range(120):
        _, _, _, _, info = env.step(info["expert"])
        kart = env.unwrapped.batch.karts[0, 0]
        human = Human("kart", env, envs.describe("kart", control="speed").driving)
        wheels.append(float(kart[WHEEL]) / MAX_STEER)
        assert human.hands.steer == pytest.approx(wheels[-1], abs=1e-6)
        human.held = {"up"}
        target = (human.action()[1] + 1) / 2 * TOP_SPEED
        assert target >= speed_of(kart) > 0 or speed_of(kart) < 0.1  # gas is never a brake
    assert max(map(abs, wheels)) > 0.1 and speed_of(kart) > 5
    human.held, human.sticks = set(), [0.03, -1.0, 0.0]  # forward is gas, and the stick's middle steers straight on
    before = human.hands.target
    human.action()
    assert human.hands.target > before - 1e-6
    human.sticks = [0.0, 1.0, 0.0]
    assert (human.action()[1] + 1) / 2 * TOP_SPEED < speed_of(kart)
    env.close()


@pytest.mark.parametrize(
    ("game", "env", "keys", "names"),
    [
        ("gym:CartPole-v1", {}, {"left": 0, "right": 1}, ["left", "right"]),
        ("gym:CartPole-v0", {}, {"left": 0, "right": 1}, ["left", "right"]),
        ("gym:MountainCar-v0", {}, {"left": 0, "": 1, "right": 2}, ["left", "nothing", "right"]),
        ("gym:Acrobot-v1", {}, {"left": 0, "": 1, "right": 2}, ["left", "nothing", "right"]),
        ("gym:FrozenLake-v1", {}, {"left": 0, "down": 1, "right": 2, "up": 3}, ["left", "down", "right", "up"]),
        ("gym:LunarLander-v3", {}, {"": 0, "left": 1, "up": 2, "right": 3},
         ["nothing", "left engine", "main engine", "right engine"]),
    ],
)  # fmt: skip
def test_gymnasiums_own_games_have_arrow_keys(game, env, keys, names):
    made = envs.make(game, None, **env)
    human = Human(game, made)
    assert {" ".join(k): action for k, action in human.keys.items()} == keys
    assert action_names(game, made) == names
    for held, action in keys.items():
        human.held = {held} if held else set()
        if held:
            assert human.action() == action
    made.close()


def test_arrow_keys_of_a_lander_with_continuous_engines():
    made = envs.make("gym:LunarLanderContinuous-v3", None)
    human = Human("gym:LunarLanderContinuous-v3", made)
    assert human.known == ["down", "left", "right", "up"]
    human.held = {"up", "right"}
    for _ in range(12):
        action = human.action()
    assert action == pytest.approx([1, 1], abs=0.05)
    human.held = set()
    for _ in range(12):
        action = human.action()
    assert action == pytest.approx([-1, 0], abs=0.05)  # both engines off
    made.close()


def board_of_go():
    """A player at a board that a person has taken over, its frames, and where the points lie."""
    player = Player([Source("go", env={"size": 5})], seed=1, panels=False)
    frames = player.frames()
    next(frames)
    player.command("take")
    left, top, gap = player.focus.facts()["box"]
    return player, frames, lambda row, column: [left + column * gap, top + row * gap]


def test_nobody_moves_for_a_person_who_waits():
    """A single step is no move, and neither is a click in the other side's turn or a key for what is not legal."""
    player, frames, place = board_of_go()
    seat = player.focus
    player.command("step")
    assert not player.may_go_on() and seat.moves == 0  # action 0 would be carried out
    player.command("pause", False)
    player.command("click", place(1, 2))
    next(frames)
    free = [place(row, column) for row in range(5) for column in range(5) if seat.step.legal[0, 5 * row + column]]
    for point in free:
        player.command("click", point)
    assert seat.human.wanted is None  # it is the agent's turn
    next(frames)
    assert player.waits and seat.moves == 2
    seat.human.wanted = 7  # occupied since the first move
    assert player.waits and not player.may_go_on()
    player.command("again")
    next(frames)
    assert seat.human.wanted is None and player.waits
    player.close()


@pytest.mark.parametrize(
    ("game", "sticks", "wanted"),
    [
        ("gym:LunarLanderContinuous-v3", [0.5, -0.75, 0.0], [0.75, 0.5]),
        ("gym:LunarLanderContinuous-v3", [-0.5, 0.0, 0.0], [-1.0, -0.5]),
        ("gym:Pendulum-v1", [-0.5, 0.75, 0.0], [-0.5]),
    ],
)
def test_a_gamepads_stick_does_what_its_direction_says(game, sticks, wanted):
    """The lander's first axis is its main engine, which is up and not right."""
    made = envs.make(game, None)
    human = Human(game, made)
    human.sticks = sticks
    assert human.action() == pytest.approx(wanted)
    made.close()


def test_a_stick_is_a_pedal_where_an_axis_has_one_direction():
    from types import SimpleNamespace

    low, high = np.float32([-1, 0, 0]), np.float32([1, 1, 1])
    env = SimpleNamespace(action_space=SimpleNamespace(low=low, high=high), metadata={}, spec=None)
    env.unwrapped = env
    human = Human("gym:X", env)
    assert [axis[:2] for axis in human.axes] == [("left", "right"), ("", "up"), ("", "down")]
    for sticks, wanted in (
        ([0.0, -1.0], [0, 1, -1]), ([0.0, 0.5], [0, -1, 0]), ([1.0, 0.0], [1, -1, -1]), ([], [0.66, -1, -1])
    ):  # fmt: skip
        human.sticks = sticks
        assert human.action() == pytest.approx(wanted, abs=0.01), sticks


@pytest.mark.parametrize(
    ("found", "keys"),
    [
        ({"w": 2, ("a", "d"): np.int64(1)}, {frozenset({"up"}): 2, frozenset({"left", "right"}): 1}),
        ({"w": 7}, None), ({"w": None}, None), ({3: 1}, None), ([], None),
    ],
)  # fmt: skip
def test_keys_of_a_strangers_game_are_believed_where_they_are_actions(found, keys):
    from types import SimpleNamespace

    env = SimpleNamespace(action_space=SimpleNamespace(n=3), get_keys_to_action=lambda: found, spec=None)
    env.unwrapped = env
    numbered = {frozenset([str(action)]): action for action in range(3)}
    assert keys_of("gym:X", env) == (keys or numbered)


def test_no_share_of_chance_is_promised_where_actions_are_continuous():
    player = Player([Source("gym:Pendulum-v1")], seed=1, panels=False)
    player.command("policy", "epsilon 0.5")
    assert "continuous" in player.messages[-1] and player.focus.policy_name != "epsilon 0.5"
    player.close()
    with pytest.raises(ValueError, match="continuous"):
        Player([Source("gym:Pendulum-v1")], seed=1, policy="epsilon 0.5")
