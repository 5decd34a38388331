"""The sparse residual U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regionzoo.models.blocks import Down2, Grid, SparseSequential, StrideBlock, SubM3, Up2, residual_blocks
from regionzoo.models.norm import VoxelNorm


class UBlock(nn.Module):
    """Level ``level`` of the U-Net and, as ``u``, all coarser ones."""

    def __init__(self, widths: tuple[int, ...], reps: int, level: int = 0) -> None:
        super().__init__()
        width = widths[level]
        self.blocks = residual_blocks(width, width, level, reps)
        self.deepest = level == len(widths) - 1
        if not self.deepest:
            self.conv = StrideBlock(Down2, width, widths[level + 1], level)
            self.u = UBlock(widths, reps, level + 1)
            self.deconv = StrideBlock(Up2, widths[level + 1], width, level)
            self.blocks_tail = residual_blocks(2 * width, width, level, reps)

    def forward(self, feats: Tensor, grid: Grid, encoded: list[Tensor]) -> Tensor:
        """[V, c] -> [V, c] at this level; appends the encoder's features of this and all coarser levels."""
        feats = self.blocks(feats, grid)
        encoded.append(feats)
        if self.deepest:
            return feats
        up = self.deconv(self.u(self.conv(feats, grid), grid, encoded), grid)
        return self.blocks_tail(torch.cat([feats, up], 1), grid)


class SparseUNet(nn.Module):
    """Voxel features [V, in] -> [V, widths[0]], and the encoder's features E_1..E_L of every level."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], reps: int) -> None:
        super().__init__()
        self.input_conv = SparseSequential(SubM3(in_channels, widths[0], 0))
        self.unet = UBlock(widths, reps)
        self.output_layer = nn.Sequential(VoxelNorm(widths[0]), nn.ReLU(inplace=True))

    def forward(self, feats: Tensor, grid: Grid) -> tuple[Tensor, list[Tensor]]:
        """Decoded features of the finest level; encoder features, finest level first, before the stride."""
        encoded: list[Tensor] = []
        feats = self.unet(self.input_conv(feats, grid), grid, encoded)
        return self.output_layer(feats), encoded
