"""One agent in one game, or in N copies of it: it decides, tells why, and a person may take the first copy over."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from agents.core.actor import Actor
from agents.core.clock import Clock
from agents.core.evaluate import Policy
from agents.core.rows import TimeStep
from agents.core.stream import Stream
from agents.perception import saliency
from envs.description import Board
from experiments import building, players
from experiments.overlay import blend, coloured, inset, on_board, stack_picture
from experiments.watching.driving import HOLD, drives, with_wheels
from experiments.watching.follower import Follower
from experiments.watching.human import Human, action_names, allows, own
from experiments.watching.opening import known, rendered, with_picture
from experiments.watching.scripted import player_of
from experiments.watching.source import BOARD, Source

HISTORY = 300  # decisions whose value, reward and score are kept for the curves


class Seat:
    """Steps `copies` games with one agent. The panels tell of the first copy.

    `decide` computes the next action and, where `explaining` is on, the reasons; `advance` carries it out.
    """

    def __init__(self, source: Source, *, copies: int = 1, seed: int = 1, policy: str | None = None,
                 explaining: bool = False):  # fmt: skip
        env = source.options
        self.about = envs.describe(source.game, **env)
        facts = known(self.about)
        self.protocol = str(facts.get("protocol") or "")
        vector = SyncVectorEnv(
            [functools.partial(with_picture, self.about)] * copies, autoreset_mode=AutoresetMode.NEXT_STEP
        )
        vector.metadata = {**vector.metadata, **facts}
        vector.rules = getattr(vector.envs[0].unwrapped, "rules", None)  # compiled rules, for agents that search
        self.envs, self.copies, self.seed, self.named_policy = vector.envs, copies, seed, policy
        self.device = building.device_for(source.run.config["agent"] if source.run else "random", "auto")
        self.stream = Stream(vector, self.device)
        self.spec = self.stream.spec
        self.board = self.about.board or square(self.spec.num_actions)
        self.fps = float(self.envs[0].metadata.get("render_fps") or 30)
        self.actions = action_names(source.game, self.envs[0])
        self.human: Human | None = None  # person who has taken over
        self.lent = False  # True while the person plays only by holding a key down
        self._heard: set[str] = set()  # keys that a person held on the game's own display
        self.side = 0  # side of the person in a two-player game
        self.alternates = False  # True if two sides move in turn
        self.explaining, self.overlay = explaining, "off"
        self.follower: Follower | None = None
        self.listeners: list[Any] = []  # listeners with began(), add(step, action, person) and ended(score)
        self.view: Callable[[], np.ndarray] | None = None  # picture to be shown in place of the game's own
        self.actor: Actor | None = None  # actor of the games that `begin` has begun
        try:
            self.load(source)
            self.begin(seed)
        except BaseException:
            self.close()
            raise

    def load(self, source: Source) -> None:
        """Takes the agent of `source`, which must be of the same game."""
        self.source = source
        if source.scripted:
            self.agent, self.at = player_of(source.game, source.scripted, self.stream), 0
        elif source.run is None:
            config = {"agent": "random", "agent_config": {}, "seed": self.seed, "num_envs": 1}
            self.agent, self.at = building.build_agent(config, self.spec, Clock(1), self.device), 0
        elif source.live and not any(source.checkpoints.glob("[0-9]*/manifest.json")):
            self.agent, self.at = building.build_agent(source.run.config, self.spec, Clock(1), self.device), -1
        else:
            self.agent, self.at = players.load_player(
                source.run, self.spec, self.device, source.step, source.checkpoints
            )
        self.follower = Follower(source.run, self.at) if source.live else None
        self.choose_policy(self.named_policy or self.agent.evaluation)

    def choose_policy(self, name: str) -> None:
        """greedy, sampled or "epsilon E"."""
        self.policy = Policy(self.agent, name, self.spec, self.seed)
        self.policy_name = name
        if self.actor is not None:
            self.actor.policy = self.policy

    def begin(self, *key: int) -> None:
        """A new game everywhere; equal keys begin equal games."""
        self.stream.reset(*key, 1)
        self.actor = Actor(self.policy, self.spec, self.stream.columns)
        self.stream.take_episodes()
        self.scores: list[float] = []  # scores of finished games, all copies
        self.moves = 0  # decisions of the first copy's game
        self.values, self.rewards, self.curve = (deque(maxlen=HISTORY) for _ in range(3))
        self._decided_for: Any = None
        self.decide_once()
        if self.human is not None:
            self.human.rest()
        for listener in self.listeners:
            listener.began()

    @property
    def step(self) -> TimeStep:
        """The newest row of every copy."""
        return self.stream.step

    @property
    def score(self) -> float:
        """The first copy's score so far: the game's own where it tells one at every step, else the sum of rewards."""
        info = self.envs[0].info if self.stream.lab_info else {}
        return float(info.get("score", self.stream.running_score[0]))

    @property
    def over(self) -> bool:
        """Has the first copy's game just ended?"""
        return bool(self.step.last[0])

    def follow(self) -> bool:
        """Takes a newer checkpoint of a run that is training, where there is one. Was there?"""
        newer = self.follower.newer() if self.follower else None
        if newer is None:
            return False
        state, self.at = newer
        self.agent.load_weights(state)
        return True

    def decide_once(self) -> None:
        """Decides, unless it was done for this very row."""
        if self._decided_for is not self.step:
            self._decided_for = self.step
            self.decide()

    def look_again(self) -> None:
        """Computes what is laid over the picture for the present row, after another was chosen."""
        self.heat, self.reasons = None, {}
        if self.explaining:
            self._explain()

    def decide(self) -> None:
        """What the agent would do now, and why."""
        self.alternates |= float(self.step.discount[0]) < 0
        self.act = self.actor.act()
        self.chosen = self.act.action[0].tolist()
        self.reasons: dict[str, np.ndarray] = {}
        self.heat: np.ndarray | None = None
        if self.explaining:
            self._explain()
        self.rewards.append(_finite(self.step.reward[0]))
        self.curve.append(_finite(self.score))
        self.values.append(self._value())

    def _explain(self) -> None:
        explain = getattr(self.agent, "explain", None)
        if explain is None:
            return
        first = type(self.step)(*map(_first, self.step))
        memory = _first(self.actor.before)
        with torch.no_grad():
            found = explain(first, memory)
        self.reasons = {k: v[0].float().cpu().numpy() for k, v in found.items()}
        if self.overlay in saliency.METHODS and self.spec.obs_dtype == "uint8":
            self.heat = self._saliency(explain, first, memory)

    def _saliency(self, explain: Any, first: Any, memory: Any) -> np.ndarray:
        action = self.act.action[0]

        def outputs(obs: torch.Tensor) -> torch.Tensor:
            n = len(obs)
            step = type(first)(obs, *(_repeated(x, n) for x in first[1:]))
            found = explain(step, _repeated(memory, n))
            key = next((k for k in ("values", "probabilities", "mean", "value") if k in found), None)
            rows = found[key].float()
            rows = rows.clamp_min(1e-9).log() if key == "probabilities" else rows
            return rows[:, None] if rows.ndim == 1 else rows

        def score(obs: torch.Tensor) -> torch.Tensor:
            rows = outputs(obs)
            return rows[:, action] if action.ndim == 0 and rows.shape[1] > 1 else rows.sum(1)

        if self.overlay == "gradient":
            return saliency.gradient(score, first.obs)[0].cpu().numpy()
        return saliency.occlusion(outputs, first.obs)[0].cpu().numpy()

    def _value(self) -> float | None:
        """The state's value; in games of two sides in Black's view, so that the curve does not jump."""
        if "value" not in self.reasons:
            return None
        return _finite(self.reasons["value"] * (-1.0 if self.alternates and self.moves % 2 else 1.0))

    def take_over(self, taken: bool) -> None:
        """A person plays the first copy, or hands it back; in a game of two sides, the side that is to move."""
        person = Human(self.source.game, self.envs[0], self.about.driving) if taken else None
        self.human, self.lent = person, False
        self.side = self.moves % 2

    @property
    def lends(self) -> bool:
        """Can a person take over by holding HOLD down: at a wheel, or at the keys of a game's own window?"""
        return self.source.run is not None and (drives(self) or self.about.window)

    def hold(self, keys: set[str]) -> None:
        """While a network drives, a person who holds HOLD down drives instead."""
        if self.human is None and HOLD in keys and self.lends:
            self.take_over(True)
            self.lent = True
        elif self.lent and HOLD not in keys:
            self.take_over(False)

    @property
    def is_persons_turn(self) -> bool:
        """Tells whether the person at this seat makes the next decision."""
        return self.human is not None and not self.over and (not self.alternates or self.side == self.moves % 2)

    def click(self, x: float, y: float) -> None:
        """A point of a board was chosen, by its place in the picture, by the person whose turn it is."""
        if not self.is_persons_turn or (box := self._box()) is None:
            return
        left, top, gap = box
        row, column = round((y - top) / gap), round((x - left) / gap)
        action = self.board.action_at(row, column)
        if action is not None and allows(self._legal(), action):
            self.human.wanted = action

    @property
    def waits(self) -> bool:
        """Must a person move before anything goes on?"""
        return self.is_persons_turn and not self.human.is_ready(self._legal())

    def _legal(self) -> np.ndarray | None:
        """The first copy's legal actions, bool [A]; None where all are."""
        return None if self.step.legal is None else self.step.legal[0].cpu().numpy()

    def advance(self) -> None:
        """Carries out the decision, or what the person does instead."""
        if self.about.window:
            self._listen()
        act, person = self.act, self.is_persons_turn
        if person:
            mine = torch.as_tensor(self.human.action(self._legal()), device=self.device).to(act.action.dtype)
            action = act.action.clone()
            action[0] = mine
            act = act._replace(action=action)
        was_over = self.over
        if not was_over:
            self._tell(act.action, person)
        self.stream.send(act)
        self.stream.receive()
        if self.over:  # the last observation of a game is a row, too, and the play may end with it
            self._tell(act.action, False)
        self.moves = 0 if was_over else self.moves + 1
        finished = self.stream.take_episodes()
        self.scores += [episode.score for episode in finished]
        if self.human is not None and any(episode.column == 0 for episode in finished):
            self.human.rest()
        for listener in self.listeners:
            for episode in finished:
                if episode.column == 0:
                    listener.ended(episode.score)

    def _tell(self, action: torch.Tensor, person: bool) -> None:
        """The newest row, for all listeners."""
        for listener in self.listeners:
            listener.add(self.step, action, person)

    def _listen(self) -> None:
        """Hears the keys that a person holds down where the game has its own display."""
        keys = own(self.source.game, self.envs[0], "pressed")()
        if keys or self._heard:
            self._heard = keys
            self.hold(keys)
            if self.human is not None:
                self.human.held = set(keys)

    def pictures(self) -> list[list[np.ndarray]]:
        """For each copy the pictures since the last call: one, or all emulated frames."""
        return [rendered(env) for env in self.envs]

    def overlays(self) -> list[str]:
        """What can be laid over the picture here."""
        if not hasattr(self.agent, "explain"):
            return ["off"]
        kinds = saliency.METHODS if self.spec.obs_dtype == "uint8" else ()
        board = [k for k in BOARD if k in self.reasons] if self._box() else []
        if self._box() and "probabilities" in self.reasons:
            board.append("policy")
        return ["off", *kinds, *dict.fromkeys(board)]

    def _box(self) -> tuple[float, float, float] | None:
        """Where the points of a board lie in its picture."""
        where = own(self.source.game, self.envs[0], "board_box")
        return where() if where and self.board else None

    def decorate(self, picture: np.ndarray) -> np.ndarray:
        """Lays over a picture what was asked for, where there is any of it, and the wheels of who drives."""
        if self.view is not None:
            return self.view()
        picture = with_wheels(picture, self)
        if self.heat is not None:
            where = own(self.source.game, self.envs[0], "seen_box")
            seen = where() if where else (0, 0, picture.shape[1], picture.shape[0])
            if seen is None:  # people look through another camera: what the network sees stands in a corner
                return inset(picture, blend(coloured(self.step.obs[0, -1].cpu().numpy()), self.heat))
            return blend(picture, self.heat, seen)
        box = self._box()
        name = "probabilities" if self.overlay == "policy" and "policy" not in self.reasons else self.overlay
        if box is None or name not in self.reasons:
            return picture
        row = self.reasons[name]
        if name == "ownership":
            rows, columns = self.board[:2]  # points, not actions
            points = row[: rows * columns].reshape(rows, columns)
        else:
            points = row[np.array(self.board.table)]
        return on_board(picture, points, box, signed=name == "ownership")

    def seen(self) -> np.ndarray | None:
        """The network's input as a picture."""
        return stack_picture(self.step.obs[0].cpu().numpy(), self.heat)

    def facts(self) -> dict[str, Any]:
        """Everything that the panels tell, as JSON."""
        bars = next((k for k in ("values", "probabilities", "mean") if k in self.reasons), None)
        value = self.values[-1] if self.values else None
        return {
            "label": self.source.label, "step": self.at, "stage": self.source.stage, "live": self.source.live,
            "trained": self.source.run is not None, "scripted": bool(self.source.scripted),
            "policy": self.policy_name, "actions": self.actions, "chosen": self.chosen,
            "bars": bars, "heights": [] if bars is None else [_finite(x) for x in self.reasons[bars]],
            "value": value, "reward": self.rewards[-1], "score": _finite(self.score), "moves": self.moves,
            "games": len(self.scores), "last_score": self.scores[-1] if self.scores else None,
            "winrate": _finite(self.reasons["winrate"]) if "winrate" in self.reasons else None,
            "human": self.human is not None, "waits": self.waits, "box": self._box(),
            "keys": self.known_keys(), "overlay": self.overlay, "overlays": self.overlays(),
            "numbers": [_finite(x) for x in self._numbers()],
        }  # fmt: skip

    def _numbers(self) -> np.ndarray:
        """The newest observation, where it is a vector."""
        obs = self.step.obs[0, -1]
        return obs.cpu().numpy()[:24] if obs.ndim == 1 else np.zeros(0)

    def known_keys(self) -> list[str]:
        """Keys that the game or the seat itself takes just now."""
        if self.human is not None:
            return self.human.known
        return [HOLD] if self.lends else []

    def history(self) -> dict[str, list[float | None]]:
        """The curves of the newest decisions, oldest first."""
        return {"value": list(self.values), "reward": list(self.rewards), "score": list(self.curve)}

    def close(self) -> None:
        self.stream.close()
        if self.follower:
            self.follower.close()


def square(actions: int) -> Board | None:
    """The board of a game that does not describe it: as many points as actions, one of which may be a pass."""
    size = math.isqrt(actions)
    return Board(size, size) if actions - size * size in (0, 1) and size > 1 else None


def _finite(x: Any) -> float | None:
    x = float(x)
    return round(x, 5) if np.isfinite(x) else None


def _mapped(function: Any, rows: Any) -> Any:
    """Rows of environments, tensors and arrays [N, ...] however nested, with a function applied to each of them."""
    if isinstance(rows, torch.Tensor | np.ndarray):
        return function(rows)
    if isinstance(rows, tuple | list):
        return type(rows)(_mapped(function, row) for row in rows)
    return {k: _mapped(function, v) for k, v in rows.items()} if isinstance(rows, dict) else rows


def _first(rows: Any) -> Any:
    """Those of the first copy alone."""
    return _mapped(lambda x: x[:1], rows)


def _repeated(rows: Any, n: int) -> Any:
    """Those of one copy, n times."""
    return _mapped(lambda x: x.repeat(n, *[1] * (x.ndim - 1)) if isinstance(x, torch.Tensor) else x.repeat(n, 0), rows)
