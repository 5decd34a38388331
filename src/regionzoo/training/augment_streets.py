"""Augmentation of lidar sweeps in the original's order: flip, rotation, scaling, translation."""

from __future__ import annotations

import numpy as np

from regionzoo.settings.train import StreetAugmentation


def augment_sweep(points: np.ndarray, settings: StreetAugmentation, rng: np.random.Generator) -> np.ndarray:
    """Move a sweep (reference: data section 6.3, step 2).

    points: float32 [n, 3], metres, lidar frame. Returns float32 [n, 3]. Every number is drawn whatever the settings,
    so that switching one part off leaves the draws of the others as they were.
    """
    mirrored = rng.integers(4)
    angle = rng.uniform(-np.pi, np.pi)
    factor = rng.uniform(1 - settings.scale, 1 + settings.scale)
    move = settings.translate * rng.standard_normal(3)
    moved = points.astype(np.float64)
    if settings.flip:
        # Two fair bits: neither axis, x, y, or both.
        moved[:, :2] *= 1 - 2 * np.array([mirrored & 1, mirrored >> 1])
    if settings.rotate:
        cos, sin = np.cos(angle), np.sin(angle)
        moved[:, :2] = moved[:, :2] @ np.array([[cos, sin], [-sin, cos]])
    moved[:, :2] *= factor
    return (moved + move).astype(np.float32)
