"""Losses of the instance head (reference: instance sections 3 and 7); overlaps are counted sparsely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from regionzoo.models.instance_head import Refined
from regionzoo.models.instance_types import InstanceSettings, Proposals


@dataclass(frozen=True)
class InstanceTargets:
    """What the head is to find in a batch of N points.

    labels: int64 [N], instance 0..I-1, unique in the batch; negative for none. classes: int64 [I], instance class of
    each, negative for one that takes no part. offsets: float32 [N, 3], vector to the instance's centre (any value
    where there is no instance).
    """

    labels: Tensor
    classes: Tensor
    offsets: Tensor


@dataclass(frozen=True)
class InstanceLosses:
    """Scalars; each is 0 where it has nothing to compare. mask and iou are 0 during warm-up."""

    offset: Tensor
    mask: Tensor
    iou: Tensor

    @property
    def total(self) -> Tensor:
        """Their unweighted sum."""
        return self.offset + self.mask + self.iou


def offset_loss(offsets: Tensor, targets: InstanceTargets) -> Tensor:
    """Sum over the axes of the absolute error, mean over the points of instances. offsets: [N, 3]."""
    valid = targets.labels >= 0
    error = torch.where(valid.unsqueeze(1), offsets.float() - targets.offsets, 0)
    return error.abs().sum() / valid.sum().clamp(min=1)


def instance_losses(
    offsets: Tensor,
    targets: InstanceTargets,
    proposals: Proposals | None,
    refined: Refined | None,
    settings: InstanceSettings,
) -> InstanceLosses:
    """All three losses; without proposals (warm-up) the offset loss alone.

    offsets: [N, 3], predicted. proposals: of the batch, any classes. refined: the head's logits for them.
    """
    offset = offset_loss(offsets, targets)
    if proposals is None or refined is None or not len(proposals) or not len(targets.classes):
        return InstanceLosses(offset, offset.new_zeros(()), offset.new_zeros(()))
    iou, best = best_overlap(proposals, targets)
    positive = (iou >= settings.positive_iou) & (best >= 0)
    mask = _mask_loss(refined.mask_logits, proposals, targets, best, positive)
    with torch.no_grad():
        # sigmoid(x) > 0.5
        wanted, _ = best_overlap(proposals, targets, refined.mask_logits > 0)
    error = (refined.iou_logits - wanted).square()
    return InstanceLosses(offset, mask, torch.where(positive, error, 0).sum() / (positive.sum() + 1))


@torch.no_grad()
def best_overlap(proposals: Proposals, targets: InstanceTargets, inside: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """IoU with the best instance, float32 [P], and that instance, int64 [P]; 0 and -1 for a proposal without overlap.

    inside: bool [offsets[-1]], entries of ``point_ids`` that count; None for all. Of equal instances the first. Sizes
    of instances count all points of the batch, and 1e-5 is added to the union, as in the original.
    """
    count, instances = len(proposals), len(targets.classes)
    rows, labels = proposals.rows, targets.labels.index_select(0, proposals.point_ids)
    if inside is None:
        sizes = proposals.sizes
    else:
        rows, labels = rows[inside], labels[inside]
        sizes = torch.bincount(rows, minlength=count)
    valid = labels >= 0
    pairs, common = torch.unique(rows[valid] * instances + labels[valid], return_counts=True)
    row, instance = torch.div(pairs, instances, rounding_mode="floor"), pairs % instances
    counted = targets.classes.index_select(0, instance) >= 0
    row, instance, common = row[counted], instance[counted], common[counted].float()
    points = torch.bincount(targets.labels[targets.labels >= 0], minlength=instances)
    union = sizes.index_select(0, row) + points.index_select(0, instance) - common
    iou = common / (union + 1e-5)
    best = iou.new_zeros(count).scatter_reduce_(0, row, iou, "amax")
    first = torch.full((count,), instances, device=row.device)
    first.scatter_reduce_(0, row, torch.where(iou == best.index_select(0, row), instance, instances), "amin")
    return best, torch.where(first < instances, first, -1)


def _mask_loss(
    logits: Tensor, proposals: Proposals, targets: InstanceTargets, best: Tensor, positive: Tensor
) -> Tensor:
    """Binary cross entropy over the points of positive proposals, with 1 added to their number as in the original."""
    rows = proposals.rows
    weight = positive.index_select(0, rows)
    wanted = targets.labels.index_select(0, proposals.point_ids) == best.index_select(0, rows)
    terms = F.binary_cross_entropy_with_logits(logits, wanted.to(logits.dtype), reduction="none")
    return torch.where(weight, terms, 0).sum() / (weight.sum() + 1)
