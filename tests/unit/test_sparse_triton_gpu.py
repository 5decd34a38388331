"""Networks on the fused kernels of a GPU: the plain path's results, the same bits in every run, no waiting."""

from __future__ import annotations

import copy

import pytest
import torch
from fused_cases import block, distance, exact_module, leaf, run, sites, varied
from sparse_oracle import random_sites
from torch import Tensor, nn

from regionzoo.models.blocks import Grid
from regionzoo.models.unet import SparseUNet
from regionzoo.sparse.native import NativeEngine
from regionzoo.sparse.pyramid import Pyramid

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def batch(scale: int = 4) -> tuple[Tensor, tuple[int, int, int]]:
    """Some tens of thousands of sites, enough for every tile size of a U-Net's levels."""
    extent = (31 * scale, 32 * scale, 17 * scale)
    return sites(extent, 0.05), extent


@pytest.mark.parametrize(("half", "bound"), [(torch.float16, 6e-3), (torch.bfloat16, 5e-2), (None, 1e-4)])
def test_unet_equals_the_plain_path(half, bound):
    coords, extent = batch()
    torch.manual_seed(0)
    net = varied(SparseUNet(6, (16, 32, 48, 80, 112), 2)).train()
    exact_net = exact_module(net)
    feats = leaf(len(coords), 6).detach()
    seed = leaf(len(coords), 16, seed=4).detach()

    def step(network: nn.Module, path: str | None, dtype: torch.dtype) -> tuple[Tensor, list[Tensor]]:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cuda", half or torch.float16, enabled=half is not None and dtype == torch.float32):
            out, encoded = network(feats.to(dtype), Grid(Pyramid(coords, extent, 5), NativeEngine(path)))
        assert len(encoded) == 5
        (out.to(dtype) * seed.to(dtype)).sum().backward()
        return out, [parameter.grad for parameter in network.parameters()]

    exact, gradients = step(exact_net, "table", torch.float64)
    plain, plain_gradients = step(copy.deepcopy(net), "table", torch.float32)
    ours, got = step(net, None, torch.float32)
    assert ours.dtype == plain.dtype
    assert distance(ours, exact) < bound
    assert distance(ours, exact) < 1.5 * distance(plain, exact) + 1e-6
    together, right, theirs = (
        torch.cat([g.flatten().double() for g in gs]) for gs in (got, gradients, plain_gradients)
    )
    assert distance(together, right) < 1.5 * distance(theirs, right) + 1e-5
    assert max(distance(a, b) for a, b in zip(net.buffers(), exact_net.buffers(), strict=True)) < bound


@pytest.mark.parametrize("half", [False, True])
def test_runs_are_bit_identical(half):
    coords, extent = batch()
    feats = leaf(len(coords), 6).detach()

    def step() -> list[Tensor]:
        torch.manual_seed(0)
        net = SparseUNet(6, (16, 32, 48, 80, 112), 2).train().cuda()
        with torch.autocast("cuda", torch.float16, enabled=half):
            out, _ = net(feats, Grid(Pyramid(coords, extent, 5), NativeEngine()))
        out.float().square().mean().backward()
        return [out.detach(), *(parameter.grad for parameter in net.parameters()), *net.buffers()]

    first = step()
    for _ in range(3):
        # Other work in between leaves other bytes in the memory that is handed out again.
        torch.full((1 << 28,), torch.nan, device="cuda")
        assert all(torch.equal(a, b) for a, b in zip(first, step(), strict=True))


@pytest.mark.parametrize("path", [None, "table"])
def test_a_prepared_pyramid_is_not_waited_for(path):
    coords, extent = batch(2)
    torch.manual_seed(0)
    net = varied(SparseUNet(6, (16, 32, 48), 1)).train()
    feats, engine = leaf(len(coords), 6).detach(), NativeEngine(path)

    def step(pyramid: Pyramid) -> list[Tensor]:
        out, _ = net(feats, Grid(pyramid, engine))
        net.zero_grad(set_to_none=True)
        out.square().mean().backward()
        return [out.detach(), *(parameter.grad for parameter in net.parameters())]

    expected = step(Pyramid(coords, extent, 3))
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    pyramids = [Pyramid(coords, extent, 3) for _ in range(3)]
    found = []
    for pyramid in pyramids:
        with torch.cuda.stream(side):
            engine.prepare(pyramid)
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.set_sync_debug_mode("error")
        try:
            found.append(step(pyramid))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(a, b) for other in found for a, b in zip(expected, other, strict=True))


def test_inference_equals_the_plain_path():
    coords, extent = batch()
    torch.manual_seed(0)
    net = varied(SparseUNet(6, (16, 32, 48, 80, 112), 2)).eval()
    feats = leaf(len(coords), 6).detach()
    with torch.no_grad():
        ours, _ = net(feats, Grid(Pyramid(coords, extent, 5), NativeEngine()))
        exact, _ = exact_module(net)(feats.double(), Grid(Pyramid(coords, extent, 5), NativeEngine("table")))
    assert distance(ours, exact) < 1e-5


@pytest.mark.parametrize("count", [1, 2, 16, 129, 5000, 60_000])
def test_any_number_of_sites_with_kernels_already_launched(count):
    # Sizes that Triton would compile anew for, were it asked: 1, multiples of 16, and others.
    coords, extent = batch(6)
    coords = coords[:count]
    feats, weight = leaf(count, 16), leaf(16, 3, 3, 3, 16, seed=1)
    pyramid = Pyramid(coords, extent, 2)
    exact = NativeEngine("table").subm3(feats.double(), weight.double(), pyramid, 0)
    seed = leaf(count, 16, seed=2).detach()
    expected = torch.autograd.grad(exact, (feats, weight), seed.double())
    ours = NativeEngine().subm3(feats, weight, pyramid, 0)
    assert distance(ours, exact) < 2e-6
    for got, right in zip(torch.autograd.grad(ours, (feats, weight), seed), expected, strict=True):
        assert distance(got, right) < 2e-6


def test_addresses_that_are_no_multiple_of_16():
    coords, extent = batch(2)
    pyramid = Pyramid(coords, extent, 2)
    feats = leaf(len(coords), 16)
    loose = leaf(16 * 27 * 16 + 1, seed=1).detach()[1:].view(16, 3, 3, 3, 16).requires_grad_()
    exact = NativeEngine("table").subm3(feats.double(), loose.double(), pyramid, 0)
    for _ in range(2):
        assert distance(NativeEngine().subm3(feats, loose, pyramid, 0), exact) < 2e-6


def test_instance_grids():
    # The instance head's grids: many scenes of few voxels, two levels, float32 whatever the autocast.
    torch.manual_seed(1)
    module = block(16, 16).train()
    coords = random_sites((20, 20, 20), 30, 0.01, torch.Generator().manual_seed(1), True).cuda()
    feats = leaf(len(coords), 16)
    exact, gradients, _ = run(exact_module(module), feats, Pyramid(coords, (20, 20, 20), 2), "table")
    with torch.autocast("cuda", torch.float16), torch.autocast("cuda", enabled=False):
        ours, got, _ = run(module, feats, Pyramid(coords, (20, 20, 20), 2), "fused")
    assert ours.dtype == torch.float32
    assert distance(ours, exact) < 2e-6
    assert max(distance(a, b) for a, b in zip(got, gradients, strict=True)) < 1e-4
