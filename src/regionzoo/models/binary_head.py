"""Base-or-novel head: a second decoder over the backbone's encoder features (paper, section 3.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regionzoo.models.blocks import Grid, StrideBlock, Up2, residual_blocks
from regionzoo.models.counting import tally
from regionzoo.models.norm import VoxelNorm
from regionzoo.models.settings import ModelSettings


class UBlockDecoder(nn.Module):
    """Decoder half of :class:`~regionzoo.models.unet.UBlock`, with its own weights and the backbone's maps."""

    def __init__(self, widths: tuple[int, ...], reps: int, level: int = 0) -> None:
        super().__init__()
        self.level = level
        self.deepest = level == len(widths) - 1
        if not self.deepest:
            self.u = UBlockDecoder(widths, reps, level + 1)
            self.deconv = StrideBlock(Up2, widths[level + 1], widths[level], level)
            self.blocks_tail = residual_blocks(2 * widths[level], widths[level], level, reps)

    def forward(self, encoded: list[Tensor], grid: Grid) -> Tensor:
        """Encoder features of all levels -> [V, c] at this level."""
        lateral = encoded[self.level]
        if self.deepest:
            return lateral
        up = self.deconv(self.u(encoded, grid), grid)
        return self.blocks_tail(torch.cat([lateral, up], 1), grid)


class BinaryHead(nn.Module):
    """Logit of "belongs to a base class" for every voxel.

    The original detaches the lateral skips but not the bottleneck, so the binary loss reaches the backbone's encoder
    through the coarsest level; ``detach_bottleneck`` closes that path too.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width = settings.widths[0]
        self.detach_bottleneck = settings.detach_bottleneck
        self.binary_encoder = UBlockDecoder(settings.widths, settings.block_reps)
        self.binary_classifier = nn.Sequential(VoxelNorm(width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, encoded: list[Tensor], grid: Grid) -> Tensor:
        """Encoder features E_1..E_L -> logit [V]."""
        bottleneck = encoded[-1].detach() if self.detach_bottleneck else encoded[-1]
        laterals = [feats.detach() for feats in encoded[:-1]]
        return self.binary_classifier(self.binary_encoder([*laterals, bottleneck], grid)).squeeze(1)


def binary_loss(voxel_logit: Tensor, v2p: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy, mean over the labelled points; 0 where there is none (the original gets NaN).

    voxel_logit: [V]; v2p: int64 [N]; labels: float32 [N], 1 or 0, anything negative is ignored. Points of one voxel
    share their logit, so counting labels per voxel gives the mean over points, and the same sum in every run.
    """
    logit = voxel_logit.float()
    positive = tally(v2p, labels == 1, len(logit))
    total = tally(v2p, labels >= 0, len(logit))
    loss = positive * F.softplus(-logit) + (total - positive) * F.softplus(logit)
    return loss.sum() / total.sum().clamp(min=1)
