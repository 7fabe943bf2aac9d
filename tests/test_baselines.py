"""stable-baselines3 in its own loop: what it is told of our rows, and that it is held to our budget."""

import numpy as np
import pytest
import torch
from scripted_env import Scripted

from agents import baselines
from agents.core.clock import Clock
from agents.core.stream import Stream
from experiments import lab

CARTPOLE = {"game": "gym:CartPole-v1", "num_envs": 2, "seed": 1, "env": {}}


class Fire(Scripted):
    """After a lost life action 1 is the only legal one."""

    def _out(self):
        obs, info = super()._out()
        self._legal[self.lost] = np.arange(3) == 1
        return obs, info

    @property
    def lost(self):
        letters = [s[(p - 1) % len(s)] if p else "" for s, p in zip(self.script, self.place, strict=True)]
        return np.array(letters) == "L"


def column(script, chosen, clip):
    """What SB3 should be told of each step of a column, slowly: (frame before, newest frame, reward, done, cut by the
    clock), and the action that should be carried out."""
    place, first, over, letter = 0, 0, False, ""
    for t, action in enumerate(chosen):  # row t has the frame 1 + t, shown as that plus 1
        legal = [a == 1 if letter == "L" else (1 + t + a) % 3 > 0 for a in range(3)]
        done_here = action if legal[action] else legal.index(True)
        if over:  # the idle step from the end of one episode to the beginning of the next
            reward, letter, over, first = 0, "", False, t + 1
        else:
            letter, place = script[place % len(script)], place + 1
            reward, over = min(place, clip or place), letter in "DTB"
        before = 0 if first == t + 1 else t + 2
        yield (before, t + 3, reward, letter in tuple("LDTB"), letter == "T"), done_here


@pytest.mark.parametrize("clip", [0.0, 2.5])
def test_rows_are_told_as_the_module_says(clip):
    """Lost lives, deaths, the clock, both at once, forced actions, the idle step: against a literal log."""
    scripts, steps = ["..LD.T", ".B...T.L.D"], 40
    told = ("discount", "legal")
    stream = Stream(Fire(scripts, stack=2, tell=told))
    rows = baselines.RowsVecEnv(stream.spec, 2, clip)
    rows.stream, rows.clock = stream, Clock()
    stream.reset(0, 0)
    assert rows.observation_space.shape == (2, 2, 2) and rows.action_space.n == 3
    first = rows.reset()
    chosen = np.random.default_rng(3).integers(3, size=(2, steps))
    given = []
    for t in range(steps):
        rows.step_async(chosen[:, t])
        given.append(rows.step_wait())
    assert (first[:, 0] == 0).all() and (first[:, 1] == 2).all()  # [2 environments, stack 2, 2, 2]
    for i, script in enumerate(scripts):
        log = list(column(script, chosen[i], clip))
        assert [stream.envs.actions[t][i] for t in range(steps)] == [action for _, action in log]
        assert any(action != wish for (_, action), wish in zip(log, chosen[i], strict=True))
        for (obs, reward, done, infos), (wanted, _) in zip(given, log, strict=True):
            before, newest, earned, ended, cut = wanted
            assert (obs[i, 0] == before).all() and (obs[i, 1] == newest).all()
            assert (reward[i], done[i]) == (earned, ended)
            assert (set(infos[i]) == {"terminal_observation", "TimeLimit.truncated"}) == ended
            if ended:
                assert (infos[i]["terminal_observation"] == obs[i]).all() and infos[i]["TimeLimit.truncated"] == cut
        kinds = {wanted[3:] for wanted, _ in log}
        assert kinds == {(False, False), (True, False), (True, True)}


def test_schedules_end_with_a_budget_that_becomes_known_on_the_way():
    """`--minutes` become steps when the speed is known: SB3's learning rate and clip range then fall to that end."""
    config = {"n_steps": 32, "batch_size": 32, "n_epochs": 1}
    parts = lab.assemble({**CARTPOLE, "agent": "sb3-ppo", "agent_config": config, "steps": None}, torch.device("cpu"))
    rates = []

    def hook(moment):
        rates.append(parts.agent.model.policy.optimizer.param_groups[0]["lr"])
        if moment.clock.steps >= 128:
            moment.clock.budget = 1024

    parts.stream.reset(1, 0)
    assert parts.agent.train_alone(parts.stream, [hook], lambda: False, lambda: 1.0)
    assert parts.clock.steps == 1024
    assert rates[0] > 0 and rates == sorted(rates, reverse=True)
    assert rates[-1] <= 0.1 * rates[0]
    parts.stream.close()
