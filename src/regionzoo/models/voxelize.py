"""From points to voxels: unique cells, and the mean of the features of the points in each."""

from __future__ import annotations

import torch
from torch import Tensor


def voxelize(
    coords: Tensor, feats: Tensor, sizes: tuple[int, int, int, int] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Unique cells of N points.

    coords: int64 [N, 4], rows (scene, x, y, z), non-negative. feats: float32 [N, C]. sizes: numbers above all
    coordinates of each column, where they are known already. The result is the same for all sizes, and on a GPU to the
    bit what it is on a CPU.
    Returns voxel_coords int32 [V, 4] in ascending order, v2p int64 [N] (voxel of each point) and voxel_feats float32
    [V, C] (arithmetic mean). The original numbers voxels as first seen; nothing downstream depends on the order.
    Raises ``ValueError`` for negative coordinates or an extent whose cells cannot be numbered in 63 bits.
    """
    if not len(coords):
        return coords.new_zeros((0, 4), dtype=torch.int32), coords.new_zeros(0, dtype=torch.int64), feats.clone()
    if sizes is None:
        if int(coords.amin()) < 0:
            raise ValueError("voxel coordinates must not be negative")
        x, y, z, w = (coords.amax(0) + 1).tolist()
        sizes = x, y, z, w
    if sizes[0] * sizes[1] * sizes[2] * sizes[3] >= 2**63:
        raise ValueError(f"coordinates up to {sizes} span too many cells; are they in voxels?")
    key = coords[:, 0]
    for axis in (1, 2, 3):
        key = key * sizes[axis] + coords[:, axis]
    if coords.is_cuda:
        return _voxelize_sorted(key, coords, feats)
    unique, v2p, counts = torch.unique(key, return_inverse=True, return_counts=True)
    voxels = torch.empty((len(unique), 4), dtype=torch.int32, device=coords.device)
    for axis in (3, 2, 1):
        voxels[:, axis] = unique % sizes[axis]
        unique = torch.div(unique, sizes[axis], rounding_mode="floor")
    voxels[:, 0] = unique
    sums = feats.new_zeros((len(voxels), feats.shape[1])).index_add_(0, v2p, feats)
    return voxels, v2p, sums / counts.to(feats.dtype).unsqueeze(1)


def _voxelize_sorted(key: Tensor, coords: Tensor, feats: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same by sorting and by sums over neighbours, which add in one order; the number of voxels is waited for."""
    ordered, order = key.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    v2p = torch.empty_like(order)
    v2p[order] = first.cumsum(0) - 1
    starts = first.nonzero().squeeze(1)
    offsets = torch.cat([starts, starts.new_tensor([len(key)])])
    sums = torch.segment_reduce(feats[order], "sum", offsets=offsets, axis=0, unsafe=True, initial=0)
    voxels = coords.index_select(0, order[starts]).int()
    return voxels, v2p, sums / offsets.diff().to(feats.dtype).unsqueeze(1)
