"""Any game of compiled rules as a batch of environments, in one file: tic-tac-toe and Connect Four."""

from dataclasses import dataclass

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.batches import SingleEnv, present, read_options
from envs.description import Board, Description
from envs.go.small_games import connect_four_rules, tictactoe_rules

RULES = {"tictactoe": tictactoe_rules(), "connect-four": connect_four_rules()}


@dataclass(frozen=True)
class Options:
    """Which game."""

    board: str = "tictactoe"  # tictactoe or connect-four


class CompiledVector(gymnasium.vector.VectorEnv):
    """N games; `info["state"]` holds copies of the positions [N, S]."""

    def __init__(self, num_envs: int, options: Options):
        self.options, self.rules = options, RULES[options.board]
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 2}
        present(self, describe(options), num_envs)
        self.states = np.tile(self.rules.new_state(), (num_envs, 1))
        self.over = np.zeros(num_envs, bool)

    def _out(self, discount):
        planes = np.zeros((self.num_envs, *self.rules.planes), np.float32)
        legal = np.zeros((self.num_envs, self.rules.num_actions), bool)
        for n, state in enumerate(self.states):
            self.rules.features(state, planes[n].reshape(-1))
            self.rules.legal(state, legal[n])
        return planes, {"discount": discount.astype(np.float32), "legal": legal, "state": self.states.copy()}

    def reset(self, *, seed=None, options=None):
        self.states[:], self.over[:] = self.rules.new_state(), False
        return self._out(np.ones(self.num_envs))

    def step(self, actions):
        reward, discount = np.zeros(self.num_envs, np.float32), np.ones(self.num_envs)
        mask = np.zeros(self.rules.num_actions, bool)
        for n, state in enumerate(self.states):
            if self.over[n]:
                state[:], self.over[n] = self.rules.new_state(), False
                continue
            self.rules.legal(state, mask)
            if not mask[actions[n]]:
                raise ValueError(f"action {actions[n]} is not legal in game {n}")
            self.rules.play(state, int(actions[n]))
            value = self.rules.outcome(state)
            self.over[n] = not np.isnan(value)
            reward[n], discount[n] = (-value, 0.0) if self.over[n] else (0.0, -1.0)
        obs, info = self._out(discount)
        return obs, reward, self.over.copy(), np.zeros(self.num_envs, bool), info

    def render(self):
        height, width = self.rules.planes[1:]
        pictures = []
        for state in self.states:
            planes = np.zeros(self.rules.planes, np.float32)
            self.rules.features(state, planes.reshape(-1))
            shades = (30 + 220 * planes[0] + 110 * planes[1]).astype(np.uint8).reshape(height, width)
            pictures.append(np.stack([shades.repeat(40, 0).repeat(40, 1)] * 3, axis=2))
        return tuple(pictures)

    def state_dict(self):
        return {"states": self.states.copy(), "over": self.over.copy()}

    def load_state_dict(self, state):
        self.states, self.over = state["states"].copy(), state["over"].copy()


class Compiled(SingleEnv):
    """One game; both sides play through `step`."""

    metadata = {"render_modes": ["human", "rgb_array"], "turn_based": True}


def make_vec(num_envs: int, **options) -> CompiledVector:
    return CompiledVector(num_envs, read_options(Options, options, "compiled"))


def make(render_mode=None, **options) -> Compiled:
    return Compiled(make_vec(1, **options), render_mode)


def describe(options: Options) -> Description:
    rules = RULES[options.board]
    board = Board(*rules.planes[1:]) if options.board == "tictactoe" else None
    return Description(
        observation=Box(0, 1, rules.planes, np.float32), actions=Discrete(rules.num_actions), frame_stack=1,
        frame_skip=1, protocol=options.board, chance=False, saves=True, two_players=True, board=board,
    )  # fmt: skip
