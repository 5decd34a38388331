"""Boxes around what has no box of its own, road or trees: parts of the image in which one class dominates."""

from __future__ import annotations

import numpy as np

from regionzoo.captions.captioner import Box
from regionzoo.scenes.nuscenes_layout import IMAGE_SIZE

CELL = 25
"""Height and width of a cell of the grid on which boxes are looked for, in pixels. Neighbouring hits of the lidar lie
about 8 columns and 30 rows apart."""

PRICE = 4.0
"""How many points of the class make up for one other point in the box, so that more than PRICE of PRICE + 1 points in
a found box are of the class."""

TAKEN = -1e9
"""Weight of a cell that a box has: less than any sum of points, and sums with it are still exact."""


def tight_box(u: np.ndarray, v: np.ndarray) -> Box:
    """The smallest box of whole numbers whose inside, without its edges, holds all of some pixels."""
    return float(u.min() - 1), float(v.min() - 1), float(u.max() + 1), float(v.max() + 1)


def stuff_boxes(u: np.ndarray, v: np.ndarray, mine: np.ndarray, at_least: int, at_most: int) -> list[Box]:
    """Boxes in which points of one kind dominate, the one that gains most first.

    u, v: int32 [m], pixels of all points of an image. mine: bool [m], those of the kind. Each box is the rectangle of
    grid cells with the largest sum of points of the kind less PRICE times the others, among the cells that no box
    before it has, shrunk to its points of the kind. They end with the first that would have fewer than ``at_least``
    points of the kind, or with ``at_most`` of them.
    """
    shape = -(-IMAGE_SIZE[0] // CELL), -(-IMAGE_SIZE[1] // CELL)
    rows, columns = v // CELL, u // CELL
    weights = np.bincount(rows * shape[1] + columns, np.where(mine, 1.0, -PRICE), shape[0] * shape[1]).reshape(shape)
    boxes = []
    while len(boxes) < at_most and (weights > 0).any():
        top, bottom, left, right = _best_rectangle(weights)
        inside = mine & (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        if np.count_nonzero(inside) < at_least:
            break
        boxes.append(tight_box(u[inside], v[inside]))
        weights[top:bottom, left:right] = TAKEN
    return boxes


def _best_rectangle(weights: np.ndarray) -> tuple[int, int, int, int]:
    """(top, bottom, left, right), ends not included, of a rectangle with the largest sum; some weight is positive.

    Every pair of rows makes a strip, and the best stretch of a strip of column sums is the largest difference of its
    running sum to the smallest running sum before. Of equal rectangles it is the first of those inside the outermost
    positive weights.
    """
    # No rectangle gains by reaching farther than the positive weights.
    (first, last), (start, stop) = (_ends((weights > 0).any(axis=axis)) for axis in (1, 0))
    weights = weights[first:last, start:stop]
    rows, columns = weights.shape
    above = np.vstack([np.zeros(columns), weights.cumsum(axis=0)])
    tops, bottoms = np.triu_indices(rows + 1, k=1)
    running = np.zeros((len(tops), columns + 1))
    np.cumsum(above[bottoms] - above[tops], axis=1, out=running[:, 1:])
    gains = running[:, 1:] - np.minimum.accumulate(running[:, :-1], axis=1)
    strip, end = divmod(int(gains.argmax()), columns)
    left = int(running[strip, : end + 1].argmin())
    return first + int(tops[strip]), first + int(bottoms[strip]), start + left, start + end + 1


def _ends(flags: np.ndarray) -> tuple[int, int]:
    """The first true position and the one after the last."""
    places = np.flatnonzero(flags)
    return int(places[0]), int(places[-1]) + 1
