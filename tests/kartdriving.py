"""What several tests of the kart game share."""

import numpy as np


def drive(env, policy, steps):
    """Runs a vector environment; returns the infos of every step and the rewards [T, N]."""
    _, info = env.reset(seed=[5 + i for i in range(env.num_envs)])
    infos, rewards = [info], []
    for _ in range(steps):
        _, reward, terminated, truncated, info = env.step(policy(info))
        infos.append({**info, "terminated": terminated, "truncated": truncated})
        rewards.append(reward)
    return infos, np.array(rewards)
