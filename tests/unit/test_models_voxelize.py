"""Voxels of points against a dictionary."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch

from regionzoo.models.voxelize import voxelize


def test_mean_of_the_points_of_each_cell():
    rng = torch.Generator().manual_seed(0)
    coords = torch.cat([torch.randint(0, 3, (400, 1), generator=rng), torch.randint(0, 5, (400, 3), generator=rng)], 1)
    feats = torch.randn(400, 6, generator=rng)
    voxels, v2p, means = voxelize(coords, feats)
    members = defaultdict(list)
    for i, site in enumerate(coords.tolist()):
        members[tuple(site)].append(i)
    assert [tuple(site) for site in voxels.tolist()] == sorted(members)
    assert torch.equal(voxels[v2p].long(), coords)
    for site, mean in zip(voxels.tolist(), means, strict=True):
        torch.testing.assert_close(mean, feats[members[tuple(site)]].mean(0))
    assert (voxels.dtype, v2p.dtype, means.dtype) == (torch.int32, torch.int64, torch.float32)


def test_repeatable_to_the_bit():
    rng = torch.Generator().manual_seed(1)
    coords = torch.randint(0, 6, (60_000, 4), generator=rng)
    feats = torch.randn(60_000, 6, generator=rng)
    first = voxelize(coords, feats)
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(first, voxelize(coords, feats), strict=True))


def test_limits():
    voxels, v2p, feats = voxelize(torch.zeros((0, 4), dtype=torch.int64), torch.zeros(0, 6))
    assert (voxels.shape, v2p.shape, feats.shape) == ((0, 4), (0,), (0, 6))
    with pytest.raises(ValueError, match="negative"):
        voxelize(torch.tensor([[0, -1, 0, 0]]), torch.zeros(1, 1))
    with pytest.raises(ValueError, match="too many cells"):
        voxelize(torch.full((1, 4), 1 << 20), torch.zeros(1, 1))
