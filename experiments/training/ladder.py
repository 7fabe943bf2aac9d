"""Elo of an agent that plays itself: before each checkpoint is written it meets the weights of the one before.

A run that is killed in between goes on from the checkpoint before and plays the match again, so that none is lost.
The ratings stand in `ladder.json` of the run's folder and as `ladder/elo` in TensorBoard, the first weights at 0; the
first game of each match is kept as a picture of its end and, where the game's room can write records, in `games/`.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import time
from pathlib import Path
from typing import Any

import envs
from agents.core import files
from agents.core.clock import Clock
from agents.core.evaluate import Policy
from agents.core.log import Log
from agents.core.match import PlayedGame, match
from agents.core.run import Run
from agents.core.stream import Stream
from experiments import building

PAIRS = 16  # pairs of games of a match; both games of a pair share a random opening
NAME = "ladder.json"


def gained(points: list[float]) -> float:
    """Elo that a score is worth, as if one more game had been drawn: a clean score stays finite."""
    share = (sum(points) + 0.5) / (len(points) + 1)
    return 400 * math.log10(share / (1 - share))


class Ladder:
    """Matches of a training agent against its earlier weights; `meet` plays one."""

    def __init__(self, run: Run, parts: building.Lab, log: Log):
        self.run, self.parts, self.log = run, parts, log
        config = run.config
        self.env = envs.scored(config["game"], config["env"])
        self.earlier = building.build_agent(config, parts.stream.spec, Clock(1), parts.stream.device)
        self.stream: Stream | None = None
        self.rungs = [rung for rung in self._read() if rung["step"] <= parts.clock.steps]
        if not self.rungs:
            self.rungs = [{"step": parts.clock.steps, "elo": 0.0, "score": None}]
        self._keep_weights()

    def _read(self) -> list[dict[str, Any]]:
        path = self.run.path / NAME
        return files.read_json(path) if path.exists() else []

    def _keep_weights(self) -> None:
        state = self.parts.agent.state_dict()
        self.earlier.load_weights({name: state[name] for name in ("network", "average") if name in state})

    def meet(self) -> None:
        """A match against the weights of the last rung, which the present ones then replace."""
        clock = self.parts.clock
        if clock.steps <= self.rungs[-1]["step"]:
            return
        began = time.perf_counter()
        if self.stream is None:
            self.stream = Stream(envs.make_vec(self.run.config["game"], PAIRS, **self.env), self.parts.stream.device)
        seed = self.run.config["seed"]
        sides = [Policy(agent, agent.evaluation, self.stream.spec, seed) for agent in (self.parts.agent, self.earlier)]
        played = match((sides[0], sides[1]), self.stream, PAIRS, seed + clock.steps)
        points = [game.points for game in played]
        elo = self.rungs[-1]["elo"] + gained(points)
        self.rungs.append({"step": clock.steps, "elo": elo, "score": sum(points) / len(points)})
        files.write_json(self.run.inside(NAME), self.rungs)
        self.log.write({"clock/updates": clock.updates, "ladder/elo": elo, "ladder/score": self.rungs[-1]["score"]})
        self._show(played[0])
        self._keep_weights()
        clock.away += time.perf_counter() - began

    def _show(self, game: PlayedGame) -> None:
        """The end of a game as a picture, and the game as a record."""
        config = self.run.config
        table = envs.make(config["game"], "rgb_array", **self.env)
        table.reset(seed=0)
        for action in game.moves:
            table.step(action)
        self.log.picture("games/end", table.render())
        table.close()
        room = envs.entry(config["game"]).room if config["game"] in envs.GAMES else ""
        if room and importlib.util.find_spec(f"{room}.samples"):
            names = ["newest weights", "weights of the checkpoint before"]
            sides = names if game.first == 0 else names[::-1]
            path: Path = self.run.inside(f"games/{self.parts.clock.steps:012}.sgf")
            importlib.import_module(f"{room}.samples").keep(path, self.env, game.moves, sides)

    def close(self) -> None:
        """Ends the games."""
        if self.stream is not None:
            self.stream.close()
