"""Rigid poses: unit quaternions [w, x, y, z] and 4 x 4 matrices that take points from one frame to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def rotation_matrix(wxyz: ArrayLike) -> np.ndarray:
    """float64 [..., 3, 3] of quaternions [..., 4], scalar first, of any length but 0 (``ValueError``)."""
    quaternion = np.asarray(wxyz, dtype=np.float64)
    length = np.linalg.norm(quaternion, axis=-1, keepdims=True)
    if quaternion.shape[-1:] != (4,) or not (np.isfinite(length) & (length > 0)).all():
        raise ValueError("a rotation is 4 finite numbers, not all of them 0")
    w, x, y, z = np.moveaxis(quaternion / length, -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def pose_matrix(rotation: ArrayLike, translation: ArrayLike) -> np.ndarray:
    """float64 [..., 4, 4] that rotates by quaternions [..., 4], scalar first, then shifts by [..., 3] metres."""
    rotated = rotation_matrix(rotation)
    pose = np.zeros((*rotated.shape[:-2], 4, 4))
    pose[..., :3, :3] = rotated
    pose[..., :3, 3] = np.asarray(translation, dtype=np.float64)
    pose[..., 3, 3] = 1
    return pose


def inverse(pose: np.ndarray) -> np.ndarray:
    """The way back: inverse of rigid float64 poses [..., 4, 4] (exact transposition, no elimination)."""
    back = np.array(pose, dtype=np.float64)
    turned = np.swapaxes(back[..., :3, :3], -1, -2).copy()
    back[..., :3, :3] = turned
    back[..., :3, 3] = -(turned @ back[..., :3, 3, None])[..., 0]
    return back
