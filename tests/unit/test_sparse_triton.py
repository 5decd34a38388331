"""The fused kernels against the plain path in float64: on a GPU, and in Triton's interpreter where there is none.

The interpreter has to be asked for before Triton is imported, so without a GPU one test runs this file in a process of
its own.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from fused_cases import DEVICE, EXTENT, ROOMY, block, distance, exact_module, leaf, run, sites, small, stride

from regionzoo.models.blocks import Down2, Grid, Up2
from regionzoo.models.norm import frozen_running_stats
from regionzoo.sparse.engine import NormConv
from regionzoo.sparse.native import NativeEngine
from regionzoo.sparse.pyramid import Pyramid

CUDA = torch.cuda.is_available()
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

kernels = pytest.mark.skipif(not CUDA and not INTERPRETED, reason="needs a GPU; run in the interpreter by another test")
slow = pytest.mark.skipif(not CUDA, reason="takes the interpreter too long")


@kernels
@pytest.mark.parametrize("shuffled", [pytest.param(False, marks=slow, id="ordered"), pytest.param(True, id="shuffled")])
def test_tables_are_those_of_the_levels(shuffled):
    from regionzoo.sparse.fused.sites import SiteMaps

    pyramid = Pyramid(sites(ROOMY, 0.2, shuffled), ROOMY, 3)
    maps = SiteMaps(pyramid)
    for level in range(3):
        here = pyramid.level(level)
        assert maps.counts[level] == len(here)
        conv = maps.submanifold(level)
        table = conv.ahead.rows.tensor().view(27, -1)
        expected = here.table.t()
        assert torch.equal(torch.where(table < 0, len(here), table), expected)
        tiles = conv.ahead.active.tensor().view(-1, 32).tolist()
        for tile, entry in enumerate(tiles):
            hit = (expected[:, tile * 128 : (tile + 1) * 128] < len(here)).any(1)
            assert entry[1 : 1 + entry[0]] == hit.nonzero().squeeze(1).tolist()
        rows, sources = (part.tensor().view(27, -1) for part in conv.pairs())
        for k, number in enumerate((expected < len(here)).sum(1).tolist()):
            assert rows[k, :number].tolist() == (expected[k] < len(here)).nonzero().squeeze(1).tolist()
            assert torch.equal(table[k, rows[k, :number].long()], sources[k, :number])
    stride = pyramid.stride(0)
    rows = torch.arange(stride.n_fine, device=DEVICE) if stride.rows is None else stride.rows
    down = maps.down(0)
    children = torch.full((stride.n_coarse * 8,), -1, dtype=torch.int32, device=DEVICE)
    children[stride.slots] = rows.int()
    assert torch.equal(down.ahead.rows.tensor().view(8, -1), children.view(-1, 8).t())
    parents = torch.full((8, stride.n_fine), -1, dtype=torch.int32, device=DEVICE)
    parents[stride.slots % 8, rows] = (stride.slots // 8).int()
    assert torch.equal(down.back.rows.tensor().view(8, -1), parents)


@kernels
@pytest.mark.parametrize(
    ("name", "widths"),
    [("subm3", (6, 20)), pytest.param("down2", (16, 32), marks=slow), pytest.param("up2", (32, 16), marks=slow)],
)
def test_convolutions_and_gradients(name, widths):
    channels, columns = widths
    pyramid = small()
    size = 3 if name == "subm3" else 2
    feats = leaf(len(pyramid.level(int(name == "up2"))), channels)
    weight = leaf(columns, size, size, size, channels, seed=1)
    exact = getattr(NativeEngine("table"), name)(feats.double(), weight.double(), pyramid, 0)
    seed = leaf(*exact.shape, seed=2).detach()
    expected = torch.autograd.grad(exact, (feats, weight), seed.double())
    ours = getattr(NativeEngine("fused"), name)(feats, weight, pyramid, 0)
    assert distance(ours, exact) < 2e-6
    for got, right in zip(torch.autograd.grad(ours, (feats, weight), seed), expected, strict=True):
        assert distance(got, right) < 2e-6
    for needed in (feats, weight) if CUDA else ():
        ours = getattr(NativeEngine("fused"), name)(
            *(t if t is needed else t.detach() for t in (feats, weight)), pyramid, 0
        )
        (got,) = torch.autograd.grad(ours, needed, seed)
        assert distance(got, expected[0 if needed is feats else 1]) < 2e-6


@kernels
@pytest.mark.parametrize(
    ("make", "channels", "level"),
    [
        (lambda: block(32, 16), 32, 0),
        (lambda: stride(Down2, 16, 32), 16, 0),
        (lambda: stride(Up2, 32, 16), 32, 1),
    ],
    ids=["residual", "down", "up"],
)
def test_blocks_with_normalisation(make, channels, level):
    module = make().train()
    pyramid = small()
    feats = leaf(len(pyramid.level(level)), channels, scale=2.0, shift=0.7)
    exact, gradients, buffers = run(exact_module(module), feats, pyramid, "table")
    ours, got, moved = run(module, feats, pyramid, "fused")
    assert distance(ours, exact) < 2e-6
    assert max(distance(a, b) for a, b in zip(got, gradients, strict=True)) < 5e-6
    assert max(distance(a, b) for a, b in zip(moved, buffers, strict=True)) < 1e-6


@kernels
@pytest.mark.parametrize(
    "make",
    [pytest.param(lambda: block(16, 16), marks=slow), lambda: stride(Down2, 16, 16)],
    ids=["residual", "down"],
)
def test_modes_of_normalisation(make):
    module, pyramid = make(), small()
    feats = leaf(len(pyramid.level(0)), 16, scale=2.0, shift=0.7)
    before = [buffer.clone() for buffer in module.buffers()]
    # Evaluation: running statistics, with and without gradients.
    exact, gradients, _ = run(exact_module(module).eval(), feats, pyramid, "table")
    ours, got, _ = run(module.eval(), feats, pyramid, "fused")
    assert distance(ours, exact) < 2e-6
    assert max(distance(a, b) for a, b in zip(got, gradients, strict=True)) < 5e-6
    with torch.no_grad():
        assert torch.equal(module(feats, Grid(pyramid, NativeEngine("fused"))), ours)
    # Shards after the first: the batch's statistics, and the running ones stay.
    exact, gradients, _ = run(exact_module(module).train(), feats, pyramid, "table")
    with frozen_running_stats(module):
        ours, got, _ = run(module.train(), feats, pyramid, "fused")
    assert distance(ours, exact) < 2e-6
    assert max(distance(a, b) for a, b in zip(got, gradients, strict=True)) < 5e-6
    assert all(torch.equal(a, b) for a, b in zip(module.buffers(), before, strict=True))
    # A single voxel has no variance.
    one = Pyramid(torch.tensor([[0, 3, 3, 3]], dtype=torch.int32, device=DEVICE), EXTENT, 2)
    exact, gradients, _ = run(exact_module(module).train(), feats[:1], one, "table")
    ours, got, _ = run(module.train(), feats[:1], one, "fused")
    assert distance(ours, exact) < 2e-6
    assert max(distance(a, b) for a, b in zip(got, gradients, strict=True)) < 5e-6
    assert all(torch.equal(a, b) for a, b in zip(module.buffers(), before, strict=True))


@kernels
@slow
def test_frozen_parameters_get_no_gradient():
    module = block(32, 16).train()
    for parameter in module.conv_branch.parameters():
        parameter.requires_grad_(False)
    pyramid = small()
    feats = leaf(len(pyramid.level(0)), 32)
    _, gradients, _ = run(exact_module(module), feats, pyramid, "table")
    _, got, _ = run(module, feats, pyramid, "fused")
    assert [g is None for g in got] == [g is None for g in gradients]
    assert distance(got[0], gradients[0]) < 5e-6


@kernels
def test_levels_without_sites():
    engine = NativeEngine("fused")
    down, up = leaf(16, 2, 2, 2, 16), leaf(16, 2, 2, 2, 16)
    nothing = Pyramid(torch.zeros((0, 4), dtype=torch.int32, device=DEVICE), (8, 8, 8), 2)
    out = engine.subm3(leaf(0, 16), leaf(16, 3, 3, 3, 16), nothing, 0)
    assert out.shape == (0, 16)
    # A site at the odd end has no parent: the coarse level is empty, and zeros come back.
    orphan = Pyramid(torch.tensor([[0, 4, 0, 0]], dtype=torch.int32, device=DEVICE), (5, 4, 4), 2)
    coarse = engine.down2(leaf(1, 16), down, orphan, 0)
    assert coarse.shape == (0, 16)
    assert engine.up2(coarse, up, orphan, 0).tolist() == [[0.0] * 16]


@kernels
def test_sizes_that_do_not_fit_are_refused():
    pyramid, engine = small(), NativeEngine("fused")
    count = len(pyramid.level(0))
    with pytest.raises(ValueError, match="sites"):
        engine.subm3(leaf(count - 1, 16), leaf(16, 3, 3, 3, 16), pyramid, 0)
    with pytest.raises(ValueError, match="weight"):
        engine.down2(leaf(count, 16), leaf(16, 2, 2, 2, 32), pyramid, 0)
    with pytest.raises(ValueError, match="skip"):
        one, other = block(16, 16).conv_branch, block(32, 32).conv_branch
        units = NormConv(one[0], one[2].weight), NormConv(other[0], other[2].weight)
        engine.residual(leaf(count, 16), *units, None, pyramid, 0)


@kernels
def test_the_check_before_first_use():
    from regionzoo.sparse.fused import operations, product

    assert operations.computes_right(torch.device(DEVICE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(product, "_multiply", lambda grid, data, *_: data[5].zero_())
        assert not operations.computes_right(torch.device(DEVICE))


@kernels
def test_wrong_coordinates_are_refused():
    for rows, message in (
        ([[0, 1, 1, 9]], "do not fit"),
        ([[0, -1, 1, 1]], "do not fit"),
        ([[0, 1, 1, 1], [0, 2, 1, 1], [0, 1, 1, 1]], "not unique"),
    ):
        coords = torch.tensor(rows, dtype=torch.int32, device=DEVICE)
        with pytest.raises(ValueError, match=message):
            pyramid = Pyramid(coords, (8, 8, 8), 1)
            NativeEngine("fused").subm3(leaf(len(rows), 16), leaf(16, 3, 3, 3, 16), pyramid, 0)


@pytest.mark.skipif(CUDA or INTERPRETED, reason="this process can run the kernels itself")
def test_kernels_in_the_interpreter():
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    # Plugins, which none of these tests uses, take as long to import as some of the tests to run.
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(CUDA or INTERPRETED, reason="this process can run the kernels itself")
def test_without_a_gpu_the_kernels_are_not_for_asking():
    pytest.importorskip("triton")
    pyramid = small()
    with pytest.raises(ValueError, match="GPU"):
        NativeEngine("fused").subm3(leaf(len(pyramid.level(0)), 16), leaf(16, 3, 3, 3, 16), pyramid, 0)
