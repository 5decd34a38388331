"""Convolution modules and the residual block. Names and indices follow the original's ``state_dict``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regionzoo.models.norm import VoxelNorm
from regionzoo.sparse.engine import NormConv, SparseEngine
from regionzoo.sparse.pyramid import Pyramid


@dataclass(frozen=True)
class Grid:
    """Where features live: the batch's sites and the engine that convolves over them."""

    pyramid: Pyramid
    engine: SparseEngine


class SparseConv(nn.Module):
    """Holds a bias-free weight [out, k, k, k, in] and the level it reads or, for :class:`Up2`, writes.

    Initialised like spconv 2.x: Kaiming-uniform with a = sqrt(5), which is uniform within +-1/sqrt(in * k^3).
    """

    kernel: int

    def __init__(self, in_channels: int, out_channels: int, level: int) -> None:
        super().__init__()
        k = self.kernel
        self.level = level
        self.weight = nn.Parameter(torch.empty(out_channels, k, k, k, in_channels))
        bound = 1 / math.sqrt(in_channels * k**3)
        nn.init.uniform_(self.weight, -bound, bound)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[-1]}, {self.weight.shape[0]}, level={self.level}"


class SubM3(SparseConv):
    """Submanifold 3x3x3 at ``level``."""

    kernel = 3

    def forward(self, feats: Tensor, grid: Grid) -> Tensor:
        return grid.engine.subm3(feats, self.weight, grid.pyramid, self.level)


class Down2(SparseConv):
    """2x2x2, stride 2, from ``level`` to ``level + 1``."""

    kernel = 2

    def forward(self, feats: Tensor, grid: Grid) -> Tensor:
        return grid.engine.down2(feats, self.weight, grid.pyramid, self.level)


class Up2(SparseConv):
    """Inverse of a 2x2x2 with stride 2, from ``level + 1`` to ``level``."""

    kernel = 2

    def forward(self, feats: Tensor, grid: Grid) -> Tensor:
        return grid.engine.up2(feats, self.weight, grid.pyramid, self.level)


class Pointwise(SparseConv):
    """1x1x1: a linear map whose weight keeps the shape [out, 1, 1, 1, in]."""

    kernel = 1

    def forward(self, feats: Tensor, grid: Grid) -> Tensor:
        return F.linear(feats, self.weight.flatten(1))


class SparseSequential(nn.Sequential):
    """``nn.Sequential`` that hands the grid to the modules that need it."""

    def forward(self, feats: Tensor, grid: Grid) -> Tensor:
        for module in self:
            feats = module(feats, grid) if isinstance(module, SparseConv | ResidualBlock) else module(feats)
        return feats


class StrideBlock(SparseSequential):
    """Normalisation, ReLU and a convolution that changes the level."""

    def __init__(self, kind: type[Down2 | Up2], in_channels: int, out_channels: int, level: int) -> None:
        super().__init__(VoxelNorm(in_channels), nn.ReLU(inplace=True), kind(in_channels, out_channels, level))

    def forward(self, feats: Tensor, grid: Grid) -> Tensor:
        """[V, a] -> [V', b]."""
        norm, _, conv = self
        convolve = grid.engine.norm_relu_down2 if isinstance(conv, Down2) else grid.engine.norm_relu_up2
        return convolve(feats, NormConv(norm, conv.weight), grid.pyramid, conv.level)


class ResidualBlock(nn.Module):
    """Pre-activation residual block a -> b; the skip takes the raw input, and nothing follows the sum."""

    def __init__(self, in_channels: int, out_channels: int, level: int) -> None:
        super().__init__()
        self.level = level
        skip = [] if in_channels == out_channels else [Pointwise(in_channels, out_channels, level)]
        self.i_branch = SparseSequential(*skip)
        self.conv_branch = SparseSequential(
            VoxelNorm(in_channels),
            nn.ReLU(inplace=True),
            SubM3(in_channels, out_channels, level),
            VoxelNorm(out_channels),
            nn.ReLU(inplace=True),
            SubM3(out_channels, out_channels, level),
        )

    def forward(self, feats: Tensor, grid: Grid) -> Tensor:
        """[V, a] -> [V, b]."""
        norm, _, conv, last_norm, _, last_conv = self.conv_branch
        skip = self.i_branch[0].weight if len(self.i_branch) else None
        units = NormConv(norm, conv.weight), NormConv(last_norm, last_conv.weight)
        return grid.engine.residual(feats, *units, skip, grid.pyramid, self.level)


def residual_blocks(in_channels: int, out_channels: int, level: int, reps: int) -> SparseSequential:
    """``block0``, ``block1``, ...: the first changes the width."""
    blocks = SparseSequential()
    for i in range(reps):
        blocks.add_module(f"block{i}", ResidualBlock(out_channels if i else in_channels, out_channels, level))
    return blocks
