"""The instance head's parameters, its voxels, its gradients, and the output of a scene."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from checkpoint_layout import instance_head
from grouping_cases import clusters, make_proposals

from regionzoo.models.instance_head import InstanceHead, proposal_cells
from regionzoo.models.instance_types import InstanceSettings, Proposals
from regionzoo.models.proposals import (
    InstanceClasses,
    evaluation_scores,
    instance_classes,
    instance_output,
    proposal_means,
    training_scores,
)
from regionzoo.models.settings import Partition
from regionzoo.sparse.native import NativeEngine

SETTINGS = InstanceSettings()
SCANNET = Partition((0, 1, 2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 16, 18), (5, 6, 10, 17), (19,))


def test_every_key_and_shape_in_the_originals_order():
    head, expected = InstanceHead(16), instance_head("", 16)
    assert [(key, list(value.shape)) for key, value in head.state_dict().items()] == list(expected.items())
    assert len(expected) == 105 and sum(p.numel() for p in head.parameters()) == 182_837
    assert all(p.requires_grad for p in head.parameters())


def cloud(seed: int = 0, count: int = 600) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Proposals]:
    rng = np.random.default_rng(seed)
    points = torch.from_numpy(clusters(count, rng, 0.15))
    v2p = torch.from_numpy(rng.integers(0, count // 2, count))
    feats = torch.from_numpy(rng.standard_normal((count // 2, 8)).astype(np.float32))
    parts = [sorted(rng.choice(count, size, replace=False).tolist()) for size in (150, 1, 90, 2)]
    return feats, v2p, points, make_proposals(parts)


def test_offsets_of_points():
    head = InstanceHead(8).eval()
    feats, v2p, *_ = cloud()
    found = head.offsets(feats, v2p)
    torch.testing.assert_close(found, head.offset_linear(feats[v2p]))
    # In training the statistics are those of the points.
    head.train().offsets(feats, v2p)
    first = head.offset_linear[0](feats[v2p])
    torch.testing.assert_close(head.offset_linear[1].running_mean, 0.1 * first.mean(0))


def cells_by_hand(points: np.ndarray, shift: np.ndarray | None) -> np.ndarray:
    extent = float((points.max(0) - points.min(0)).max())
    scale = min(50.0, 20 / extent - 0.01) if extent else 50.0
    low = points.min(0) * scale
    if shift is not None:
        free = 20 - (points.max(0) - points.min(0)) * scale
        low = low - np.maximum(free - 0.001, 0) * shift[0] - np.minimum(free + 0.001, 0) * shift[1]
    return np.floor(points * scale - low)


@pytest.mark.parametrize("training", [False, True])
def test_cells_of_proposals(training):
    _, _, points, proposals = cloud()
    here = points[proposals.point_ids]
    generator = torch.Generator().manual_seed(4) if training else None
    cells = proposal_cells(here, proposals.rows, len(proposals), SETTINGS, generator)
    assert int(cells.min()) >= 0 and int(cells.max()) < 20
    shift = torch.rand((2, 3), generator=torch.Generator().manual_seed(4)).numpy() if training else None
    expected = [cells_by_hand(part.double().numpy(), shift) for part in torch.split(here, proposals.sizes.tolist())]
    off = (cells.numpy() - np.concatenate(expected)) != 0
    # float32 against float64 at cell borders.
    assert off.mean() < 0.01
    if not training:
        low = torch.stack([part.amin(0) for part in torch.split(cells, proposals.sizes.tolist())])
        assert (low == 0).all()


@pytest.mark.parametrize("extent", [0.0, 1e-6, 0.39, 0.3999, 0.4, 0.41, 3.0, 60.0])
@pytest.mark.parametrize("place", [0.0, -7.3, 35.0])
def test_cells_stay_in_the_grid(extent, place):
    rng = np.random.default_rng(1)
    points = torch.from_numpy((place + extent * rng.random((400, 3)).round(1)).astype(np.float32))
    rows = torch.zeros(400, dtype=torch.int64)
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed) if seed else None
        local = proposal_cells(points, rows, 1, SETTINGS, generator)
        assert int(local.min()) >= 0 and int(local.max()) <= 19
        assert (local.amax(0) - local.amin(0)).max() <= math.ceil(min(50 * extent, 20))


def test_refinement_of_one_proposal_does_not_depend_on_others():
    torch.manual_seed(0)
    head = InstanceHead(8).eval()
    feats, v2p, points, proposals = cloud()
    together = head.refine(feats, v2p, points, proposals, SETTINGS, NativeEngine())
    assert together.mask_logits.shape == proposals.point_ids.shape and together.iou_logits.shape == (4,)
    parts = torch.split(proposals.point_ids, proposals.sizes.tolist())
    for p, mask in enumerate(torch.split(together.mask_logits, proposals.sizes.tolist())):
        alone = head.refine(feats, v2p, points, make_proposals([parts[p].tolist()]), SETTINGS, NativeEngine())
        torch.testing.assert_close(alone.mask_logits, mask)
        torch.testing.assert_close(alone.iou_logits, together.iou_logits[p : p + 1])


def test_refinement_is_pooling_then_linear_maps():
    """With the convolutions silenced, what is left is the mean of a cell's features."""
    torch.manual_seed(0)
    head = InstanceHead(8).eval()
    with torch.no_grad():
        for name, value in head.tiny_unet.named_parameters():
            if name.split(".")[-2] in ("2", "5") and value.ndim == 5:
                value.zero_()
        tail = head.tiny_unet.blocks_tail[0].i_branch[0].weight
        tail.zero_()[:, 0, 0, 0, :8] = torch.eye(8)
    feats, v2p, points, proposals = cloud()
    refined = head.refine(feats, v2p, points, proposals, SETTINGS, NativeEngine())
    cells = proposal_cells(points[proposals.point_ids], proposals.rows, 4, SETTINGS, None)
    keys = [(int(p), *map(int, cell)) for p, cell in zip(proposals.rows, cells, strict=True)]
    inside = feats[v2p[proposals.point_ids]]
    pooled = {key: inside[[i for i, other in enumerate(keys) if other == key]].mean(0) for key in set(keys)}
    scaled = {key: (value / math.sqrt(1 + 1e-4)).relu() for key, value in pooled.items()}
    torch.testing.assert_close(
        refined.mask_logits, torch.stack([head.mask_linear(scaled[key])[0] for key in keys]), rtol=1e-4, atol=1e-5
    )
    means = [torch.stack([value for key, value in scaled.items() if key[0] == p]).mean(0) for p in range(4)]
    torch.testing.assert_close(
        refined.iou_logits, head.iou_score_linear(torch.stack(means)).squeeze(1), rtol=1e-4, atol=1e-5
    )


def test_training_twice_gives_the_same_bits_and_reaches_everything():
    feats, v2p, points, proposals = cloud()
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        head = InstanceHead(8).train()
        leaf = feats.clone().requires_grad_()
        generator = torch.Generator().manual_seed(7)
        with torch.autocast("cpu", torch.bfloat16):
            refined = head.refine(leaf, v2p, points, proposals, SETTINGS, NativeEngine(), generator)
            offsets = head.offsets(leaf, v2p)
        assert refined.mask_logits.dtype == offsets.dtype == torch.float32
        (refined.mask_logits.sum() + refined.iou_logits.sum() + offsets.square().sum()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
        results.append([refined.mask_logits, refined.iou_logits, leaf.grad, *(p.grad for p in head.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    torch.manual_seed(0)
    moved = (
        InstanceHead(8)
        .train()
        .refine(feats, v2p, points, proposals, SETTINGS, NativeEngine(), torch.Generator().manual_seed(8))
    )
    assert not torch.equal(moved.mask_logits, results[0][0])


def test_nothing_to_refine():
    feats, v2p, points, _ = cloud()
    refined = InstanceHead(8).refine(feats, v2p, points, make_proposals([]), SETTINGS, NativeEngine())
    assert refined.mask_logits.shape == refined.iou_logits.shape == (0,)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_cuda_agrees_with_the_cpu():
    torch.manual_seed(0)
    head = InstanceHead(8).eval()
    feats, v2p, points, proposals = cloud()
    here = head.refine(feats, v2p, points, proposals, SETTINGS, NativeEngine(), torch.Generator().manual_seed(1))
    there = head.cuda().refine(
        feats.cuda(), v2p.cuda(), points.cuda(), proposals.to("cuda"), SETTINGS, NativeEngine(),
        torch.Generator().manual_seed(1),
    )  # fmt: skip
    torch.testing.assert_close(there.mask_logits.cpu(), here.mask_logits, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(there.iou_logits.cpu(), here.iou_logits, rtol=1e-3, atol=1e-4)


# -- scores, means, output ------------------------------------------------------------------------------------------


def test_scores():
    rng = torch.Generator().manual_seed(0)
    logits, binary = torch.randn(7, 20, generator=rng), torch.randn(7, generator=rng)
    torch.testing.assert_close(training_scores(logits), logits.softmax(1))
    logits[:, 19] = -1e6
    torch.testing.assert_close(evaluation_scores(logits, None, SCANNET), logits.softmax(1))
    found = evaluation_scores(logits, binary, SCANNET)
    for i in range(7):
        base = logits[i, list(SCANNET.base_idx)].softmax(0) * torch.sigmoid(binary[i])
        novel = logits[i, list(SCANNET.novel_idx)].softmax(0) * (1 - torch.sigmoid(binary[i]))
        torch.testing.assert_close(found[i, list(SCANNET.base_idx)], base)
        torch.testing.assert_close(found[i, list(SCANNET.novel_idx)], novel)
    assert (found[:, 19] == 0).all()


def test_instance_classes():
    found = instance_classes(SCANNET, SETTINGS)
    assert found.positions == tuple(range(2, 19))
    # reference: base_inst = base_class_idx[2:] - 2, novel_inst = novel_class_idx - 2
    assert found.base == tuple(c - 2 for c in SCANNET.base_idx[2:])
    assert found.novel == tuple(c - 2 for c in SCANNET.novel_idx)
    gaps = instance_classes(Partition((0, 1, 4), (3, 5), (2,)), SETTINGS)
    assert gaps == InstanceClasses((3, 4, 5), (1,), (0, 2))


def test_means_of_proposals():
    values = torch.arange(12.0).view(6, 2)
    proposals = make_proposals([[0, 1, 5], [2], []])
    v2p = torch.tensor([5, 5, 0, 1, 1, 2])
    expected = torch.tensor([[8.0, 9.0], [0.0, 1.0], [0.0, 0.0]])  # (10 + 10 + 4) / 3
    torch.testing.assert_close(proposal_means(values, v2p, proposals), expected)


def output_by_hand(
    parts: list[list[int]], mask: np.ndarray, iou: np.ndarray, probability: np.ndarray, settings: InstanceSettings
) -> list[tuple[int, float, list[int]]]:
    bounds = np.cumsum([0] + [len(part) for part in parts])
    found = []
    for j in range(probability.shape[1]):
        for p, part in enumerate(parts):
            points = [i for i, m in zip(part, mask[bounds[p] : bounds[p + 1]], strict=True) if m > -0.5]
            if probability[p, j] > settings.min_class_score and len(points) >= settings.min_mask_points:
                found.append((j + 2, probability[p, j] / (1 + math.exp(-iou[p])), points))
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("binary", [False, True])
def test_output_equals_the_text(seed, binary):
    rng = np.random.default_rng(seed)
    settings = InstanceSettings(min_mask_points=6, min_class_score=0.05)
    parts = [sorted(rng.choice(40, rng.integers(3, 20), replace=False).tolist()) for _ in range(6)]
    proposals = make_proposals(parts)
    mask = rng.normal(0.2, 1, len(proposals.point_ids)).astype(np.float32)
    iou, logits = rng.normal(size=6).astype(np.float32), rng.normal(0, 2, (6, 5)).astype(np.float32)
    sure = rng.normal(size=6).astype(np.float32)
    classes = InstanceClasses((2, 3, 4, 5, 6), (0, 3), (1, 2, 4))
    exp = np.exp(logits.astype(np.float64))
    if binary:
        share = 1 / (1 + np.exp(-sure.astype(np.float64)))[:, None]
        probability = np.zeros_like(exp)
        probability[:, [0, 3]] = exp[:, [0, 3]] / exp[:, [0, 3]].sum(1, keepdims=True) * share
        probability[:, [1, 2, 4]] = exp[:, [1, 2, 4]] / exp[:, [1, 2, 4]].sum(1, keepdims=True) * (1 - share)
    else:
        probability = exp / exp.sum(1, keepdims=True)
    found = instance_output(
        proposals,
        *(torch.from_numpy(part) for part in (mask, iou, logits)),
        torch.from_numpy(sure) if binary else None,
        classes,
        settings,
    )
    expected = output_by_hand(parts, mask, iou, probability, settings)
    assert expected and found.label.tolist() == [label for label, _, _ in expected]
    np.testing.assert_allclose(found.score, [score for _, score, _ in expected], rtol=1e-5)
    assert [found.points_of(m).tolist() for m in found.mask] == [points for *_, points in expected]
    # Masks are kept once, and none without a prediction.
    assert sorted(set(found.mask.tolist())) == list(range(len(found.mask_offsets) - 1))
    assert found.mask_offsets[-1] == len(found.mask_points) and not found.no_proposals
    assert (found.mask.dtype, found.label.dtype, found.score.dtype) == (np.int32, np.int16, np.float32)


def test_output_without_proposals():
    empty = torch.zeros(0)
    found = instance_output(
        make_proposals([]), empty, empty, torch.zeros(0, 2), empty, InstanceClasses((2, 3), (0,), (1,)), SETTINGS
    )
    assert found.no_proposals and len(found.mask) == len(found.mask_points) == 0
    assert found.mask_offsets.tolist() == [0]
