"""Every convolution against dense PyTorch: values and both gradients, both native paths, odd extents, batches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from sparse_oracle import dense_down, dense_subm, dense_up, random_sites

from regionzoo.sparse.engine import make_engine
from regionzoo.sparse.native import NativeEngine
from regionzoo.sparse.pyramid import Pyramid

EXTENTS = [(8, 8, 8), (7, 6, 5), (9, 4, 7), (2, 3, 5)]
PATHS = ["pairs", "table"]


def gradients(out: torch.Tensor, seed: torch.Tensor, *leaves: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad((out * seed).sum(), leaves))


def case(extent: tuple[int, int, int], shuffled: bool = True) -> tuple[Pyramid, torch.Generator]:
    rng = torch.Generator().manual_seed(hash(extent) % 1000)
    return Pyramid(random_sites(extent, 3, 0.35, rng, shuffled), extent, 2), rng


@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_submanifold_equals_dense(extent, path, shuffled):
    pyramid, rng = case(extent, shuffled)
    coords = pyramid.level(0).coords
    feats = torch.randn(len(coords), 5, generator=rng, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    seed = torch.randn(len(coords), 4, generator=rng, dtype=torch.float64)
    out = NativeEngine(path).subm3(feats, weight, pyramid, 0)
    expected = dense_subm(feats, weight, coords, extent)
    torch.testing.assert_close(out, expected)
    for ours, theirs in zip(gradients(out, seed, feats, weight), gradients(expected, seed, feats, weight), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_stride_and_inverse_equal_dense(extent, shuffled):
    pyramid, rng = case(extent, shuffled)
    fine, coarse = pyramid.level(0).coords, pyramid.level(1).coords
    engine = NativeEngine()

    feats = torch.randn(len(fine), 5, generator=rng, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 2, 2, 2, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    out = engine.down2(feats, weight, pyramid, 0)
    expected = dense_down(feats, weight, fine, coarse, extent)
    torch.testing.assert_close(out, expected)
    seed = torch.randn_like(out)
    for ours, theirs in zip(gradients(out, seed, feats, weight), gradients(expected, seed, feats, weight), strict=True):
        torch.testing.assert_close(ours, theirs)

    feats = torch.randn(len(coarse), 4, generator=rng, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 2, 2, 2, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    out = engine.up2(feats, weight, pyramid, 0)
    expected = dense_up(feats, weight, fine, coarse, extent)
    torch.testing.assert_close(out, expected)
    seed = torch.randn_like(out)
    for ours, theirs in zip(gradients(out, seed, feats, weight), gradients(expected, seed, feats, weight), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_orphans_of_odd_extents_get_zeros_and_vanish():
    # x = 4 of an extent of 5 has no parent; the other site has.
    pyramid = Pyramid(torch.tensor([[0, 4, 0, 0], [0, 3, 0, 0]]), (5, 4, 4), 2)
    assert pyramid.level(1).coords.tolist() == [[0, 1, 0, 0]]
    engine = NativeEngine()
    weight = torch.ones(1, 2, 2, 2, 1)
    assert engine.down2(torch.tensor([[10.0], [1.0]]), weight, pyramid, 0).tolist() == [[1.0]]
    assert engine.up2(torch.tensor([[7.0]]), weight, pyramid, 0).tolist() == [[0.0], [7.0]]


@pytest.mark.parametrize("path", PATHS)
def test_numeric_gradients(path):
    rng = torch.Generator().manual_seed(3)
    extent = (3, 3, 3)
    pyramid = Pyramid(random_sites(extent, 2, 0.4, rng, True), extent, 2)
    engine = NativeEngine(path)
    fine, coarse = len(pyramid.level(0)), len(pyramid.level(1))

    def leaf(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64, requires_grad=True)

    check = torch.autograd.gradcheck
    assert check(lambda f, w: engine.subm3(f, w, pyramid, 0), (leaf(fine, 2), leaf(2, 3, 3, 3, 2)))
    assert check(lambda f, w: engine.down2(f, w, pyramid, 0), (leaf(fine, 2), leaf(3, 2, 2, 2, 2)))
    assert check(lambda f, w: engine.up2(f, w, pyramid, 0), (leaf(coarse, 3), leaf(2, 2, 2, 2, 3)))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("frozen", ["feats", "weight"])
def test_gradient_of_one_input_alone(path, frozen):
    pyramid, rng = case((8, 8, 8))
    feats = torch.randn(len(pyramid.level(0)), 3, generator=rng, requires_grad=frozen != "feats")
    for size, name in ((3, "subm3"), (2, "down2")):
        weight = torch.randn(2, size, size, size, 3, generator=rng, requires_grad=frozen != "weight")
        getattr(NativeEngine(path), name)(feats, weight, pyramid, 0).sum().backward()
        trained, fixed = (weight, feats) if frozen == "feats" else (feats, weight)
        assert trained.grad.abs().sum() > 0
        assert fixed.grad is None
        feats.grad = None


def test_table_is_cut_into_blocks_without_effect(monkeypatch):
    from regionzoo.sparse import native_submanifold

    pyramid, rng = case((9, 4, 7))
    feats = torch.randn(len(pyramid.level(0)), 3, generator=rng, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    whole = NativeEngine("table").subm3(feats, weight, pyramid, 0)
    expected = [whole.detach(), *torch.autograd.grad(whole.square().sum(), (feats, weight))]
    monkeypatch.setitem(native_submanifold.BLOCK_ELEMENTS, "cpu", 27 * 3 * 4)
    cut = NativeEngine("table").subm3(feats, weight, pyramid, 0)
    actual = [cut.detach(), *torch.autograd.grad(cut.square().sum(), (feats, weight))]
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("path", [None, *PATHS])
def test_runs_are_bit_identical(path):
    rng = torch.Generator().manual_seed(5)
    extent = (40, 40, 40)
    coords = random_sites(extent, 2, 0.1, rng, True)
    feats = torch.randn(len(coords), 16, generator=rng)
    weight = torch.randn(16, 3, 3, 3, 16, generator=rng)
    down = torch.randn(32, 2, 2, 2, 16, generator=rng)
    up = torch.randn(16, 2, 2, 2, 32, generator=rng)

    def run() -> list[torch.Tensor]:
        engine, pyramid = NativeEngine(path), Pyramid(coords, extent, 2)
        leaves = [t.clone().requires_grad_() for t in (feats, weight, down, up)]
        out = engine.subm3(leaves[0], leaves[1], pyramid, 0)
        out = engine.up2(engine.down2(out, leaves[2], pyramid, 0), leaves[3], pyramid, 0)
        out.square().sum().backward()
        return [out.detach(), *(leaf.grad for leaf in leaves)]

    first = run()
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(first, run(), strict=True))


@pytest.mark.parametrize("path", PATHS)
def test_bfloat16_autocast(path):
    pyramid, rng = case((8, 8, 8))
    feats = torch.randn(len(pyramid.level(0)), 8, generator=rng, requires_grad=True)
    weight = (torch.randn(8, 3, 3, 3, 8, generator=rng) / 15).requires_grad_()
    engine = NativeEngine(path)
    exact = engine.subm3(feats, weight, pyramid, 0)
    expected = torch.autograd.grad(exact.square().sum(), (feats, weight))
    with torch.autocast("cpu", torch.bfloat16):
        out = engine.subm3(feats, weight, pyramid, 0)
    assert out.dtype == torch.bfloat16
    actual = torch.autograd.grad(out.float().square().sum(), (feats, weight))
    torch.testing.assert_close(out.float(), exact, rtol=0.05, atol=0.05)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


@pytest.mark.parametrize("path", PATHS)
def test_no_sites(path):
    pyramid = Pyramid(torch.zeros((0, 4), dtype=torch.int32), (8, 8, 8), 2)
    engine = NativeEngine(path)
    feats = torch.zeros((0, 3), requires_grad=True)
    weight = torch.ones(2, 3, 3, 3, 3, requires_grad=True)
    out = engine.subm3(feats, weight, pyramid, 0)
    assert out.shape == (0, 2)
    coarse = engine.down2(out, torch.ones(4, 2, 2, 2, 2), pyramid, 0)
    assert engine.up2(coarse, torch.ones(1, 2, 2, 2, 4), pyramid, 0).shape == (0, 1)
    out.sum().backward()
    assert weight.grad.abs().sum() == 0


def test_dense_oracle_itself_sees_the_kernel_the_right_way_round():
    # One site at (1, 1, 1) and its neighbour at x + 1: W[2, 1, 1] must meet the neighbour.
    coords = torch.tensor([[0, 1, 1, 1], [0, 2, 1, 1]])
    weight = torch.zeros(1, 3, 3, 3, 1)
    weight[0, 2, 1, 1, 0] = 5.0
    out = NativeEngine().subm3(torch.tensor([[1.0], [10.0]]), weight, Pyramid(coords, (4, 4, 4), 1), 0)
    assert out.tolist() == [[50.0], [0.0]]
    assert F.conv3d(torch.ones(1, 1, 3, 3, 3), weight.permute(0, 4, 1, 2, 3)).item() == 5.0


def test_engine_names():
    assert isinstance(make_engine("native"), NativeEngine)
    with pytest.raises(ValueError, match="no sparse engine 'dense'"):
        make_engine("dense")
    with pytest.raises(ValueError, match="path"):
        NativeEngine("fast")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("path", [None, *PATHS])
def test_cuda_equals_cpu(path):
    rng = torch.Generator().manual_seed(7)
    extent = (31, 30, 29)
    coords = random_sites(extent, 2, 0.2, rng, True)
    tensors = {
        "feats": torch.randn(len(coords), 16, generator=rng),
        "weight": torch.randn(16, 3, 3, 3, 16, generator=rng) / 20,
        "down": torch.randn(24, 2, 2, 2, 16, generator=rng) / 11,
        "up": torch.randn(16, 2, 2, 2, 24, generator=rng) / 5,
    }

    def run(device: str, half: bool) -> list[torch.Tensor]:
        engine, pyramid = NativeEngine(path), Pyramid(coords.to(device), extent, 2)
        feats, weight, down, up = leaves = [t.clone().to(device).requires_grad_() for t in tensors.values()]
        with torch.autocast(device, torch.float16, enabled=half):
            out = engine.subm3(feats, weight, pyramid, 0)
            out = engine.up2(engine.down2(out, down, pyramid, 0), up, pyramid, 0)
        # The factor keeps float16 gradients above its smallest numbers, as a loss scaler would.
        (out.float().square().mean() * 4096).backward()
        return [out.detach().float().cpu(), *(leaf.grad.cpu() for leaf in leaves)]

    expected = run("cpu", False)
    for half, tolerance in ((False, 2e-5), (True, 5e-3)):
        for ours, theirs in zip(run("cuda", half), expected, strict=True):
            assert (ours - theirs).norm() <= tolerance * theirs.norm()
