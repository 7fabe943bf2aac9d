"""What can be set of PPO, A2C and REINFORCE: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents import ranges


@dataclasses.dataclass(frozen=True)
class Config:
    """PPO with the settings that are usual for Atari."""

    rollout: int = 128  # transitions per environment between updates
    epochs: int = 4  # passes over a rollout
    minibatch: int = 256  # transitions per optimizer step; 0: the whole rollout
    lr: float = 2.5e-4  # learning rate at the start
    lr_end: float = 0.0  # share of the learning rate that is left at the end of the budget
    optimizer: str = "adam"  # adam, radam, rmsprop or centred-rmsprop
    gamma: float = 0.99  # discount per step
    lam: float = 0.95  # lambda of the returns (GAE)
    ratio: bool = True  # PPO's clipped importance ratio; without it the plain policy gradient
    clip: float = 0.1  # bound of the importance ratio
    policy_share: float = 1.0  # of the learning rates: what policy and encoder learn with, if the value has its own
    critic: str = "shared"  # the value's encoder: shared with the policy, own, or numbers (it sees the game's numbers)
    numbers: int = 21  # critic numbers: how many there are
    value_coef: float = 0.5  # weight of the value loss
    value_clip: float = 0.0  # bound of the value's move per rollout, 0: none
    entropy_coef: float = 0.01  # weight of the entropy bonus
    entropy_end: float = 1.0  # share of the entropy bonus that is left at the end of the budget
    max_grad_norm: float = 0.5  # gradients are scaled down to this norm
    normalize: bool = True  # advantages to mean 0, deviation 1 in each minibatch
    idle: float = 0.0  # probability of action 0 (most games: do nothing) at the start; 0: all actions alike
    evaluation: str = "sampled"  # policy that scores are made with: sampled or greedy
    reward_clip: float = 1.0  # learns from rewards cut to +-this, 0: as they are
    reward_scale: float = 1.0  # ... and then multiplied by this, so that values are not large
    encoder: str = "auto"  # nature, nips, small, tiny, impala or auto (by the size of the picture)
    hidden: int = 512  # features
    recurrent: int = 0  # units of an LSTM after the encoder, for games that do not show everything; 0: none
    precision: str = "auto"  # bf16 where the machine has it, or fp32
    value_first: float = 0.0  # share of the budget in which only the value is learned: for a policy from --init
    deviation: float = 0.0  # of continuous actions at the start; 0: 0.61, or that of the run from --init
    overlap: bool = True  # learn while the next rollout is collected (only with the ratio)
    graphs: bool = True  # on a CUDA device: steps are recorded once and replayed

    def __post_init__(self) -> None:
        ranges.at_least(self, 1, "rollout", "epochs", "hidden", "numbers")
        ranges.at_least(self, 0, "minibatch", "recurrent", "value_clip", "value_coef", "entropy_coef", "reward_clip")
        ranges.above(self, 0, "lr", "clip", "max_grad_norm", "reward_scale")
        ranges.share(self, "lr_end", "policy_share", "gamma", "lam", "entropy_end", "idle", "value_first")
        ranges.at_least(self, 0, "deviation")
        ranges.optimizer(self)
        if self.critic not in ("shared", "own", "numbers"):
            raise ValueError(f"--critic {self.critic}: choose shared, own or numbers")
        if self.critic != "shared" and self.recurrent:
            raise ValueError(f"--critic {self.critic} has no memory: leave out --recurrent, or take --critic shared")
        if self.critic == "shared" and self.policy_share != 1:
            raise ValueError("--policy-share: one encoder has one learning rate; name --critic own or numbers")
        ranges.evaluation(self, "sampled", "greedy")
        if self.idle == 1:
            raise ValueError("--idle 1: no other action would ever be tried")
        if not self.ratio and self.epochs > 1:
            raise ValueError("--epochs above 1 needs the importance ratio (--ratio)")


PRESETS: dict[str, dict[str, Any]] = {
    "ppo": {},
    "a2c": dict(rollout=5, epochs=1, minibatch=0, lr=7e-4, optimizer="rmsprop", lam=1.0, ratio=False, normalize=False),
    "reinforce": dict(rollout=128, epochs=1, minibatch=0, lr=5e-4, lam=1.0, ratio=False, entropy_coef=0.0),
}
