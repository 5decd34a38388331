"""Occupied voxels of one lidar sweep, and what stands for the points in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VoxelSize = float | tuple[float, float, float]
"""Metres, one number or one along each of x, y, z."""


@dataclass(frozen=True)
class Voxels:
    """The m occupied voxels of n points.

    coords: int64 [m, 3], cell along x, y, z from the cloud's minimum, unique, ascending. v2p: int64 [n], voxel of each
    point. order: int64 [n], the points voxel by voxel, in their own order within one. starts: int64 [m], where the
    points of each voxel begin in ``order``. counts: int64 [m], how many they are.
    """

    coords: np.ndarray
    v2p: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    counts: np.ndarray


def occupied(points: np.ndarray, cell: VoxelSize) -> Voxels:
    """Voxels of float [n, 3] points in metres; ``cell``: their size.

    ``ValueError`` for an extent whose cells cannot be numbered in 63 bits. The original computes a voxel's coordinates
    once more from its chosen point, or from the mean of its points: the same cell, up to rounding at its border.
    """
    if not len(points):
        none = np.zeros(0, np.int64)
        return Voxels(np.zeros((0, 3), np.int64), none, none, none, none)
    exact = points.astype(np.float64)
    cells = np.floor((exact - exact.min(axis=0)) / np.asarray(cell, np.float64)).astype(np.int64)
    sizes = [int(top) + 1 for top in cells.max(axis=0)]
    if sizes[0] * sizes[1] * sizes[2] >= 2**63:
        raise ValueError(f"{' x '.join(map(str, sizes))} cells are too many; are the points in metres?")
    key = (cells[:, 0] * sizes[1] + cells[:, 1]) * sizes[2] + cells[:, 2]
    order = np.argsort(key, kind="stable")
    ascending = key[order]
    first = np.concatenate([[True], ascending[1:] != ascending[:-1]])
    v2p = np.empty(len(points), np.int64)
    v2p[order] = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    return Voxels(cells[order[starts]], v2p, order, starts, np.diff(starts, append=len(points)))


def cells(points: np.ndarray, voxel_size: VoxelSize) -> np.ndarray:
    """int64 [N, 3], non-negative: cells of a room's centred points, float32 [N, 3], with the original's rounding."""
    scaled = points * (1 / np.asarray(voxel_size, np.float64)).astype(np.float32)
    scaled -= scaled.min(axis=0)
    return scaled.astype(np.int64)


def random_points(voxels: Voxels, rng: np.random.Generator) -> np.ndarray:
    """int64 [m]: one point of each voxel, all of its points as likely (training)."""
    return voxels.order[voxels.starts + rng.integers(0, voxels.counts)]


def mean_feats(voxels: Voxels, feats: np.ndarray) -> np.ndarray:
    """float32 [m, C]: mean over the points of each voxel of float [n, C] features (evaluation)."""
    if not len(voxels.starts):
        return np.zeros((0, feats.shape[1]), np.float32)
    sums = np.add.reduceat(feats[voxels.order].astype(np.float64), voxels.starts, axis=0)
    return (sums / voxels.counts[:, None]).astype(np.float32)
