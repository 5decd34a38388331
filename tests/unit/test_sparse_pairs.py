"""The convolution over pairs: sums in one pass with the bits of adding offset by offset, and its working memory."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sparse_oracle import random_sites

from regionzoo.sparse import sums
from regionzoo.sparse.native import NativeEngine
from regionzoo.sparse.pairs import CENTRE, Pairs
from regionzoo.sparse.pyramid import Pyramid
from regionzoo.sparse.scratch import KEPT_BYTES, Scratch

EXTENT = (24, 20, 22)


def offset_by_offset(
    feats: torch.Tensor, weight: torch.Tensor, grad: torch.Tensor, pairs: Pairs
) -> tuple[torch.Tensor, torch.Tensor]:
    """The convolution and the gradient of its features, each offset's products added to the sites they belong to."""
    kernel = weight.flatten(1, 3).permute(1, 2, 0)
    mirrored = weight.flatten(1, 3).transpose(0, 1).contiguous()
    out, grad_feats = feats @ kernel[CENTRE], grad @ mirrored[CENTRE]
    for offset, (rows, neighbours) in enumerate(pairs, start=CENTRE + 1):
        for k, to, source in ((offset, rows, neighbours), (26 - offset, neighbours, rows)):
            out.index_add_(0, to, feats[source] @ kernel[k])
            grad_feats.index_add_(0, source, grad[to] @ mirrored[k])
    return out, grad_feats


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kept", [KEPT_BYTES, 0], ids=["at once", "as they come"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_sums_have_the_bits_of_adding_offset_by_offset(dtype, kept, shuffled, monkeypatch):
    monkeypatch.setattr(sums, "KEPT_BYTES", kept)
    rng = torch.Generator().manual_seed(2)
    pyramid = Pyramid(random_sites(EXTENT, 2, 0.3, rng, shuffled), EXTENT, 1)
    count, pairs = len(pyramid.level(0)), pyramid.level(0).pairs
    feats = torch.randn(count, 24, generator=rng, dtype=dtype, requires_grad=True)
    weight = torch.randn(40, 3, 3, 3, 24, generator=rng, dtype=dtype)
    grad = torch.randn(count, 40, generator=rng, dtype=dtype)
    out = NativeEngine("pairs").subm3(feats, weight, pyramid, 0)
    out.backward(grad)
    expected, expected_grad = offset_by_offset(feats.detach(), weight, grad, pairs)
    assert torch.equal(out, expected)
    assert torch.equal(feats.grad, expected_grad)


def test_every_contribution_is_counted_once():
    rng = torch.Generator().manual_seed(3)
    level = Pyramid(random_sites(EXTENT, 2, 0.1, rng, True), EXTENT, 1).level(0)
    pairs = level.pairs
    for backward, sites in ((False, pairs.to), (True, pairs.source)):
        dense = pairs.summation(backward, torch.float64).to_dense()
        assert dense.shape == (len(level), len(level) + len(pairs))
        assert torch.equal(dense.argmax(0), torch.cat([torch.arange(len(level)), sites]))
        assert dense.sum(0).eq(1).all()


@given(sizes=st.lists(st.integers(0, 9), min_size=13, max_size=13), rows=st.integers(1, 60))
def test_groups_are_all_offsets_in_order(sizes, rows):
    pairs = Pairs([(torch.zeros(size, dtype=torch.long), torch.ones(size, dtype=torch.long)) for size in sizes], 2)
    groups = list(pairs.groups(rows))
    assert [k for group in groups for k in group.kernels] == pairs.kernels
    assert sorted(pairs.kernels) == [k for k in range(27) if k != CENTRE]
    assert [size for group in groups for size in group.sizes] == pairs.sizes
    assert [row for group in groups for row in range(len(pairs))[group.rows]] == list(range(len(pairs)))
    assert all(len(group) == sum(group.sizes) for group in groups)
    assert all(len(group) <= rows or len(group.kernels) == 1 for group in groups)


def test_scratch_is_used_again_and_grows():
    scratch, like = Scratch(), torch.zeros(())
    small = scratch.take("a", (3, 4), like)
    assert (small.shape, small.dtype) == ((3, 4), torch.float32)
    assert scratch.take("a", (2, 5), like).data_ptr() == small.data_ptr()
    assert scratch.take("b", (2, 5), like).data_ptr() != small.data_ptr()
    assert scratch.take("a", (2, 5), like.double()).dtype == torch.float64
    large = scratch.take("a", (30, 4), like)
    large.fill_(7)
    assert scratch.take("a", (3, 4), like).eq(7).all()


def test_threads_share_no_scratch():
    scratch, like = Scratch(), torch.zeros(())
    mine = scratch.take("a", (4,), like).fill_(1)

    def work() -> None:
        scratch.take("a", (4,), like).fill_(2)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert mine.eq(1).all()


def test_scratch_of_inference_serves_training():
    rng = torch.Generator().manual_seed(4)
    coords = random_sites(EXTENT, 1, 0.1, rng, True)
    weight = torch.randn(3, 3, 3, 3, 2, generator=rng, requires_grad=True)
    feats = torch.randn(len(coords), 2, generator=rng)

    def convolved() -> torch.Tensor:
        pyramid = Pyramid(coords, EXTENT, 1)
        return torch.cat([NativeEngine(path).subm3(feats, weight, pyramid, 0) for path in ("pairs", "table")])

    # A thread of its own has no memory yet, so the first convolution, in inference mode, must ask for it.
    results = []

    def work() -> None:
        with torch.inference_mode():
            results.append(convolved())
        out = convolved()
        out.sum().backward()
        results.append(out)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert torch.equal(*results)
    assert weight.grad is not None
