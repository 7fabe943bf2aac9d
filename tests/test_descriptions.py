"""What a game says of itself without being opened is what it is once it is open, and nothing is opened to know it."""

import subprocess
import sys
import types
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from screen_trial import trial

import envs
from envs.atari_actions import ACTIONS
from envs.description import Description

ONE_THREAD = {"env_threads": 1}
CASES = [
    *((name, {}) for name in envs.GAMES),
    ("flappy", {"obs": "state", "frame_skip": 3}),
    ("flappy", {"obs": "rgb", "speed": 5.0}),
    ("kart", {"obs": "grey", "control": "discrete", "tracks": "oval"}),
    ("kart", {"obs": "state", "control": "raw", "stack": 3, "action_repeat": 2, "tracks": "oval"}),
    ("kart", {"obs": "frame", "width": 32, "height": 24, "tracks": "oval"}),
    ("go", {"size": 5, "komi": 0.5, "superko": "simple"}),
    ("car-racing", {"obs": "rgb", "control": "raw", "frame_skip": 2}),
    ("breakout", ONE_THREAD),
    ("montezuma-revenge", ONE_THREAD),
    ("pong", {"protocol": "machado", **ONE_THREAD}),
    ("gym:CartPole-v1", {}),
    ("gym:Pendulum-v1", {"frame_stack": 2}),
]


@pytest.mark.parametrize(("game", "options"), CASES)
def test_a_description_is_true(game, options):
    options = {**options, **trial(game)}
    about = envs.describe(game, **options)
    games = envs.make_vec(game, 2, **options)
    known = {k: v for k, v in about.metadata.items() if v is not None}
    assert {k: games.metadata[k] for k in known} == known
    assert about.observation in (None, games.single_observation_space)
    assert about.actions in (None, games.single_action_space)
    assert about.saves == hasattr(games, "state_dict")
    assert about.name == envs.canonical(game) and about.about
    _, info = games.reset(seed=1)
    if not about.foreign:
        assert None not in (about.observation, about.actions, about.chance, *about.metadata.values())
        for name in about.info:
            assert about.tells(name) == (name in info)
    games.close()


@pytest.mark.parametrize("game", [g for g in envs.GAMES if envs.describe(g).info])
def test_every_array_that_teaches_is_told_once_its_option_asks_for_it(game):
    wanted = dict.fromkeys(envs.describe(game).info.values(), True)
    about = envs.describe(game, **wanted)
    games = envs.make_vec(game, 1, **wanted)
    _, info = games.reset(seed=1)
    for name in about.info:
        assert about.tells(name) and len(info[name]) == 1
    assert about.tells("no such array") is False
    games.close()


@pytest.mark.parametrize("game", [g for g in envs.GAMES if envs.describe(g).two_players])
def test_two_players_alternate_and_a_board_has_its_points(game):
    about = envs.describe(game)
    games = envs.make_vec(game, 1)
    _, info = games.reset(seed=1)
    _, _, _, _, info = games.step(np.array([np.flatnonzero(info["legal"][0])[0]]))
    assert info["discount"][0] == -1
    assert about.board is None or max(map(max, about.board.table)) < games.single_action_space.n
    games.close()


def test_nothing_is_opened_and_no_stranger_is_imported(tmp_path):
    code = """
import sys, envs
import envs.atari, envs.gym, envs.kart.env, envs.flappy.env, envs.go.env, envs.car_racing
def opened(*args, **options): raise AssertionError("a game was opened")
for module in (envs.atari, envs.gym, envs.kart.env, envs.flappy.env, envs.go.env, envs.car_racing):
    module.make = module.make_vec = opened
envs.gym._one = envs.gym.gymnasium.make = opened
for name in [*envs.games(), "gym:CartPole-v1", "gym:NoSuch-v0", "gym:stranger:Bar-v0"]:
    assert envs.describe(name).name == envs.canonical(name)
print("ale_py" in sys.modules, "stranger" in sys.modules)
"""
    (tmp_path / "stranger.py").write_text("")
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert told.stdout.split() == ["False", "False"], told.stderr


def test_a_game_that_says_nothing_is_known_by_its_entry_alone(monkeypatch):
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Options:
        wind: float = 0.0

    monkeypatch.setitem(sys.modules, "balloon", types.SimpleNamespace(Options=Options))
    monkeypatch.setitem(envs.GAMES, "balloon", "balloon")
    about = envs.describe("balloon", wind=2.0)
    assert about == Description(name="balloon", options=Options(2.0))
    assert about.tells("expert") is None and about.saves is None and about.board is None
    with pytest.raises(TypeError):
        envs.describe("balloon", noise=1)
    with pytest.raises(envs.UnknownGame):
        envs.describe("baloon")
    monkeypatch.setitem(envs.GAMES, "balloon", envs.GameEntry("balloon", "hot air", {"Balloon-v0": {"wind": 1.0}}))
    assert envs.describe("balloon").about == "hot air"
    assert envs.ids()["Balloon-v0"] == ("balloon", {"wind": 1.0})


def test_published_scores_stand_beside_protocols_that_they_are_of():
    assert envs.describe("breakout").published.normalised(np.array([1.7, 31.8])) == pytest.approx([0, 1])
    assert envs.describe("breakout", protocol="nature").published.human == 31.8
    assert envs.describe("breakout", protocol="machado").published is None  # sticky actions: other games
    assert envs.describe("phoenix").published is None
    for protocol in envs.describe("breakout").protocols.values():
        assert {*protocol.scores} <= {*envs.describe("breakout").protocols}


@pytest.mark.parametrize("game", ["breakout", "freeway", "seaquest"])
def test_the_table_of_action_sets(game):
    from envs.atari import action_set

    assert len(action_set(game, full=False)) == ACTIONS[game]


@pytest.mark.slow
def test_the_table_of_action_sets_is_of_every_game():
    from envs.atari import action_set

    assert {game: len(action_set(game, full=False)) for game in envs.atari_games()} == ACTIONS


def test_a_batch_has_the_spaces_of_its_description():
    games = envs.make_vec("kart", 3, control="discrete", obs="state", tracks="oval")
    assert games.action_space == gymnasium.spaces.MultiDiscrete([15] * 3)
    assert games.observation_space.shape == (3, *games.single_observation_space.shape)
    games.close()
