"""The tower of board games and its answers to the search."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agents.perception.tower import Answers, Tower, TowerConfig
from agents.search import evaluators
from agents.search.puct import Puct
from agents.search.search import Search
from envs.go.rules import go_rules


def trained(planes: int = 17, passes: bool = True, columns: bool = False, **options) -> Tower:
    """A tower whose every weight matters: a fresh one's blocks do nothing and its heads say next to nothing."""
    tower = Tower(planes, TowerConfig(**options), passes=passes, columns=columns)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in tower.parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 100
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan**0.5)
    return tower


def literal(tower: Tower, planes: torch.Tensor):
    """The tower written down once more, position by position, from its weights."""
    w = {name: p.detach().double() for name, p in tower.named_parameters()}
    planes, found = planes.double(), []

    def convolution(x, name, padding):
        return F.conv2d(x[None], w[f"{name}.weight"], w[f"{name}.bias"], padding=padding)[0]

    def dense(x, name):
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    for x in planes:
        x = convolution(x, "stem", 1).clamp(min=0)
        for block in range(len(tower.blocks)):
            y = convolution(x, f"blocks.{block}.first", 1).clamp(min=0)
            if block % 2 == 1:
                whole = torch.stack([c.mean() for c in y] + [c.max() for c in y])
                y = (y + dense(whole, f"blocks.{block}.whole")[:, None, None]).clamp(min=0)
            x = (x + convolution(y, f"blocks.{block}.second", 1)).clamp(min=0)
        features = convolution(x, "head", 0).clamp(min=0)
        head = len(features) // 2
        policy, judged = features[:head], features[head:]
        whole = torch.stack([c.mean() for c in policy] + [c.max() for c in policy])
        told = (policy + dense(whole, "spread")[:, None, None]).clamp(min=0)
        points = convolution(told, "point", 0)  # [2, H, W]
        points = points.mean(1) if tower.columns else points.flatten(1)
        logits = points if tower.skip is None else torch.cat([points, dense(whole, "skip")[:, None]], 1)
        whole = torch.stack([c.mean() for c in judged] + [c.max() for c in judged])
        hidden = dense(whole, "hidden").clamp(min=0)
        owner = convolution(judged, "owner", 0)[0]
        found.append((logits[0], logits[1], dense(hidden, "result"), 20 * dense(hidden, "lead")[0], owner))
    return [torch.stack(column).float() for column in zip(*found, strict=True)]


@pytest.mark.parametrize(("size", "shape", "actions"), [
    (5, {}, 26), (9, {}, 82), (3, dict(passes=False), 9), (6, dict(passes=False, columns=True), 6)
])  # fmt: skip
def test_equals_the_literal_computation(size, shape, actions):
    tower, planes = trained(**shape, blocks=4, channels=12, head=5, hidden=7), torch.randn(3, 17, size, size)
    with torch.no_grad():
        told = tower(planes)
        logits, value = tower.play(planes)
    for ours, expected in zip(told, literal(tower, planes), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(logits, told.logits) and torch.equal(value, told.value)
    assert told.logits.shape == told.reply.shape == (3, actions) and told.ownership.shape == (3, size, size)
    assert all(t.dtype == torch.float32 for t in told)
    chances = told.result.softmax(1)
    torch.testing.assert_close(told.value, chances[:, 0] - chances[:, 2])
    torch.testing.assert_close((1 + told.ownership) / 2, (2 * told.owner).sigmoid())


def test_every_weight_learns_and_a_fresh_tower_is_impartial():
    torch.manual_seed(0)
    tower, planes = Tower(17, TowerConfig(blocks=2, channels=8)), torch.randn(4, 17, 9, 9)
    told = tower(planes)
    assert told.value.abs().max() < 0.5 and told.logits.softmax(-1).max() < 0.1
    optimizer = torch.optim.Adam(tower.parameters(), 1e-2)
    start, losses = {name: p.detach().clone() for name, p in tower.named_parameters()}, []
    move, result = torch.tensor([3, 40, 81, 7]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    for _ in range(60):
        told = tower(planes)
        loss = F.cross_entropy(told.logits, move) + F.cross_entropy(told.reply, move.flip(0))
        loss = loss + F.mse_loss(told.value, result)
        loss = loss + F.smooth_l1_loss(told.score, 10 * result) / 10
        loss = loss + F.mse_loss(told.ownership, result[:, None, None].expand(4, 9, 9))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 20
    assert [name for name, p in tower.named_parameters() if torch.equal(p, start[name])] == []


def test_answers_take_newer_weights():
    tower, planes = trained(channels=8), np.random.default_rng(0).normal(size=(5, 17, 5, 5)).astype(np.float32)
    answers = Answers(tower)
    before = answers(planes)[0].copy()
    with torch.no_grad():
        tower.point.weight.mul_(2)
        answers.take(tower)
        logits, _ = tower.play(torch.from_numpy(planes))
    np.testing.assert_allclose(answers(planes)[0], logits, rtol=1e-4, atol=1e-5)
    assert not np.allclose(before, logits)


def test_answers_are_the_towers_at_the_time_they_were_made():
    tower, planes = trained(channels=16), np.random.default_rng(0).normal(size=(5, 17, 9, 9)).astype(np.float32)
    with torch.no_grad():
        logits, value = tower.play(torch.from_numpy(planes))
    answers, rough = Answers(tower), Answers(tower, torch.bfloat16)
    with torch.no_grad():
        tower.stem.weight.zero_()
    np.testing.assert_allclose(answers(planes)[0], logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answers(planes)[1], value, rtol=1e-4, atol=1e-5)
    told = rough(planes)
    assert told[0].dtype == told[1].dtype == np.float32
    np.testing.assert_allclose(told[0], logits, atol=0.05 * float(logits.abs().max()))
    np.testing.assert_allclose(told[1], value, atol=0.05)


def test_search_with_the_tower():
    """One leaf at a time or eight, with and without memory: as many visits, and a memory changes nothing."""
    rules, tower = go_rules(5, 0.5), trained(channels=8, blocks=1)
    with torch.no_grad():
        tower.result.weight.mul_(8)  # a network of strong opinions
    answers = Answers(tower)
    found = []
    for function, leaves in ((answers, 1), (evaluators.Cached(answers), 1), (answers, 8)):
        search = Search(rules, evaluators.network(function), Puct(), leaves=leaves, seed=1)
        found.append(search.run(visits=200))
        assert found[-1].visits.sum() == 200
    np.testing.assert_array_equal(found[0].visits, found[1].visits)
    assert not np.array_equal(found[0].visits, found[2].visits)


def test_wrong_sizes_are_refused():
    for options in ({"blocks": 0}, {"channels": 0}, {"head": -1}, {"hidden": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
            TowerConfig(**options)
