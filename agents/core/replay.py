"""The one memory: a ring of rows on the learner's device, each frame stored once.

Stacks and windows are rebuilt by index when they are read. A window of L rows with stack S needs L + S - 1 frames;
they are gathered in one read, and the stacks are overlapping views of them; where an episode begins inside, all
L * S frames are read, those before the beginning from a black one. In memory the rows of one environment follow one
another, so that a window is one piece (one page, which the processor fetches ahead) and not L + S - 1 far places.
One million Atari transitions take 7.06 GB of frames and about 20 bytes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.core import gather
from agents.core.checkpoint import Segments
from agents.core.rows import Act, Batch, Spec, TimeStep
from agents.core.samplers import Sampler, Starts

SEGMENT_BYTES = 256 * 2**20  # bytes of a segment; a checkpoint rewrites only segments that have changed
OWN = frozenset(("obs", "action", "reward", "discount", "first", "last", "legal"))  # names that extras may not take
SCALARS = {"reward": torch.float32, "discount": torch.float32, "first": torch.bool, "last": torch.bool}


class ReplayBuffer:
    """Rows of N environments, written in blocks of columns, read as windows.

    length: time slots per column. window: rows that a sample holds. on_episode_end(rows): called with the rows of
    each game that came to its end by the rules, a dict of [L, ...] tensors; the extras that it returns are written
    back, and only rows of such games are ever drawn.
    """

    def __init__(
        self,
        length: int,
        num_envs: int,
        spec: Spec,
        sampler: Sampler,
        *,
        window: int = 1,
        on_episode_end: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ):
        if length < window + spec.stack:
            raise ValueError(f"a ring of {length} rows is too short for windows of {window} and stacks of {spec.stack}")
        self.length, self.num_envs, self.spec, self.window = length, num_envs, spec, window
        self.sampler, self.on_episode_end = sampler, on_episode_end
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.cursor = np.zeros(num_envs, np.int64)  # next time slot to write, per column
        self.count = np.zeros(num_envs, np.int64)  # rows held, per column
        self.running = np.zeros(num_envs, np.int64)  # rows of the running episode that the ring holds
        self.added = 0  # rows ever added, over all columns
        self.filling = 0  # number of the ring's filling; a new one where the rows were lost
        self._starts: Starts | None = None  # result of `starts`, kept until the next row
        self.data: dict[str, Tensor] = {}  # name -> [length, N, ...], a view of `_flat`
        self._flat: dict[str, Tensor] = {}  # name -> [N * length, ...], one column after the other
        # One frame more than the ring holds stays black: what lies before an episode's first frame.
        self._column("obs", spec.obs_shape, getattr(torch, spec.obs_dtype), spare=1)
        self._column("action", spec.action_shape, torch.float32 if spec.action_dim else torch.int32)
        for name, dtype in SCALARS.items():
            self._column(name, (), dtype)
        self._cut()
        on_cpu = self.device.type == "cpu"
        self._gather = gather.compiled if on_cpu else gather.by_tensors
        scalars = {name: self._flat[name] for name in gather.RingColumns._fields}
        self._scalars = gather.RingColumns(**{k: v.numpy() if on_cpu else v for k, v in scalars.items()})
        sampler.bind(length * num_envs, self.device, on_episode_end is not None)

    def __len__(self) -> int:
        return int(self.count.sum())

    @property
    def nbytes(self) -> int:
        """Returns the bytes of all columns at full length, whether rows have been added or not."""
        return sum(x.numel() * x.element_size() for x in self.data.values())

    @property
    def frames(self) -> Tensor:
        """Every frame, [N * length, *obs_shape], one column after the other."""
        return self._flat["obs"][:-1]

    def _column(self, name: str, shape: Sequence[int], dtype: torch.dtype, spare: int = 0) -> None:
        rows = self.num_envs * self.length
        if self.device.type == "cpu":  # numpy asks the system for huge pages; the memory is taken when touched
            flat = torch.from_numpy(np.zeros((rows + spare, *shape), str(dtype).removeprefix("torch.")))
        else:
            flat = torch.zeros((rows + spare, *shape), dtype=dtype, device=self.device)
        self._flat[name] = flat
        self.data[name] = flat[:rows].unflatten(0, (self.num_envs, self.length)).transpose(0, 1)

    def _cut(self) -> None:
        """Plans the segments that a checkpoint writes; once, with the columns of the first row."""
        self.segment = max(1, SEGMENT_BYTES // (self.nbytes // self.length))  # time slots of a segment
        self.versions = np.zeros(-(-self.length // self.segment), np.int64)  # writes to each segment

    # -- writing ---------------------------------------------------------------------------------------------------

    def add(self, step: TimeStep, act: Act, columns: np.ndarray | None = None) -> None:
        """Appends one row to each of `columns` (all of them where None): what was seen and what was done there.

        Raises ValueError for an extra column with the name of one that every row has.
        """
        self._refuse_own(act.extras)
        every = columns is None
        columns = np.arange(self.num_envs) if every else np.asarray(columns)
        time = self.cursor[columns]  # [n]
        rows = {"obs": step.obs[:, -1], "action": act.action, "reward": step.reward, "discount": step.discount}
        rows |= {"first": step.first, "last": step.last, **act.extras}
        if step.legal is not None:
            rows["legal"] = step.legal
        for name in rows.keys() - self.data.keys():
            self._column(name, rows[name].shape[1:], rows[name].dtype)
        if not self.added:
            self._cut()
        if every and (time == time[0]).all():  # the usual case, at every step: one slot, one segment
            at: Any = int(time[0])
            self.versions[at // self.segment] += 1
        else:
            at = (self._host(time), self._host(columns))
            self.versions[np.unique(time // self.segment)] += 1
        for name, value in rows.items():
            self.data[name][at] = value.to(self.data[name].dtype)
        self.cursor[columns] = (time + 1) % self.length
        self.count[columns] = np.minimum(self.count[columns] + 1, self.length)
        self.added += len(columns)
        self._starts = None
        if self.sampler.follows:
            self._reopen(columns, time)
        if self.on_episode_end is not None:
            self._finish(columns, time)

    def extend(self, rows: Mapping[str, np.ndarray], columns: np.ndarray) -> None:
        """Appends L rows to each of `columns`: read-only arrays [L, n, ...], a row's own fields and its extras by name.

        The same as `add` row by row; written at once where nothing follows single rows. obs: the newest frames.
        """
        length = len(rows["action"])
        followed = self.sampler.follows or self.on_episode_end is not None
        if followed or not rows.keys() <= self.data.keys() or length > self.length:
            for at in range(length):
                self.add(*self._row({name: array[at] for name, array in rows.items()}), columns)
            return
        time = (self.cursor[columns] + np.arange(length)[:, None]) % self.length  # [L, n]
        for name, array in rows.items():
            if self.device.type == "cpu":
                self.data[name].numpy()[time, columns] = array
            else:
                self.data[name][self._host(time), self._host(columns)] = self._tensor(array).to(self.data[name].dtype)
        self.versions[np.unique(time // self.segment)] += 1
        self.cursor[columns] = (self.cursor[columns] + length) % self.length
        self.count[columns] = np.minimum(self.count[columns] + length, self.length)
        self.added += length * len(columns)
        self._starts = None

    def _row(self, arrays: Mapping[str, np.ndarray]) -> tuple[TimeStep, Act]:
        """One row of n columns, of arrays [n, ...] as `extend` takes them."""
        given = {name: self._tensor(array) for name, array in arrays.items()}
        obs, action = given.pop("obs")[:, None], given.pop("action")
        own = {name: given.pop(name) for name in OWN & given.keys()}
        return TimeStep(obs, **own), Act(action, given)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)

    @staticmethod
    def _refuse_own(extras: Mapping[str, Tensor]) -> None:
        if not OWN.isdisjoint(extras):
            raise ValueError(f"the extra columns {', '.join(sorted(OWN & extras.keys()))} have names of a row's own")

    def _reopen(self, columns: np.ndarray, time: np.ndarray) -> None:
        """Tells the sampler which starts the new rows at `time` open and close."""
        full = self.count[columns] == self.length
        for k in range(1, self.spec.stack):  # the oldest rows of a full ring have lost frames of their stacks
            self.sampler.closed(self._slots(time[full] + k, columns[full]))
        if self.window > 1 or self.on_episode_end is not None:
            self.sampler.closed(self._slots(time, columns))
        if self.on_episode_end is None:
            ready = self.count[columns] >= self.window
            self.sampler.opened(self._slots(time[ready] - self.window + 1, columns[ready]))

    def _finish(self, columns: np.ndarray, time: np.ndarray) -> None:
        """Hands finished games to `on_episode_end` and opens their rows."""
        self.running[columns] = np.where(self.first_at(time, columns), 1, self.running[columns] + 1)
        self.running[columns] = np.minimum(self.running[columns], self.length - self.spec.stack + 1)
        at = (self._host(time), self._host(columns))
        over = (self.data["last"][at] & (self.data["discount"][at] == 0)).cpu().numpy()
        for n, t in zip(columns[over], time[over], strict=True):
            times = (np.arange(t - self.running[n] + 1, t + 1)) % self.length  # [L]
            at = (self._host(times), int(n))
            known = self.on_episode_end({k: v[at] for k, v in self.data.items()})
            self._refuse_own(known)
            for name, value in known.items():
                if name not in self.data:
                    self._column(name, value.shape[1:], value.dtype)
                self.data[name][at] = value
            self.versions[np.unique(times // self.segment)] += 1
            starts = times[: max(0, len(times) - self.window + 1)]
            if "skip" in self.data:  # no transition begins there: a draw would be wasted
                starts = starts[~self.data["skip"][self._host(starts), int(n)].cpu().numpy()]
            self.sampler.opened(self._slots(starts, np.full(len(starts), n)))

    def first_at(self, time: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Returns the flag `first` of the rows at these time slots and columns, bool of the same shape."""
        return self.data["first"][self._host(time), self._host(columns)].cpu().numpy()

    def seal(self, columns: np.ndarray | None = None) -> None:
        """The newest row becomes `last` and keeps its discount: a time limit, nothing else. The caller resets."""
        columns = np.arange(self.num_envs) if columns is None else np.asarray(columns)
        columns = columns[self.count[columns] > 0]
        time = (self.cursor[columns] - 1) % self.length
        self.data["last"][self._host(time), self._host(columns)] = True
        self.versions[np.unique(time // self.segment)] += 1

    def amend(self, act: Act, columns: np.ndarray | None = None) -> None:
        """Replaces what was done at the newest row of each of `columns` (all of them where None)."""
        self._refuse_own(act.extras)
        columns = np.arange(self.num_envs) if columns is None else np.asarray(columns)
        time = (self.cursor[columns] - 1) % self.length
        at = (self._host(time), self._host(columns))
        for name, value in {"action": act.action, **act.extras}.items():
            self.data[name][at] = value.to(self.data[name].dtype)
        self.versions[np.unique(time // self.segment)] += 1

    def update_priorities(self, index: Tensor, priority: Tensor, beta: float | None = None) -> None:
        """What an agent says in `Priority` of windows that it has learned from."""
        self.sampler.update(index, priority, beta)

    # -- reading ---------------------------------------------------------------------------------------------------

    def starts(self) -> Starts:
        """The windows that the ring holds, per column. Worked out once between two rows: there are many draws."""
        if self._starts is not None:
            return self._starts
        lost = np.where(self.count == self.length, self.spec.stack - 1, 0)
        oldest = (self.cursor - self.count + lost) % self.length
        count = np.maximum(self.count - lost - self.window + 1, 0)
        alike = bool((count == count[0]).all() and (oldest == oldest[0]).all())
        self._starts = Starts(oldest, count, self.length, int(count.sum()), alike)
        return self._starts

    def sample(self, size: int) -> Batch | None:
        """`size` windows drawn by the sampler (Recent: the newest window of every column).

        None where the ring holds nothing that may be drawn yet.
        """
        drawn = self.sampler.draw(size, self.starts(), self.generator)
        return None if drawn is None else self.windows(*drawn)

    def windows(self, index: Tensor, importance: Tensor | None = None) -> Batch:
        """The windows that start at the flat slots `index` (time * num_envs + column), int64 [B]."""
        stack = self.spec.stack
        found = self._gather(index, self.num_envs, self.length, self.window, stack, self._scalars)
        rows = found.flat[:, stack - 1 :].contiguous()  # [B, L]
        read = {k: self._read(k, rows) for k in self.data if k not in ("obs", *SCALARS, "memory")}
        weight = found.weight
        if "skip" in read:
            weight = weight * ~(read["skip"][:, :-1] if self.window > 1 else read["skip"])
        if importance is not None:
            weight = weight * importance[:, None]
        return Batch(
            obs=self._stacks(found),
            action=read.pop("action") if self.spec.action_dim else read.pop("action").long(),
            reward=found.reward,
            discount=found.discount,
            first=found.begun[:, stack - 1 :],
            last=found.last,
            legal=read.pop("legal", None),
            extras=read,
            memory=self._read("memory", rows[:, :1]).squeeze(1) if "memory" in self.data else None,
            weight=weight,
            index=index,
        )

    def _read(self, name: str, flat: Tensor) -> Tensor:
        source = self._flat[name]
        return source.index_select(0, flat.view(-1)).view(*flat.shape, *source.shape[1:])

    def _stacks(self, found: gather.Windows) -> Tensor:
        """[B, L, S, *obs_shape]; frames from before an episode's first one are zeros."""
        stack = self.spec.stack
        if stack == 1:
            return self._read("obs", found.flat).unsqueeze(2)
        if not found.inside:
            frames = self._read("obs", found.flat)  # [B, S-1+L, *obs_shape]
            size, step = frames.stride(0), frames.stride(1)
            shape = (len(frames), self.window, stack, *self.spec.obs_shape)
            return frames.as_strided(shape, (size, step, step, *frames.stride()[2:]))  # row (b, l): frames l..l+S-1
        first = found.begun.clone()
        first[:, 0] = False  # the oldest frame belongs to the same episode as the next, or that one begins another
        begun = first.cumsum(1).unfold(1, stack, 1)  # [B, L, S] starts so far
        same = begun == begun[..., -1:]  # no episode began between this frame and the newest
        black = self.length * self.num_envs
        at = torch.where(same, found.flat.unfold(1, stack, 1), black)  # [B, L, S]
        return self._flat["obs"].index_select(0, at.flatten()).view(*at.shape, *self.spec.obs_shape)

    def _host(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _slots(self, time: np.ndarray, columns: np.ndarray) -> Tensor:
        return self._host(time % self.length * self.num_envs + columns)

    # -- state -----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {
            "cursor": self.cursor.copy(),
            "count": self.count.copy(),
            "running": self.running.copy(),
            "rows_added": self.added,
            "generator": self.generator.get_state(),
            "sampler": self.sampler.state_dict(),
            "rows": Segments(self.data, self.segment, self.versions.copy(), filling=self.filling),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        rows: Segments = state["rows"]
        for name, (shape, dtype) in rows.columns().items():
            if name not in self.data:
                self._column(name, shape[2:], dtype)
            if tuple(self.data[name].shape) != tuple(shape):
                raise ValueError(f"the saved ring holds {name} of {tuple(shape)}, not {tuple(self.data[name].shape)}")
        rows.copy_to(self.data)
        self.segment, self.versions, self.filling = rows.length, rows.versions.copy(), rows.filling
        self.cursor, self.count = state["cursor"].copy(), state["count"].copy()
        self.running = state["running"].copy()
        self.added = state["rows_added"] if "rows_added" in state else self._rows_of(state["added"])
        self._starts = None
        self.generator.set_state(state["generator"])
        self.sampler.load_state_dict(state["sampler"])

    def _rows_of(self, calls: int) -> int:
        """The rows of an older checkpoint, which counted calls of `add`: mostly one row of every column."""
        return calls * self.num_envs if (self.count == self.length).any() else int(self.count.sum())
