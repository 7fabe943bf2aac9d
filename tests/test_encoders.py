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
