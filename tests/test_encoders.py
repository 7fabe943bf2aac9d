"""Pixels on their way into an encoder: channels last, whatever way they are brought there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.perception import encoders


@pytest.mark.parametrize("stack", [1, 3, 4, 5])
@pytest.mark.parametrize("shape", [(84, 84), (5, 3), (60, 80, 3)], ids=str)
@pytest.mark.parametrize("shared", [False, True], ids=["apart", "frames shared"])
def test_frames_and_their_colours_become_channels(stack: int, shape: tuple[int, ...], shared: bool) -> None:
    """By the definition: channel s * C + c is colour c of frame s, and in memory a pixel's channels stand together."""
    frames = torch.from_numpy(np.random.default_rng(stack).integers(0, 256, (3, stack + 2, *shape), dtype=np.uint8))
    obs = frames.unfold(1, stack, 1).movedim(-1, 2)[:, 1] if shared else frames[:, 2:].contiguous()
    got = encoders.to_channels(obs, torch.bfloat16)
    assert got.dtype == torch.bfloat16 and got.is_contiguous(memory_format=torch.channels_last)
    colours = shape[2] if len(shape) == 3 else 1
    for s in range(stack):
        for c in range(colours):
            wanted = obs[:, s, ..., c] if len(shape) == 3 else obs[:, s]
            assert torch.equal(got[:, s * colours + c].to(torch.uint8), wanted)
    if len(shape) == 3:  # augmented: numbers with a fraction, and the colours' planes lie apart
        planes = obs.movedim(4, 1).float().contiguous() + 0.3
        again = encoders.to_channels(planes.movedim(1, 4), torch.bfloat16)
        assert again.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(again, encoders.to_channels(obs, torch.float32).add(0.3).to(torch.bfloat16))


@pytest.mark.filterwarnings("ignore")  # one way of recording is old
def test_a_recorded_encoder_takes_other_pictures_too() -> None:
    """Compiled code would be left out of the recording, and its result be a constant there."""
    encoder = encoders.build((84, 84), 4, "nature", 64)
    one, other = (torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8) for _ in range(2))
    with torch.no_grad():
        traced = torch.jit.trace(encoder, one)
        torch.testing.assert_close(traced(other), encoder(other))
        exported = torch.export.export(encoder, (one,)).module()
        torch.testing.assert_close(exported(other), encoder(other))


@pytest.mark.parametrize("name", ["auto", "nature", "impala"])
@pytest.mark.parametrize("stack", [1, 2])
def test_planes_of_a_board_are_channels(name: str, stack: int) -> None:
    """float32 [C, H, W] are a board's planes, as Go has them: neither axes to turn nor pixels to scale."""
    size = 40 if name == "nature" else 9
    encoder = encoders.build((5, size, size), stack, name, 16, dtype="float32")
    obs = torch.rand((3, stack, 5, size, size))
    first = encoder.convolutions[0]
    assert first.in_channels == stack * 5
    literal = torch.nn.functional.conv2d(
        torch.cat([obs[:, s] for s in range(stack)], 1), first.weight, first.bias, first.stride, first.padding
    )
    seen = []
    first.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    assert encoder(obs).shape == (3, 16)
    torch.testing.assert_close(seen[0], literal)


def test_agents_read_the_planes_of_go() -> None:
    """A stone on another point of another plane changes what the first layer sees of that point and its neighbours."""
    import envs
    from agents import dqn, policy_gradient, pqn
    from agents.core.stream import spec_of

    games = envs.make_vec("go", 1, size=5)
    try:
        spec = spec_of(games)
    finally:
        games.close()
    for code, kind in ((dqn, dqn.QNetwork), (pqn, pqn.NormedQNetwork), (policy_gradient, policy_gradient.ActorCritic)):
        network = kind(code.Config(hidden=8, precision="fp32"), spec)
        assert network.encoder.convolutions[0].in_channels == spec.obs_shape[0]
