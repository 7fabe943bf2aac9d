"""What can be set of PPO, A2C, IMPALA and REINFORCE: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents import ranges
from agents.configs.rollouts import Rollouts


@dataclasses.dataclass(frozen=True)
class PolicyGradientConfig(Rollouts):
    """PPO with the settings that are usual for Atari."""

    importance_ratio: bool = True  # clipped importance ratio of PPO; without it the plain policy gradient
    vtrace: bool = False  # V-trace: targets are corrected for rows that an older policy collected
    rho_bar: float = 1.0  # bound of V-trace's ratio in the temporal difference
    c_bar: float = 1.0  # bound of V-trace's ratio in the trace
    blocks: int = 4  # residual blocks of the network, where a board with compiled rules is seen
    channels: int = 32  # channels of that network
    clip: float = 0.1  # bound of the importance ratio
    policy_lr_scale: float = 1.0  # factor of the learning rate of policy and encoder, where the critic has its own
    critic: str = "shared"  # the value's encoder: shared with the policy, own, or privileged (it sees simulator state)
    privileged_size: int = 21  # numbers in the simulator's state, for --critic privileged
    value_coef: float = 0.5  # weight of the value loss
    value_clip: float = 0.0  # bound of the value's move per rollout, 0: none
    entropy_coef: float = 0.01  # weight of the entropy bonus
    entropy_end: float = 1.0  # share of the entropy bonus that is left at the end of the budget
    normalize_advantages: bool = True  # normalisation of advantages in each minibatch
    initial_noop_probability: float = 0.0  # probability of action 0 (often: no-op) at the start; 0: uniform
    evaluation: str = "sampled"  # policy that is scored: sampled or greedy
    reward_scale: float = 1.0  # factor of the clipped rewards, so that values are not large
    critic_warmup: float = 0.0  # share of the budget in which only the value is learned, for a policy from --init
    initial_std: float = 0.0  # standard deviation of continuous actions at the start; 0: 0.61, or that of --init
    overlap: bool = True  # learning while the next rollout is collected (with --importance-ratio or --vtrace)

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.at_least(self, 1, "privileged_size", "blocks", "channels")
        ranges.at_least(self, 0, "value_clip", "value_coef", "entropy_coef", "initial_std")
        ranges.above(self, 0, "clip", "reward_scale", "rho_bar", "c_bar")
        ranges.share(self, "policy_lr_scale", "entropy_end", "initial_noop_probability", "critic_warmup")
        if self.critic not in ("shared", "own", "privileged"):
            raise ValueError(f"--critic {self.critic}: choose shared, own or privileged")
        if self.critic != "shared" and self.recurrent:
            raise ValueError(f"--critic {self.critic} has no memory: leave out --recurrent, or take --critic shared")
        if self.critic == "shared" and self.policy_lr_scale != 1:
            raise ValueError("--policy-lr-scale: one encoder has one learning rate; name --critic own or privileged")
        ranges.evaluation(self, "sampled", "greedy")
        if self.initial_noop_probability == 1:
            raise ValueError("--initial-noop-probability 1: no other action would ever be tried")
        if self.vtrace and (self.importance_ratio or self.recurrent):
            raise ValueError("--vtrace has a ratio of its own and no memory: name --no-importance-ratio --recurrent 0")
        if not self.importance_ratio and self.epochs > 1:
            raise ValueError("--epochs above 1 needs the importance ratio (--importance-ratio)")


Config = PolicyGradientConfig  # name under which every agent's module offers its own
PRESETS: dict[str, dict[str, Any]] = {
    "ppo": {},
    "a2c": dict(
        rollout=5, epochs=1, minibatch=0, lr=7e-4, optimizer="rmsprop", lam=1.0, importance_ratio=False,
        normalize_advantages=False,
    ),
    # Table D.3 of the paper for Atari, with the rollouts of one machine. Its losses are sums over a batch of 640
    # transitions, ours are means: the bound of 40 hardly ever binds here.
    "impala": dict(
        rollout=20, epochs=1, minibatch=0, lr=6e-4, optimizer="rmsprop", lam=1.0, importance_ratio=False, vtrace=True,
        normalize_advantages=False, max_grad_norm=40.0,
    ),
    "reinforce": dict(rollout=128, epochs=1, minibatch=0, lr=5e-4, lam=1.0, importance_ratio=False, entropy_coef=0.0),
}  # fmt: skip
