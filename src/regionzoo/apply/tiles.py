"""Boxes of a large cloud that are small enough for the network, each with a margin that only lends its context."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tile:
    """rows: int64, ascending, voxels of the box and of its margin. inner: bool, those of the box itself."""

    rows: np.ndarray
    inner: np.ndarray


def tiles(coords: np.ndarray, most: int, margin: int) -> Iterator[Tile]:
    """Tiles whose boxes hold every voxel exactly once, in an order that depends on the voxels alone.

    coords: int32 [V, 3]. most: voxels of a tile, margin included. margin: in voxels, on all sides. A box with more is
    halved at the median of its longest side, unless that side is not longer than the margin: then the margins of its
    halves would hold as much, and the tile stays as large as it is. With at most ``most`` voxels there is one tile.
    """
    everything = np.arange(len(coords))
    yield from _split(coords, everything, np.ones(len(coords), bool), most, margin)


def _split(coords: np.ndarray, rows: np.ndarray, inner: np.ndarray, most: int, margin: int) -> Iterator[Tile]:
    """rows: voxels of a box and its margin, or more; inner: those of the box."""
    inside = coords[rows[inner]]
    low, high = inside.min(axis=0), inside.max(axis=0)
    if len(inside) < len(coords):
        near = _within(coords[rows], low - margin, high + margin)
        rows, inner = rows[near], inner[near]
    sides = high - low + 1
    axis = int(sides.argmax())
    if len(rows) <= most or sides[axis] <= margin:
        yield Tile(rows, inner)
        return
    along = inside[:, axis]
    # The upper half begins behind the least place, so that neither is empty.
    middle = max(int(np.partition(along, len(along) // 2)[len(along) // 2]), int(low[axis]) + 1)
    del inside, along
    upper = coords[rows, axis] >= middle
    for half in (~upper, upper):
        yield from _split(coords, rows, inner & half, most, margin)


def _within(coords: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return ((coords >= low) & (coords <= high)).all(axis=1)
