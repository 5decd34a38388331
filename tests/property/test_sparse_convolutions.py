"""Random sparse sets: both native paths and both strides against a dictionary of sites."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.sparse.native import NativeEngine
from regionzoo.sparse.pyramid import Pyramid

extents = st.tuples(*[st.integers(2, 9)] * 3)


@st.composite
def sparse_sets(draw: st.DrawFn) -> tuple[torch.Tensor, tuple[int, int, int], int]:
    """Unique sites in random order (possibly none), their extent, a seed for values."""
    extent = draw(extents)
    site = st.tuples(st.integers(0, 2), *[st.integers(0, size - 1) for size in extent])
    sites = draw(st.lists(site, max_size=40, unique=True))
    return torch.tensor(sites, dtype=torch.int64).reshape(-1, 4), extent, draw(st.integers(0, 2**16))


def subm_by_hand(coords: torch.Tensor, feats: torch.Tensor, weight: torch.Tensor) -> np.ndarray:
    values = {tuple(site): f for site, f in zip(coords.tolist(), feats.detach().numpy(), strict=True)}
    w = weight.detach().numpy()
    out = np.zeros((len(coords), w.shape[0]))
    for i, (b, x, y, z) in enumerate(coords.tolist()):
        for k in np.ndindex(3, 3, 3):
            neighbour = values.get((b, x + k[0] - 1, y + k[1] - 1, z + k[2] - 1))
            if neighbour is not None:
                out[i] += w[:, k[0], k[1], k[2]] @ neighbour
    return out


@settings(max_examples=60, deadline=None)
@given(sparse_sets(), st.sampled_from(["pairs", "table"]))
def test_submanifold(sites, path):
    coords, extent, seed = sites
    rng = torch.Generator().manual_seed(seed)
    feats = torch.randn(len(coords), 3, generator=rng, dtype=torch.float64)
    weight = torch.randn(2, 3, 3, 3, 3, generator=rng, dtype=torch.float64)
    out = NativeEngine(path).subm3(feats, weight, Pyramid(coords, extent, 1), 0)
    np.testing.assert_allclose(out.numpy(), subm_by_hand(coords, feats, weight), atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(sparse_sets())
def test_paths_agree_with_their_gradients(sites):
    coords, extent, seed = sites
    rng = torch.Generator().manual_seed(seed)
    feats = torch.randn(len(coords), 3, generator=rng, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    pyramid = Pyramid(coords, extent, 1)
    results = []
    for path in ("pairs", "table"):
        out = NativeEngine(path).subm3(feats, weight, pyramid, 0)
        results.append([out.detach(), *torch.autograd.grad(out.square().sum(), (feats, weight))])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(sparse_sets())
def test_strides(sites):
    coords, extent, seed = sites
    rng = torch.Generator().manual_seed(seed)
    pyramid = Pyramid(coords, extent, 2)
    coarse = {tuple(site): i for i, site in enumerate(pyramid.level(1).coords.tolist())}
    has_parent = [all(c // 2 < size // 2 for c, size in zip(site[1:], extent, strict=True)) for site in coords.tolist()]
    parents = [
        (b, x // 2, y // 2, z // 2) if kept else None
        for (b, x, y, z), kept in zip(coords.tolist(), has_parent, strict=True)
    ]
    assert set(coarse) == set(parents) - {None}

    feats = torch.randn(len(coords), 3, generator=rng, dtype=torch.float64, requires_grad=True)
    down = torch.randn(2, 2, 2, 2, 3, generator=rng, dtype=torch.float64)
    up = torch.randn(3, 2, 2, 2, 2, generator=rng, dtype=torch.float64)
    coarse_feats = torch.randn(len(coarse), 2, generator=rng, dtype=torch.float64)
    expected_down = np.zeros((len(coarse), 2))
    expected_up = np.zeros((len(coords), 3))
    for i, (site, parent) in enumerate(zip(coords.tolist(), parents, strict=True)):
        if parent is not None:
            k = tuple(c % 2 for c in site[1:])
            expected_down[coarse[parent]] += down.numpy()[:, k[0], k[1], k[2]] @ feats.detach().numpy()[i]
            expected_up[i] = up.numpy()[:, k[0], k[1], k[2]] @ coarse_feats.numpy()[coarse[parent]]
    engine = NativeEngine()
    lowered = engine.down2(feats, down, pyramid, 0)
    np.testing.assert_allclose(lowered.detach().numpy(), expected_down, atol=1e-10)
    np.testing.assert_allclose(engine.up2(coarse_feats, up, pyramid, 0).numpy(), expected_up, atol=1e-10)

    # Down's transpose is Up with the channels of the weight swapped: <down(f), c> = <f, up(c)>.
    swapped = down.permute(4, 1, 2, 3, 0)
    left = (lowered * coarse_feats).sum()
    right = (feats * engine.up2(coarse_feats, swapped, pyramid, 0)).sum()
    torch.testing.assert_close(left, right)
