"""Tic-tac-toe: a game of two players with masks, in one file, as somebody else would add it (docs/add-a-game.md)."""

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv

from envs.batches import SingleEnv, read_options
from envs.description import Board, Description

LINES = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]])


@dataclass(frozen=True)
class Options:
    """The game has no options."""


class TicTacToeVector(VectorEnv):
    """N games. Observations are float32 [18]: the mover's stones, then the other side's. A full board is a draw."""

    def __init__(self, num_envs: int, options: Options):
        self.num_envs, self.options = num_envs, options
        self.metadata = {
            "autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": ["rgb_array"], "render_fps": 2,
            "frame_stack": 1, "frame_skip": 1, "protocol": "tictactoe", "lab_info": True,
        }  # fmt: skip
        self.single_observation_space, self.single_action_space = Box(0, 1, (18,), np.float32), Discrete(9)
        self.observation_space = Box(0, 1, (num_envs, 18), np.float32)
        self.action_space = MultiDiscrete([9] * num_envs)
        self.board = np.zeros((num_envs, 9), np.int8)  # 1: the stones of the side to move, -1: the other side's
        self.over = np.zeros(num_envs, bool)

    def _out(self, discount):
        obs = np.concatenate([self.board == 1, self.board == -1], axis=1).astype(np.float32)
        legal = (self.board == 0) | self.over[:, None]  # the last row needs a legal action, too
        return obs, {"discount": discount.astype(np.float32), "legal": legal}

    def reset(self, *, seed=None, options=None):
        self.board[:], self.over[:] = 0, False
        return self._out(np.ones(self.num_envs))

    def step(self, actions):
        fresh, rows = self.over.copy(), np.arange(self.num_envs)
        if (self.board[rows, actions] != 0)[~fresh].any():
            raise ValueError(f"the field is taken: {actions}")
        self.board[rows[~fresh], np.asarray(actions)[~fresh]] = 1
        won = (self.board[:, LINES] == 1).all(2).any(1) & ~fresh
        self.over = won | ((self.board != 0).all(1) & ~fresh)
        self.board = np.where(fresh[:, None], 0, -self.board).astype(np.int8)  # the other side moves next
        obs, info = self._out(np.where(fresh, 1.0, np.where(self.over, 0.0, -1.0)))
        return obs, won.astype(np.float32), self.over.copy(), np.zeros(self.num_envs, bool), info

    def render(self):
        shades = np.where(self.board == 1, 255, np.where(self.board == -1, 120, 30)).astype(np.uint8)
        pictures = shades.reshape(-1, 3, 3).repeat(40, 1).repeat(40, 2)
        return tuple(np.stack([picture] * 3, axis=2) for picture in pictures)

    def state_dict(self):
        return {"board": self.board.copy(), "over": self.over.copy()}

    def load_state_dict(self, state):
        self.board, self.over = state["board"].copy(), state["over"].copy()


class TicTacToe(SingleEnv):
    """One game; both sides play through `step`."""

    metadata = {"render_modes": ["human", "rgb_array"], "turn_based": True}

    def keys(self):
        return {frozenset([str(k + 1)]): k for k in range(9)}

    def board_box(self):
        return 20.0, 20.0, 40.0  # px of the first field's middle from the left and the top, px between middles


def make_vec(num_envs: int, **options) -> TicTacToeVector:
    return TicTacToeVector(num_envs, read_options(Options, options, "tictactoe"))


def make(render_mode=None, **options) -> TicTacToe:
    return TicTacToe(make_vec(1, **options), render_mode)


def describe(options: Options) -> Description:
    return Description(
        observation=Box(0, 1, (18,), np.float32), actions=Discrete(9), frame_stack=1, frame_skip=1,
        protocol="tictactoe", chance=False, saves=True, two_players=True, board=Board(3, 3),
    )  # fmt: skip
