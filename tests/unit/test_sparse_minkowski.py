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
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]


@pytest.fixture(scope="module")
def engine() -> SparseEngine:
    try:
        return make_engine("minkowski")
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, engine: SparseEngine) -> str:
    if request.param == "cuda" and not engine._package.is_cuda_available():
        pytest.skip("MinkowskiEngine is built for the CPU alone")
    return request.param


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
def test_convolutions_equal_dense(engine, device, extent, shuffled):
    rng = torch.Generator().manual_seed(0)
    pyramid = Pyramid(random_sites(extent, 3, 0.35, rng, shuffled).to(device), extent, 2)
    fine, coarse = pyramid.level(0).coords.cpu(), pyramid.level(1).coords.cpu()

    def run(convolution, feats: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return convolution(feats.to(device), weight.to(device), pyramid, 0).cpu()

    def leaf(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64, requires_grad=True)

    feats, weight = leaf(len(fine), 5), leaf(4, 3, 3, 3, 5)
    check(run(engine.subm3, feats, weight), dense_subm(feats, weight, fine, extent), feats, weight)
    weight = leaf(4, 2, 2, 2, 5)
    check(run(engine.down2, feats, weight), dense_down(feats, weight, fine, coarse, extent), feats, weight)
    feats, weight = leaf(len(coarse), 4), leaf(5, 2, 2, 2, 4)
    check(run(engine.up2, feats, weight), dense_up(feats, weight, fine, coarse, extent), feats, weight)


@pytest.mark.parametrize("extent", EXTENTS)
def test_sites_in_an_order_of_its_own(engine, device, extent, monkeypatch):
    # As its maps on a GPU may have them.
    insert, rng = engine._insert, torch.Generator().manual_seed(5)

    def shuffling(coords: torch.Tensor) -> tuple[object, object]:
        return insert(coords[torch.randperm(len(coords), generator=rng).to(coords.device)])

    monkeypatch.setattr(engine, "_insert", shuffling)
    test_convolutions_equal_dense(engine, device, extent, shuffled=True)


def test_levels_without_sites(engine, device):
    # The only site has no parent: x = 4 of an extent of 5.
    pyramid = Pyramid(torch.tensor([[0, 4, 0, 0]], device=device), (5, 4, 4), 2)
    feats = torch.ones(1, 2, requires_grad=True, device=device)
    coarse = engine.down2(feats, torch.ones(3, 2, 2, 2, 2, device=device), pyramid, 0)
    assert coarse.shape == (0, 3)
    coarse = engine.subm3(coarse, torch.ones(3, 3, 3, 3, 3, device=device), pyramid, 1)
    out = engine.up2(coarse, torch.ones(2, 2, 2, 2, 3, device=device), pyramid, 0)
    assert out.tolist() == [[0.0, 0.0]]


def test_unet_equals_native(engine, device):
    rng = torch.Generator().manual_seed(1)
    extent = (37, 30, 29)
    coords = random_sites(extent, 2, 0.08, rng, True)
    feats = torch.randn(len(coords), 6, generator=rng)
    torch.manual_seed(0)
    net = SparseUNet(6, (16, 32, 16, 32), 2)
    results = []
    for candidate, where in ((engine, device), (make_engine("native"), "cpu")):
        net.zero_grad(set_to_none=True)
        net.to(where)
        out, _ = net(feats.to(where), Grid(Pyramid(coords.to(where), extent, 4), candidate))
        out.square().mean().backward()
        results.append([out.detach().cpu(), *(p.grad.cpu() for p in net.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_autocast_leaves_it_in_float32(engine, device):
    rng = torch.Generator().manual_seed(2)
    pyramid = Pyramid(random_sites((8, 8, 8), 1, 0.3, rng, False).to(device), (8, 8, 8), 1)
    feats = torch.randn(len(pyramid.level(0)), 4, generator=rng).to(device)
    weight = torch.randn(4, 3, 3, 3, 4, generator=rng).to(device)
    exact = engine.subm3(feats, weight, pyramid, 0)
    with torch.autocast(device, torch.bfloat16):
        found = engine.subm3(feats, weight, pyramid, 0)
    assert found.dtype == torch.float32
    # Its sums on a GPU have no fixed order.
    torch.testing.assert_close(found, exact, rtol=1e-5 if device == "cuda" else 0, atol=1e-5 if device == "cuda" else 0)
