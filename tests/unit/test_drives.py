"""Stored drives: what was saved comes back, whole or by keyframes, and other files are refused."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

from regionzoo.artifacts import sealed_content
from regionzoo.errors import SceneError
from regionzoo.scenes.drives import Drive, drive_metadata, load_drive, load_keyframe, save_drive
from regionzoo.scenes.store import Scene, load_scene, load_truth, save_scene


def some_drive(sizes: tuple[int, ...] = (5, 1, 8)) -> Drive:
    rng = np.random.default_rng(4)
    count, frames = sum(sizes), len(sizes)
    return Drive(
        scene_id="scene-0001",
        split="train",
        source="nuscenes",
        coords=rng.normal(0, 30, (count, 3)).astype(np.float32),
        intensity=rng.integers(0, 256, count).astype(np.float32),
        labels={
            "nuscenes16": rng.integers(-1, 16, count).astype(np.int16),
            "other": rng.integers(0, 3, count).astype(np.int16),
        },
        group=rng.integers(0, 3, count).astype(np.int32),
        offsets=np.cumsum([0, *sizes]),
        tokens=tuple(f"{k:032x}" for k in range(frames)),
        categories=("vehicle.car", "human.pedestrian.adult", "vehicle.car"),
        images=tuple(tuple(f"samples/CAM_{c}/é {k}.jpg" for c in range(6)) for k in range(frames)),
        intrinsics=rng.normal(size=(frames, 6, 3, 3)),
        lidar_to_camera=rng.normal(size=(frames, 6, 4, 4)),
        raw_sha256={"tables": "a" * 64, "samples/LIDAR_TOP/1.pcd.bin": "1" * 64},
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "scene-0001.safetensors"
    save_drive(path, some_drive())
    return path


def test_a_drive_comes_back_as_it_was(saved):
    before, after = some_drive(), load_drive(saved)
    for field in dataclasses.fields(Drive):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if isinstance(old, np.ndarray):
            assert np.array_equal(old, new) and old.dtype == new.dtype, field.name
        elif field.name == "labels":
            assert old.keys() == new.keys()
            assert all(np.array_equal(old[name], new[name]) and new[name].dtype == np.int16 for name in old)
        else:
            assert old == new and type(old) is type(new), field.name
    assert (len(after), after.keyframes) == (14, 3)
    assert [after.part(k) for k in range(3)] == [slice(0, 5), slice(5, 6), slice(6, 14)]


def test_wider_numbers_are_stored_in_the_types_of_the_format(tmp_path):
    drive = some_drive()
    wide = dataclasses.replace(
        drive,
        coords=drive.coords.astype(np.float64),
        intensity=drive.intensity.astype(np.int64),
        labels={name: values.astype(np.int64) for name, values in drive.labels.items()},
        group=drive.group.astype(np.int64),
        offsets=drive.offsets.astype(np.int32),
    )
    save_drive(tmp_path / "a.safetensors", wide)
    save_drive(tmp_path / "b.safetensors", drive)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_keyframe_is_its_slice_of_the_drive(saved):
    drive = load_drive(saved)
    for k in range(3):
        part, keyframe = drive.part(k), load_keyframe(saved, k)
        assert (keyframe.scene_id, keyframe.number, keyframe.start) == ("scene-0001", k, part.start)
        assert len(keyframe) == part.stop - part.start
        assert np.array_equal(keyframe.coords, drive.coords[part]) and keyframe.coords.dtype == np.float32
        assert np.array_equal(keyframe.intensity, drive.intensity[part])
        assert keyframe.labels.keys() == drive.labels.keys()
        for name, labels in keyframe.labels.items():
            assert np.array_equal(labels, drive.labels[name][part]) and labels.dtype == np.int16


@pytest.mark.parametrize("number", [-1, 3, 99])
def test_there_is_no_such_keyframe(saved, number):
    with pytest.raises(IndexError, match=rf"keyframe {number} of 3"):
        load_keyframe(saved, number)


def test_truth_and_metadata_without_the_rest(saved):
    drive = some_drive()
    digest, labels = load_truth(saved, "nuscenes16")
    assert digest == drive.coords_sha256 and np.array_equal(labels, drive.labels["nuscenes16"])
    with pytest.raises(SceneError, match="no labels of scannet20"):
        load_truth(saved, "scannet20")
    metadata = drive_metadata(saved)
    assert (metadata["keyframes"], metadata["split"], metadata["source"]) == ("3", "train", "nuscenes")


def test_a_scene_is_no_drive_and_a_drive_no_scene(tmp_path, saved):
    count = 3
    scene = Scene(
        scene_id="scene0000_00",
        split="train",
        source="scannet",
        coords=np.zeros((count, 3), np.float32),
        colors=np.zeros((count, 3), np.uint8),
        superpoint=np.zeros(count, np.int32),
        group=np.zeros(count, np.int32),
        labels={},
    )
    path = tmp_path / "scene0000_00.safetensors"
    save_scene(path, scene)
    for read in (load_drive, drive_metadata, lambda path: load_keyframe(path, 0)):
        with pytest.raises(SceneError, match="no stored drive; this row needs a nuScenes data set"):
            read(path)
    with pytest.raises(SceneError, match=r"scene-0001: .*holds a drive, not a scanned scene"):
        load_scene(saved)


def test_absent_and_damaged_files(saved):
    content = saved.read_bytes()
    assert sealed_content(saved)
    with pytest.raises(SceneError, match="no such processed scene"):
        load_drive(saved.with_name("scene-0002.safetensors"))
    for broken in (b"", content[:40], content[:-1], b"\xff" * 100):
        saved.write_bytes(broken)
        for read in (load_drive, lambda path: load_keyframe(path, 0)):
            with pytest.raises(SceneError, match=r"damaged .* run preprocess again"):
                read(saved)
    # One bit of a coordinate.
    place = content.index(some_drive().coords.tobytes()) + 5
    saved.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert not sealed_content(saved)
    with pytest.raises(SceneError, match="points differ from the recorded hash; preprocess again"):
        load_drive(saved)
    with pytest.raises(SceneError, match="points differ"):
        load_truth(saved, "nuscenes16")


def test_an_interrupted_write_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(KeyboardInterrupt):
        save_drive(saved, some_drive((2, 2)))
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
