"""From pixels to points: which vertices a frame sees and which of them lie in a box of it."""

from __future__ import annotations

import numpy as np

from regionzoo.captions.captioner import Box

DEPTH_TOLERANCE = 0.2
"""Largest difference between a vertex' depth and the depth image, as a share of the latter (original)."""

FULL_DEPTH_HEIGHT = 480
"""Height of the depth images that the stored intrinsics belong to."""


def project(
    coords: np.ndarray, pose: np.ndarray, intrinsics: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices of a scan that are visible in a frame, as the original's ScanNet projection finds them.

    coords: float [N, 3], world frame, metres. pose: float [4, 4], camera to world. intrinsics: float [4, 4] of the
    480-row depth image. depth: float [h, w], metres, 0 = no measurement; for another h than 480 the first two rows of
    the intrinsics are divided by 479 / (h - 1), as the original does for reduced images.

    Returns (ids int32 [M] ascending, u int32 [M], v int32 [M]): visible vertices with their depth column and row.
    A pose that is not finite sees nothing.
    """
    nothing = np.zeros(0, np.int32)
    if not np.isfinite(pose).all():
        return nothing, nothing, nothing
    height, width = depth.shape
    camera = np.array(intrinsics, np.float64)
    if height != FULL_DEPTH_HEIGHT:
        camera[:2] /= (FULL_DEPTH_HEIGHT - 1) / (height - 1)
    to_camera = np.linalg.inv(np.asarray(pose, np.float64))
    # One row per axis: the three coordinates are used apart from here on.
    x, y, z = to_camera[:3, :3] @ np.asarray(coords, np.float64).T + to_camera[:3, 3:]
    # A vertex at depth 0 can never pass the depth test below, so z > 0 selects what the original's z >= 0 does.
    front = np.flatnonzero(z > 0)
    x, y, z = x[front], y[front], z[front]
    # Rounding by adding 0.5 and dropping the fraction moves (-1.5, -0.5) to column 0 too; the released captions were
    # made like this.
    u = np.trunc((x - camera[0, 3]) * camera[0, 0] / z + camera[0, 2] + 0.5)
    v = np.trunc((y - camera[1, 3]) * camera[1, 1] / z + camera[1, 2] + 0.5)
    inside = np.flatnonzero((u >= 0) & (u < width) & (v >= 0) & (v < height))
    u, v, z, ids = (u[inside].astype(np.int32), v[inside].astype(np.int32), z[inside], front[inside])
    measured = depth[v, u].astype(np.float64)
    seen = (measured != 0) & (np.abs(measured - z) <= DEPTH_TOLERANCE * measured)
    return ids[seen].astype(np.int32), u[seen], v[seen]


def region_points(
    ids: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    box: Box,
    color_size: tuple[int, int],
    depth_size: tuple[int, int],
    swap_xy_scale: bool = False,
) -> np.ndarray:
    """Visible vertices strictly inside a box: int32 ids, ascending if ``ids`` are.

    ids, u, v: as :func:`project` returns them. box: pixels of the colour image. Sizes are (height, width).
    ``swap_xy_scale`` multiplies u by the ratio of heights and v by that of widths as the original does, an error of
    at most 5 pixels for ScanNet's images.
    """
    per_row, per_column = color_size[0] / depth_size[0], color_size[1] / depth_size[1]
    if swap_xy_scale:
        per_row, per_column = per_column, per_row
    x_min, y_min, x_max, y_max = box
    x, y = u * per_column, v * per_row
    return ids[(x > x_min) & (x < x_max) & (y > y_min) & (y < y_max)]
