"""Every ALE game under a named protocol, on ale-py's AtariVectorEnv.

A protocol decides every argument of the emulator, whether a lost life is terminal for learning, and whether FIRE is
pressed after one. Scores of different protocols are never compared (docs/protocols.md).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from envs import description
from envs.atari_actions import ACTIONS
from envs.atari_scores import ATARI5, NATURE
from envs.description import Description

FIRE = 1  # ALE's number of the action
FRAME_SKIP = 4  # emulated frames per agent decision


@dataclasses.dataclass(frozen=True)
class AtariProtocol:
    """What decides a score, beside the agent."""

    sticky: float  # probability that the emulator repeats the action of the frame before (Machado et al. 2018)
    full_actions: bool  # True: all 18 actions; False: the game's minimal set
    life_loss: bool  # a lost life is terminal for learning; the game goes on
    fire: bool  # FIRE is pressed at the start and after a lost life
    noops: int  # largest number of frames without an action at the start
    max_frames: int  # frames after which a game is cut


PROTOCOLS = {
    "baselines": AtariProtocol(0.0, False, True, True, 30, 108_000),
    "machado": AtariProtocol(0.25, True, False, False, 1, 108_000),
    # Mnih et al. 2015: games of at most 5 minutes; for scores of runs that were trained under `baselines`.
    "nature": AtariProtocol(0.0, False, True, True, 30, 18_000),
}


@dataclasses.dataclass(frozen=True)
class AtariOptions:
    """How an Atari game is played."""

    protocol: str = "baselines"  # baselines, machado or nature: decides every argument of the emulator
    env_threads: int = 0  # threads that step the emulators, 0: as many as help

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"--protocol {self.protocol}: choose {', '.join(PROTOCOLS)}")
        if self.env_threads < 0:
            raise ValueError(f"--env-threads {self.env_threads}: must be at least 0")


def arguments(protocol: AtariProtocol) -> dict[str, Any]:
    """The emulator's arguments, every one of them."""
    return dict(
        max_num_frames_per_episode=protocol.max_frames,
        repeat_action_probability=protocol.sticky,
        full_action_space=protocol.full_actions,
        continuous=False,
        autoreset_mode="NextStep",
        img_height=84,
        img_width=84,
        grayscale=True,
        stack_num=1,
        frameskip=FRAME_SKIP,
        maxpool=True,
        noop_max=protocol.noops,
        episodic_life=False,  # True would really reset the game at each lost life
        life_loss_info=False,  # True would report `terminated` while the game goes on
        reward_clipping=False,  # the learner clips
        use_fire_reset=protocol.fire,
    )


def action_set(game: str, full: bool) -> list[int]:
    """ALE's numbers of the game's actions, in the order of the environment's actions."""
    import ale_py
    from ale_py import roms

    if full:
        return list(range(18))
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.loadROM(roms.get_rom_path(game))
    return [a.value for a in ale.getMinimalActionSet()]


def emulators(game: str, num_envs: int, threads: int, **changed: Any) -> VectorEnv:
    """ale-py's vector environment."""
    import ale_py
    from ale_py.vector_env import AtariVectorEnv

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    return AtariVectorEnv(game, num_envs, num_threads=threads, **changed)


class AtariVec(VectorEnv):
    """N games: frames uint8 [N, 84, 84], raw rewards, `discount` 0 at a lost life, `legal` only FIRE after one."""

    def __init__(self, game: str, num_envs: int, options: AtariOptions):
        self.game, self.num_envs, self.options = game, num_envs, options
        self.protocol = PROTOCOLS[options.protocol]
        self.metadata = {
            "autoreset_mode": AutoresetMode.NEXT_STEP,
            "frame_stack": 4,
            "frame_skip": FRAME_SKIP,
            "protocol": options.protocol,
            "lab_info": True,
        }
        self.actions = action_set(game, self.protocol.full_actions)
        self.fire = self.actions.index(FIRE) if self.protocol.fire and FIRE in self.actions else None
        self.emulators = emulators(game, num_envs, options.env_threads, **arguments(self.protocol))
        self.single_observation_space = spaces.Box(0, 255, (84, 84), np.uint8)
        self.single_action_space = spaces.Discrete(len(self.actions))
        self.observation_space = spaces.Box(0, 255, (num_envs, 84, 84), np.uint8)
        self.action_space = spaces.MultiDiscrete([len(self.actions)] * num_envs)
        self._lives = np.zeros(num_envs, np.int64)
        self._over = np.zeros(num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts every game anew. A seeded start depends on the seed alone, not on what was played before."""
        if isinstance(seed, int):
            seed = np.random.SeedSequence(seed).generate_state(self.num_envs) & 0x7FFFFFFF
        elif seed is not None:
            seed = np.asarray(seed, np.int64)
        obs, info = self.emulators.reset(seed=seed)
        self._lives, self._over = np.array(info["lives"]), np.zeros(self.num_envs, bool)
        return obs[:, 0], self._info(np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool))

    def send(self, actions: np.ndarray) -> None:
        """Begins a step. The range is checked here: inside, an unknown action would hang for ever."""
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() >= len(self.actions):
            raise ValueError(f"actions must be {self.num_envs} numbers in 0..{len(self.actions) - 1}, not {actions}")
        self.emulators.send(actions.astype(np.int64))

    def recv(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Ends a step."""
        obs, reward, terminated, truncated, info = self.emulators.recv()
        lives = np.array(info["lives"])
        lost = (lives < self._lives) & ~self._over & ~terminated & ~truncated
        self._lives, self._over = lives, terminated | truncated
        return obs[:, 0], reward.astype(np.float64), terminated, truncated, self._info(lost, terminated)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        self.send(actions)
        return self.recv()

    def _info(self, lost: np.ndarray, terminated: np.ndarray) -> dict[str, Any]:
        ended = terminated | lost if self.protocol.life_loss else terminated
        info: dict[str, Any] = {"discount": 1 - ended.astype(np.float32), "lives": self._lives}
        if self.fire is not None:
            legal = np.ones((self.num_envs, len(self.actions)), bool)
            legal[lost] = False
            legal[lost, self.fire] = True
            info["legal"] = legal
        return info

    def close_extras(self, **kwargs: Any) -> None:
        """The emulators and their threads end; Gymnasium's `close` calls this method."""
        self.emulators.close()


class AtariEnv(gymnasium.Env):
    """One game for watching: what the agent sees is AtariVec's; the colour picture is a twin emulator's.

    The twin gets the same seeds and actions but one frame per step, so that it shows every emulated frame (60 per
    second) and stays in lock-step exactly, sticky actions included. `render_mode`: "rgb_array" (the newest frame),
    "rgb_array_list" (all frames since the last call) or None (no twin).
    """

    metadata = {"render_modes": ["rgb_array", "rgb_array_list"], "render_fps": 60}

    def __init__(self, game: str, options: AtariOptions, render_mode: str | None = None):
        self.render_mode = render_mode
        self.vector = AtariVec(game, 1, options)
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self.actions = self.vector.actions
        self._twin = None
        self._frames: list[np.ndarray] = []
        self._over = False
        if render_mode is not None:
            picture = dict(grayscale=False, img_height=210, img_width=160, frameskip=1, maxpool=False)
            self._twin = emulators(game, 1, 1, **{**arguments(self.vector.protocol), **picture})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """An unseeded reset draws a seed, so that both emulators start the same game."""
        super().reset(seed=seed)
        seed = int(self.np_random.integers(2**31)) if seed is None else seed
        obs, info = self.vector.reset(seed=[seed])
        self._over = False
        if self._twin is not None:
            picture, _ = self._twin.reset(seed=np.array([seed]))
            self._frames = [picture[0, 0]]
        return obs[0], _of(info)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.vector.send(np.array([action]))
        if self._twin is not None:
            for _ in range(1 if self._over else FRAME_SKIP):  # one step after the end resets
                picture, _, terminated, truncated, _ = self._twin.step(np.array([action]))
                self._frames.append(picture[0, 0])
                if terminated[0] or truncated[0]:
                    break
        obs, reward, terminated, truncated, info = self.vector.recv()
        self._over = bool(terminated[0] or truncated[0])
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), _of(info)

    def keys(self) -> dict[frozenset[str], int]:
        """Keys of a keyboard -> action: arrows, and the space bar for FIRE."""
        names = {0: "", 1: "fire", 2: "up", 3: "right", 4: "left", 5: "down", 6: "up right", 7: "up left"}
        names |= {8: "down right", 9: "down left"} | {i + 8: f"{names[i]} fire" for i in range(2, 6)}
        names |= {14: "up right fire", 15: "up left fire", 16: "down right fire", 17: "down left fire"}
        return {
            frozenset("space" if key == "fire" else key for key in names[number].split()): i
            for i, number in enumerate(self.actions)
        }

    def render(self) -> Any:
        if self.render_mode == "rgb_array_list":
            frames, self._frames = self._frames, []
            return frames
        return self._frames[-1] if self._frames else None

    def close(self) -> None:
        self.vector.close()
        if self._twin is not None:
            self._twin.close()
            self._twin = None


def _of(info: dict[str, Any]) -> dict[str, Any]:
    """The info of the only environment of a vector of one."""
    return {k: v[0] for k, v in info.items()}


# Scores in the literature are of games without sticky actions, at most 5 minutes long, with 5 % of chance.
SCORING = {
    "baselines": description.ScoringProtocol(scores=("nature",)),
    "machado": description.ScoringProtocol(),
    "nature": description.ScoringProtocol(trains=False, epsilon=0.05),
}


SUITE = description.GameSuite(
    title="Atari",
    sets={"atari5": ATARI5, "nature49": tuple(NATURE)},
    protocol="nature",
    trained="baselines",
    agent="Nature DQN",
    source="Mnih et al. 2015, 200 M frames",
)


Options = AtariOptions  # name under which every game's module offers its own


def describe(options: AtariOptions, game: str) -> Description:
    """The game under this protocol. No emulator is started: the sizes of the minimal action sets are a table."""
    protocol = PROTOCOLS[options.protocol]
    count = 18 if protocol.full_actions else ACTIONS.get(game)
    return Description(
        observation=spaces.Box(0, 255, (84, 84), np.uint8),
        actions=None if count is None else spaces.Discrete(count),
        frame_stack=4,
        frame_skip=FRAME_SKIP,
        protocol=options.protocol,
        chance=True,
        saves=False,
        two_players=False,
        every_frame=True,
        published=None if protocol.sticky else NATURE.get(game),
        protocols=SCORING,
        memory=3 * 2**19,
        about=f"the Atari game {game.replace('_', ' ')}",
        controls="the emulator's minimal action set, or with protocol machado all 18 actions",
        reward="what the game's own score gains in a step; agents may clip it to its sign",
        score="the game's own, unclipped, of a whole game (docs/protocols.md)",
    )


def make_vec(num_envs: int, game: str, **options: Any) -> AtariVec:
    return AtariVec(game, num_envs, AtariOptions(**options))


def make(render_mode: str | None, game: str, **options: Any) -> AtariEnv:
    return AtariEnv(game, AtariOptions(**options), render_mode)
