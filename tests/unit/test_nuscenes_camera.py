"""Lidar points in images: the rule's bounds, and every step of the way by hand."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from regionzoo.scenes.camera import project

PINHOLE = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])


def seen(points: list[list[float]], size: tuple[int, int] = (900, 1600)) -> list[int]:
    return project(np.array(points, np.float32), np.eye(4), PINHOLE, size)[0].tolist()


def test_bounds_are_strict():
    # With this pinhole a point at depth 2 has its pixel at half of its x and y.
    assert seen([[2, 100, 2], [2.001, 100, 2], [3198, 100, 2], [3197.9, 100, 2]]) == [1, 3]
    assert seen([[100, 2, 2], [100, 2.001, 2], [100, 1798, 2], [100, 1797.9, 2]]) == [1, 3]
    assert seen([[5, 5, 1], [5, 5, 1.0001], [5, 5, 0], [-5, -5, -1.0], [-50, -50, -10.0]]) == [1]


def test_size_is_height_then_width():
    assert seen([[30, 10, 2], [10, 30, 2]], (10, 20)) == [0]


def test_no_points():
    ids, u, v, depth = project(np.zeros((0, 3), np.float32), np.eye(4), PINHOLE)
    assert len(ids) == len(u) == len(v) == len(depth) == 0
    assert ids.dtype == np.int64 and u.dtype == v.dtype == depth.dtype == np.float64


def test_pixels_and_depths_are_those_of_a_pinhole_camera():
    rng = np.random.default_rng(0)
    rotation, shift = Rotation.random(rng=rng), rng.normal(size=3)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation.as_matrix(), shift
    intrinsics = np.array([[1250.0, 3.0, 800], [0, 1200, 450], [0, 0, 1]])
    points = rng.uniform(-30, 30, (500, 3)).astype(np.float32)
    expected = []
    for n, point in enumerate(points.astype(float)):
        x, y, z = rotation.apply(point) + shift
        if z > 1:
            u, v = (1250 * x + 3 * y) / z + 800, 1200 * y / z + 450
            if 1 < u < 1599 and 1 < v < 899:
                expected.append((n, u, v, z))
    assert len(expected) > 15
    found = project(points, matrix, intrinsics)
    assert found[0].tolist() == [row[0] for row in expected]
    assert np.allclose(np.stack(found[1:], axis=1), [row[1:] for row in expected], rtol=1e-12)
