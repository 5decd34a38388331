"""Losses of the instance head against loops over proposals, instances and points."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from grouping_cases import make_proposals

from regionzoo.models.instance_head import Refined
from regionzoo.models.instance_loss import InstanceTargets, best_overlap, instance_losses, offset_loss
from regionzoo.models.instance_types import InstanceSettings, Proposals

SETTINGS = InstanceSettings()


def overlap(points: set[int], labels: list[int], instance: int) -> float:
    whole = {i for i, label in enumerate(labels) if label == instance}
    return len(points & whole) / (len(points) + len(whole) - len(points & whole) + 1e-5)


def by_hand(
    parts: list[list[int]], labels: list[int], classes: list[int], mask: list[float], iou: list[float]
) -> tuple[float, float]:
    valid = [i for i, c in enumerate(classes) if c >= 0]
    masks = weights = errors = positives = at = 0
    for p, part in enumerate(parts):
        logits = dict(zip(part, mask[at : at + len(part)], strict=True))
        at += len(part)
        best = max(valid, key=lambda i: (overlap(set(part), labels, i), -i))
        if overlap(set(part), labels, best) < 0.5:
            continue
        positives += 1
        for i, logit in logits.items():
            inside = 1 / (1 + math.exp(-logit))
            masks -= math.log(inside if labels[i] == best else 1 - inside)
            weights += 1
        kept = {i for i, logit in logits.items() if 1 / (1 + math.exp(-logit)) > 0.5}
        errors += (iou[p] - max(overlap(kept, labels, i) for i in valid)) ** 2
    return masks / (weights + 1), errors / (positives + 1)


def case(seed: int) -> tuple[list[list[int]], list[int], list[int], list[float], list[float]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 4, 60)
    parts = []
    for p in range(7):
        part = rng.random(60) < 0.2
        if p < 5:
            part = ((labels == p % 4) & (rng.random(60) < 0.9)) | (rng.random(60) < 0.04)
        parts.append(np.flatnonzero(part).tolist())
    entries = sum(map(len, parts))
    classes = [0, 3, -100 if seed % 2 else 2, 5]
    signs = rng.normal(1, 1.5, entries).tolist()
    return parts, np.where(labels < 0, -100, labels).tolist(), classes, signs, rng.normal(size=7).tolist()


def targets_of(labels: list[int], classes: list[int]) -> InstanceTargets:
    return InstanceTargets(torch.tensor(labels), torch.tensor(classes), torch.zeros(len(labels), 3))


@pytest.mark.parametrize("seed", range(20))
def test_mask_and_iou_loss(seed):
    parts, labels, classes, mask, iou = case(seed)
    refined = Refined(torch.tensor(mask), torch.tensor(iou))
    found = instance_losses(torch.zeros(60, 3), targets_of(labels, classes), make_proposals(parts), refined, SETTINGS)
    expected = by_hand(parts, labels, classes, mask, iou)
    assert expected[0] > 0 and expected[1] > 0
    assert float(found.mask) == pytest.approx(expected[0], rel=1e-5)
    assert float(found.iou) == pytest.approx(expected[1], rel=1e-5)


def test_golden_numbers():
    # Instance 0: points 0..3, proposal 0: points 0..4. IoU 4/5. Proposal 1 has one point of instance 1's three.
    targets = targets_of([0, 0, 0, 0, -100, 1, 1, 1], [2, 7])
    proposals = make_proposals([[0, 1, 2, 3, 4], [4, 5]])
    iou, best = best_overlap(proposals, targets)
    assert iou.tolist() == pytest.approx([4 / 5.00001, 1 / 4.00001]) and best.tolist() == [0, 1]
    logits = torch.tensor([2.0, 2.0, -2.0, 2.0, -2.0, 9.0, 9.0])
    found = instance_losses(torch.zeros(8, 3), targets, proposals, Refined(logits, torch.tensor([1.0, 5.0])), SETTINGS)
    # Four points right by log(1 + e^-2), one wrong by log(1 + e^2); five points and one.
    assert float(found.mask) == pytest.approx((4 * math.log1p(math.exp(-2)) + math.log1p(math.exp(2))) / 6)
    assert float(found.iou) == pytest.approx((1 - 3 / 4.00001) ** 2 / 2)
    assert float(found.total) == pytest.approx(float(found.mask + found.iou))


def test_offset_loss():
    targets = InstanceTargets(
        torch.tensor([0, -100, 1]),
        torch.tensor([0, 0]),
        torch.tensor([[1.0, 2.0, 3.0], [-100.0, -100.0, -100.0], [0.0, 0.0, 0.0]]),
    )
    offsets = torch.tensor([[0.0, 2.5, 3.0], [5.0, 5.0, 5.0], [1.0, -1.0, 0.5]], requires_grad=True)
    loss = offset_loss(offsets, targets)
    assert loss.item() == pytest.approx((1.5 + 2.5) / 2)
    loss.backward()
    assert offsets.grad.tolist() == [[-0.5, 0.5, 0.0], [0.0] * 3, [0.5, -0.5, 0.5]]


def nothing(parts: list[list[int]], labels: list[int], classes: list[int]) -> tuple[Proposals, InstanceTargets]:
    return make_proposals(parts), targets_of(labels, classes)


@pytest.mark.parametrize(
    ("parts", "labels", "classes"),
    [
        ([], [0, 0, -100], [3]),  # no proposal
        ([[0, 1]], [-100] * 3, []),  # no instance
        ([[0, 1]], [0, 0, -100], [-100]),  # none that takes part
        ([[2]], [0, 0, -100], [3]),  # no overlap
        ([[0, 2]], [0, 0, -100], [3]),  # too little
    ],
)
def test_losses_are_zero_where_there_is_nothing_to_compare(parts, labels, classes):
    proposals, targets = nothing(parts, labels, classes)
    mask, iou = torch.ones(len(proposals.point_ids)), torch.ones(len(proposals))
    found = instance_losses(torch.ones(3, 3), targets, proposals, Refined(mask, iou), SETTINGS)
    assert float(found.mask) == float(found.iou) == 0
    warm = instance_losses(torch.ones(3, 3), targets, None, None, SETTINGS)
    assert torch.equal(warm.offset, found.offset) and float(warm.total) == float(warm.offset)


def test_gradients_reach_positive_proposals_only():
    parts, labels, classes, mask, iou = case(0)
    proposals, targets = make_proposals(parts), targets_of(labels, classes)
    refined = Refined(torch.tensor(mask, requires_grad=True), torch.tensor(iou, requires_grad=True))
    instance_losses(torch.zeros(60, 3), targets, proposals, refined, SETTINGS).total.backward()
    positive = best_overlap(proposals, targets)[0] >= 0.5
    assert 0 < int(positive.sum()) < 7
    assert torch.equal(refined.iou_logits.grad != 0, positive)
    assert torch.equal(refined.mask_logits.grad != 0, positive[proposals.rows])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_cuda_agrees_with_the_cpu():
    parts, labels, classes, mask, iou = case(2)
    targets = targets_of(labels, classes)
    there = InstanceTargets(targets.labels.cuda(), targets.classes.cuda(), targets.offsets.cuda())
    found = instance_losses(
        torch.zeros(60, 3).cuda(), there, make_proposals(parts).to("cuda"),
        Refined(torch.tensor(mask).cuda(), torch.tensor(iou).cuda()), SETTINGS,
    )  # fmt: skip
    expected = by_hand(parts, labels, classes, mask, iou)
    assert (float(found.mask), float(found.iou)) == pytest.approx(expected, rel=1e-4)
