"""Recipes: each is a valid configuration, is named when it is taken, and those of papers are the papers'."""

import json

import pytest
from programs import program

import envs
from agents.core import checkpoint
from experiments import building, players, train
from experiments.comparing import evaluations
from experiments.recipes import recipes
from experiments.training import options


def test_a_recipe_of_another_agent_is_refused_or_gives_its_game(tmp_path, capsys):
    common = ["--steps", "64", "--runs", str(tmp_path), "--eval-episodes", "0", "--no-video", "--num-envs", "2"]
    code, _, err = program(train.main, ["breakout", "--agent", "rainbow", "--recipe", "nature2015", *common], capsys)
    assert code == 2 and "--recipe nature2015 is of dqn, and nothing of it is left for rainbow" in err
    code, out, err = program(train.main, ["flappy", "--agent", "dqn", "--recipe", "looks", *common], capsys)
    assert code == 0 and "recipe 'looks': its game; dqn with its own defaults" in out
    assert "nothing was learned: the budget ended before the first update" in err


def test_the_recipe_that_is_taken_is_named_and_can_be_left_out(capsys):
    def parsed(*argv):
        command, config, env = options.parse([*argv, "--steps", "10"])
        return command, building.module(command.agent).Config(**config), env, capsys.readouterr().out

    plain = {
        name: building.module(name).Config(**building.module(name).PRESETS[name]) for name in ("ppo", "dqn", "rainbow")
    }
    command, config, _, told = parsed("breakout", "--agent", "dqn")
    assert (command.recipe, command.name) == ("dqn", "dqn") and config.double and config.n_step == 3
    assert "recipe 'dqn': Double DQN with 3-step returns" in told and "(--recipe none: dqn as it is)" in told
    command, config, env, told = parsed("breakout", "--agent", "dqn", "--recipe", "none")
    assert (command.recipe, command.name) == ("none", "none") and config == plain["dqn"]
    assert "recipe 'none': the defaults of agent and game alone" in told
    for argv, agent in ((["flappy"], "ppo"), (["flappy", "--agent", "rainbow"], "rainbow")):
        command, config, env, _ = parsed(*argv, "--recipe", "none")
        assert command.agent == agent and config == plain[agent] and env == vars(envs.options("flappy"))
        assert parsed(*argv)[2] != env  # the recipe's game is another


def test_a_recipe_is_chosen_by_what_it_is_for(capsys):
    """Go has one recipe for each size of the board; whoever names the size gets it."""
    for argv, expected in (
        (["go"], ("default", 9, 7.5)), (["go", "--size", "5"], ("5x5", 5, 24.5)),
        (["go", "--env.size=7", "--komi", "9"], ("7x7", 7, 9.0)), (["go", "--size", "6"], ("default", 6, 7.5)),
        (["go", "--size", "5", "--recipe", "7x7"], ("7x7", 5, 8.5)),
        (["go", "--size", "5", "--recipe", "none", "--agent", "alphazero"], ("none", 5, 7.5)),
    ):  # fmt: skip
        command, _, env = options.parse([*argv, "--steps", "10"])
        assert (command.recipe, env["size"], env["komi"]) == expected and command.agent == "alphazero"
    assert options.parse(["go", "--size", "5", "--agent", "ppo", "--steps", "10"])[0].recipe != "5x5"
    assert "recipe '5x5'" in capsys.readouterr().out


EVERY = [(game, name) for game, code in (("breakout", "envs.atari"), ("pong", "envs.atari"), ("flappy", "envs.flappy"),
         ("kart", "envs.kart"), ("go", "envs.go"), ("car-racing", "envs.car_racing"), ("gym:CartPole-v1", "envs.gym"))
         for name in recipes(game, code)]  # fmt: skip


@pytest.mark.parametrize("game, name", EVERY)
def test_every_recipe_is_a_valid_configuration(game, name, capsys):
    command, agent, env = options.parse([game, "--recipe", name])
    assert command.recipe == name and agent and f"recipe {name!r}" in capsys.readouterr().out
    building.module(command.agent).Config(**agent)
    envs.options(game, **env)


PAPERS = {  # recipe -> shapes of its network's weights for Breakout's four actions, what the paper's tables name
    "nature2015": (
        [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3), (512, 3136), (4, 512)],
        dict(ratio=8.0, target_period=10_000, huber=1.0),  # batch 32 every 4 steps
    ),
    "nips2013": (
        [(16, 4, 8, 8), (32, 16, 4, 4), (256, 2592), (4, 256)],
        dict(ratio=32.0, target_period=1, huber=0.0),  # batch 32 at every step, no target network, squared error
    ),
}  # fmt: skip
BOTH = dict(batch=32, gamma=0.99, n_step=1, double=False, optimizer="centred-rmsprop", lr=2.5e-4, epsilon=1.0,
            epsilon_end=0.1, epsilon_decay=1_000_000, reward_clip=1.0, max_grad_norm=0.0)  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n == "nips2013" else ()) for n in PAPERS])
def test_a_papers_recipe_trains_as_it_is_past_a_shorter_warm_up(name, tmp_path, capsys):
    shapes, named = PAPERS[name]
    whole = recipes("breakout", "envs.atari")[name].config
    assert (whole["replay"], whole["warmup"]) == (1_000_000, 50_000)
    argv = ["breakout", "--recipe", name, "--replay", "1000", "--warmup", "200", "--steps", "280", "--runs", tmp_path]
    argv += ["--evaluation", "epsilon 0.05", "--eval-episodes", "2", "--no-video"]
    code, out, err = program(train.main, [str(x) for x in argv], capsys)
    assert code == 0 and f"recipe {name!r}" in out, err
    run = players.find_run(tmp_path, "breakout")
    config = run.config
    assert config["recipe"] == name and config["num_envs"] == 1 and config["protocol"] == "baselines"
    assert {k: config["agent_config"][k] for k in {**BOTH, **named}} == {**BOTH, **named}
    assert config["agent_config"]["eps"] * 32**2 == pytest.approx(0.01)  # of a sum over the batch; ours is a mean
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    updates = 80 * named["ratio"] / 32
    assert updates <= rows[-2]["clock/updates"] <= updates + 2 and "eval/return" in rows[-1]
    (scored,) = evaluations.every(run.path)
    assert scored["episodes"] == 2 and scored["policy"] == "epsilon 0.05" and scored["step"] == 280
    state = checkpoint.load(run.checkpoints, None, {"agent"})[0]["agent"]
    made = {tuple(v.shape) for k, v in state["network"].items() if v.ndim > 1 and k != "levels"}
    assert made == set(shapes)
    assert all(set(moments) == {"mean", "square"} for moments in state["optimizer"]["state"].values())
    (group,) = state["optimizer"]["param_groups"]
    assert (group["lr"], group["decay"]) == (2.5e-4, 0.95)
