"""The augmentation pipeline against the original's formulas, written down a second time with other tools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import convolve

from regionzoo.settings.train import Augmentation, Elastic
from regionzoo.training.augment import augment, crop, normalised_colors, scene_matrix, transformed
from regionzoo.training.elastic import distorted

INDOOR = Augmentation(
    matrix_noise=0.1,
    flip=0.5,
    rotate=True,
    color_noise=0.1,
    elastic=(Elastic(granularity=0.12, magnitude=0.8), Elastic(granularity=0.4, magnitude=3.2)),
    crop_window=512,
    crop_step=32,
)
PLAIN = INDOOR.model_copy(update={"matrix_noise": 0.0, "flip": 0.0, "rotate": False, "color_noise": 0.0, "elastic": ()})


def cloud(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 2, (n, 3)).astype(np.float32)


def paint(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3)).astype(np.uint8)


def test_elastic_is_the_grid_interpolation_of_box_smoothed_noise() -> None:
    points = cloud(200).astype(np.float64)
    got, _ = distorted(points, (Elastic(granularity=0.12, magnitude=0.8),), np.random.default_rng(3))
    # In the original's units: 2 cm voxels, granularity 6, magnitude 40.
    voxels, rng = points * 50, np.random.default_rng(3)
    size = np.floor(np.abs(voxels).max(axis=0) / 6).astype(int) + 3
    axes = [np.linspace(-(b - 1) * 6, (b - 1) * 6, b) for b in size]
    moved = []
    for _ in range(3):
        noise = rng.standard_normal(size).astype(np.float32)
        for _ in range(2):
            for shape in ((3, 1, 1), (1, 3, 1), (1, 1, 3)):
                noise = convolve(noise, np.ones(shape, np.float32) / 3, mode="constant", cval=0)
        moved.append(RegularGridInterpolator(axes, noise, bounds_error=False, fill_value=0)(voxels))
    np.testing.assert_allclose(got, (voxels + np.column_stack(moved) * 40) / 50, atol=1e-5)
    assert np.abs(got - points).max() > 0.01


def test_scene_matrix_flips_one_entry_and_turns_about_z() -> None:
    still = INDOOR.model_copy(update={"matrix_noise": 0.0})
    flips = 0
    for seed in range(200):
        matrix = scene_matrix(still, np.random.default_rng(seed))
        assert matrix[2].tolist() == [0, 0, 1] and matrix[:2, 2].tolist() == [0, 0]
        flips += np.linalg.det(matrix) < 0
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert 70 < flips < 130
    noisy = scene_matrix(INDOOR.model_copy(update={"rotate": False, "flip": 1.0}), np.random.default_rng(0))
    expected = np.eye(3) + 0.1 * np.random.default_rng(0).standard_normal((3, 3))
    expected[0, 0] *= -1
    np.testing.assert_allclose(noisy, expected)


def test_points_are_multiplied_by_the_matrix_from_the_right() -> None:
    points, matrix = cloud(500), scene_matrix(INDOOR, np.random.default_rng(2))
    np.testing.assert_allclose(transformed(points, matrix), points @ matrix, rtol=0, atol=1e-6)
    assert transformed(points, matrix).dtype == np.float32


def test_colour_gets_one_offset_without_clipping() -> None:
    points, colors = cloud(50), np.full((50, 3), 255, np.uint8)
    shifted = PLAIN.model_copy(update={"color_noise": 0.1})
    out = augment(points, colors, shifted, 0.02, 1000, np.random.default_rng(1))
    found = out.room.feats[:, :3]
    offsets = found - normalised_colors(colors)[out.origin]
    np.testing.assert_allclose(offsets, np.broadcast_to(offsets[0], offsets.shape), atol=1e-6)
    assert found.max() > 1


def test_nothing_random_left_is_a_permutation() -> None:
    points, colors = cloud(300), paint(300)
    out = augment(points, colors, PLAIN, 0.02, 1000, np.random.default_rng(0))
    assert sorted(out.origin) == list(range(300)) and list(out.origin) != list(range(300))
    np.testing.assert_array_equal(out.points, points)
    np.testing.assert_array_equal(out.room.feats[:, 3:], points[out.origin])
    expected = points.astype(np.float64) / 0.02
    np.testing.assert_array_equal(out.room.voxels, np.floor(expected - expected.min(axis=0))[out.origin])
    assert out.room.voxels.min() == 0


def test_the_feature_coordinates_are_not_distorted() -> None:
    points = cloud(300)
    bent = PLAIN.model_copy(update={"elastic": INDOOR.elastic})
    out = augment(points, paint(300), bent, 0.02, 1000, np.random.default_rng(0))
    np.testing.assert_array_equal(out.room.feats[:, 3:], points[out.origin])
    straight, voxels = points[out.origin].astype(np.float64) / 0.02, out.room.voxels
    assert np.abs((voxels - voxels.mean(0)) - (straight - straight.mean(0))).max() > 2


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 400), limit=st.integers(1, 400), seed=st.integers(0, 1000), size=st.floats(1, 1500))
def test_crop_keeps_at_most_the_limit_inside_one_window(n: int, limit: int, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    voxels = rng.uniform(0, size, (n, 3))
    voxels -= voxels.min(axis=0)
    window, keep = crop(voxels, limit, 512, 32, rng)
    shifted = voxels + window
    assert len(keep) <= max(limit, 0) or n <= limit
    if n <= limit:
        np.testing.assert_array_equal(shifted, voxels)
        assert len(keep) == n
    else:
        inside = shifted[keep]
        assert (inside >= 0).all() and (inside < 512).all()
        # Never upwards.
        assert window.shape == (3,) and (window <= 0).all()


def test_crop_window_shrinks_in_x_and_y_only() -> None:
    tower = np.column_stack([np.zeros(500), np.zeros(500), np.linspace(0, 500, 500)])
    _, keep = crop(tower, 100, 512, 32, np.random.default_rng(0))
    # A vertical line never leaves a window that shrinks sideways, until the window has no width at all.
    assert len(keep) == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_same_seed_same_bits(seed: int) -> None:
    outs = [augment(cloud(500), paint(500), INDOOR, 0.02, 300, np.random.default_rng(seed)) for _ in range(2)]
    for name in ("voxels", "feats"):
        np.testing.assert_array_equal(getattr(outs[0].room, name), getattr(outs[1].room, name))
    np.testing.assert_array_equal(outs[0].origin, outs[1].origin)
    assert len(outs[0].origin) <= 300
