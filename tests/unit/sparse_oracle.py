"""Dense convolutions that the sparse ones must equal: scatter into a grid, convolve, read the sites back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Extent = tuple[int, int, int]


def random_sites(extent: Extent, scenes: int, density: float, rng: torch.Generator, shuffled: bool) -> Tensor:
    """int32 [V, 4]: random unique sites; the last scene differs from the others in density."""
    chance = torch.rand(scenes, *extent, generator=rng)
    chance[-1] *= 2
    sites = (chance < density).nonzero().int()
    return sites[torch.randperm(len(sites), generator=rng)] if shuffled else sites


def grid(feats: Tensor, coords: Tensor, extent: Extent) -> Tensor:
    """[scenes, C, X, Y, Z] with zeros where there is no site."""
    scenes = int(coords[:, 0].max()) + 1 if len(coords) else 1
    dense = feats.new_zeros((scenes, *extent, feats.shape[1]))
    return dense.index_put(tuple(coords.long().t()), feats).permute(0, 4, 1, 2, 3)


def read(dense: Tensor, coords: Tensor) -> Tensor:
    """[V, C] of a dense grid at the sites."""
    return dense.permute(0, 2, 3, 4, 1)[tuple(coords.long().t())]


def dense_subm(feats: Tensor, weight: Tensor, coords: Tensor, extent: Extent) -> Tensor:
    """Dense cross-correlation with padding 1, read at the sites."""
    return read(F.conv3d(grid(feats, coords, extent), weight.permute(0, 4, 1, 2, 3), padding=1), coords)


def dense_down(feats: Tensor, weight: Tensor, fine: Tensor, coarse: Tensor, extent: Extent) -> Tensor:
    """Dense stride-2 cross-correlation, read at the coarse sites; PyTorch floors odd extents as spconv does."""
    return read(F.conv3d(grid(feats, fine, extent), weight.permute(0, 4, 1, 2, 3), stride=2), coarse)


def dense_up(feats: Tensor, weight: Tensor, fine: Tensor, coarse: Tensor, extent: Extent) -> Tensor:
    """Dense transposed convolution, zero beyond what it reaches, read at the fine sites."""
    half = tuple(size // 2 for size in extent)
    dense = F.conv_transpose3d(grid(feats, coarse, half), weight.permute(4, 0, 1, 2, 3), stride=2)
    missing = [size - got for size, got in zip(extent, dense.shape[2:], strict=True)]
    padding = [value for size in reversed(missing) for value in (0, size)]
    scenes = int(fine[:, 0].max()) + 1
    dense = F.pad(dense, padding)
    if dense.shape[0] < scenes:
        dense = torch.cat([dense, dense.new_zeros((scenes - dense.shape[0], *dense.shape[1:]))])
    return read(dense, fine)
