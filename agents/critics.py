"""What the value of an actor-critic is computed from: the policy's features, or an encoder of its own.

    kind = critics.kind(config)
    network.critic = kind.encoder(config, spec)                        a module, or None
    seen = kind.features(network.critic, features, obs, privileged)    what the value head reads, or None

`shared`: the policy's features. `own`: a second encoder of the same observations, so that the gradients of policy and
value never meet (Cobbe et al. 2021 call such networks disjoint). `privileged`: the critic of an asymmetric
actor-critic (Pinto et al. 2018): it sees the simulator's state, which the policy never sees and which is gone once
training is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.core.rows import Spec
from agents.perception import encoders

PRIVILEGED_UNITS = 128  # features of the privileged critic's encoder
PARTS = ("critic.", "value.")  # beginnings of the names of a value's own weights


class Shared:
    """The value head reads the policy's features."""

    info: Mapping[str, np.ndarray] = {}  # arrays of `info` that the critic needs -> a row where nothing is known
    same_observations = False  # True where the critic's encoder sees what the policy sees

    def encoder(self, config: Any, spec: Spec) -> nn.Module | None:
        """The critic's encoder, untrained; None where it has none."""
        return None

    def features(
        self, encoder: nn.Module | None, features: Tensor, obs: Tensor, privileged: Tensor | None
    ) -> Tensor | None:
        """What the value head reads, [M, F]; None where that is not known.

        features: the policy's [M, F]; obs [M, stack, ...]; privileged: simulator state [M, K], in training alone.
        """
        return features


class Own(Shared):
    """An encoder of the same observations."""

    same_observations = True

    def encoder(self, config: Any, spec: Spec) -> nn.Module:
        """Returns an encoder of the kind and the width that the policy has, untrained."""
        return encoders.build(spec.obs_shape, spec.stack, config.encoder, config.hidden, dtype=spec.obs_dtype)

    def features(self, encoder: nn.Module, features: Tensor, obs: Tensor, privileged: Tensor | None) -> Tensor:
        """Returns the features [M, F] of the observations from the critic's own encoder."""
        return encoder(obs)


class Privileged(Shared):
    """An encoder of the simulator's state, in float32. Outside training there is none, and no value."""

    def __init__(self, size: int):
        self.size = size
        self.info = {"numbers": np.zeros(size, np.float32)}

    def encoder(self, config: Any, spec: Spec) -> nn.Module:
        """Returns an encoder of the simulator's state, a vector of `size` numbers, untrained."""
        return encoders.build((self.size,), 1, "auto", PRIVILEGED_UNITS)

    def features(self, encoder: nn.Module, features: Tensor, obs: Tensor, privileged: Tensor | None) -> Tensor | None:
        """Returns the features [M, F] of the simulator's state; None where that is not known."""
        if privileged is None:
            return None
        with torch.autocast(privileged.device.type, enabled=False):
            return encoder(privileged)


def kind(config: Any) -> Shared:
    """The critic that `config.critic` names: shared, own or privileged."""
    return {"shared": Shared, "own": Own, "privileged": lambda: Privileged(config.privileged_size)}[config.critic]()


def transferred(given: Mapping[str, Tensor], network: nn.Module, critic: Shared) -> dict[str, Tensor]:
    """Weights for `network` from those of another run, whose critic may be of another kind, or missing.

    given: "encoder.", "policy." and, where that run has learned a value, PARTS. A value that does not fit this one is
    left out, and this one starts as it is; an encoder of its own then starts as the policy's.
    """
    mine = {k: v for k, v in network.state_dict().items() if k.startswith(PARTS)}
    learned = {k: v for k, v in given.items() if k.startswith(PARTS)}
    if critic.same_observations and not any(k.startswith("critic.") for k in learned):
        mine |= {k.replace("encoder.", "critic.", 1): v for k, v in given.items() if k.startswith("encoder.")}
    fits = {k: v.shape for k, v in learned.items()} == {k: v.shape for k, v in mine.items()}
    return {k: v for k, v in given.items() if k not in learned} | (learned if fits else mine)
