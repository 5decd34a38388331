"""The scene store: what is written comes back, and a damaged file is refused."""

from __future__ import annotations

import numpy as np
import pytest
from raw_scene import flip_byte, truncate

from regionzoo.errors import SceneError
from regionzoo.scenes.store import Scene, load_metadata, load_scene, save_scene


def make_scene(points: int = 50, alignment: bool = True) -> Scene:
    rng = np.random.default_rng(7)
    return Scene(
        scene_id="scene0000_00",
        split="train",
        source="scannet",
        coords=rng.normal(size=(points, 3)).astype(np.float32),
        colors=rng.integers(0, 256, (points, 3)).astype(np.uint8),
        superpoint=rng.integers(0, 9, points).astype(np.int32),
        group=rng.integers(-100, 5, points).astype(np.int32),
        labels={name: rng.integers(-100, 20, points).astype(np.int16) for name in ("scannet20", "scannet200")},
        categories=("wall", "büro chair", ""),
        axis_alignment=rng.normal(size=(4, 4)) if alignment else None,
        raw_sha256={"a.ply": "00ff", "b.json": "11"},
    )


def assert_same(one: Scene, other: Scene) -> None:
    for name in ("scene_id", "split", "source", "categories", "raw_sha256"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("coords", "colors", "superpoint", "group", "axis_alignment"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        assert a is None or (a.dtype == b.dtype and np.array_equal(a, b))
    assert one.labels.keys() == other.labels.keys()
    assert all(
        np.array_equal(one.labels[name], other.labels[name]) and other.labels[name].dtype == np.int16
        for name in one.labels
    )


@pytest.mark.parametrize("alignment", [True, False])
@pytest.mark.parametrize("points", [0, 1, 50])
def test_round_trip(tmp_path, points, alignment):
    scene = make_scene(points, alignment)
    save_scene(tmp_path / "a.safetensors", scene)
    assert_same(scene, load_scene(tmp_path / "a.safetensors"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_arrays_of_other_layout_are_stored_by_value(tmp_path):
    scene = make_scene()
    fortran = Scene(**{**vars(scene), "coords": np.asfortranarray(scene.coords), "colors": scene.colors[::-1][::-1]})
    save_scene(tmp_path / "a.safetensors", fortran)
    assert_same(scene, load_scene(tmp_path / "a.safetensors"))


def test_mean_and_centring():
    scene = make_scene()
    assert np.allclose(scene.mean, scene.coords.astype(np.float64).sum(axis=0) / 50, atol=1e-12)
    assert scene.centred().dtype == np.float32
    assert np.abs(scene.centred().astype(np.float64).mean(axis=0)).max() < 1e-6


def test_metadata_alone(tmp_path):
    scene = make_scene()
    save_scene(tmp_path / "a.safetensors", scene)
    metadata = load_metadata(tmp_path / "a.safetensors")
    assert metadata["scene_id"] == "scene0000_00" and metadata["coords_sha256"] == scene.coords_sha256


def test_equal_scenes_are_equal_files(tmp_path):
    """A manifest lists hashes of files: the same content written twice must be the same bytes."""
    written = set()
    for i in range(8):
        save_scene(tmp_path / f"{i}.safetensors", make_scene())
        written.add((tmp_path / f"{i}.safetensors").read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.1, 0.5, 0.999])
def test_cut_file_is_refused(tmp_path, keep):
    path = tmp_path / "scene0000_00.safetensors"
    save_scene(path, make_scene())
    truncate(path, keep)
    with pytest.raises(SceneError, match="damaged") as caught:
        load_scene(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_every_flipped_byte_of_the_coordinates_is_refused(tmp_path):
    scene, path = make_scene(points=3), tmp_path / "scene0000_00.safetensors"
    save_scene(path, scene)
    whole = path.read_bytes()
    start = whole.index(scene.coords.tobytes())
    for position in range(start, start + scene.coords.nbytes):
        flip_byte(path, position)
        with pytest.raises(SceneError, match="differ from the recorded hash"):
            load_scene(path)
        path.write_bytes(whole)
    assert_same(scene, load_scene(path))


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(SceneError, match="no such processed scene"):
        load_scene(tmp_path / "scene0000_00.safetensors")
    from safetensors.numpy import save_file

    save_file({"coords": np.zeros((1, 3), np.float32)}, tmp_path / "b.safetensors")
    with pytest.raises(SceneError, match="expected 1"):
        load_scene(tmp_path / "b.safetensors")
