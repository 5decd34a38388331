"""The feature store: what is written comes back, chunk by chunk, and nothing else is taken."""

import json

import numpy as np
import pytest
from raw_scene import flip_byte, truncate
from safetensors.numpy import save_file

from regionzoo.errors import SceneError, UserError
from regionzoo.features.store import FeatureIndex, load_chunk, load_index, save_point_features, unit_half, write_index

HASH = "a" * 64


def make_chunks(count=3, dimension=8, n_points=50):
    rng = np.random.default_rng(0)
    chunks = []
    for k in range(count):
        points = np.sort(rng.choice(n_points, 10 + k, replace=False))
        chunks.append((points, unit_half(rng.standard_normal((len(points), dimension)))))
    return chunks


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "scene0000_00.safetensors"
    save_point_features(path, "scene0000_00", HASH, 50, make_chunks())
    return path


def test_unit_half():
    feats = np.random.default_rng(1).standard_normal((5, 7)) * 1e-3
    feats[3] = 0
    expected = np.zeros((5, 7), np.float16)
    for row in range(5):
        norm = sum(value * value for value in feats[row]) ** 0.5
        expected[row] = [value / (norm + 1e-6) for value in feats[row]]
    found = unit_half(feats)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=1e-3)
    assert not found[3].any()
    # The floor is added, not a maximum: a norm of 1e-6 gives half a unit vector.
    assert unit_half(np.array([[1e-6, 0]]))[0, 0] == pytest.approx(0.5, abs=1e-3)
    assert unit_half(np.zeros((0, 4), np.float16)).shape == (0, 4)


def test_chunks_come_back(path):
    for k, (points, feats) in enumerate(make_chunks()):
        found_points, found_feats = load_chunk(path, k, HASH, dimension=8)
        assert (found_points.dtype, found_feats.dtype) == (np.int64, np.float16)
        np.testing.assert_array_equal(found_points, points)
        np.testing.assert_array_equal(found_feats, feats)


def test_empty_chunk(tmp_path):
    path = tmp_path / "scene0000_00.safetensors"
    save_point_features(path, "scene0000_00", HASH, 50, [(np.zeros(0, np.int64), np.zeros((0, 8), np.float16))])
    points, feats = load_chunk(path, 0, HASH, dimension=8)
    assert (points.shape, feats.shape) == ((0,), (0, 8))


@pytest.mark.parametrize(
    ("points", "feats", "reason"),
    [
        (np.array([3, 1]), np.zeros((2, 8), np.float16), "do not ascend"),
        (np.array([3, 3]), np.zeros((2, 8), np.float16), "do not ascend"),
        (np.array([-1, 3]), np.zeros((2, 8), np.float16), r"within 0\.\.49"),
        (np.array([3, 50]), np.zeros((2, 8), np.float16), r"within 0\.\.49"),
        (np.array([3.0, 4.0]), np.zeros((2, 8), np.float16), "whole numbers"),
        (np.array([3, 4]), np.zeros((2, 8), np.float32), "float32"),
        (np.array([3, 4]), np.zeros((3, 8), np.float16), r"expected float16 \[2, D\]"),
        (np.array([3, 4]), np.zeros((2, 9), np.float16), "dimension 9, but the first chunk has 8"),
    ],
)
def test_wrong_chunks_are_not_written(tmp_path, points, feats, reason):
    with pytest.raises(ValueError, match=reason):
        save_point_features(tmp_path / "s.safetensors", "s", HASH, 50, [*make_chunks(1), (points, feats)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("chunk", [3, -1])
def test_chunk_out_of_range(path, chunk):
    with pytest.raises(SceneError, match=rf"scene0000_00: .*no chunk {chunk}, the file has 3"):
        load_chunk(path, chunk, HASH)


def test_other_vertices(path):
    with pytest.raises(SceneError, match="other vertices"):
        load_chunk(path, 0, "b" * 64)


def test_other_dimension(path):
    with pytest.raises(SceneError, match="dimension 8, expected 512"):
        load_chunk(path, 0, HASH, dimension=512)


def test_absent(path):
    with pytest.raises(SceneError, match="no point features for this scene"):
        load_chunk(path.with_name("scene0001_00.safetensors"), 0, HASH)


def test_truncated(path):
    truncate(path, 0.8)
    with pytest.raises(SceneError, match="damaged"):
        load_chunk(path, 0, HASH)


def test_broken_header(path):
    flip_byte(path, 9)
    with pytest.raises(SceneError, match="damaged"):
        load_chunk(path, 0, HASH)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"chunk0.points": np.array([1, 9], np.int32), "chunk0.feats": np.zeros((3, 2), np.float16)}, r"\[2, D\]"),
        ({"chunk0.points": np.array([9, 1], np.int32), "chunk0.feats": np.zeros((2, 2), np.float16)}, "ascend"),
        ({"chunk0.points": np.array([1, 70], np.int32), "chunk0.feats": np.zeros((2, 2), np.float16)}, "ascend"),
        ({"chunk0.points": np.array([1, 9], np.int32), "chunk0.feats": np.zeros((2, 2), np.float32)}, "float32"),
        ({"chunk0.points": np.array([1, 9], np.int32)}, "no chunk 0"),
    ],
)
def test_foreign_files(path, tensors, reason):
    save_file(tensors, path, {"format": "1", "scene_id": "s", "coords_sha256": HASH, "n_points": "50"})
    with pytest.raises(SceneError, match=reason):
        load_chunk(path, 0, HASH)


def test_no_number_of_vertices(path):
    save_file({"a": np.zeros(1)}, path, {"format": "1", "coords_sha256": HASH})
    with pytest.raises(SceneError, match=r"damaged .*n_points"):
        load_chunk(path, 0, HASH)


def test_another_format(path):
    save_file({"a": np.zeros(1)}, path, {"format": "2"})
    with pytest.raises(SceneError, match="format 2, expected 1"):
        load_chunk(path, 0, HASH)


def test_index(tmp_path):
    index = FeatureIndex(8, {"provider": "files"}, {"scene0000_00": 3, "scene0001_00": 5})
    write_index(tmp_path, index)
    assert load_index(tmp_path) == index


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"format": "2"}, "format 2, expected 1"),
        ([], "format None"),
        ({"format": "1", "dimension": -1, "provider": {}, "scenes": {}}, "another type"),
        ({"format": "1", "dimension": 8, "provider": "none", "scenes": {}}, "another type"),
        ({"format": "1", "dimension": 8, "provider": {}}, "another type"),
        ({"format": "1", "dimension": 8, "provider": {}, "scenes": {"a": True}}, "numbers of chunks"),
    ],
)
def test_wrong_index(tmp_path, content, reason):
    (tmp_path / "index.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=reason):
        load_index(tmp_path)


def test_no_index(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_index(tmp_path)
