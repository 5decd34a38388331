"""Augmentation of indoor scenes in the original's order: scene matrix, colour, elastic distortion, crop, shuffle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import convolve1d

from regionzoo.settings.train import Augmentation, Elastic
from regionzoo.training.columns import highest, lowest
from regionzoo.training.trilinear import trilinear
from regionzoo.training.voxels import VoxelSize


@dataclass(frozen=True)
class Augmented:
    """A transformed cloud of n surviving points.

    points: float32 [n, 3] metres, after the scene matrix (the network's xyz feature; not distorted).
    colors: float32 [n, 3]. voxels: float64 [n, 3], voxel units, non-negative. origin: int64 [n], position of each
    point in the stored scene.
    """

    points: np.ndarray
    colors: np.ndarray
    voxels: np.ndarray
    origin: np.ndarray


def augment(
    points: np.ndarray,
    colors: np.ndarray,
    settings: Augmentation,
    voxel_size: VoxelSize,
    max_points: int | None,
    rng: np.random.Generator,
) -> Augmented:
    """Apply the whole pipeline (reference: data section 4, step 7).

    points: float32 [N, 3] metres, centred. colors: float32 [N, 3] in [-1, 1]. The result may be empty if the crop
    window keeps nothing; the caller then draws another scene.
    """
    points = (points @ scene_matrix(settings, rng)).astype(np.float32)
    colors = (colors + settings.color_noise * rng.standard_normal(3)).astype(np.float32)
    moved = points.astype(np.float64)
    for round_ in settings.elastic:
        moved = elastic(moved, round_, rng)
    voxels = moved / voxel_size
    voxels -= lowest(voxels)
    voxels, keep = crop(voxels, max_points, settings.crop_window, settings.crop_step, rng)
    order = keep[rng.permutation(len(keep))]
    # Several times as fast as an index.
    return Augmented(*(part.take(order, axis=0) for part in (points, colors, voxels)), order)


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


def elastic(points: np.ndarray, settings: Elastic, rng: np.random.Generator) -> np.ndarray:
    """Move float64 [N, 3] points (metres) by smoothed noise on a grid with nodes 2 x granularity apart.

    Three volumes of N(0, 1), each smoothed twice by a 3-tap box along every axis with zero padding, read by trilinear
    interpolation (0 outside the grid) and multiplied by the magnitude.
    """
    granularity = settings.granularity
    size = np.maximum(highest(points), -lowest(points)) // granularity + 3
    size = size.astype(int)
    # Node i of an axis stands at (2 i - (size - 1)) * granularity.
    position = np.ascontiguousarray(((points / granularity + (size - 1)) / 2).T)
    box = np.full(3, 1 / 3)
    volumes = []
    for _ in range(3):
        noise = rng.standard_normal(size).astype(np.float32)
        for _ in range(2):
            for along in range(3):
                noise = convolve1d(noise, box, axis=along, mode="constant")
        volumes.append(noise)
    return points + trilinear(volumes, position).T.astype(np.float64) * settings.magnitude


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
