"""What can be set of DQN's family: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from agents import ranges

IMPALA = {"encoder_width": 1, "pool": False, "spectral": False}  # fields for that encoder, and what leaves it as it is
HEADS = ("values", "categorical", "quantile", "implicit")


@dataclasses.dataclass(frozen=True)
class DQNConfig:
    """DQN of Nature 2015, with Adam."""

    replay: int = 1_000_000  # size of the replay buffer in transitions
    warmup: int = 50_000  # transitions before learning starts
    batch: int = 32  # transitions per update
    ratio: float = 8.0  # replay ratio: transitions trained per new one (Nature: batch 32 every 4 steps = 8)
    optimizer: str = "adam"  # adam, radam, rmsprop or centred-rmsprop (Nature's, epsilon inside the root)
    lr: float = 1e-4  # learning rate
    lr_end: float = 1.0  # share of the learning rate that is left at the end of the budget
    eps: float = 1e-8  # the optimizer's epsilon
    gamma: float = 0.99  # discount per step
    n_step: int = 1  # steps until the bootstrap
    double: bool = False  # double DQN: the online network chooses the action that the target network values
    dueling: bool = False  # separate streams for value and advantages
    prioritized: bool = False  # prioritized replay: transitions are drawn by their error
    alpha: float = 0.5  # exponent of the priorities
    beta: float = 0.4  # exponent of the importance weights, at the start; 1 at the end of the budget
    target_period: int = 10_000  # steps between copies to the target network
    epsilon: float = 1.0  # share of random actions at the start
    epsilon_end: float = 0.1  # share of random actions after the decay
    epsilon_decay: float = 1_000_000  # steps of the decay, from the end of the warm-up; up to 1: a share of the budget
    noisy: bool = False  # noisy layers explore instead of random actions
    head: str = "values"  # values, categorical (C51), quantile (QR-DQN) or implicit (IQN)
    atoms: int = 51  # numbers per action: atoms (C51), quantiles (QR-DQN), sampled levels (IQN)
    v_min: float = -10.0  # lowest return of C51's atoms, in clipped rewards
    v_max: float = 10.0  # highest return of C51's atoms
    munchausen: float = 0.0  # weight of the log-policy bonus, 0: none (0.9 in the paper)
    temperature: float = 0.03  # temperature of Munchausen's soft policy
    munchausen_clip: float = -1.0  # lower bound of Munchausen's log-policy bonus
    huber: float = 1.0  # Huber threshold: errors beyond it count linearly; 0: squared errors
    max_grad_norm: float = 10.0  # largest norm of the gradients, 0: no bound
    evaluation: str = "epsilon 0.001"  # policy that scores are made with: greedy or epsilon E
    reward_clip: float = 1.0  # bound of the rewards that are learned from (+-), 0: none
    encoder: str = "auto"  # nature, nips, small, tiny, impala, btr, deepflappy or auto (by the size of the picture)
    encoder_width: int = 1  # factor of impala's 16, 32 and 32 channels
    pool: bool = False  # adaptive max-pooling of impala to 6x6 before the linear layer
    spectral: bool = False  # spectral norm in the residual convolutions of impala
    hidden: int = 512  # units of the layer before the last
    precision: str = "auto"  # bf16 where the machine has it, or fp32
    graphs: bool = True  # CUDA graphs: on a CUDA device steps are captured once and replayed

    def __post_init__(self) -> None:
        ranges.at_least(self, 1, "batch", "n_step", "target_period", "hidden", "encoder_width")
        ranges.at_least(self, 2, "replay", "atoms")
        ranges.at_least(self, 0, "warmup", "eps", "alpha", "munchausen", "huber", "max_grad_norm", "reward_clip")
        ranges.above(self, 0, "ratio", "lr", "epsilon_decay", "temperature")
        ranges.share(self, "lr_end", "gamma", "beta", "epsilon", "epsilon_end")
        ranges.evaluation(self, "greedy", "epsilon")
        if not -math.inf < self.munchausen_clip <= 0:
            raise ValueError(f"--munchausen-clip {self.munchausen_clip}: must be at most 0")
        if self.warmup > self.replay:
            raise ValueError(f"--warmup {self.warmup} is more than --replay {self.replay}: learning would never start")
        if self.head not in HEADS:
            raise ValueError(f"--head {self.head}: choose {', '.join(HEADS)}")
        ranges.optimizer(self)
        if self.noisy and (self.epsilon or self.epsilon_end):
            raise ValueError("--noisy and --epsilon both explore: name --epsilon 0 --epsilon-end 0 with noisy layers")
        if self.munchausen and self.head == "categorical":
            raise ValueError("--munchausen has no form for --head categorical; take values, quantile or implicit")
        if self.munchausen and self.double:
            raise ValueError("--munchausen averages over its soft policy: there is no action for --double to choose")
        odd = {n.replace("_", "-"): plain for n, plain in IMPALA.items() if getattr(self, n) != plain}
        if self.encoder != "impala" and odd:
            plain = " ".join(f"--no-{n}" if value is False else f"--{n} {value}" for n, value in odd.items())
            raise ValueError(f"--{' and --'.join(odd)}: of --encoder impala; name {plain} with {self.encoder}")
        if not -math.inf < self.v_min < self.v_max < math.inf:
            raise ValueError(f"--v-min {self.v_min} must lie below --v-max {self.v_max}")


C51: dict[str, Any] = dict(head="categorical", atoms=51, lr=2.5e-4, eps=0.01 / 32, epsilon_end=0.01)
RAINBOW: dict[str, Any] = dict(
    double=True, dueling=True, prioritized=True, n_step=3, noisy=True, epsilon=0.0, epsilon_end=0.0, lr=6.25e-5,
    eps=1.5e-4, warmup=20_000, target_period=8_000,
)  # fmt: skip
Config = DQNConfig  # name under which every agent's module offers its own
PRESETS: dict[str, dict[str, Any]] = {
    "dqn": {},
    "c51": C51,
    "qrdqn": dict(head="quantile", atoms=200, lr=5e-5, eps=0.01 / 32, epsilon_end=0.01),
    "iqn": dict(head="implicit", atoms=64, lr=5e-5, eps=0.01 / 32, epsilon_end=0.01),
    "rainbow": {**C51, **RAINBOW},
    # Table D6 of the paper. Its code differs in three things: beside the noise it acts at random, from always to 1 %
    # over 2 M steps and never from 25 M steps on (here one of the two explores); beta stays at 0.45 (here it rises
    # to 1); its priorities are mean errors of all pairs of quantiles (here the error of the mean).
    "btr": {
        **RAINBOW, "head": "implicit", "atoms": 8, "munchausen": 0.9, "encoder": "impala", "encoder_width": 2,
        "pool": True, "spectral": True, "batch": 256, "ratio": 4.0, "replay": 2**20, "warmup": 200_000,
        "lr": 1e-4, "eps": 0.005 / 256, "gamma": 0.997, "alpha": 0.2, "target_period": 32_000, "double": False,
    },
}  # fmt: skip
