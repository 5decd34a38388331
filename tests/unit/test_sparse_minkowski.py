"""The second engine must give what the native one gives: values and gradients, odd extents, a whole U-Net."""

from __future__ import annotations

import pytest
import torch
from sparse_oracle import dense_down, dense_subm, dense_up, random_sites

from regionzoo.errors import UserError
from regionzoo.models.blocks import Grid
from regionzoo.models.unet import SparseUNet
from regionzoo.sparse.engine import SparseEngine, make_engine
from regionzoo.sparse.pyramid import Pyramid

EXTENTS = [(8, 8, 8), (7, 6, 5), (9, 4, 7)]


@pytest.fixture(scope="module")
def engine() -> SparseEngine:
    try:
        return make_engine("minkowski")
    except UserError as error:
        pytest.skip(str(error))


def check(ours: torch.Tensor, theirs: torch.Tensor, *leaves: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs)
    seed = torch.randn_like(theirs)
    for a, b in zip(
        torch.autograd.grad((ours * seed).sum(), leaves),
        torch.autograd.grad((theirs * seed).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_convolutions_equal_dense(engine, extent, shuffled):
    rng = torch.Generator().manual_seed(0)
    pyramid = Pyramid(random_sites(extent, 3, 0.35, rng, shuffled), extent, 2)
    fine, coarse = pyramid.level(0).coords, pyramid.level(1).coords

    def leaf(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64, requires_grad=True)

    feats, weight = leaf(len(fine), 5), leaf(4, 3, 3, 3, 5)
    check(engine.subm3(feats, weight, pyramid, 0), dense_subm(feats, weight, fine, extent), feats, weight)
    weight = leaf(4, 2, 2, 2, 5)
    check(engine.down2(feats, weight, pyramid, 0), dense_down(feats, weight, fine, coarse, extent), feats, weight)
    feats, weight = leaf(len(coarse), 4), leaf(5, 2, 2, 2, 4)
    check(engine.up2(feats, weight, pyramid, 0), dense_up(feats, weight, fine, coarse, extent), feats, weight)


@pytest.mark.parametrize("extent", EXTENTS)
def test_sites_in_an_order_of_its_own(engine, extent, monkeypatch):
    # As its maps on a GPU may have them.
    insert, rng = engine._insert, torch.Generator().manual_seed(5)

    def shuffling(coords: torch.Tensor) -> tuple[object, object]:
        return insert(coords[torch.randperm(len(coords), generator=rng)])

    monkeypatch.setattr(engine, "_insert", shuffling)
    test_convolutions_equal_dense(engine, extent, shuffled=True)


def test_levels_without_sites(engine):
    # The only site has no parent: x = 4 of an extent of 5.
    pyramid = Pyramid(torch.tensor([[0, 4, 0, 0]]), (5, 4, 4), 2)
    feats = torch.ones(1, 2, requires_grad=True)
    coarse = engine.down2(feats, torch.ones(3, 2, 2, 2, 2), pyramid, 0)
    assert coarse.shape == (0, 3)
    coarse = engine.subm3(coarse, torch.ones(3, 3, 3, 3, 3), pyramid, 1)
    out = engine.up2(coarse, torch.ones(2, 2, 2, 2, 3), pyramid, 0)
    assert out.tolist() == [[0.0, 0.0]]


def test_unet_equals_native(engine):
    rng = torch.Generator().manual_seed(1)
    extent = (37, 30, 29)
    coords = random_sites(extent, 2, 0.08, rng, True)
    feats = torch.randn(len(coords), 6, generator=rng)
    torch.manual_seed(0)
    net = SparseUNet(6, (8, 12, 16, 20), 2)
    results = []
    for candidate in (engine, make_engine("native")):
        net.zero_grad(set_to_none=True)
        out, _ = net(feats, Grid(Pyramid(coords, extent, 4), candidate))
        out.square().mean().backward()
        results.append([out.detach(), *(p.grad for p in net.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_autocast_leaves_it_in_float32(engine):
    rng = torch.Generator().manual_seed(2)
    pyramid = Pyramid(random_sites((8, 8, 8), 1, 0.3, rng, False), (8, 8, 8), 1)
    feats = torch.randn(len(pyramid.level(0)), 4, generator=rng)
    weight = torch.randn(4, 3, 3, 3, 4, generator=rng)
    exact = engine.subm3(feats, weight, pyramid, 0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(engine.subm3(feats, weight, pyramid, 0), exact)
