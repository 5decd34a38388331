"""Augmentation of indoor scenes in the original's order: scene matrix, colour, elastic distortion, crop, shuffle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.settings.train import Augmentation
from regionzoo.training.columns import highest, lowest
from regionzoo.training.elastic import drawn, elastic
from regionzoo.training.late_elastic import Distortion
from regionzoo.training.voxels import VoxelSize


@dataclass(frozen=True)
class Augmented:
    """A transformed cloud of n surviving points.

    points: float32 [n, 3] metres, after the scene matrix (the network's xyz feature; not distorted).
    colors: float32 [n, 3]. origin: int64 [n], position of each point in the stored scene. voxels: float64 [n, 3],
    voxel units, non-negative; None where the elastic distortion is still to be done.
    """

    points: np.ndarray
    colors: np.ndarray
    origin: np.ndarray
    voxels: np.ndarray | None
    distortion: Distortion | None = None


def augment(
    points: np.ndarray,
    colors: np.ndarray,
    settings: Augmentation,
    voxel_size: VoxelSize,
    max_points: int | None,
    rng: np.random.Generator,
    voxels: bool = True,
) -> Augmented:
    """Apply the whole pipeline (reference: data section 4, step 7).

    points: float32 [N, 3] metres, centred. colors: float32 [N, 3] in [-1, 1]. The result may be empty if the crop
    window keeps nothing; the caller then draws another scene. Without ``voxels`` the elastic distortion is only drawn,
    unless the scene has to be cropped, which depends on it; all draws stay the same.
    """
    points = (points @ scene_matrix(settings, rng)).astype(np.float32)
    colors = (colors + settings.color_noise * rng.standard_normal(3)).astype(np.float32)
    moved = points.astype(np.float64)
    if not voxels and len(points) and (max_points is None or len(points) <= max_points):
        volumes = drawn(moved, settings.elastic, rng)
        order = rng.permutation(len(points))
        distortion = Distortion(volumes, tuple(settings.elastic), voxel_size)
        return Augmented(points.take(order, axis=0), colors.take(order, axis=0), order, None, distortion)
    for round_ in settings.elastic:
        moved = elastic(moved, round_, rng)
    cells = moved / voxel_size
    cells -= lowest(cells)
    cells, keep = crop(cells, max_points, settings.crop_window, settings.crop_step, rng)
    order = keep[rng.permutation(len(keep))]
    # Several times as fast as an index.
    points, colors, cells = (part.take(order, axis=0) for part in (points, colors, cells))
    return Augmented(points, colors, order, cells)


def scene_matrix(settings: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """float64 [3, 3] to be multiplied from the right: noise on all entries, a flip of entry (0, 0) alone, a z turn."""
    matrix = np.eye(3) + settings.matrix_noise * rng.standard_normal((3, 3))
    if rng.random() < settings.flip:
        matrix[0, 0] *= -1
    if settings.rotate:
        angle = rng.uniform(-np.pi, np.pi)
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = matrix @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return matrix


def crop(
    voxels: np.ndarray, max_points: int | None, window: int, step: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a random window until at most ``max_points`` remain.

    voxels: float64 [N, 3], minimum 0. Returns the shifted coordinates of *all* points, which need not start at 0, and
    the int64 positions of those kept. Nothing is cut while at most ``max_points`` points are there (None: ever),
    whatever the extent. The window shrinks in x and y only, by ``step`` (twice that while over a million
    points remain).
    """
    shifted, keep = voxels, np.ones(len(voxels), bool)
    if max_points is None or len(voxels) <= max_points:
        return shifted, np.arange(len(voxels))
    scale = np.full(3, float(window))
    extent = highest(voxels) - lowest(voxels)
    while (count := int(keep.sum())) > max_points:
        offset = np.minimum(scale - extent + 0.001, 0) * rng.random(3)
        shifted = voxels + offset
        keep = ((shifted >= 0) & (shifted < scale)).all(axis=1)
        scale[:2] -= 2 * step if count > 1_000_000 else step
    return shifted, np.flatnonzero(keep)
