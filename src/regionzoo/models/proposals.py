"""Values of proposals: class scores that make them, means over their points, and what a scene's output is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regionzoo.models.instance_types import InstanceSettings, Proposals
from regionzoo.models.settings import Partition
from regionzoo.models.text_head import calibrate


def training_scores(logits: Tensor) -> Tensor:
    """Class probabilities for grouping in training: float32 [V, base classes] from logits of the base columns."""
    return logits.detach().float().softmax(1)


def evaluation_scores(logits: Tensor, binary_logit: Tensor | None, partition: Partition) -> Tensor:
    """Class probabilities for grouping at test, float32 [V, classes], from masked, uncalibrated logits [V, classes].

    binary_logit: logit of "base" [V]; without it a softmax over all classes that are not ignored.
    """
    if binary_logit is None:
        return logits.float().softmax(1)
    return calibrate(logits.float(), binary_logit.float(), partition.base_idx, partition.novel_idx)


def proposal_means(values: Tensor, v2p: Tensor, proposals: Proposals) -> Tensor:
    """float32 [P, C]: mean over each proposal's points of per-voxel values [V, C]; v2p int64 [N]."""
    per_point = values.float().index_select(0, v2p.index_select(0, proposals.point_ids))
    sums = per_point.new_zeros((len(proposals), values.shape[1])).index_add_(0, proposals.rows, per_point)
    return sums / proposals.sizes.clamp(min=1).unsqueeze(1)


@dataclass(frozen=True)
class InstanceClasses:
    """positions: class positions of the J classes that have instances, ascending; base, novel: places in that list."""

    positions: tuple[int, ...]
    base: tuple[int, ...]
    novel: tuple[int, ...]


def instance_classes(partition: Partition, settings: InstanceSettings) -> InstanceClasses:
    """The instance classes of a partition: all from ``settings.shift`` on that are not ignored."""
    positions = tuple(c for c in sorted(partition.base_idx + partition.novel_idx) if c >= settings.shift)
    base, novel = (
        tuple(j for j, c in enumerate(positions) if c in role) for role in (partition.base_idx, partition.novel_idx)
    )
    return InstanceClasses(positions, base, novel)


@dataclass(frozen=True)
class InstanceOutput:
    """Masks of a scene and the predictions that they make.

    mask_offsets: int64 [M + 1]; mask_points: int64 [mask_offsets[-1]], mask m has the points
    ``mask_points[mask_offsets[m]:mask_offsets[m + 1]]``, ascending; every mask has a prediction. mask: int32 [R], mask
    of each prediction; label: int16 [R], class position in the whole set; score: float32 [R]. Predictions stand class
    by class, within a class by proposal, as the original's.
    """

    mask_offsets: np.ndarray
    mask_points: np.ndarray
    mask: np.ndarray
    label: np.ndarray
    score: np.ndarray
    no_proposals: bool

    def points_of(self, mask: int) -> np.ndarray:
        """Points of one mask."""
        return self.mask_points[self.mask_offsets[mask] : self.mask_offsets[mask + 1]]


@torch.no_grad()
def instance_output(
    proposals: Proposals,
    mask_logits: Tensor,
    iou_logits: Tensor,
    class_logits: Tensor,
    binary_logits: Tensor | None,
    classes: InstanceClasses,
    settings: InstanceSettings,
) -> InstanceOutput:
    """Predictions of a scene (reference: instance section 8).

    mask_logits: [offsets[-1]] and iou_logits: [P] from the head. class_logits: [P, J], mean uncalibrated logits of the
    instance classes; binary_logits: [P], mean logit of "base", or None without a binary head.
    """
    logits = class_logits.float()
    if binary_logits is None:
        probability = logits.softmax(1)
    else:
        probability = calibrate(logits, binary_logits.float(), classes.base, classes.novel)
    inside = mask_logits > settings.mask_threshold
    sizes = torch.bincount(proposals.rows[inside], minlength=len(proposals))
    kept = (probability > settings.min_class_score) & (sizes >= settings.min_mask_points).unsqueeze(1)
    score = probability * iou_logits.float().sigmoid().unsqueeze(1)
    label, proposal = kept.t().nonzero(as_tuple=True)
    used = kept.any(1)
    number = used.cumsum(0) - 1
    points = proposals.point_ids[inside & used.index_select(0, proposals.rows)]
    return InstanceOutput(
        mask_offsets=np.concatenate([[0], np.cumsum(sizes[used].cpu().numpy())]).astype(np.int64),
        mask_points=points.cpu().numpy(),
        mask=number[proposal].cpu().numpy().astype(np.int32),
        label=np.array(classes.positions, np.int16)[label.cpu().numpy()],
        score=score[proposal, label].cpu().numpy().astype(np.float32),
        no_proposals=not len(proposals),
    )
