"""Environments that play from a script: what happens at which step is known beforehand."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv


class Scripted(VectorEnv):
    """N environments. `script[i]` is a string of episodes for column i, played round and round.

    ``.`` goes on, ``L`` lost life (discount 0), ``-`` the other side moves, ``D`` death, ``T`` time limit, ``B`` both
    at once. A letter is one step; after D, T and B the next step resets (NEXT_STEP). The reward of step k is k + 1,
    the frame counts the resets and steps of its column, and every array is the same memory at each step. Where it
    cannot be saved, a reset depends on the seed alone.
    """

    def __init__(self, script, *, stack=1, action_space=None, tell=("discount",), saved=True, shape=(2, 2)):
        self.script, self.num_envs, self.tell, self.saved = script, len(script), set(tell), saved
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "frame_stack": stack, "frame_skip": 4}
        self.metadata["lab_info"] = True
        self.single_observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.single_action_space = action_space or spaces.Discrete(3)
        self.place = np.zeros(self.num_envs, np.int64)  # in the script
        self.frame = np.zeros(self.num_envs, np.int64)
        self.over = np.zeros(self.num_envs, bool)
        self.total = np.zeros(self.num_envs)
        self.actions, self.seeds = [], []
        n = self.num_envs
        self._obs, self._reward = np.zeros((n, *shape), np.uint8), np.zeros(n, np.float32)
        self._discount, self._legal = np.ones(n, np.float32), np.ones((n, 3), bool)
        if saved:
            self.state_dict = lambda: {k: getattr(self, k).copy() for k in ("place", "frame", "over", "total")}
            self.load_state_dict = lambda state: [getattr(self, k).__setitem__(..., v) for k, v in state.items()]

    def _out(self):
        self._obs[:] = self.frame.reshape(-1, *(1,) * (self._obs.ndim - 1)) % 250 + 1
        self._legal[:] = (self.frame[:, None] + np.arange(3)) % 3 > 0
        info = {"discount": self._discount, "legal": self._legal, "score": self.total * 10}
        info["episode"] = {"coins": self.frame.astype(np.float64)}
        return self._obs, {k: v for k, v in info.items() if k in self.tell}

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.place[:], self.over[:], self.total[:] = 0, False, 0
        self.frame[:] = self.frame + 1 if self.saved else np.asarray(seed) % 97
        self._discount[:] = 1
        return self._out()

    def step(self, actions):
        self.actions.append(np.array(actions))
        terminated, truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        self.frame += 1
        for i, script in enumerate(self.script):
            self._reward[i], self._discount[i] = 0, 1
            if self.over[i]:
                self.over[i], self.total[i] = False, 0
                continue
            letter = script[self.place[i] % len(script)]
            self.place[i] += 1
            self._reward[i] = self.place[i]
            self.total[i] += self.place[i]
            terminated[i], truncated[i] = letter in "DB", letter in "TB"
            self._discount[i] = {"L": 0, "D": 0, "B": 0, "-": -1}.get(letter, 1)
            self.over[i] = terminated[i] | truncated[i]
        obs, info = self._out()
        return obs, self._reward, terminated, truncated, info


class Split(Scripted):
    """With `send` and `recv` instead of a step."""

    def send(self, actions):
        self.sent = actions

    def recv(self):
        return self.step(self.sent)
