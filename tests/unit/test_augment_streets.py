"""Augmentation of sweeps against the original's formulas, and the spread of each draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from regionzoo.settings.train import StreetAugmentation
from regionzoo.training.augment_streets import augment_sweep

STREETS = StreetAugmentation(flip=True, rotate=True, scale=0.05, translate=0.1, voxel_shift=True)
STILL = StreetAugmentation(flip=False, rotate=False, scale=0.0, translate=0.0, voxel_shift=False)
CORNERS = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]], np.float32)


def parts(seed: int, **changes: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the augmentation takes the origin, the xy part of its matrix, and its z column."""
    moved = augment_sweep(CORNERS, STREETS.model_copy(update=changes), np.random.default_rng(seed)).astype(np.float64)
    axes = (moved[1:] - moved[0]) / 10
    np.testing.assert_allclose(axes[:2, 2], 0, atol=1e-6)
    return moved[0], axes[:2, :2], axes[2]


@hypothesis_settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_it_is_flip_then_turn_then_scale_then_move(seed: int) -> None:
    move, matrix, up = parts(seed)
    np.testing.assert_allclose(up, [0, 0, 1], atol=1e-6)
    # Read back what was drawn, and apply the original's steps one by one to other points.
    factor = np.sqrt(abs(np.linalg.det(matrix)))
    assert 0.95 <= factor <= 1.05
    points = np.random.default_rng(seed).uniform(-50, 50, (30, 3)).astype(np.float32)
    candidates = []
    for flip_x, flip_y in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        turn = np.diag([flip_x, flip_y]) @ matrix / factor
        c, s = turn[0]
        if not np.allclose(turn, [[c, s], [-s, c]], atol=1e-5):
            continue
        xyz = points.astype(np.float64)
        xyz[:, 0] *= flip_x
        xyz[:, 1] *= flip_y
        xyz[:, :2] = xyz[:, :2] @ np.array([[c, s], [-s, c]])
        xyz[:, 0] *= factor
        xyz[:, 1] *= factor
        candidates.append(xyz + move)
    # Two of the four are the same movement: a turn by half a circle is a flip of both axes.
    assert len(candidates) == 2
    moved = augment_sweep(points, STREETS, np.random.default_rng(seed))
    assert moved.dtype == np.float32
    for expected in candidates:
        np.testing.assert_allclose(moved, expected, atol=1e-3)


def test_all_four_flips_are_as_likely() -> None:
    seen = [tuple(np.diag(parts(seed, rotate=False, scale=0.0)[1]).round()) for seed in range(400)]
    counts = {flips: seen.count(flips) for flips in set(seen)}
    assert set(counts) == {(1, 1), (-1, 1), (1, -1), (-1, -1)} and min(counts.values()) > 70


def test_angles_factors_and_moves_have_the_rows_spread() -> None:
    drawn = [parts(seed, flip=False) for seed in range(800)]
    angles = np.array([np.arctan2(matrix[0, 1], matrix[0, 0]) for _, matrix, _ in drawn])
    counts = np.histogram(angles, 8, (-np.pi, np.pi))[0]
    assert counts.sum() == 800 and counts.min() > 70
    factors = np.array([np.sqrt(np.linalg.det(matrix)) for _, matrix, _ in drawn])
    assert np.histogram(factors, 5, (0.95, 1.05))[0].min() > 120
    moves = np.stack([move for move, _, _ in drawn])
    np.testing.assert_allclose(moves.std(axis=0), 0.1, rtol=0.1)
    np.testing.assert_allclose(moves.mean(axis=0), 0, atol=0.02)
    assert np.abs(np.corrcoef(moves.T) - np.eye(3)).max() < 0.15


def test_switched_off_it_moves_nothing() -> None:
    np.testing.assert_array_equal(augment_sweep(CORNERS, STILL, np.random.default_rng(0)), CORNERS)


@pytest.mark.parametrize("part", [{"flip": False}, {"rotate": False}, {"scale": 0.0}, {"translate": 0.0}])
def test_switching_one_part_off_leaves_the_other_draws(part: dict[str, object]) -> None:
    for seed in range(8):
        whole, less = parts(seed), parts(seed, **part)
        if "translate" in part:
            np.testing.assert_allclose(less[0], 0, atol=1e-6)
            np.testing.assert_allclose(less[1], whole[1], atol=1e-5)
        else:
            np.testing.assert_allclose(less[0], whole[0], atol=1e-6)
        if "scale" in part:
            factor = np.sqrt(abs(np.linalg.det(whole[1])))
            np.testing.assert_allclose(less[1] * factor, whole[1], atol=1e-5)


def test_the_given_points_stay_as_they_are() -> None:
    before = CORNERS.copy()
    augment_sweep(CORNERS, STREETS, np.random.default_rng(0))
    np.testing.assert_array_equal(CORNERS, before)


def test_golden_sweep() -> None:
    moved = augment_sweep(CORNERS[1:2], STREETS, np.random.default_rng(5))
    # By hand from the numbers of the generator, in the order of the steps: 2 mirrors y, which is 0 here.
    rng = np.random.default_rng(5)
    bits, angle, factor = rng.integers(4), rng.uniform(-np.pi, np.pi), rng.uniform(0.95, 1.05)
    move = 0.1 * rng.standard_normal(3)
    x = 10.0 * (1 - 2 * (bits & 1)) * factor
    np.testing.assert_allclose(moved[0], [x * np.cos(angle) + move[0], x * np.sin(angle) + move[1], move[2]], atol=1e-5)
