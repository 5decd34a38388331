"""From a cloud to voxels exactly as the original evaluates a scene: centred, scaled and floored in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from regionzoo.apply.clouds import Cloud
from regionzoo.errors import UserError
from regionzoo.models.voxelize import voxelize
from regionzoo.scenes.centring import centred
from regionzoo.sparse.pyramid import spatial_shape
from regionzoo.training.dataset import normalised_colors
from regionzoo.training.voxels import cells

MOST_CELLS = 2**46
"""Cells of the box around a cloud; neighbour searches number them."""
USUAL = (0.5, 300.0)
"""Metres: scans of rooms and storeys that are smaller or larger are in other units, or hold stray points."""


@dataclass(frozen=True)
class Voxels:
    """V voxels of a cloud and the voxel of each of its N points.

    coords: int32 [V, 3], ascending, from 0. extent: largest index + 1 along x, y, z, at least 128. feats: float32
    [V, 6], mean r, g, b in [-1, 1] and x, y, z in metres. v2p: int32 [N], -1 for points without finite coordinates.
    """

    coords: torch.Tensor
    extent: tuple[int, int, int]
    feats: torch.Tensor
    v2p: np.ndarray

    def __len__(self) -> int:
        return len(self.coords)


def make_voxels(cloud: Cloud, voxel_size: float) -> Voxels:
    """The voxels of a cloud; :class:`UserError` if no point is usable or the cloud is larger than a grid can be."""
    finite = np.isfinite(cloud.coords).all(axis=1)
    if not finite.any():
        raise UserError(f"{cloud.name}: no point has finite coordinates")
    whole = bool(finite.all())
    points = centred(cloud.coords if whole else cloud.coords[finite])
    extent = np.ptp(points, axis=0).astype(np.float64)
    if not np.isfinite(extent).all() or np.prod(np.maximum(extent / voxel_size + 1, 128)) > MOST_CELLS:
        size = " x ".join(f"{side:.0f}" for side in extent)
        raise UserError(
            f"{cloud.name}: {size} m are too large for voxels of {voxel_size:g} m; are its coordinates in metres, "
            "and is there no stray point far away?"
        )
    feats = np.empty((len(points), 6), np.float32)
    feats[:, :3] = normalised_colors(cloud.colors if whole else cloud.colors[finite])
    feats[:, 3:] = points
    found = np.zeros((len(points), 4), np.int64)
    found[:, 1:] = cells(points, voxel_size)
    coords, of_point, means = voxelize(torch.from_numpy(found), torch.from_numpy(feats))
    v2p = np.full(len(cloud), -1, np.int32)
    v2p[finite] = of_point.numpy()
    return Voxels(coords[:, 1:].contiguous(), spatial_shape(coords), means, v2p)


def doubts(voxels: Voxels, voxel_size: float) -> list[str]:
    """What a user should know of a cloud before believing its labels, a line each."""
    told = []
    longest = float(voxels.coords.amax()) * voxel_size
    if not USUAL[0] <= longest <= USUAL[1]:
        told.append(f"its longest side is {longest:.3g} m; are the coordinates in metres, and are there stray points?")
    if lost := int((voxels.v2p < 0).sum()):
        told.append(f"{lost} points have no finite coordinates; their label is -1 and their values are NaN")
    return told
