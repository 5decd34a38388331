"""Boxes in which a class dominates, against trying every rectangle of the grid."""

import numpy as np
import pytest

from regionzoo.captions.stuff_boxes import CELL, PRICE, _best_rectangle, stuff_boxes, tight_box


def every_rectangle(weights):
    rows, columns = weights.shape
    return {
        (top, bottom, left, right): weights[top:bottom, left:right].sum()
        for top in range(rows)
        for bottom in range(top + 1, rows + 1)
        for left in range(columns)
        for right in range(left + 1, columns + 1)
    }


def test_the_best_rectangle_of_small_grids():
    rng = np.random.default_rng(0)
    for _ in range(150):
        weights = rng.integers(-9, 7, rng.integers(1, 7, 2)).astype(float)
        weights[rng.random(weights.shape) < 0.2] = 0
        weights[tuple(rng.integers(0, weights.shape))] = 5
        sums = every_rectangle(weights)
        assert sums[_best_rectangle(weights)] == max(sums.values())


def test_tight_box_holds_its_pixels_and_no_smaller_one_does():
    u, v = np.array([5, 9, 7], np.int32), np.array([30, 20, 25], np.int32)
    left, top, right, bottom = tight_box(u, v)

    def holds(left, top, right, bottom):
        return bool(((u > left) & (u < right) & (v > top) & (v < bottom)).all())

    assert holds(left, top, right, bottom)
    for smaller in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, -1, 0), (0, 0, 0, -1)):
        assert not holds(*(edge + step for edge, step in zip((left, top, right, bottom), smaller, strict=True)))


def cloud(rng, n=4000):
    """Pixels of which a band, a block and stray points are of the kind."""
    u, v = rng.integers(1, 1599, n).astype(np.int32), rng.integers(1, 899, n).astype(np.int32)
    mine = (v > 600) | ((u > 200) & (u < 500) & (v < 300))
    return u, v, mine ^ (rng.random(n) < 0.03)


@pytest.mark.parametrize("seed", range(3))
def test_found_boxes_are_pure_large_and_apart(seed):
    u, v, mine = cloud(np.random.default_rng(seed))
    boxes = stuff_boxes(u, v, mine, at_least=30, at_most=3)
    assert len(boxes) >= 2
    counts, taken = [], np.zeros(len(u), bool)
    for left, top, right, bottom in boxes:
        inside = (u > left) & (u < right) & (v > top) & (v < bottom)
        assert not (inside & taken).any()
        taken |= inside
        counts.append(np.count_nonzero(inside & mine))
        assert counts[-1] > PRICE / (PRICE + 1) * np.count_nonzero(inside)
        # Shrunk to points of the kind.
        assert (left, top, right, bottom) == tight_box(u[inside & mine], v[inside & mine])
    assert counts[0] > 0.8 * np.count_nonzero(mine & (v > 600))
    assert counts[1] > 0.6 * np.count_nonzero(mine & (v < 300))


def test_boxes_end_with_the_least_or_the_most():
    u, v, mine = cloud(np.random.default_rng(0))
    boxes = stuff_boxes(u, v, mine, at_least=1, at_most=4)
    assert [stuff_boxes(u, v, mine, 1, most) for most in range(5)] == [boxes[:most] for most in range(5)]
    left, top, right, bottom = boxes[1]
    second = np.count_nonzero(mine & (u > left) & (u < right) & (v > top) & (v < bottom))
    assert stuff_boxes(u, v, mine, second, 2) == boxes[:2]
    assert stuff_boxes(u, v, mine, second + 1, 2) == boxes[:1]
    assert stuff_boxes(u, v, mine & False, 1, 2) == []
    assert stuff_boxes(u[:0], v[:0], mine[:0], 1, 2) == []


def test_cells_at_the_end_of_the_image_count():
    u, v = np.array([1598] * 5, np.int32), np.array([898] * 5, np.int32)
    assert stuff_boxes(u, v, np.ones(5, bool), 5, 1) == [(1597.0, 897.0, 1599.0, 899.0)]
    # A point of another kind in the same cell is part of the bargain, in the next one it is not.
    u, v = np.append(u, 1598 - CELL).astype(np.int32), np.append(v, 898).astype(np.int32)
    assert stuff_boxes(u, v, np.arange(6) < 5, 5, 1) == [(1597.0, 897.0, 1599.0, 899.0)]
