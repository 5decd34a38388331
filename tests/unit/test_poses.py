"""Quaternions and rigid poses against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from regionzoo.scenes.poses import inverse, pose_matrix, rotation_matrix

components = st.floats(-1, 1, allow_subnormal=False)
quaternions = st.tuples(*[components] * 4).filter(lambda q: np.linalg.norm(q) > 1e-3)
shifts = st.tuples(*[st.floats(-2000, 2000)] * 3)


@given(quaternions, st.floats(0.01, 100))
def test_a_quaternion_of_any_length_is_its_rotation(quaternion, length):
    expected = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
    scaled = np.array(quaternion) / np.linalg.norm(quaternion) * length
    assert np.allclose(rotation_matrix(scaled), expected, rtol=0, atol=1e-12)
    assert rotation_matrix(scaled).dtype == np.float64


def test_the_scalar_comes_first():
    quarter = np.sqrt(0.5)
    assert np.allclose(rotation_matrix([1, 0, 0, 0]), np.eye(3))
    # A quarter turn to the left about z takes x to y.
    assert np.allclose(rotation_matrix([quarter, 0, 0, quarter]) @ [1, 0, 0], [0, 1, 0])


@given(quaternions, shifts)
def test_a_pose_rotates_then_shifts(quaternion, shift):
    point = np.array([3.0, -4.0, 5.0])
    moved = pose_matrix(quaternion, shift) @ [*point, 1.0]
    expected = Rotation.from_quat(quaternion, scalar_first=True).apply(point) + shift
    assert np.allclose(moved, [*expected, 1.0], rtol=0, atol=1e-9)


@given(quaternions, shifts)
def test_the_inverse_is_the_way_back(quaternion, shift):
    pose = pose_matrix(quaternion, shift)
    kept = pose.copy()
    assert np.allclose(inverse(pose) @ pose, np.eye(4), rtol=0, atol=1e-9)
    assert np.allclose(inverse(pose), np.linalg.inv(pose), rtol=0, atol=1e-8)
    assert np.array_equal(pose, kept)


def test_many_at_once_are_each_by_itself():
    rng = np.random.default_rng(1)
    quaternion, shift = rng.normal(size=(5, 2, 4)), rng.normal(size=(5, 2, 3))
    poses = pose_matrix(quaternion, shift)
    assert poses.shape == (5, 2, 4, 4)
    for place in np.ndindex(5, 2):
        assert np.array_equal(poses[place], pose_matrix(quaternion[place], shift[place]))
        assert np.allclose(inverse(poses)[place], inverse(poses[place]), rtol=0, atol=1e-12)
    assert pose_matrix(np.zeros((0, 4)), np.zeros((0, 3))).shape == (0, 4, 4)


@pytest.mark.parametrize("bad", [[0, 0, 0, 0], [1, 0, 0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 1]])
def test_what_is_no_rotation_is_refused(bad):
    with pytest.raises(ValueError, match="4 finite numbers"):
        rotation_matrix(bad)
