"""Caption head: region-language contrast of points with the captions of a batch (paper, section 3.3)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regionzoo.classes import IGNORE
from regionzoo.models.batch import CaptionBatch
from regionzoo.models.caption_loss import RegionMean, ScoreLoss, count_cells
from regionzoo.models.settings import CaptionSettings
from regionzoo.models.triton_use import MAX_COLUMNS, runs_triton

INITIAL_SCALE = math.log(1 / 0.07)


class CaptionHead(nn.Module):
    """Weighted caption loss. Its one parameter is the logarithm of the logit scale; there is no upper bound on it.

    The parameter exists in every row, with or without captions, as in the original.
    """

    def __init__(self, settings: CaptionSettings | None) -> None:
        super().__init__()
        self.settings = settings
        trainable = settings is not None and settings.logit_scale_trainable
        self.caption_logit_scale = nn.Parameter(torch.tensor(INITIAL_SCALE), requires_grad=trainable)

    def forward(self, feats: Tensor, v2p: Tensor, captions: CaptionBatch | None, binary: Tensor | None) -> Tensor:
        """Loss of a batch, in float32.

        feats: adapter features [V, D] of the voxels; v2p: int64 [N]; binary: float32 [N] binary labels or None.
        Without settings, captions or surviving points the loss is 0.
        """
        settings = self.settings
        # 0 * features, as in the original, keeps every parameter in the graph; a sum over a slice is enough for that.
        if settings is None or settings.weight == 0 or captions is None or not captions.point_ids.numel():
            return feats[:1].float().sum() * 0
        if settings.novel_grad_only and binary is None:
            raise ValueError("novel_grad_only needs the batch's binary labels")
        with torch.autocast(feats.device.type, enabled=False):
            sizes = captions.offsets.diff()
            numbers = torch.arange(len(sizes), device=sizes.device)
            # With the length given, a GPU is not asked for it.
            region = torch.repeat_interleave(numbers, sizes, output_size=len(captions.point_ids))
            voxel = v2p.index_select(0, captions.point_ids)
            free = None
            if settings.novel_grad_only:
                free = binary.index_select(0, captions.point_ids) != 1
            loss = self._score if settings.pool == "score" else self._feat
            return settings.weight * loss(feats, captions, region, voxel, free)

    def _score(
        self, feats: Tensor, captions: CaptionBatch, region: Tensor, voxel: Tensor, free: Tensor | None
    ) -> Tensor:
        """Mean over (region, point) incidences of -log p(caption | point).

        This is the original's mean over regions of per-region means, weighted by their number of points. Points of a
        voxel share their features, so each voxel that a caption covers is scored once.
        """
        texts = captions.text_vectors
        if runs_triton(feats) and max(texts.shape) <= MAX_COLUMNS:
            from regionzoo.models.caption_loss_cuda import FusedScoreLoss, incidences

            pairs = incidences(voxel, captions.targets[region], free, len(feats), len(texts))
            return FusedScoreLoss.apply(feats, self.caption_logit_scale, texts, pairs)
        feats = feats.float()
        covered = torch.zeros(len(feats), dtype=torch.bool, device=feats.device)
        covered[voxel] = True
        rows = covered.nonzero().squeeze(1)
        row_of_voxel = torch.empty(len(feats), dtype=torch.int64, device=feats.device)
        row_of_voxel[rows] = torch.arange(len(rows), device=feats.device)
        cell = row_of_voxel[voxel] * len(texts) + captions.targets[region]
        points = F.normalize(feats.index_select(0, rows), dim=1)
        return ScoreLoss.apply(
            points,
            self.caption_logit_scale,
            texts,
            count_cells(cell),
            count_cells(cell if free is None else cell[free]),
        )

    def _feat(
        self, feats: Tensor, captions: CaptionBatch, region: Tensor, voxel: Tensor, free: Tensor | None
    ) -> Tensor:
        """Mean over regions of -log p(caption | mean feature of the region)."""
        count = captions.offsets.diff()
        share = (1 / count.clamp(min=1).float())[region]
        if runs_triton(feats):
            from regionzoo.models.caption_loss_cuda import FusedRegionMean

            pooled = FusedRegionMean.apply(feats, region, voxel, share, free, captions.offsets)
        else:
            pooled = RegionMean.apply(feats.float(), region, voxel, share, free, len(count))
        scores = F.normalize(pooled, dim=1) @ captions.text_vectors.t() * self.caption_logit_scale.exp()
        # A region without points has no mean: it is left out, its row of zeros is not looked at.
        return F.cross_entropy(scores, captions.targets.where(count > 0, IGNORE), ignore_index=IGNORE)
