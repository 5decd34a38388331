"""The points of one room as a network's input, or all that is needed to make them that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.settings.train import Elastic
from regionzoo.training.voxels import VoxelSize


@dataclass(frozen=True)
class PlacedRoom:
    """n points in their voxels.

    voxels: int64 [n, 3], non-negative. feats: float32 [n, 6] = r, g, b in about [-1, 1], x, y, z in metres.
    """

    voxels: np.ndarray
    feats: np.ndarray

    def __len__(self) -> int:
        return len(self.feats)


@dataclass(frozen=True)
class LateRoom:
    """n points that are cropped and shuffled, and what was drawn for them; the rest of the augmentation is to be done.

    points: float32 [n, 3] metres, centred, as stored. colors: uint8 [n, 3]. matrix: float64 [3, 3], the scene matrix.
    color_shift: float64 [3]. volumes: float32 [3, X, Y, Z] of each round of elastic distortion
    (:func:`regionzoo.training.elastic.drawn`). low: float64 [3], the least coordinates in voxels after the distortion,
    to be subtracted; None where they are those of these points. window: float64 [3], what the crop adds in voxels.
    """

    points: np.ndarray
    colors: np.ndarray
    matrix: np.ndarray
    color_shift: np.ndarray
    volumes: tuple[np.ndarray, ...]
    rounds: tuple[Elastic, ...]
    voxel_size: VoxelSize
    low: np.ndarray | None
    window: np.ndarray

    def __len__(self) -> int:
        return len(self.points)
