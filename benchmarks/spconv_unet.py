"""The sparse residual U-Net in spconv's modules, for comparison in ``gpu_engine.py``."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from regionzoo.models.norm import VoxelNorm

Sparse = Any
"""spconv's SparseConvTensor."""


class Unit(nn.Module):
    """Normalisation, ReLU, convolution."""

    def __init__(self, channels: int, conv: nn.Module) -> None:
        super().__init__()
        self.norm = VoxelNorm(channels)
        self.conv = conv

    def forward(self, x: Sparse) -> Sparse:
        """The convolved features, and whatever sites they live on."""
        return self.conv(x.replace_feature(torch.relu_(self.norm(x.features))))


class Residual(nn.Module):
    """Two units and a skip."""

    def __init__(self, package: ModuleType, a: int, b: int, level: int) -> None:
        super().__init__()
        key = {"padding": 1, "bias": False, "indice_key": f"subm{level}"}
        self.units = nn.Sequential(
            Unit(a, package.SubMConv3d(a, b, 3, **key)), Unit(b, package.SubMConv3d(b, b, 3, **key))
        )
        self.skip = nn.Identity() if a == b else nn.Linear(a, b, bias=False)

    def forward(self, x: Sparse) -> Sparse:
        """[V, a] -> [V, b]."""
        out = self.units(x)
        return out.replace_feature(out.features + self.skip(x.features))


class Level(nn.Module):
    """A level of the U-Net and all coarser ones."""

    def __init__(self, package: ModuleType, widths: tuple[int, ...], reps: int, level: int = 0) -> None:
        super().__init__()
        width = widths[0]
        self.blocks = nn.Sequential(*(Residual(package, width, width, level) for _ in range(reps)))
        self.inner = None
        if len(widths) > 1:
            below, key = widths[1], {"bias": False, "indice_key": f"stride{level}"}
            self.down = Unit(width, package.SparseConv3d(width, below, 2, stride=2, **key))
            self.inner = Level(package, widths[1:], reps, level + 1)
            self.up = Unit(below, package.SparseInverseConv3d(below, width, 2, **key))
            self.tail = nn.Sequential(
                *(Residual(package, width if i else 2 * width, width, level) for i in range(reps))
            )

    def forward(self, x: Sparse) -> Sparse:
        """[V, c] -> [V, c]."""
        x = self.blocks(x)
        if self.inner is None:
            return x
        up = self.up(self.inner(self.down(x)))
        return self.tail(up.replace_feature(torch.cat([x.features, up.features], 1)))


class SpconvUNet(nn.Module):
    """Voxel features -> [V, widths[0]], the layers of :class:`~regionzoo.models.unet.SparseUNet`."""

    def __init__(self, package: ModuleType, in_channels: int, widths: tuple[int, ...], reps: int) -> None:
        super().__init__()
        self.first = package.SubMConv3d(in_channels, widths[0], 3, padding=1, bias=False, indice_key="subm0")
        self.level = Level(package, widths, reps)
        self.norm = VoxelNorm(widths[0])

    def forward(self, x: Sparse) -> Tensor:
        """Decoded features of the finest level."""
        return torch.relu_(self.norm(self.level(self.first(x)).features))
