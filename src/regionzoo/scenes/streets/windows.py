"""Which part of a grid of rays a shape can be in."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.rays import Window
from regionzoo.scenes.streets.shapes import Shapes

CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
EDGES = np.array([(i, j) for i in range(8) for j in range(i + 1, 8) if (i ^ j).bit_count() == 1])
NEAR_PLANE = 0.05
SMALLEST = 0.7
"""Pixels; what is smaller than that along both sides is left out of an image."""


def corners(shapes: Shapes, grow: float = 0.0) -> np.ndarray:
    """float64 [P, 8, 3] corners of the boxes around shapes that are ``grow`` metres larger on every side."""
    half = (shapes.half + grow)[:, None, :] * CORNERS
    return shapes.centre[:, None, :] + np.einsum("pij,pcj->pci", shapes.rotation, half)


def image_windows(
    shapes: Shapes, world_to_camera: np.ndarray, matrix: np.ndarray, size: tuple[int, int], reach: float
) -> list[Window]:
    """Windows of the shapes within ``reach`` metres in an image of ``size`` (height, width).

    world_to_camera: float64 [4, 4]; matrix: float64 [3, 3] intrinsics, whole numbers at pixel centres.
    """
    rotation, shift = world_to_camera[:3, :3], world_to_camera[:3, 3]
    seen = np.einsum("ij,pcj->pci", rotation, corners(shapes)) + shift
    a, b = seen[:, EDGES[:, 0]], seen[:, EDGES[:, 1]]
    crossing = (a[..., 2] > NEAR_PLANE) != (b[..., 2] > NEAR_PLANE)
    share = np.where(crossing, (NEAR_PLANE - a[..., 2]) / np.where(crossing, b[..., 2] - a[..., 2], 1.0), 0.0)
    points = np.concatenate([seen, a + share[..., None] * (b - a)], axis=1)
    valid = np.concatenate([seen[..., 2] > NEAR_PLANE, crossing], axis=1)
    z = np.where(valid, np.maximum(points[..., 2], NEAR_PLANE), 1.0)
    u = matrix[0, 0] * points[..., 0] / z + matrix[0, 2]
    v = matrix[1, 1] * points[..., 1] / z + matrix[1, 2]
    u0, u1 = np.where(valid, u, np.inf).min(axis=1), np.where(valid, u, -np.inf).max(axis=1)
    v0, v1 = np.where(valid, v, np.inf).min(axis=1), np.where(valid, v, -np.inf).max(axis=1)
    left, right = _pixels(u0, u1, size[1])
    top, bottom = _pixels(v0, v1, size[0])
    middle = np.einsum("ij,pj->pi", rotation, shapes.centre) + shift
    close = np.linalg.norm(middle, axis=1) - np.linalg.norm(shapes.half, axis=1) < reach
    large = np.maximum(u1 - u0, v1 - v0) >= SMALLEST
    shown = close & large & valid.any(axis=1) & (left < right) & (top < bottom)
    rows = np.stack([np.arange(len(shapes)), top, bottom, left, right], axis=1)[shown]
    return [Window(*row) for row in rows.tolist()]


def _pixels(low: np.ndarray, high: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels whose centres lie between two bounds, half open, and one more where rounding may have lost it."""
    first = np.clip(np.ceil(np.where(np.isfinite(low), low, count) - 1e-3), 0, count)
    last = np.clip(np.floor(np.where(np.isfinite(high), high, -1) + 1e-3) + 1, 0, count)
    return first.astype(np.int64), last.astype(np.int64)


def sweep_windows(
    shapes: Shapes,
    origin: np.ndarray,
    azimuth: np.ndarray,
    elevation: np.ndarray,
    reach: float,
    moved: float,
    tilt: float,
) -> list[Window]:
    """Windows of the shapes within ``reach`` metres in a sweep [columns, rings].

    origin: float64 [3], the sensor in the middle of the sweep. azimuth: float64 [columns], descending by at most a
    full turn, direction of each column in the frame of the shapes. elevation: float64 [rings], ascending, of the level
    sensor. moved, tilt: metres and radians by which the true origin and directions may differ.
    """
    offset = corners(shapes, moved) - origin
    middle = shapes.centre - origin
    bearing = np.arctan2(middle[:, 1], middle[:, 0])
    turn = np.arctan2(offset[..., 1], offset[..., 0]) - bearing[:, None]
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    distance = _clearance(shapes, origin, moved)
    around = (turn.max(axis=1) - turn.min(axis=1) > np.pi * 0.95) | (distance <= 0)
    low, high = offset[..., 2].min(axis=1), offset[..., 2].max(axis=1)
    nearest = np.maximum(distance, 1e-3)
    farthest = np.hypot(offset[..., 0], offset[..., 1]).max(axis=1)
    left = np.searchsorted(elevation, np.arctan2(low, np.where(low < 0, nearest, farthest)) - tilt, "left")
    right = np.searchsorted(elevation, np.arctan2(high, np.where(high > 0, nearest, farthest)) + tilt, "right")
    # Columns run from the first azimuth down by one turn; a shape at the seam is in the first and the last of them.
    base = bearing + 2 * np.pi * np.floor((azimuth[0] - bearing) / (2 * np.pi))
    parts = [[(0, len(azimuth))] if whole else [] for whole in around.tolist()]
    for shift in (-2 * np.pi, 0.0, 2 * np.pi):
        first = np.searchsorted(-azimuth, -(base + shift + turn.max(axis=1) + tilt))
        last = np.searchsorted(-azimuth, -(base + shift + turn.min(axis=1) - tilt))
        for p in np.flatnonzero((first < last) & ~around).tolist():
            parts[p].append((int(first[p]), int(last[p])))
    return [
        Window(p, *columns, int(left[p]), int(right[p]))
        for p in np.flatnonzero((distance < reach) & (left < right)).tolist()
        for columns in parts[p]
    ]


def _clearance(shapes: Shapes, origin: np.ndarray, moved: float) -> np.ndarray:
    """Lower bound of the horizontal distance from ``origin`` to each shape; 0 or less from within its outline."""
    local = np.einsum("pij,pi->pj", shapes.rotation, origin - shapes.centre)
    beyond = np.maximum(np.abs(local[:, :2]) - shapes.half[:, :2] - moved, 0)
    upright = shapes.rotation[:, 2, 2] > 0.9999
    reach = shapes.reach()
    around = np.linalg.norm((shapes.centre - origin)[:, :2], axis=1) - np.linalg.norm(reach[:, :2], axis=1) - moved
    return np.where(upright, np.linalg.norm(beyond, axis=1), around)
