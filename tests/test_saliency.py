"""Saliency: it points at the pixels that the score depends on, and equals the definitions, written out slowly."""

import numpy as np
import pytest
import torch

from agents.perception import saliency


def looks_at(y, x):
    """Scores and outputs that depend on one 6x6 patch of the newest frame alone."""

    def patch(obs):
        frame = obs.float().reshape(len(obs), -1, 84, 84)[:, -1] if obs.ndim == 4 else obs.float()[:, -1, :, :, 0]
        return frame[:, y : y + 6, x : x + 6].mean((1, 2)) / 255

    return patch, lambda obs: torch.stack([patch(obs), -patch(obs)], 1)


@pytest.mark.parametrize("shape", [(1, 4, 84, 84), (1, 1, 84, 84, 3)])
@pytest.mark.parametrize("method", saliency.METHODS)
def test_the_heat_is_where_the_score_looks(shape, method):
    obs = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for y, x in ((20, 50), (60, 10), (40, 40)):
        score, outputs = looks_at(y, x)
        heat = getattr(saliency, method)(score if method == "gradient" else outputs, obs)
        assert heat.shape == (1, 84, 84) and float(heat.max()) == pytest.approx(1) and float(heat.min()) >= 0
        top = np.unravel_index(int(heat[0].argmax()), (84, 84))
        assert abs(top[0] - y - 3) <= 6 and abs(top[1] - x - 3) <= 6
        far = torch.ones(84, 84, dtype=torch.bool)
        far[max(0, y - 20) : y + 26, max(0, x - 20) : x + 26] = False
        assert float(heat[0][far].max()) < 0.05


@pytest.mark.slow
def test_occlusion_equals_its_definition():
    """Greydanus et al. 2018, equations 1 to 3, spot by spot."""
    generator = torch.Generator().manual_seed(3)
    obs = torch.randint(0, 256, (1, 2, 30, 40), dtype=torch.uint8, generator=generator)
    weights = torch.randn((2 * 30 * 40, 3), generator=generator)

    def outputs(x):
        return x.float().flatten(1) @ weights / 255

    blurred = saliency._blur(obs.float(), 0.035 * 30)[0].numpy()
    before, grid = outputs(obs).numpy()[0], np.zeros((saliency.GRID, saliency.GRID))
    for i in range(saliency.GRID):
        for j in range(saliency.GRID):
            changed = np.zeros((2, 30, 40))
            for y in range(30):
                for x in range(40):
                    dy, dx = y + 0.5 - (i + 0.5) / saliency.GRID * 30, x + 0.5 - (j + 0.5) / saliency.GRID * 40
                    share = np.exp(-0.5 * ((dy / (saliency.SPOT * 30)) ** 2 + (dx / (saliency.SPOT * 40)) ** 2))
                    old = obs[0, :, y, x].numpy().astype(float)
                    changed[:, y, x] = (1 - share) * old + share * blurred[:, y, x]
            after = outputs(torch.from_numpy(np.round(changed))[None]).numpy()[0]
            grid[i, j] = 0.5 * ((before - after) ** 2).sum()
    found = saliency.occlusion(outputs, obs)[0].numpy()
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(grid)[None, None].float(), (30, 40), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose(found, expected / expected.max(), rtol=0.05, atol=0.01)


def test_a_score_without_any_slope_gives_no_heat():
    obs = torch.zeros((2, 4, 84, 84), dtype=torch.uint8)
    flat = saliency.gradient(lambda x: (x * 0).sum((1, 2, 3)), obs)
    assert float(flat.max()) == 0 and torch.isfinite(flat).all()
    assert float(saliency.occlusion(lambda x: torch.zeros(len(x), 2), obs).max()) == 0
