"""What can be set of PPO, A2C and REINFORCE: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents import ranges
from agents.configs.rollouts import Rollouts


@dataclasses.dataclass(frozen=True)
class Config(Rollouts):
    """PPO with the settings that are usual for Atari."""

    ratio: bool = True  # PPO's clipped importance ratio; without it the plain policy gradient
    clip: float = 0.1  # bound of the importance ratio
    policy_share: float = 1.0  # of the learning rates: what policy and encoder learn with, if the value has its own
    critic: str = "shared"  # the value's encoder: shared with the policy, own, or numbers (it sees the game's numbers)
    numbers: int = 21  # critic numbers: how many there are
    value_coef: float = 0.5  # weight of the value loss
    value_clip: float = 0.0  # bound of the value's move per rollout, 0: none
    entropy_coef: float = 0.01  # weight of the entropy bonus
    entropy_end: float = 1.0  # share of the entropy bonus that is left at the end of the budget
    normalize: bool = True  # advantages to mean 0, deviation 1 in each minibatch
    idle: float = 0.0  # probability of action 0 (most games: do nothing) at the start; 0: all actions alike
    evaluation: str = "sampled"  # policy that scores are made with: sampled or greedy
    reward_scale: float = 1.0  # factor of the clipped rewards, so that values are not large
    value_first: float = 0.0  # share of the budget in which only the value is learned: for a policy from --init
    deviation: float = 0.0  # of continuous actions at the start; 0: 0.61, or that of the run from --init
    overlap: bool = True  # learn while the next rollout is collected (only with the ratio)

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.at_least(self, 1, "numbers")
        ranges.at_least(self, 0, "value_clip", "value_coef", "entropy_coef", "deviation")
        ranges.above(self, 0, "clip", "reward_scale")
        ranges.share(self, "policy_share", "entropy_end", "idle", "value_first")
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
