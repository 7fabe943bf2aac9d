"""Memory and disk that a training needs: what is short is told with the options that need less."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from experiments import building, cli
from experiments.comparing.wording import size as size_text

CHECKPOINT_COPIES = 3  # copies of a checkpoint on disk: two are kept while the third is written
# Fields that cost memory.
MEMORY = ("hidden", "recurrent", "minibatch", "batch", "rollout", "replay", "batch_size", "n_steps", "buffer_size")


@contextlib.contextmanager
def advising(config: dict[str, Any]) -> Iterator[None]:
    """Within: memory that is missing is told with the options that need less. Raises UserError."""
    try:
        yield
    except (MemoryError, RuntimeError) as fault:
        if not cli.is_short_of_memory(fault):
            raise
        raise cli.UserError(f"not enough memory: {cli.beginning(fault)}; {less_memory(config)}") from None


def less_memory(config: dict[str, Any]) -> str:
    """Advice: the options by which the memory of a run grows."""
    ours = [f"a smaller --{name.replace('_', '-')}" for name in MEMORY if config["agent_config"].get(name)]
    return f"a run with {' or '.join(['fewer --num-envs', *ours])} needs less"


def require_disk(root: Path, parts: building.Lab, barrier: int, with_ring: bool) -> None:
    """Refuses to begin where the checkpoints cannot fit: optimizers keep two moments for each weight, and a ring is
    stored once, and as often more as checkpoints are kept or written, what has changed between them."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise cli.UserError(f"--runs {root}: {fault.strerror}") from None
    size = sum(p.numel() * p.element_size() for p in _tensors(parts.agent.state_dict()))
    needed = CHECKPOINT_COPIES * 3 * size
    if with_ring:
        rows = parts.replay.length * parts.replay.num_envs
        needed += int(parts.replay.nbytes * (1 + (CHECKPOINT_COPIES - 1) * min(1.0, barrier / rows)))
    free = shutil.disk_usage(root).free
    if needed > free:
        raise cli.UserError(
            f"the checkpoints need up to {size_text(needed)} and {root} has {size_text(free)} free;"
            " --no-checkpoint-ring or a smaller --replay needs less"
        )


def _tensors(tree: Any) -> list[torch.Tensor]:
    if isinstance(tree, dict):
        return [t for v in tree.values() for t in _tensors(v)]
    return [tree] if isinstance(tree, torch.Tensor) else []
