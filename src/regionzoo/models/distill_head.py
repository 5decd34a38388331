"""Distillation: point features pulled to given ones, such as OpenScene's fused features (paper, section 4.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regionzoo.models.batch import FeatureBatch
from regionzoo.models.triton_use import MAX_COLUMNS, runs_triton


def distill_loss(feats: Tensor, v2p: Tensor, targets: FeatureBatch | None) -> Tensor:
    """1 - mean over the points with a target of the cosine between feature and target; 0 where no point has one.

    feats: adapter features [V, D] of the voxels; v2p: int64 [N]. ``ValueError`` if the targets have another dimension.
    Points of a voxel share their feature, so their unit targets are summed per voxel first: the same mean. (The
    original gives NaN for an empty set.)
    """
    if targets is None or not len(targets.point_ids):
        return feats[:1].float().sum() * 0
    if targets.feats.shape[1] != feats.shape[1]:
        raise ValueError(f"targets of {targets.feats.shape[1]} dimensions for features of {feats.shape[1]}")
    with torch.autocast(feats.device.type, enabled=False):
        voxels = v2p.index_select(0, targets.point_ids)
        if runs_triton(feats) and feats.shape[1] <= MAX_COLUMNS:
            from regionzoo.models.distill_cuda import FusedCosine

            return 1 - FusedCosine.apply(feats, voxels, targets.feats) / len(targets.point_ids)
        voxel, row = torch.unique(voxels, return_inverse=True)
        unit = F.normalize(targets.feats.float(), dim=1)
        wanted = unit.new_zeros(len(voxel), unit.shape[1]).index_add_(0, row, unit)
        cosine = (F.normalize(feats.index_select(0, voxel).float(), dim=1) * wanted).sum()
        return 1 - cosine / len(targets.point_ids)
