"""Coordinates less their mean, with the original's rounding."""

from __future__ import annotations

import numpy as np

LOST = 0.05
"""Metres: a float32 mean that is farther off is not used."""


def centred(coords: np.ndarray) -> np.ndarray:
    """float32 [N, 3]: finite coordinates minus their mean.

    Coordinates of float32 are averaged in float32, one after another, as the original's preprocessing does: a mean
    that differs in the last digits moves a few points of a scene into a neighbouring voxel. In clouds of millions of
    points that sum loses its digits; there, and for float64, the exact mean is taken.
    """
    exact = coords.mean(axis=0, dtype=np.float64)
    if coords.dtype == np.float32:
        mean = coords.mean(axis=0)
        if np.abs(mean - exact).max() <= LOST:
            return coords - mean
    made = np.empty(coords.shape, np.float32)
    for axis in range(3):
        np.subtract(coords[:, axis], exact[axis], out=made[:, axis], dtype=np.float64, casting="same_kind")
    return made
