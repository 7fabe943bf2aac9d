"""Made-up rows, and a log of them in plain lists that says slowly what a ring must give back."""

from __future__ import annotations

import numpy as np
import torch

from agents.core.rows import Act, Spec, TimeStep


class RowLog:
    """Random rows of `num_envs` columns: short episodes with ends of every kind, lost lives, changes of side."""

    def __init__(self, num_envs: int, spec: Spec, seed: int, *, legal: bool = False, extras: bool = False,
                 discounts: tuple[float, ...] = (1, 1, 0, -1), end: float = 0.2):  # fmt: skip
        self.spec, self.legal, self.extras, self.discounts, self.end = spec, legal, extras, discounts, end
        self.random = np.random.default_rng(seed)
        self.columns: list[list[dict]] = [[] for _ in range(num_envs)]  # every row ever made, oldest first
        self.finished: list[set[int]] = [set() for _ in range(num_envs)]  # episodes that the rules ended, per column

    def row(self, column: int) -> dict:
        """Makes the next row of a column."""
        log, spec, random = self.columns[column], self.spec, self.random
        first = not log or log[-1]["last"]
        episode = (log[-1]["episode"] + first) if log else 0
        row = {
            "frame": random.integers(0, 256, spec.obs_shape).astype(spec.obs_dtype),
            "reward": 0.0 if first else float(np.float32(random.normal())),
            "discount": 1.0 if first else float(random.choice(self.discounts)),
            "first": first,
            "last": not first and random.random() < self.end,
            "episode": episode,
            "action": (
                random.uniform(-1, 1, spec.action_dim).astype(np.float32)
                if spec.action_dim
                else int(random.integers(spec.num_actions))
            ),
        }
        if row["last"] and row["discount"] == 0:
            self.finished[column].add(episode)
        if self.legal:
            row["legal"] = np.arange(spec.num_actions) % (1 + int(random.integers(3))) == 0
        if self.extras:
            row |= {"logp": np.float32(random.normal()), "policy": random.random(3).astype(np.float32)}
            row |= {"skip": bool(random.random() < 0.3)}
        log.append(row)
        return row

    def add_to(self, ring, columns=None) -> tuple[TimeStep, Act]:
        """Makes one row for each of `columns` and adds them to the ring."""
        which = range(len(self.columns)) if columns is None else columns
        rows = [self.row(c) for c in which]

        def field(name: str, dtype: torch.dtype) -> torch.Tensor:
            return torch.as_tensor(np.array([r[name] for r in rows])).to(dtype)

        stacks = [self.stack(c, len(self.columns[c]) - 1) for c in which]
        step = TimeStep(
            obs=torch.as_tensor(np.stack(stacks)),
            reward=field("reward", torch.float32),
            discount=field("discount", torch.float32),
            first=field("first", torch.bool),
            last=field("last", torch.bool),
            legal=field("legal", torch.bool) if self.legal else None,
        )
        kinds = {"logp": torch.float32, "policy": torch.float32, "skip": torch.bool} if self.extras else {}
        act = Act(
            field("action", torch.float32 if self.spec.action_dim else torch.int64),
            {name: field(name, dtype) for name, dtype in kinds.items()},
        )
        ring.add(step, act, None if columns is None else np.array(columns))
        return step, act

    def seal(self, ring, columns=None) -> None:
        """Cuts the running episodes in the log and in the ring."""
        for column in range(len(self.columns)) if columns is None else columns:
            if self.columns[column]:
                self.columns[column][-1]["last"] = True
        ring.seal(None if columns is None else np.array(columns))

    def stack(self, column: int, t: int) -> np.ndarray:
        """The newest `stack` frames at row t, zeros from before its episode."""
        log, frames = self.columns[column], []
        for s in range(t - self.spec.stack + 1, t + 1):
            inside = s >= 0 and log[s]["episode"] == log[t]["episode"]
            frames.append(log[s]["frame"] if inside else np.zeros(self.spec.obs_shape, self.spec.obs_dtype))
        return np.stack(frames)

    def starts(self, column: int, length: int, window: int, finished_only: bool = False) -> list[int]:
        """The rows at which a ring of `length` has whole windows with whole stacks."""
        log = self.columns[column]
        oldest = max(0, len(log) - length) + (self.spec.stack - 1 if len(log) >= length else 0)
        rows = range(oldest, len(log) - window + 1)
        if not finished_only:
            return list(rows)
        games = [{row["episode"] for row in log[t : t + window]} for t in rows]
        return [t for t, g in zip(rows, games, strict=True) if len(g) == 1 and g <= self.finished[column]]

    def slots(self, length: int, window: int, finished_only: bool = False) -> dict[int, tuple[int, int]]:
        """Every drawable start: place in the ring -> (column, row)."""
        n = len(self.columns)
        return {
            t % length * n + column: (column, t)
            for column in range(n)
            for t in self.starts(column, length, window, finished_only)
        }

    def assert_windows(self, batch, slots: dict[int, tuple[int, int]]) -> None:
        """Every window of `batch` is what the log holds at the start that its index names."""
        window = batch.reward.shape[1]
        for b, index in enumerate(batch.index.tolist()):
            column, start = slots[index]
            rows = self.columns[column][start : start + window]
            stacks = np.stack([self.stack(column, start + k) for k in range(window)])
            np.testing.assert_array_equal(batch.obs[b].numpy(), stacks)
            names = {"reward": batch.reward, "discount": batch.discount, "first": batch.first, "last": batch.last}
            names |= {"action": batch.action} | ({"legal": batch.legal} if self.legal else {})
            names |= {k: batch.extras[k] for k in ("logp", "policy", "skip")} if self.extras else {}
            for name, value in names.items():
                expected = np.array([r[name] for r in rows])
                np.testing.assert_array_equal(value[b].numpy(), expected.astype(value.numpy().dtype), name)

    def weights(self, column: int, start: int, window: int) -> list[float]:
        """1 for each transition of a window that exists and is to be learned from, else 0."""
        rows = self.columns[column][start : start + max(1, window - 1)]
        return [0.0 if r["last"] or r.get("skip", False) else 1.0 for r in rows]
