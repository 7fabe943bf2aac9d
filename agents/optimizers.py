"""The optimizer of Mnih et al. (2015) and the choice among the usual ones.

On a CUDA device learning rate and step count are tensors there, so that a recorded update (`agents.core.graphs`) sees
them change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from agents.core import parallel
from agents.ranges import OPTIMIZERS


class CentredRMSProp(torch.optim.Optimizer):
    """``lr * g / sqrt(mean(g^2) - mean(g)^2 + eps)``: the papers' code, with epsilon inside the root.

    torch's own RMSprop(centered=True) adds it outside, which is another optimizer where gradients are small.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, decay: float = 0.95, eps: float = 0.01):
        super().__init__(params, dict(lr=lr, decay=decay, eps=eps))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            decay, eps = group["decay"], group["eps"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
                mean, square = state["mean"], state["square"]
                mean.lerp_(p.grad, 1 - decay)
                square.mul_(decay).addcmul_(p.grad, p.grad, value=1 - decay)
                # The difference of two nearly equal numbers may be rounded to less than nothing.
                root = (square - mean.square()).clamp_(min=0).add_(eps).sqrt_()
                if isinstance(group["lr"], Tensor):
                    p.sub_(p.grad / root * group["lr"])
                else:
                    p.addcdiv_(p.grad, root, value=-group["lr"])


class RAdam(torch.optim.Adam):
    """RAdam (Liu et al. 2020) in one pass over the weights: Adam whose rate and epsilon depend on the step.

    torch's own makes some ten passes, which take a tenth of an update. The adaptive term is left out in the first
    steps, as the paper asks (while rho_t <= 5): epsilon is then so large that sqrt(v) is negligible, and the learning
    rate is scaled up by the same factor.
    """

    ALONE = 1e12

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            rate, eps, (_, decay) = group["lr"], group["eps"], group["betas"]
            t = 1 + next((float(s["step"]) for p in group["params"] if (s := self.state.get(p))), 0.0)
            most, left = 2 / (1 - decay) - 1, 1 - decay**t
            known = most - 2 * t * decay**t / left  # rho_t, section 4 of the paper
            if known > 5:
                share = (known - 4) * (known - 2) * most / ((most - 4) * (most - 2) * known)
                group["lr"], group["eps"] = rate * math.sqrt(share), eps / math.sqrt(left)
            else:
                group["lr"], group["eps"] = rate * self.ALONE, self.ALONE
            group["then"] = rate, eps
        super().step()
        for group in self.param_groups:
            group["lr"], group["eps"] = group.pop("then")


@torch.no_grad()
def clip(params: Iterable[nn.Parameter], bound: float) -> Tensor:
    """Scales gradients down to a norm of `bound` (0: never) and returns their norm before. They are summed over the
    processes that learn together first.

    `nn.utils.clip_grad_norm_` multiplies every gradient by 1 where nothing is to be scaled; on a processor, which
    does not wait for its own result, that second pass through memory is left out.
    """
    params = list(params)
    parallel.sum_gradients(params)
    grads = [p.grad for p in params if p.grad is not None]
    if not grads:
        return params[0].new_zeros(())
    norm = nn.utils.get_total_norm(grads, foreach=True)
    if bound and (norm.is_cuda or norm > bound):
        torch._foreach_mul_(grads, (bound / (norm + 1e-6)).clamp(max=1.0))
    return norm


def build(
    name: str, params: Iterable[Tensor] | Iterable[tuple[Iterable[Tensor], float]], lr: float, eps: float
) -> torch.optim.Optimizer:
    """The optimizer `name`. params: all weights, or groups of them with their shares of the learning rate.

    Raises ValueError for an optimizer that is not known.
    """
    params = list(params)
    groups = [(list(group), share) for group, share in params] if isinstance(params[0], tuple) else [(params, 1.0)]
    groups = [(group, share) for group, share in groups if group]
    there = groups[0][0][0].device
    recorded = dict(capturable=True) if there.type == "cuda" else {}
    common: dict[str, Any] = dict(lr=lr, eps=eps)
    params = [
        {"params": group, "share": share, "lr": torch.tensor(lr * share, device=there) if recorded else lr * share}
        for group, share in groups
    ]
    if name == "adam":
        return torch.optim.Adam(params, fused=True, **common, **recorded)
    if name == "radam" and recorded:
        return torch.optim.RAdam(params, foreach=True, **common, **recorded)
    if name == "radam":
        return RAdam(params, fused=True, **common)
    if name == "rmsprop":
        return torch.optim.RMSprop(params, alpha=0.99, foreach=True, **common, **recorded)
    if name == "centred-rmsprop":
        return CentredRMSProp(params, **common)
    raise ValueError(f"--optimizer {name}: choose {', '.join(OPTIMIZERS)}")


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate from now on; of a group with a share of it, that."""
    for group in optimizer.param_groups:
        share = rate * group.get("share", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(share)
        else:
            group["lr"] = share


def load(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """What was learned (moments, counts) from a `state_dict`, also from one of another device. The settings stay."""
    optimizer.load_state_dict({**state, "param_groups": optimizer.state_dict()["param_groups"]})
