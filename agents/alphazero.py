"""AlphaZero for two-player games with compiled rules: it learns from its own games what search found and who won.

Search is Gumbel AlphaZero (Danihelka et al. 2022), from scratch for each move: all games in lock-step, one call of the
network per step of the search. Targets are those of KataGo (Wu 2019): the search's policy, the opponent's reply to it,
the game's result, its lead and the owner of each point. A quarter of the moves is searched fully and learned from; the
others are searched cheaply, so that more games end (playout cap randomisation). Averaged weights play.

Columns of the ring: `policy` [A] of the search and its value (`improved_value`), `skip`; known when the game is over
`outcome`, `score` and `ownership` [H * W], all in the view of the side to move at the row.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agents import boards, losses, optimizers
from agents.configs.alphazero import PRESETS as PRESETS
from agents.configs.alphazero import AlphaZeroConfig
from agents.configs.alphazero import Config as Config
from agents.core import device as devices
from agents.core.pace import Ratio
from agents.core.returns import outcome
from agents.core.rows import Act, Batch, Context, Learned, Needs, Spec, TimeStep
from agents.core.samplers import Newest
from agents.perception.tower import Answers, TowerOutput
from agents.search.gumbel import Gumbel
from agents.search.lockstep import Lockstep
from agents.search.search import Result

HELD = 512  # rows of held-out games on which values are checked
LOOK = 100  # updates between two checks
MEMORY = 0.99  # decay, per game, of the figures of finished games
FIGURES = ("first_wins", "draws", "passes", "length")  # figures of finished games


class LossParts(NamedTuple):
    """The parts of the loss, each a mean over the rows that count."""

    policy: Tensor
    reply: Tensor
    value: Tensor
    score: Tensor
    ownership: Tensor


class AlphaZero:
    """See the module."""

    evaluation = "greedy"
    self_play = True  # both sides are its own: how strong it becomes, matches against its earlier weights tell

    def __init__(self, config: AlphaZeroConfig, spec: Spec, context: Context):
        rules = spec.rules
        if rules is None or not spec.num_actions or spec.stack != 1:
            raise ValueError("alphazero needs discrete actions in a game of two sides with compiled rules, such as go")
        self.config, self.spec, self.rules = config, spec, rules
        self.clock, self.device = context.clock, context.device
        _, height, width = rules.planes
        self.points = height * width if rules.owner else 0  # points that belong to a side in the end
        self.passes = rules.num_actions == height * width + 1
        self.pictures = boards.Pictures(rules, self.device)
        self.dtype = devices.compute_dtype(self.device, config.precision)
        with devices.seeded(context.seed):
            self.network = boards.tower(config, rules).to(self.device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)  # plays
        self.answers = Answers(self.average, self.dtype)
        self.optimizer = optimizers.build("adam", self.network.parameters(), config.lr, eps=1e-8)
        self.act_generator = devices.generator(torch.device("cpu"), context.seed, 1)
        self.learn_generator = devices.generator(self.device, context.seed, 2)
        self.updates = 0
        self._stale = False  # True where the averaged weights have changed since they played
        parts = config.parts or torch.get_num_threads()
        self._pool = ThreadPoolExecutor(parts, initializer=torch.set_num_threads, initargs=(1,)) if parts > 1 else None
        most = max(config.visits, config.visits_start)
        self._training = self._searches(context.num_envs, most, 1.0, parts, context.seed)
        self._scoring: Lockstep | None = None
        self.left = torch.zeros(context.num_envs, dtype=torch.int64)  # opening moves that each game has left  [N]
        self.games = 0  # finished games
        self.figures = torch.zeros(len(FIGURES))
        self._make_held()
        pace = Ratio(config.ratio * config.full_share, config.batch, config.warmup)
        self.needs = Needs(
            window=2, sampler=Newest(config.newest), pace=pace, capacity=config.replay, batch=config.batch,
            on_episode_end=self.finished,
        )  # fmt: skip

    # -- playing -----------------------------------------------------------------------------------------------------

    def _searches(self, games: int, visits: int, noise: float, parts: int, seed: int = 0) -> Lockstep:
        """Searches of so many games. noise: of the root's draws; 0 plays the best move."""
        c = self.config
        how = Gumbel(c.considered, c_scale=c.c_scale, least_spread=c.least_spread, noise_scale=noise, prove=True)
        parts = max(1, min(parts, games // 8))
        pool = self._pool if parts > 1 else None
        return Lockstep(self.rules, self.answers, how, games=games, visits=visits, parts=parts, pool=pool, seed=seed)

    def _refresh(self) -> None:
        if self._stale:
            self.answers.take(self.average)
            self._stale = False

    def _search(self, step: TimeStep) -> Result:
        """What a search of `eval_visits` finds at each row, without chance."""
        states = self._states(step)
        if self._scoring is None or self._scoring.games != len(states):
            self._scoring = self._searches(len(states), self.config.eval_visits, 0.0, self._threads)
        self._refresh()
        return self._scoring.run(states, self.config.eval_visits)

    @property
    def _threads(self) -> int:
        return 1 if self._pool is None else self._pool._max_workers

    def _states(self, step: TimeStep) -> np.ndarray:
        if step.state is None:
            raise ValueError("alphazero searches from the game's state, and this row has none")
        return np.asarray(step.state)

    @property
    def full_visits(self) -> int:
        """Visits of a full search now."""
        c = self.config
        return round(c.visits_start * (c.visits / c.visits_start) ** self.clock.progress)

    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        if not explore:
            return Act(self._tensor(self._playable(step, self._search(step).action)))
        self._refresh()
        full = bool(torch.rand((), generator=self.act_generator) < self.config.full_share)
        visits = self.full_visits
        if not full:
            visits = max(1, round(visits * self.config.cheap_visits))
        states = self._states(step)
        found = self._training.run(states, visits)
        action, opened = self._open(step, found)
        skip = opened | (torch.zeros_like(opened) if full else torch.ones_like(opened))
        extras = {"policy": self._tensor(found.policy), "value": self._tensor(improved_value(found))}
        if self.points:
            extras |= self._ends(step, states)
        return Act(self._tensor(action), extras | {"skip": skip.to(self.device)})

    def _playable(self, step: TimeStep, action: np.ndarray) -> np.ndarray:
        """The search's actions [N]; where it finds the game over the last legal one, the pass in Go.

        Such a row ends a game, or one goes on that these rules count as settled: in scores Go is played to two passes.
        """
        if step.legal is None:
            return np.maximum(action, 0)
        legal = step.legal.cpu().numpy()
        return np.where(action >= 0, action, legal.shape[1] - 1 - legal[:, ::-1].argmax(1))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=self.device)

    def _open(self, step: TimeStep, found: Result) -> tuple[np.ndarray, Tensor]:
        """The moves [N], in the opening of some games drawn from the policy or at random; and where that was, bool [N].

        All draws are made at every row, so that the generator's state depends on nothing else.
        """
        c, n, draw = self.config, len(step.first), self.act_generator
        chosen, number = torch.rand(n, generator=draw), torch.randint(c.opening_moves, (n,), generator=draw)
        prior = torch.from_numpy(found.prior)
        legal = (prior > 0).float()
        some = legal.sum(1, keepdim=True)
        mixed = 0.5 * prior + 0.5 * legal / some.clamp(min=1)
        mixed = torch.where(some > 0, mixed, 1.0)  # rows whose game is over: what is drawn there is not played
        drawn = torch.multinomial(mixed, 1, generator=draw)[:, 0]
        begun = torch.where(chosen < c.openings, number + 1, 0)
        self.left = torch.where(step.first.cpu(), begun, self.left)
        opened = (self.left > 0) & ~step.last.cpu()
        self.left = (self.left - 1).clamp(min=0)
        action = torch.from_numpy(self._playable(step, found.action))
        return torch.where(opened, drawn, action).numpy(), opened

    def _ends(self, step: TimeStep, states: np.ndarray) -> dict[str, Tensor]:
        """Lead and owners in the view of the side that made the last move, at the rows that end a game; 0 elsewhere."""
        owners, lead = np.zeros((len(states), self.points), np.int8), np.zeros(len(states), np.float32)
        for n in np.flatnonzero(step.last.cpu().numpy()):
            view = 2 * self.rules.to_move(states[n]) - 1  # the sides take turns wherever points have owners
            lead[n] = view * self.rules.owner(states[n], owners[n])
            owners[n] *= view
        return {"ownership": self._tensor(owners), "score": self._tensor(lead)}

    def begin(self, columns: int) -> None:
        """Every column begins a game."""
        if columns == len(self.left):
            self.left.zero_()

    # -- what finished games tell ------------------------------------------------------------------------------------

    def finished(self, rows: dict[str, Tensor]) -> dict[str, Tensor]:
        """Columns that are known when a game is over, from its rows [L, ...]; one game in `holdout` is kept apart.

        The rows may begin in the middle of the game: with `restarts` of Go, or where the ring is shorter than it.
        """
        result = outcome(rows["reward"], rows["discount"])
        known = {"outcome": result}
        if self.points:
            flips = torch.where(rows["discount"] < 0, -1.0, 1.0)
            view = torch.ones_like(flips)  # [L] +1 where the side that made the last move is to move, and at the end
            view[:-2] = flips[1:-1].flip(0).cumprod(0).flip(0)
            known["score"] = view * rows["score"][-1]
            known["ownership"] = (view[:, None] * rows["ownership"][-1]).to(torch.int8)
        self.games += 1
        self._count(rows, float(result[0]))
        if self.games % self.config.holdout == 0:
            self._hold(rows, known)
            known["skip"] = torch.ones_like(rows["skip"])
        return known

    def _count(self, rows: dict[str, Tensor], result: float) -> None:
        """Running figures of finished games."""
        moves = rows["action"][:-1]
        passed = (moves == self.rules.num_actions - 1).float().mean() if self.passes else torch.zeros(())
        now = torch.stack([
            torch.tensor(float(result > 0)), torch.tensor(float(result == 0)), passed.cpu(),
            torch.tensor(float(len(moves))),
        ])  # fmt: skip
        keep = min(MEMORY, 1 - 1 / self.games)
        self.figures = keep * self.figures + (1 - keep) * now

    def _make_held(self) -> None:
        self.held = {
            "obs": torch.zeros((HELD, *self.rules.planes), device=self.device),
            "outcome": torch.zeros(HELD, device=self.device),
        }
        self.held_rows = 0  # rows ever held out
        self.seen = {"held_value_loss": torch.zeros(()), "symmetry_deviation": torch.zeros(())}  # newest check

    def _hold(self, rows: dict[str, Tensor], known: dict[str, Tensor]) -> None:
        """Keeps the rows of a game that others would be learned from, in place of the oldest ones."""
        chosen = (~rows["skip"][:-1]).nonzero()[-HELD:, 0]
        count = len(chosen)
        at = torch.arange(self.held_rows, self.held_rows + count, device=self.device) % HELD
        self.held["obs"][at] = rows["obs"][chosen]
        self.held["outcome"][at] = known["outcome"][chosen]
        self.held_rows += count

    @torch.no_grad()
    def check(self) -> None:
        """The value's loss and its deviation over the board's pictures, on held-out rows, by the weights that play."""
        count = min(self.held_rows, HELD)
        if not count:
            return
        planes, outcomes = self.held["obs"][:count], self.held["outcome"][:count]
        told = self.average(planes)
        self.seen["held_value_loss"] = F.cross_entropy(told.result, results(outcomes)).cpu()
        values = [self.average(boards.turned(planes[:128], order)).value for order in self.pictures.points]
        self.seen["symmetry_deviation"] = torch.stack(values).std(0, unbiased=False).mean().cpu()

    # -- learning ----------------------------------------------------------------------------------------------------

    def learn(self, batch: Batch) -> Iterator[Learned]:
        """One update from windows of two rows: the second one's policy is the reply."""
        c, left = self.config, 1 - self.clock.progress
        optimizers.set_rate(self.optimizer, c.lr * (c.lr_end + (1 - c.lr_end) * left))
        parts = self.losses(batch)
        loss = parts.policy + parts.value + c.reply_coef * parts.reply
        loss = loss + c.score_coef * parts.score + c.ownership_coef * parts.ownership
        self.optimizer.zero_grad()
        loss.backward()
        norm = optimizers.clip(self.network.parameters(), c.max_grad_norm)
        self.optimizer.step()
        self._follow()
        self.updates += 1
        if self.updates % LOOK == 1:
            self.check()
        figures = {f"{name}_loss": value.detach() for name, value in parts._asdict().items()}
        figures |= dict(zip(FIGURES, self.figures.unbind(), strict=True)) | self.seen
        yield Learned({"loss": loss.detach(), "grad_norm": norm, **figures})

    def losses(self, batch: Batch) -> LossParts:
        """The parts of the loss of a batch, each row in a picture drawn at random."""
        weight, known = batch.weight[:, 0], batch.extras
        drawn = self.pictures.drawn(len(weight), self.learn_generator)
        points, actions = self.pictures.points[drawn], self.pictures.actions[drawn]  # [B, H * W], [B, A]
        with devices.mixed(self.device, self.dtype):
            told: TowerOutput = self.network(boards.turned(batch.obs[:, 0, 0], points))
        policy, reply = (known["policy"][:, k].gather(1, actions) for k in (0, 1))
        replied = weight * ~batch.last[:, 1]
        target = mixed_results(known["outcome"][:, 0], known["value"][:, 0], self.config.search_share)
        none = torch.zeros((), device=self.device)
        score = owners = none
        if self.points:
            score = losses.mean(boards.lead_loss(told.score, known["score"][:, 0]), weight)
            owner = known["ownership"][:, 0].gather(1, points)  # [B, H * W]
            owners = losses.mean(boards.owner_loss(told.owner.flatten(1), owner), weight)
        return LossParts(
            losses.mean(F.cross_entropy(told.logits, policy, reduction="none"), weight),
            losses.mean(F.cross_entropy(told.reply, reply, reduction="none"), replied),
            losses.mean(F.cross_entropy(told.result, target, reduction="none"), weight), score, owners,
        )  # fmt: skip

    @torch.no_grad()
    def _follow(self) -> None:
        """The averaged weights follow those that learn; quickly in the beginning."""
        share = 1 - min(self.config.average, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), share)
        self._stale = True

    # -- watching ----------------------------------------------------------------------------------------------------

    def explain(self, step: TimeStep, memory: Any = None) -> dict[str, Tensor]:
        """What the search says of each row; see docs/add-an-agent.md."""
        told = self.average(step.obs[:, -1])
        found = self._search(step)
        says = {"policy": self._tensor(found.prior), "visits": self._tensor(found.visits), "value": told.value}
        says["winrate"] = self._tensor((improved_value(found) + 1) / 2)
        if self.points:
            side = [1.0 - 2.0 * self.rules.to_move(state) for state in self._states(step)]
            says["ownership"] = told.ownership.flatten(1) * torch.tensor(side, device=self.device)[:, None]
        return says

    def exported(self) -> tuple[torch.nn.Module, Tensor, tuple[str, ...]]:
        """The network that plays, its input for one row, and the names of its outputs, for ONNX."""
        return boards.exported(self.average, self.rules)

    # -- state -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "act_generator": self.act_generator.get_state(),
            "learn_generator": self.learn_generator.get_state(), "searches": self._training.generators.astype(np.int64),
            "left": self.left.clone(), "updates": self.updates, "games": self.games, "figures": self.figures.clone(),
            "held": {k: v.clone() for k, v in self.held.items()}, "held_rows": self.held_rows, "seen": dict(self.seen),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.load_weights(state)
        optimizers.load(self.optimizer, state["optimizer"])
        self.act_generator.set_state(state["act_generator"].cpu())
        self.learn_generator.set_state(state["learn_generator"].cpu())
        self._training.generators = np.asarray(state["searches"]).astype(np.uint64)
        self.left, self.figures = state["left"].cpu().clone(), state["figures"].cpu().clone()
        self.updates, self.games, self.held_rows = state["updates"], state["games"], state["held_rows"]
        self.held = {k: v.to(self.device) for k, v in state["held"].items()}
        self.seen = {k: v.cpu() for k, v in state["seen"].items()}

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights; those that play are its averaged ones, where it has any."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state.get("average", state["network"]))
        self._stale = True


def improved_value(found: Result) -> np.ndarray:
    """The value of the search's improved policy at each root, float32 [B]; exact where it is proven.

    The mean of the root's visits is another number: halving gives moves that turn out to be bad about as many visits
    as good ones, so that it lies far below what either side can reach. A move that was never looked at has the mixed
    value of Danihelka et al. (2022), appendix D, as `agents.search.gumbel.scaled_q` has it inside the trees.
    """
    tried, total = found.visits > 0, found.visits.sum(1, keepdims=True)
    q = np.where(tried, found.q, 0.0)
    prior = np.where(tried, np.maximum(found.prior, 1e-30), 0.0)
    mean = (prior * q).sum(1, keepdims=True) / np.maximum(prior.sum(1, keepdims=True), 1e-30)
    mixed = (found.raw_value[:, None] + total * mean) / (1 + total)
    value = (found.policy * np.where(tried, q, mixed)).sum(1)
    searched = np.where(found.solved, found.value, value)
    return searched.clip(-1, 1).astype(np.float32)


def results(outcomes: Tensor) -> Tensor:
    """Outcomes [B] of 1, 0 and -1 as shares of win, draw and loss [B, 3]."""
    return torch.stack([outcomes > 0, outcomes == 0, outcomes < 0], 1).float()


def mixed_results(outcomes: Tensor, values: Tensor, share: float) -> Tensor:
    """Shares of win, draw and loss [B, 3]: of how the game ended, and to a part `share` of the search's values [B]."""
    searched = torch.stack([(1 + values) / 2, torch.zeros_like(values), (1 - values) / 2], 1)
    return (1 - share) * results(outcomes) + share * searched


build = AlphaZero
