"""Augmentation of indoor scenes in the original's order: scene matrix, colour, elastic distortion, crop, shuffle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.settings.train import Augmentation
from regionzoo.training.columns import highest, lowest
from regionzoo.training.elastic import distorted, drawn
from regionzoo.training.room_points import LateRoom, PlacedRoom
from regionzoo.training.voxels import VoxelSize


@dataclass(frozen=True)
class Augmented:
    """A transformed cloud of n surviving points.

    points: float32 [N, 3] metres, all points in stored order after the scene matrix (the network's xyz feature; not
    distorted). origin: int64 [n], position of each surviving point in the stored scene. room: the n points.
    """

    points: np.ndarray
    origin: np.ndarray
    room: PlacedRoom | LateRoom


def augment(
    points: np.ndarray,
    colors: np.ndarray,
    settings: Augmentation,
    voxel_size: VoxelSize,
    max_points: int | None,
    rng: np.random.Generator,
    late: bool = False,
) -> Augmented:
    """Apply the whole pipeline (reference: data section 4, step 7).

    points: float32 [N, 3] metres, centred. colors: uint8 [N, 3]. The result may be empty if the crop window keeps
    nothing; the caller then draws another scene. ``late``: only draw, crop and shuffle, and leave the rest to
    :mod:`regionzoo.training.late_rooms`; all draws stay the same.
    """
    matrix = scene_matrix(settings, rng)
    color_shift = settings.color_noise * rng.standard_normal(3)
    placed = transformed(points, matrix)
    moved, rounds = placed.astype(np.float64), tuple(settings.elastic)
    if late and len(points) and (max_points is None or len(points) <= max_points):
        # Nothing is cropped, so nobody has to know here where the points come to lie.
        volumes, low, window, keep = drawn(moved, rounds, rng), None, np.zeros(3), np.arange(len(points))
    else:
        moved, volumes = distorted(moved, rounds, rng)
        cells = moved / voxel_size
        low = lowest(cells)
        cells -= low
        window, keep = crop(cells, max_points, settings.crop_window, settings.crop_step, rng)
        cells += window
    order = keep[rng.permutation(len(keep))]
    # ``take`` is several times as fast as an index.
    if late:
        ours, paints = points.take(order, axis=0), colors.take(order, axis=0)
        room = LateRoom(ours, paints, matrix, color_shift, volumes, rounds, voxel_size, low, window)
        return Augmented(placed, order, room)
    shifted = (normalised_colors(colors.take(order, axis=0)) + color_shift).astype(np.float32)
    feats = np.concatenate([shifted, placed.take(order, axis=0)], axis=1)
    # Truncation is floor here: coordinates are never negative.
    return Augmented(placed, order, PlacedRoom(cells.take(order, axis=0).astype(np.int64), feats))


def normalised_colors(colors: np.ndarray) -> np.ndarray:
    """float32 [N, 3] in [-1, 1] from colours 0..255."""
    return colors.astype(np.float32) / np.float32(127.5) - np.float32(1)


def transformed(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """float32 [N, 3]: ``points @ matrix`` in float64, product by product: matrix libraries differ in the last bits."""
    columns = points.T.astype(np.float64)
    made = np.empty(points.shape, np.float32)
    for axis in range(3):
        x, y, z = (column * entry for column, entry in zip(columns, matrix[:, axis], strict=True))
        made[:, axis] = x + y + z
    return made


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

    voxels: float64 [N, 3], minimum 0. Returns float64 [3], to be added to the coordinates of *all* points, which then
    need not start at 0, and the int64 positions of those kept. Nothing is cut while at most ``max_points`` points are
    there (None: ever), whatever the extent. The window shrinks in x and y only, by ``step`` (twice that while over a
    million points remain).
    """
    offset, keep = np.zeros(3), np.ones(len(voxels), bool)
    if max_points is None or len(voxels) <= max_points:
        return offset, np.arange(len(voxels))
    scale = np.full(3, float(window))
    extent = highest(voxels) - lowest(voxels)
    while (count := int(keep.sum())) > max_points:
        offset = np.minimum(scale - extent + 0.001, 0) * rng.random(3)
        shifted = voxels + offset
        keep = ((shifted >= 0) & (shifted < scale)).all(axis=1)
        scale[:2] -= 2 * step if count > 1_000_000 else step
    return offset, np.flatnonzero(keep)
