"""One sample as the network takes it: a room's points, or a lidar sweep's voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.training.instances import ItemInstances
from regionzoo.training.room_points import LateRoom, PlacedRoom


@dataclass(frozen=True)
class Item:
    """One scene as the network takes it, n points.

    room: the points. origin: int64 [n] positions in the stored scene. labels: int16 [n] training labels, binary: int8
    [n]; both None where no label may be seen. regions: point positions (int32, among the n) of each surviving caption;
    texts: rows of the text table. features: positions (int64 [m], among the n) and float16 [m, D] targets of
    distillation, or None. instances: what an instance head is to find; None for rows without one.
    """

    scene_id: str
    room: PlacedRoom | LateRoom
    origin: np.ndarray
    labels: np.ndarray | None
    binary: np.ndarray | None
    regions: tuple[np.ndarray, ...]
    texts: tuple[int, ...]
    features: tuple[np.ndarray, np.ndarray] | None
    instances: ItemInstances | None = None


@dataclass(frozen=True)
class SweepItem:
    """One keyframe of a drive, n points in m voxels; it is voxelised before it is collated.

    voxels: int64 [m, 3], non-negative, unique. feats: float32 [m, 4] = x, y, z in metres, intensity 0..255.
    v2p: int64 [n], voxel of each point, all points of the sweep in their order. labels: int16 [m] training labels of
    the voxels, binary: int8 [m]; both None where no label may be seen. regions: point positions (int64, among the n)
    of each caption; texts: rows of the text table.
    """

    scene_id: str
    voxels: np.ndarray
    feats: np.ndarray
    v2p: np.ndarray
    labels: np.ndarray | None
    binary: np.ndarray | None
    regions: tuple[np.ndarray, ...]
    texts: tuple[int, ...]
