"""Points in oriented boxes against a test of every point with every box, and the devkit's where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from regionzoo.scenes.boxes import Boxes, only_box, points_in_boxes
from regionzoo.scenes.poses import pose_matrix


def random_boxes(rng: np.random.Generator, count: int) -> Boxes:
    rotations = Rotation.random(count, rng=rng).as_matrix() if count else np.zeros((0, 3, 3))
    return Boxes(rng.uniform(-8, 8, (count, 3)), rng.uniform(0.2, 8, (count, 3)), rotations)


def held(points: np.ndarray, boxes: Boxes) -> np.ndarray:
    """bool [n, B]: each point in the axes of each box, by scipy."""
    inside = np.zeros((len(points), len(boxes)), bool)
    for b, (center, (width, length, height)) in enumerate(zip(boxes.centers, boxes.sizes, strict=True)):
        rotation = Rotation.from_matrix(boxes.rotations[b]).inv()
        for n, point in enumerate(points.astype(np.float64)):
            x, y, z = rotation.apply(point - center)
            inside[n, b] = abs(x) <= length / 2 and abs(y) <= width / 2 and abs(z) <= height / 2
    return inside


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 6), st.integers(0, 60))
def test_points_in_random_boxes(seed, count, points):
    rng = np.random.default_rng(seed)
    boxes, cloud = random_boxes(rng, count), rng.uniform(-10, 10, (points, 3)).astype(np.float32)
    expected = held(cloud, boxes)
    found = points_in_boxes(cloud, boxes)
    assert len(found) == count
    for b, ids in enumerate(found):
        assert ids.dtype == np.int64
        assert ids.tolist() == np.flatnonzero(expected[:, b]).tolist()
    only = only_box(cloud, boxes)
    assert only.dtype == np.int32 and len(only) == points
    for n in range(points):
        holders = np.flatnonzero(expected[n])
        assert only[n] == (holders[0] if len(holders) == 1 else -100)


def test_the_surface_belongs_to_the_box():
    # Width 2 lies along y and length 4 along x; all numbers are exact in float32.
    boxes = Boxes(np.array([[10.0, 20, 30]]), np.array([[2.0, 4, 6]]), np.eye(3)[None])
    corners = np.array([[12, 21, 33], [8, 19, 27], [12, 20, 30], [10, 21, 30], [10, 20, 33]], np.float32)
    outside = np.nextafter(corners, corners + (corners - [10, 20, 30]) * 10, dtype=np.float32)
    assert points_in_boxes(corners, boxes)[0].tolist() == [0, 1, 2, 3, 4]
    assert points_in_boxes(outside, boxes)[0].tolist() == []


def test_length_lies_along_the_heading():
    turned = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    boxes = Boxes(np.zeros((1, 3)), np.array([[2.0, 4, 1]]), turned[None])
    assert points_in_boxes(np.array([[0, 1.9, 0], [1.9, 0, 0], [0.9, 0, 0]], np.float32), boxes)[0].tolist() == [0, 2]


def test_boxes_move_with_their_points():
    rng = np.random.default_rng(3)
    boxes, cloud = random_boxes(rng, 8), rng.uniform(-10, 10, (4000, 3))
    pose = pose_matrix(rng.normal(size=4), [40.0, -30.0, 2.0])
    moved = points_in_boxes(cloud @ pose[:3, :3].T + pose[:3, 3], boxes.moved(pose))
    assert sum(map(len, moved)) > 100
    for before, after in zip(points_in_boxes(cloud, boxes), moved, strict=True):
        assert before.tolist() == after.tolist()


def test_the_devkit_finds_the_same_points():
    pytest.importorskip("nuscenes")
    from nuscenes.utils.data_classes import Box
    from nuscenes.utils.geometry_utils import points_in_box
    from pyquaternion import Quaternion

    rng = np.random.default_rng(5)
    boxes, cloud = random_boxes(rng, 10), rng.uniform(-10, 10, (3000, 3)).astype(np.float32)
    for b, ids in enumerate(points_in_boxes(cloud, boxes)):
        theirs = Box(boxes.centers[b], boxes.sizes[b], Quaternion(matrix=boxes.rotations[b]))
        assert ids.tolist() == np.flatnonzero(points_in_box(theirs, cloud.T)).tolist()
