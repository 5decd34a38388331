"""Reading small volumes between their nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BLOCK = 1 << 14
"""Places at a time: what is computed for them stays in the cache."""


def trilinear(volumes: Sequence[np.ndarray], position: np.ndarray) -> np.ndarray:
    """float32 [volumes, N]: float32 volumes [X, Y, Z] at float64 positions [3, N], in nodes; 0 outside of them.

    To the bit what ``scipy.ndimage.map_coordinates(order=1, mode="constant")`` gives, in less than half its time: the
    volumes share corners and weights.
    """
    x, y, z = volumes[0].shape
    steps = np.array([y * z, z, 1])
    corners = [(corner, int(steps @ corner)) for corner in np.ndindex(2, 2, 2)]
    values = [volume.astype(np.float64).ravel() for volume in volumes]
    found = np.empty((len(volumes), position.shape[1]), np.float32)
    for start in range(0, position.shape[1], BLOCK):
        here = position[:, start : start + BLOCK]
        low = np.floor(here)
        upper = here - low
        weights = 1.0 - upper, upper
        whole = low.astype(np.int64)
        first = whole[0] * steps[0] + whole[1] * steps[1] + whole[2]
        places = [
            (first + offset, [weights[side][axis] for axis, side in enumerate(corner)]) for corner, offset in corners
        ]
        # The order of all operations is SciPy's. Corners beyond the last node have weight 0, whatever is read there.
        for value, out in zip(values, found, strict=True):
            total = np.zeros(here.shape[1])
            for place, shares in places:
                part = value.take(place, mode="clip")
                for share in shares:
                    part *= share
                total += part
            out[start : start + BLOCK] = total
    found[:, ((position < 0) | (position > np.array([[x], [y], [z]]) - 1)).any(axis=0)] = 0
    return found
