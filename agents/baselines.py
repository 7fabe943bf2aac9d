"""stable-baselines3 in its own loop on our environments: the baseline that is always at hand.

Same protocol, same run folder and tags as our agents; weights are saved as safetensors, never as SB3's zip. Settings
are the zoo's for Atari. Two things differ from SB3's own wrappers: the row between two episodes is one idle transition
(our environments reset themselves on the next step), and an action that the game forces (FIRE after a lost life) is
carried out whatever SB3 chose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.configs.baselines import PRESETS as PRESETS
from agents.configs.baselines import Config as Config
from agents.configs.baselines import SB3Config
from agents.core import device as devices
from agents.core.pace import Ratio
from agents.core.rows import Act, Context, Learned, Needs, Spec, TimeStep
from agents.core.samplers import Uniform
from agents.core.stream import Stream
from agents.core.training import Moment
from agents.rewards import Shaping


class RowsVecEnv(VecEnv):
    """A stream of rows as SB3's VecEnv. Without a stream it only tells the spaces."""

    def __init__(self, spec: Spec, num_envs: int, reward_clip: float):
        picture = spec.obs_dtype == "uint8"
        if picture and len(spec.obs_shape) != 2:
            raise ValueError("stable-baselines3 is given grey pictures or vectors here")
        shape = (spec.stack, *spec.obs_shape) if picture else (spec.stack * spec.obs_shape[0],)
        obs = spaces.Box(0, 255, shape, np.uint8) if picture else spaces.Box(-np.inf, np.inf, shape, np.float32)
        action = spaces.Discrete(spec.num_actions)
        if spec.action_dim:
            action = spaces.Box(-1, 1, (spec.action_dim,), np.float32)
        self.stream: Stream | None = None
        self.clock: Any = None
        self.shaping = Shaping(reward_clip)
        super().__init__(num_envs, obs, action)

    def reset(self) -> np.ndarray:
        return self._seen(self.stream.step)

    def step_async(self, actions: np.ndarray) -> None:
        """The actions are sent to the environments; an illegal one becomes the first legal action of its row."""
        self.clock.lap("act")
        step, action = self.stream.step, torch.as_tensor(actions)
        if step.legal is not None:
            chosen = step.legal.gather(1, action[:, None]).squeeze(1)
            action = torch.where(chosen, action, step.legal.int().argmax(1))
        self.stream.send(Act(action))

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Returns the next rows: observations, shaped rewards [N], ends of episodes (bool [N]) and infos (N dicts)."""
        row = self.stream.receive()
        self.clock.lap("env")
        obs, last, ended = self._seen(row), row.last.numpy(), row.discount.numpy() == 0
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(last | ended):
            infos[i] = {"terminal_observation": obs[i], "TimeLimit.truncated": bool(last[i] and not ended[i])}
        reward = self.shaping(row.reward.numpy())
        return obs, reward, last | (ended & ~row.first.numpy()), infos

    def _seen(self, row: TimeStep) -> np.ndarray:
        return row.obs.numpy().reshape(self.num_envs, *self.observation_space.shape)

    def close(self) -> None:
        """The stream belongs to the run."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Returns the attribute of this object, repeated for every environment; None where there is none."""
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Setting is refused. Raises AttributeError."""
        raise AttributeError(f"{attr_name} cannot be set from outside")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Calls are refused. Raises AttributeError."""
        raise AttributeError(f"the environments have no method {method_name}")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No environment counts as wrapped."""
        return [False] * self.num_envs


class Sb3:
    """One of SB3's algorithms. It trains in its own loop (`train_alone`); a run of it cannot be resumed."""

    def __init__(self, config: SB3Config, spec: Spec, context: Context):
        num_envs = context.num_envs
        off_policy = config.algorithm in ("dqn", "qrdqn")
        if off_policy and not spec.num_actions:
            raise ValueError(
                f"sb3-{config.algorithm} needs discrete actions; for continuous ones take sb3-ppo or sb3-a2c"
            )
        if off_policy:
            row = 2 * spec.stack * math.prod(spec.obs_shape) * np.dtype(spec.obs_dtype).itemsize  # two observations
            devices.require_memory("the replay buffer", config.buffer_size, row, torch.device("cpu"), "--buffer-size")
        self.config, self.clock = config, context.clock
        self.evaluation = "epsilon 0.001" if off_policy else "sampled"
        self.rows = RowsVecEnv(spec, num_envs, config.reward_clip)
        self.model = _model(config, self.rows, num_envs, context.seed)
        self.needs = Needs(1, Uniform(), Ratio(0.0, 1, 0), 2 * num_envs * (spec.stack + 1), 1)  # our ring stays empty

    @property
    def network(self) -> torch.nn.Module:
        """What learns."""
        policy = self.model.policy
        return getattr(policy, "q_net", None) or getattr(policy, "quantile_net", None) or policy

    @torch.no_grad()
    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        obs = step.obs.reshape(len(step.obs), *self.rows.observation_space.shape)
        self.model.policy.set_training_mode(False)
        action = self.model.policy._predict(obs, deterministic=not explore).reshape(len(obs), *self._action_shape)
        if step.legal is not None:
            chosen = step.legal.gather(1, action[:, None]).squeeze(1)
            action = torch.where(chosen, action, step.legal.int().argmax(1))
        return Act(action)

    def explain(self, step: TimeStep, memory: Any = None) -> dict[str, Tensor]:
        """What SB3's policy says before an illegal action is replaced: action values [N, A], or probabilities [N, A],
        or means and deviations [N, D]; and the value [N]. See docs/add-an-agent.md."""
        obs, policy = step.obs.reshape(len(step.obs), *self.rows.observation_space.shape), self.model.policy
        policy.set_training_mode(False)
        if self.config.algorithm == "dqn":
            values = policy.q_net(obs)
        elif self.config.algorithm == "qrdqn":
            values = policy.quantile_net(obs).mean(1)  # over the quantiles
        else:
            law, value = policy.get_distribution(obs).distribution, policy.predict_values(obs).squeeze(1)
            if self.rows.action_space.shape:
                return {"mean": law.mean, "deviation": law.stddev, "value": value}
            return {"probabilities": law.probs, "value": value}
        return {"values": values, "value": values.amax(1)}

    @property
    def _action_shape(self) -> tuple[int, ...]:
        return self.rows.action_space.shape

    def train_alone(
        self, stream: Stream, hooks: Sequence[Callable[[Moment], None]], stop: Callable[[], bool], seconds: Callable
    ) -> bool:
        """SB3's `learn` until the budget is spent (True) or `stop` says so (False). seconds(): of training so far."""
        agent, clock = self, self.clock
        self.rows.stream, self.rows.clock = stream, clock
        observed = Observed(self.model, clock)

        class LogCallback(BaseCallback):
            """Counts, tells our hooks what SB3 logs, and ends the run."""

            def _on_step(self) -> bool:
                clock.steps, clock.seconds = self.num_timesteps, seconds() - clock.away
                moment = Moment(clock, stream.take_episodes(), observed.take(self.logger.name_to_value), agent)
                clock.lap("act")
                for hook in hooks:
                    hook(moment)
                clock.lap()
                return not stop() and (clock.budget is None or clock.steps < clock.budget)

        tell = self.model._update_current_progress_remaining  # progress of the schedules; --minutes become steps later
        self.model._update_current_progress_remaining = lambda steps, total: tell(steps, clock.budget or total)
        clock.lap()
        self.model.learn(clock.budget or 10_000_000, callback=LogCallback(), log_interval=None)
        return not stop()

    def state_dict(self) -> dict[str, Any]:
        return {"network": dict(self.model.policy.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise ValueError("a run of stable-baselines3 cannot be resumed: it does not save its loop")

    def load_weights(self, state: dict[str, Any]) -> None:
        self.model.policy.load_state_dict(state["network"])


NAMES = {"policy_gradient_loss": "policy_loss", "approx_kl": "kl"}  # SB3's -> ours


class Observed:
    """What SB3's loop does not tell: optimizer steps, the norm of the gradient before it is clipped, times.

    The algorithm computes what it did: its own clipping is replaced by the same one, just before the optimizer.
    """

    def __init__(self, model: BaseAlgorithm, clock: Any):
        self.model, self.clock = model, clock
        self.norms: list[torch.Tensor] = []  # gradient norms since they were last taken
        self.bound = getattr(model, "max_grad_norm", None)
        if self.bound is not None:
            model.max_grad_norm = float("inf")
        model.policy.optimizer.register_step_pre_hook(self._before_step)
        train, memory = model.train, getattr(model, "replay_buffer", None)

        def timed(*args: Any, **kwargs: Any) -> None:
            clock.lap("act")
            train(*args, **kwargs)
            clock.lap("learn")

        model.train = timed
        if memory is not None:
            sample = memory.sample

            def drawn(*args: Any, **kwargs: Any) -> Any:
                clock.lap("learn")
                batch = sample(*args, **kwargs)
                clock.lap("sample")
                return batch

            memory.sample = drawn

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        bound = float("inf") if self.bound is None else self.bound
        self.norms.append(torch.nn.utils.clip_grad_norm_(weights, bound))
        self.clock.updates += 1

    def take(self, logged: dict[str, Any]) -> list[Learned]:
        """What was learned since the last call, under our names. logged: of SB3's logger."""
        if not self.norms:
            return []
        figures = {k.removeprefix("train/"): float(v) for k, v in logged.items() if k.startswith("train/")}
        metrics = {NAMES.get(k, k): v for k, v in figures.items()}
        if "entropy_loss" in metrics:
            metrics["entropy"] = -metrics.pop("entropy_loss")
        if "loss" not in metrics:  # A2C names its terms only
            c = self.model
            metrics["loss"] = (
                metrics["policy_loss"] - c.ent_coef * metrics["entropy"] + c.vf_coef * metrics["value_loss"]
            )
        learned = {k: torch.tensor(v) for k, v in metrics.items()}
        norms, self.norms = torch.stack(self.norms), []
        return [Learned({**learned, "grad_norm": norms.mean()})]


def _model(config: SB3Config, rows: RowsVecEnv, num_envs: int, seed: int) -> BaseAlgorithm:
    c = config
    policy = "CnnPolicy" if rows.observation_space.dtype == np.uint8 else "MlpPolicy"
    falling = (lambda left: left * c.learning_rate) if c.anneal else c.learning_rate
    common: dict[str, Any] = dict(gamma=c.gamma, learning_rate=falling, device="cpu", seed=seed)
    if c.algorithm in ("ppo", "a2c"):
        common |= dict(n_steps=c.n_steps, gae_lambda=c.gae_lambda, ent_coef=c.ent_coef, vf_coef=c.vf_coef)
        if c.algorithm == "a2c":
            from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

            tf_like = {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}}
            return A2C(policy, rows, policy_kwargs=tf_like, use_rms_prop=False, **common)
        clip = (lambda left: left * c.clip_range) if c.anneal else c.clip_range
        return PPO(policy, rows, batch_size=c.batch_size, n_epochs=c.n_epochs, clip_range=clip, **common)
    kind: Any = DQN
    if c.algorithm == "qrdqn":
        try:
            from sb3_contrib import QRDQN as kind
        except ImportError:
            raise ValueError('sb3-qrdqn needs sb3-contrib: pip install -e ".[contrib]"') from None
    freq = 4  # vector steps between updates
    return kind(
        policy, rows, buffer_size=c.buffer_size, learning_starts=c.learning_starts, batch_size=c.batch_size,
        train_freq=freq, gradient_steps=max(1, round(c.ratio * freq * num_envs / c.batch_size)),
        target_update_interval=max(1, c.target_update_interval), exploration_fraction=c.exploration_fraction,
        exploration_final_eps=c.exploration_final_eps, **common,
    )  # fmt: skip


build = Sb3
