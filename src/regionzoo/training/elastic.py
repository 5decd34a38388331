"""Elastic distortion: points moved by smoothed noise on a grid, round after round.

On a CPU it is done where the noise is drawn. For a GPU the noise alone is drawn (:func:`drawn`), with the same numbers
from the same generator, and :mod:`regionzoo.training.late_rooms` moves the points, with the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import convolve1d

from regionzoo.settings.train import Elastic
from regionzoo.training.columns import highest, lowest
from regionzoo.training.trilinear import trilinear

SAMPLE = 16
"""Of the points that could reach farthest, every how many-th is moved first, to rule most others out."""
SLACK = 1 + 1e-6
"""More than what rounding adds to a bound."""


def distorted(
    points: np.ndarray, rounds: Sequence[Elastic], rng: np.random.Generator
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Move float64 [N, 3] points (metres) by smoothed noise on a grid with nodes 2 x granularity apart, round by round.

    Three volumes of N(0, 1), each smoothed twice by a 3-tap box along every axis with zero padding, read by trilinear
    interpolation (0 outside the grid) and multiplied by the magnitude. Returns the points and each round's volumes,
    float32 [3, X, Y, Z].
    """
    found = []
    for settings in rounds:
        found.append(_noise(_reach(points), settings, rng))
        points = _moved(points, found[-1], settings)
    return points, tuple(found)


def drawn(points: np.ndarray, rounds: Sequence[Elastic], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """The volumes that :func:`distorted` would draw, without the points that it would give.

    A round's grid depends on how far the points reach after the round before. Of the first round's result only that is
    needed, and few points decide it.
    """
    found: list[np.ndarray] = []
    reach = _reach(points) if rounds else np.zeros(3)
    for number, settings in enumerate(rounds, start=1):
        if number > 1:
            before = rounds[number - 2]
            if number == len(rounds):
                reach = _reach_of_moved(points, reach, found[-1], before)
            else:
                points = _moved(points, found[-1], before)
                reach = _reach(points)
        found.append(_noise(reach, settings, rng))
    return tuple(found)


def _reach(points: np.ndarray) -> np.ndarray:
    """float64 [3]: the greatest absolute coordinates."""
    return np.maximum(highest(points), -lowest(points))


def _noise(reach: np.ndarray, settings: Elastic, rng: np.random.Generator) -> np.ndarray:
    """float32 [3, X, Y, Z]: displacements along x, y, z, in magnitudes, on a grid for points of that reach."""
    size = (reach // settings.granularity + 3).astype(int)
    box = np.full(3, 1 / 3)
    volumes = []
    for _ in range(3):
        noise = rng.standard_normal(size).astype(np.float32)
        for _ in range(2):
            for along in range(3):
                noise = convolve1d(noise, box, axis=along, mode="constant")
        volumes.append(noise)
    return np.stack(volumes)


def _places(coordinates: np.ndarray, axis: int, volumes: np.ndarray, settings: Elastic) -> np.ndarray:
    """Positions along an axis in nodes; node i stands at (2 i - (size - 1)) * granularity."""
    return (coordinates / settings.granularity + (volumes.shape[1 + axis] - 1)) / 2


def _moved(points: np.ndarray, volumes: np.ndarray, settings: Elastic) -> np.ndarray:
    position = np.empty((3, len(points)))
    for axis in range(3):
        position[axis] = _places(points[:, axis], axis, volumes, settings)
    return points + trilinear(volumes, position).T.astype(np.float64) * settings.magnitude


def _reach_of_moved(points: np.ndarray, reach: np.ndarray, volumes: np.ndarray, settings: Elastic) -> np.ndarray:
    """``_reach(_moved(points, volumes, settings))`` to the bit, from the points that can decide it.

    No point moves farther along an axis than that axis' volume has its greatest value.
    """
    columns = np.ascontiguousarray(points.T)
    found = np.empty(3)
    for axis in range(3):
        bound = float(np.abs(volumes[axis]).max()) * settings.magnitude * SLACK
        coordinates = np.abs(columns[axis])

        def farthest(chosen: np.ndarray, axis: int = axis) -> float:
            there = columns[:, chosen]
            position = np.stack([_places(there[along], along, volumes, settings) for along in range(3)])
            value = trilinear(volumes[axis : axis + 1], position)[0].astype(np.float64) * settings.magnitude
            return float(np.abs(there[axis] + value).max())

        able = np.flatnonzero(coordinates >= reach[axis] * (2 - SLACK) - 2 * bound)
        known = farthest(able[::SAMPLE])
        able = able[coordinates[able] + bound >= known * (2 - SLACK)]
        found[axis] = max(known, farthest(able)) if len(able) else known
    return found
