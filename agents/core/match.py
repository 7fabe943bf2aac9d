"""Games between two policies, in any environment of two sides that take turns (`discount` is -1 where the other moves).

Games come in pairs: both begin with the same random moves, and the policies change sides between them. So neither the
advantage of the first move nor an opening decides who is stronger, and two policies without chance play more than one
game.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from agents.core.device import seed_array
from agents.core.rows import Act, Spec, TimeStep
from agents.core.stream import Stream


class Side(Protocol):
    """Whoever plays: `agents.core.evaluate.Policy`, for instance."""

    def act(self, step: TimeStep, memory: Any = None) -> Act:
        """What to do at each of the N rows; memory: what `Act.memory` of the rows before was, None at first."""
        ...


class PlayedGame(NamedTuple):
    """One finished game."""

    pair: int  # number of the game's pair; the two games of a pair share their opening
    first: int  # number of the policy (0 or 1) that had the first move
    points: float  # points of policy 0: 1 for a win, 0.5 for a draw, 0 for a loss
    length: int  # moves, those of the opening among them
    moves: tuple[int, ...] = ()  # the actions of both sides


class Chance:
    """The opponent `random`: every legal action is equally likely."""

    def __init__(self, spec: Spec, seed: int):
        self._actions, self._rng = spec.num_actions, np.random.default_rng(seed)

    def act(self, step: TimeStep, memory: Any = None) -> Act:
        return Act(_any_legal(step.legal, len(step.first), self._actions, self._rng, step.first.device))


def match(
    policies: tuple[Side, Side],
    stream: Stream,
    pairs: int,
    seed: int,
    *,
    random_moves: int = 2,
    on_step: Callable[[int, int], None] = lambda done, steps: None,
) -> list[PlayedGame]:
    """Plays `2 * pairs` games and returns them in order. on_step(games done, steps) follows along.

    Column i of the stream plays the pairs i, i + N, i + 2N, ...: which games count is decided before they begin.
    A policy is asked only at rows where it is to move, except one that keeps a memory: it sees every row.
    random_moves: how many moves of a game are drawn at random before the policies play, the same in both of a pair.

    Raises ValueError where no other side ever moves: the environment has one player.
    """
    n, spec = stream.num_envs, stream.spec
    table = [_Column(i, n, pairs, seed, random_moves) for i in range(n)]
    memories: list[Any] = [None, None]
    step, steps, alternates = stream.reset(seed, 2), 0, False
    stream.take_episodes()
    while any(not column.over for column in table):
        first, flips = step.first.cpu().numpy(), (step.discount < 0).cpu().numpy()
        alternates |= bool(flips.any())
        turn = np.array([column.turn(bool(f), bool(d)) for column, f, d in zip(table, first, flips, strict=True)])
        action = torch.zeros(n, dtype=torch.int64, device=stream.device)
        for who in (0, 1):
            mine = torch.as_tensor(turn == who, device=stream.device)
            action, memories[who] = _acted(policies[who], step, memories[who], mine, action)
        legal = None if step.legal is None else step.legal.cpu().numpy()
        for i, column in enumerate(table):
            if column.opens():
                action[i] = column.drawn(None if legal is None else legal[i], spec.num_actions)
        stream.send(Act(action))
        step = stream.receive()
        steps += n
        reward, last = step.reward.cpu().numpy(), step.last.cpu().numpy()
        for i, column in enumerate(table):
            column.take(int(action[i]), float(reward[i]), bool(last[i]))
        if not alternates and last.any():
            raise ValueError(f"{stream.name} has one side: there is nobody to play against")
        on_step(sum(len(column.games) for column in table), steps)
    games = [game for column in table for game in column.games]
    return sorted(games, key=lambda game: (game.pair, game.first))


class _Column:
    """One column of the stream: whose turn it is, and the games that it has finished."""

    def __init__(self, index: int, columns: int, pairs: int, seed: int, random_moves: int):
        self._pairs = list(range(index, pairs, columns))
        self._seed, self._random_moves = seed, random_moves
        self._number = -1  # games begun before this one
        self._moves, self._side, self._total = 0, 0, 0.0
        self._actions: list[int] = []  # actions of the game at hand
        self._skip = True  # True where the row is an episode's last: the step after it resets
        self.games: list[PlayedGame] = []

    @property
    def over(self) -> bool:
        """Whether all of its games are finished."""
        return len(self.games) == 2 * len(self._pairs)

    @property
    def _first(self) -> int:
        return self._number % 2  # the policy that has the first move

    def turn(self, first: bool, flips: bool) -> int:
        """The policy that is to move at this row."""
        if first:
            self._number, self._moves, self._side, self._total, self._skip = self._number + 1, 0, 0, 0.0, False
            self._actions = []
            pair = self._pairs[self._number // 2] if not self.over and self._number < 2 * len(self._pairs) else 0
            (key,) = seed_array(1, self._seed, 3, pair)
            self._rng = np.random.default_rng(int(key))
        elif flips:
            self._side = 1 - self._side
        return (self._side + self._first) % 2

    def opens(self) -> bool:
        """Whether the move at this row belongs to the random opening."""
        return not self._skip and self._moves < self._random_moves

    def drawn(self, legal: np.ndarray | None, actions: int) -> int:
        """The opening's move."""
        return int(self._rng.choice(actions if legal is None else np.flatnonzero(legal)))

    def take(self, action: int, reward: float, last: bool) -> None:
        """The move and what it led to; `reward` is in the view of the side that made it."""
        if self._skip:
            return
        mover = (self._side + self._first) % 2
        self._total += reward if mover == 0 else -reward
        self._moves += 1
        self._actions.append(action)
        self._skip = last
        if last and self._number < 2 * len(self._pairs):
            points = 0.5 if self._total == 0 else float(self._total > 0)
            pair, actions = self._pairs[self._number // 2], tuple(self._actions)
            self.games.append(PlayedGame(pair, self._first, points, self._moves, actions))


def _acted(policy: Side, step: TimeStep, memory: Any, mine: Tensor, action: Tensor) -> tuple[Tensor, Any]:
    """`action` [N] with the policy's own where it is to move (`mine`, bool [N]); and its memory after this row."""
    if memory is None and not mine.any():
        return action, None
    if memory is None and not step.first.any():  # whoever had kept a memory would have one by now
        act = policy.act(_rows(step, mine))
        return action.masked_scatter(mine, act.action.to(action.dtype)), act.memory
    act = policy.act(step, memory)
    return torch.where(mine, act.action.to(action.dtype), action), act.memory


def _rows(step: TimeStep, mine: Tensor) -> TimeStep:
    """The rows of some environments."""
    chosen = mine.cpu().numpy()
    return step._replace(
        **{k: getattr(step, k)[mine] for k in ("obs", "reward", "discount", "first", "last")},
        legal=None if step.legal is None else step.legal[mine],
        state=None if step.state is None else step.state[chosen],
    )


def _any_legal(legal: Tensor | None, rows: int, actions: int, rng: np.random.Generator, device: torch.device) -> Tensor:
    mask = np.ones((rows, actions), bool) if legal is None else legal.cpu().numpy()
    draw = np.where(mask, rng.random(mask.shape), -1.0)
    return torch.as_tensor(draw.argmax(1), device=device)
