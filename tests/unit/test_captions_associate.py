"""Projection and box membership against a loop over points that uses no array arithmetic."""

import math

import numpy as np
import pytest

from regionzoo.captions.associate import project, region_points


def intrinsics(fx=577.6, fy=578.7, cx=318.9, cy=242.7, bx=0.0, by=0.0):
    return np.array([[fx, 0, cx, bx], [0, fy, cy, by], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)


def random_pose(rng):
    axis, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose = np.eye(4)
    pose[:3, :3] = axis * np.sign(np.linalg.det(axis))
    pose[:3, 3] = rng.normal(size=3) * 0.3
    return pose


def project_one_by_one(coords, pose, camera, depth):
    """The rules of the projection for one point at a time, with Python's own numbers."""
    height, width = depth.shape
    shrink = 479 / (height - 1)
    (fx, _, cx, bx), (_, fy, cy, by) = [[float(value) / shrink for value in row] for row in camera[:2]]
    rotation, translation = pose[:3, :3].tolist(), pose[:3, 3].tolist()
    found = []
    for index, point in enumerate(coords.tolist()):
        moved = [point[k] - translation[k] for k in range(3)]
        # The inverse of a rotation is its transpose.
        x, y, z = (sum(rotation[k][axis] * moved[k] for k in range(3)) for axis in range(3))
        if z <= 0:
            continue
        u, v = int((x - bx) * fx / z + cx + 0.5), int((y - by) * fy / z + cy + 0.5)
        if not (0 <= u < width and 0 <= v < height):
            continue
        measured = float(depth[v, u])
        if measured != 0 and abs(measured - z) <= 0.2 * measured:
            found.append((index, u, v))
    return found


@pytest.mark.parametrize(("height", "width"), [(480, 640), (240, 320)])
@pytest.mark.parametrize("seed", range(3))
def test_project_equals_loop(seed, height, width):
    rng = np.random.default_rng(seed)
    coords = rng.uniform(-2, 2, (3000, 3)).astype(np.float32)
    depth = rng.uniform(0.5, 2.5, (height, width)).astype(np.float32)
    depth[rng.random((height, width)) < 0.2] = 0
    pose, camera = random_pose(rng), intrinsics(fx=300.4, fy=310.3, bx=0.05, by=-0.03)
    ids, u, v = project(coords, pose, camera, depth)
    assert ids.dtype == u.dtype == v.dtype == np.int32
    assert list(zip(ids.tolist(), u.tolist(), v.tolist(), strict=True)) == project_one_by_one(
        coords, pose, camera, depth
    )
    assert len(ids) > 40


def point_at(u, v, z, camera):
    return [(u - camera[0, 2]) * z / camera[0, 0], (v - camera[1, 2]) * z / camera[1, 1], z]


def test_rounding_drops_the_fraction():
    camera, depth = intrinsics(), np.full((480, 640), 2.0, np.float32)
    raw = [-1.4, -0.6, 0.49, 0.51, 639.4, 639.6, -1.6]
    coords = np.array([point_at(u, 100.0, 2.0, camera) for u in raw])
    ids, u, v = project(coords, np.eye(4), camera, depth)
    # -1.4 and -0.6 truncate to column 0, 639.6 and -1.6 leave the image.
    assert ids.tolist() == [0, 1, 2, 3, 4]
    assert u.tolist() == [0, 0, 0, 1, 639]
    assert set(v.tolist()) == {100}


def test_depth_test_is_relative_to_the_measurement():
    camera = intrinsics()
    depth = np.full((480, 640), 2.0, np.float32)
    distances = [1.59, 1.61, 2.0, 2.39, 2.41]
    coords = np.array([point_at(50.0, 60.0, z, camera) for z in distances])
    assert project(coords, np.eye(4), camera, depth)[0].tolist() == [1, 2, 3]
    depth[60, 50] = 0
    assert len(project(coords, np.eye(4), camera, depth)[0]) == 0


def test_points_in_and_behind_the_camera_plane():
    depth = np.full((480, 640), 2.0, np.float32)
    coords = np.array([[0, 0, 0], [1, 0, 0], [0, 0, -2], [0, 0, 2]], np.float32)
    with np.errstate(all="raise"):
        assert project(coords, np.eye(4), intrinsics(), depth)[0].tolist() == [3]


def test_pose_that_is_not_finite_sees_nothing():
    pose = np.full((4, 4), -math.inf)
    ids, u, v = project(np.ones((5, 3), np.float32), pose, intrinsics(), np.ones((480, 640), np.float32))
    assert len(ids) == len(u) == len(v) == 0


def test_box_is_strict():
    ids = np.array([3, 5, 8, 9], np.int32)
    u, v = np.array([10, 11, 20, 15], np.int32), np.array([10, 11, 12, 20], np.int32)
    found = region_points(ids, u, v, (10.0, 10.0, 20.0, 20.0), (480, 640), (480, 640))
    assert found.tolist() == [5]
    assert found.dtype == np.int32


def test_box_scale_and_the_swapped_one():
    color, depth = (968, 1296), (480, 640)
    ids, u, v = np.array([0], np.int32), np.array([639], np.int32), np.array([100], np.int32)
    right = 639 * 1296 / 640
    swapped = 639 * 968 / 480
    assert right - swapped == pytest.approx(5.325)
    box = ((right + swapped) / 2, 0.0, 1296.0, 968.0)
    assert region_points(ids, u, v, box, color, depth).tolist() == [0]
    assert region_points(ids, u, v, box, color, depth, swap_xy_scale=True).tolist() == []
    box = (0.0, 100 * 968 / 480, 1296.0, 100 * 1296 / 640 - 0.1)
    assert region_points(ids, u, v, box, color, depth).tolist() == []
    assert region_points(ids, u, v, (0.0, 201.6, 1296.0, 201.7), color, depth).tolist() == [0]
    assert region_points(ids, u, v, (0.0, 202.4, 1296.0, 202.6), color, depth, swap_xy_scale=True).tolist() == [0]
