"""What is done to pictures while a driver is cloned, and to the labels that go with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.perception import augment

NOTHING = dict(flip=0.0, shift=0.0, colour=0.0, brightness=0.0, noise=0.0)


def changed(obs: torch.Tensor, action: torch.Tensor, labels: dict[str, torch.Tensor], seed: int = 0, **settings: float):
    generator = torch.Generator().manual_seed(seed)
    return augment.Augment(augment.AugmentConfig(**{**NOTHING, **settings}))(obs, action, labels, generator)


def example(batch: int = 16) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(5)
    obs = torch.randint(0, 256, (batch, 1, 60, 80, 3), generator=generator, dtype=torch.uint8)
    labels = {"lateral": torch.randn(batch, generator=generator), "heading": torch.randn(batch, generator=generator)}
    labels["drivable"] = torch.randint(0, 2, (batch, 15, 20), generator=generator, dtype=torch.uint8)
    return obs, torch.rand((batch, 2), generator=generator) - 0.5, labels


def test_a_mirror_turns_the_wheel() -> None:
    obs, action, labels = example()
    seen, done, told = changed(obs, action, labels, flip=1.0)
    assert torch.equal(seen, obs.flip(3).float())
    assert torch.equal(done[:, 0], -action[:, 0]) and torch.equal(done[:, 1], action[:, 1])
    assert torch.equal(told["lateral"], -labels["lateral"]) and torch.equal(told["heading"], -labels["heading"])
    assert torch.equal(told["drivable"], labels["drivable"].flip(2))
    half = changed(obs, action, labels, flip=0.5)[1][:, 0]
    assert (half == action[:, 0]).any() and (half == -action[:, 0]).any()


def test_a_shift_steers_back_and_repeats_the_edge() -> None:
    obs, action, labels = example()
    seen, done, told = changed(obs, action * 0.1, labels, shift=0.2)
    turned = done[:, 0] - 0.1 * action[:, 0]
    moved = torch.round(turned / 2.3 * 80).long()
    assert moved.abs().max() <= 16 and len(torch.unique(moved)) > 5
    for i, k in enumerate(moved.tolist()):  # slowly, pixel by pixel
        for x in range(80):
            assert torch.equal(seen[i, 0, :, x], obs[i, 0, :, min(max(x - k, 0), 79)].float())
        assert told["heading"][i].item() == pytest.approx(labels["heading"][i].item() - 1.7 * k / 80, abs=1e-5)


def test_a_turned_camera_shows_the_shifted_picture_and_the_expert_agrees_with_the_shift() -> None:
    """The two constants of the shift, against the game: stand askew and compare steering and picture."""
    from envs.kart import columns as c
    from envs.kart.env import make_vec

    env = make_vec(1, tracks="oval", expert_info=True)
    env.reset(seed=[1])
    for _ in range(40):
        _, _, _, _, info = env.step(env.batch.expert())
    kart = env.batch.karts[0, 0]
    yaw, steer = float(kart[c.YAW]), float(env.batch.expert()[0, 0])
    plain = env.observe()[0].astype(float)
    angle = 1.7 * 4 / 80  # the camera four pixels further to the left
    for column in (c.YAW, c.HEADING):
        kart[column] -= angle
    turned = env.observe()[0].astype(float)
    error = {k: np.abs(np.roll(plain, k, 1)[:, 12:-12] - turned[:, 12:-12]).mean() for k in range(-8, 9)}
    assert min(error, key=error.get) in (3, 4, 5), error
    assert env.batch.expert()[0, 0] - steer == pytest.approx(2.3 * 4 / 80, abs=0.02)
    assert yaw != kart[c.YAW]


def test_light_colours_and_noise_change_the_picture_alone() -> None:
    obs, action, labels = example()
    for settings in (dict(colour=0.8), dict(brightness=0.5), dict(noise=20.0), dict(exposure=2.0), dict(shade=0.8),
                     dict(invert=0.5)):  # fmt: skip
        seen, done, told = changed(obs, action, labels, **settings)
        assert not torch.equal(seen, obs.float()) and seen.min() >= 0 and seen.max() <= 255
        assert torch.equal(done, action) and all(torch.equal(told[k], v) for k, v in labels.items())
        again = changed(obs, action, labels, **settings)[0]
        other = changed(obs, action, labels, seed=1, **settings)[0]
        assert torch.equal(seen, again) and not torch.equal(seen, other)
    same, done, _ = changed(obs, action, labels)
    assert torch.equal(same, obs.float()) and torch.equal(done, action)
    grey = torch.full((4, 1, 60, 80, 3), 100, dtype=torch.uint8)
    mixed = changed(grey, torch.zeros(4, 2), {}, colour=0.0, brightness=0.5)[0]
    assert (mixed.amax((1, 2, 3, 4)) - mixed.amin((1, 2, 3, 4))).max() < 1e-3  # without colours grey stays grey


def test_exposure_shade_and_negatives() -> None:
    obs, action, labels = example(64)
    assert torch.equal(changed(obs, action, labels, invert=1.0)[0], 255 - obs.float())
    half = changed(obs, action, labels, invert=0.5)[0]
    negative = [torch.equal(a, b) for a, b in zip(half, 255 - obs.float(), strict=True)]
    assert 16 < sum(negative) < 48 and torch.equal(half[~torch.tensor(negative)], obs[~torch.tensor(negative)].float())
    grey = torch.full((64, 1, 60, 80, 3), 90, dtype=torch.uint8)
    gain = changed(grey, action, {}, exposure=2.1)[0] / 90  # the same for every pixel of a picture, by factors of two
    assert torch.equal(gain.amax((1, 2, 3, 4)), gain.amin((1, 2, 3, 4)))
    stops = gain[:, 0, 0, 0, 0].log2()
    assert -2.1 <= stops.min() < -1.8 and 0.4 < stops.max() <= 0.7
    light = changed(grey, action, {}, shade=0.8)[0][..., 0] / 90  # [64, 1, 60, 80]
    assert light.max() <= 1 and 0.2 <= light.min() < 0.4
    lost = light[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]].argmin(1)  # the darkest corner
    assert len(torch.unique(lost)) == 4
