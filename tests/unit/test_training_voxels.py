"""Voxels of sweeps against a loop over points."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from regionzoo.training.voxels import mean_feats, occupied, random_points

CELL = (0.2, 0.2, 0.1)


def cloud(seed: int, n: int, extent: float = 2.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-extent, extent, (n, 3)).astype(np.float32)


def by_hand(points: np.ndarray, cell: tuple[float, float, float]) -> dict[tuple[int, ...], list[int]]:
    """The points of each cell, one point at a time in plain Python."""
    low = [min(float(p[axis]) for p in points) for axis in range(3)]
    cells: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, p in enumerate(points):
        cells[tuple(int((float(p[axis]) - low[axis]) / cell[axis]) for axis in range(3))].append(i)
    return cells


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 120),
    cell=st.tuples(*[st.sampled_from([0.1, 0.2, 0.7, 3.0])] * 3),
)
def test_voxels_are_the_cells_that_a_loop_finds(seed: int, n: int, cell: tuple[float, float, float]) -> None:
    points = cloud(seed, n)
    voxels, expected = occupied(points, cell), by_hand(points, cell)
    coords = [tuple(row) for row in voxels.coords.tolist()]
    assert coords == sorted(expected)
    assert min(min(row) for row in coords) == 0
    for number, place in enumerate(coords):
        assert np.flatnonzero(voxels.v2p == number).tolist() == expected[place]
        start = voxels.starts[number]
        assert voxels.order[start : start + voxels.counts[number]].tolist() == expected[place]
    assert voxels.coords.dtype == voxels.v2p.dtype == np.int64


@hypothesis_settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 200))
def test_means_are_those_of_a_loop(seed: int, n: int) -> None:
    points = cloud(seed, n, 0.5)
    feats = np.random.default_rng(seed).uniform(-100, 100, (n, 4)).astype(np.float32)
    voxels = occupied(points, CELL)
    means = mean_feats(voxels, feats)
    assert means.dtype == np.float32
    for place, members in by_hand(points, CELL).items():
        number = voxels.coords.tolist().index(list(place))
        for channel in range(4):
            expected = sum(float(feats[i, channel]) for i in members) / len(members)
            assert means[number, channel] == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_every_point_of_a_voxel_is_as_likely() -> None:
    points = np.repeat(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32), [1, 3, 4], axis=0)
    voxels = occupied(points, CELL)
    drawn = np.stack([random_points(voxels, np.random.default_rng(seed)) for seed in range(1200)])
    # Voxels in ascending order: (0, 0, 0), (0, 5, 0), (5, 0, 0).
    assert set(drawn[:, 0]) == {0} and set(drawn[:, 1]) == {4, 5, 6, 7} and set(drawn[:, 2]) == {1, 2, 3}
    for column, among in ((1, 4), (2, 3)):
        counts = np.unique(drawn[:, column], return_counts=True)[1]
        np.testing.assert_allclose(counts, 1200 / among, rtol=0.2)
    # Draws of different voxels have nothing to do with each other.
    joint = np.unique(drawn[:, 1] * 10 + drawn[:, 2], return_counts=True)[1]
    assert len(joint) == 12 and joint.min() > 60


def test_the_same_generator_chooses_the_same_points() -> None:
    voxels = occupied(cloud(1, 500, 0.5), CELL)
    first, second, other = (random_points(voxels, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.tolist() == second.tolist() != other.tolist()
    assert voxels.v2p[first].tolist() == list(range(len(voxels.coords)))


def test_a_cell_size_is_of_each_axis() -> None:
    points = np.array([[0, 0, 0], [0.19, 0.19, 0.09], [0.21, 0, 0], [0, 0.21, 0], [0, 0, 0.11]], np.float32)
    assert occupied(points, CELL).coords.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert occupied(points, 0.2).coords.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    # Distances count from the lowest point along each axis, wherever that is.
    assert occupied(points - np.float32(64), CELL).coords.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_a_sweep_without_points_has_no_voxels() -> None:
    voxels = occupied(np.zeros((0, 3), np.float32), CELL)
    assert voxels.coords.shape == (0, 3) and len(voxels.v2p) == 0
    assert len(random_points(voxels, np.random.default_rng(0))) == 0
    assert mean_feats(voxels, np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_points_that_are_not_in_metres_are_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        occupied(np.array([[0, 0, 0], [1e9, 1e9, 1e9]], np.float32), CELL)
