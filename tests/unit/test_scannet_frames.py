"""Frames of a scan: values, order, quirks of names and poses, and damage."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from raw_scene import flip_byte, truncate, write_frames

from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.frames import list_frames, read_frames

SCENE = "scene0000_00"


@pytest.fixture
def folder(tmp_path):
    return write_frames(tmp_path / "scannet_frames_25k", SCENE, ["000000", "000100", "000200"])


def test_values(tmp_path, folder):
    frame = list_frames(tmp_path, SCENE)[1]
    assert (frame.scene_id, frame.name) == (SCENE, "000100")
    assert frame.pose.dtype == np.float64 and frame.pose[0, 2] == 1.5 and frame.pose[1, 3] == -2.0
    assert frame.intrinsics.depth[0, 0] == 577.870605 and frame.intrinsics.color[1, 1] == 1170.187988
    stored = np.asarray(Image.open(folder / "depth" / "000100.png")).astype(np.float64)
    depth = frame.load_depth()
    assert depth.dtype == np.float32 and depth.shape == (480, 640)
    assert np.array_equal(depth, (stored / 1000).astype(np.float32))
    assert stored.max() > 32767, "the upper half of the 16 bits must survive"
    assert frame.load_color().dtype == np.uint8 and frame.load_color().shape == (242, 324, 3)
    assert frame.color_size == (242, 324)
    label, instance = frame.load_label(), frame.load_instance()
    assert (label.dtype, instance.dtype) == (np.uint8, np.uint16)
    assert label.shape == instance.shape == (242, 324)
    assert np.array_equal(instance // 1000, label) and instance.max() > 32767


def test_folder_below_tasks(tmp_path):
    write_frames(tmp_path / "tasks" / "scannet_frames_25k", SCENE, ["000000"])
    assert [frame.name for frame in list_frames(tmp_path, SCENE)] == ["000000"]


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["0", "100", "20", "3"], ["0", "3", "20", "100"]),
        (["000300", "000020", "001000"], ["000020", "000300", "001000"]),
        (["9", "000010", "08"], ["08", "9", "000010"]),
    ],
)
def test_order_by_number(tmp_path, names, ordered):
    write_frames(tmp_path / "scannet_frames_25k", SCENE, names)
    assert [frame.name for frame in list_frames(tmp_path, SCENE)] == ordered


def names_at(tmp_path, interval):
    found = read_frames(tmp_path, SCENE, interval)
    return [frame.name for frame in found.frames], found.lost, found.skipped


def test_interval_is_of_numbers_not_of_files(tmp_path):
    # A .sens export of every 20th frame; number 40 was not exported, 60 has no pose.
    numbers = (0, 20, 60, 80, 100, 120, 200)
    write_frames(tmp_path / "scannet_frames_25k", SCENE, [str(number) for number in numbers], lost=("60",))
    assert names_at(tmp_path, 1) == (["0", "20", "80", "100", "120", "200"], ("60",), 0)
    assert names_at(tmp_path, 20) == names_at(tmp_path, 1)
    assert names_at(tmp_path, 40) == (["0", "80", "120", "200"], (), 3)
    assert names_at(tmp_path, 60) == (["0", "120"], ("60",), 4)
    assert names_at(tmp_path, 100) == (["0", "100", "200"], (), 4)
    assert [frame.name for frame in list_frames(tmp_path, SCENE, 100)] == ["0", "100", "200"]
    with pytest.raises(UserError, match="frame_interval is 0"):
        read_frames(tmp_path, SCENE, interval=0)


def test_export_and_download_give_the_same_frames(tmp_path, folder):
    write_frames(tmp_path / "export" / "scannet_frames_25k", SCENE, [str(number) for number in range(0, 220, 20)])
    exported = names_at(tmp_path / "export", 100)
    assert ([f"{int(name):06d}" for name in exported[0]], *exported[1:]) == (["000000", "000100", "000200"], (), 8)
    assert names_at(tmp_path, 100) == names_at(tmp_path, 20) == (["000000", "000100", "000200"], (), 0)


def test_no_frame_at_the_interval(tmp_path):
    write_frames(tmp_path / "scannet_frames_25k", SCENE, ["000010", "000030"], lost=("000030",))
    assert names_at(tmp_path, 100) == ([], (), 2)
    assert names_at(tmp_path, 30) == ([], ("000030",), 1)


@pytest.mark.parametrize("name", ["frame-10", "10_", "1_0", "²", "-20"])
def test_a_name_that_is_no_number(tmp_path, name):
    folder = write_frames(tmp_path / "scannet_frames_25k", SCENE, ["0", name])
    with pytest.raises(SceneError, match="no frame number") as caught:
        read_frames(tmp_path, SCENE)
    assert str(caught.value).startswith(f"{SCENE}: {folder}/*/{name}.*: ")


def test_singular_intrinsics_and_subfolder(tmp_path):
    folder = write_frames(tmp_path / "scannet_frames_25k", SCENE, ["0"], plural=False)
    assert list_frames(tmp_path, SCENE)[0].intrinsics.depth[0, 0] == 577.870605
    (folder / "intrinsic").mkdir()
    for kind in ("color", "depth"):
        (folder / f"intrinsic_{kind}.txt").rename(folder / "intrinsic" / f"intrinsic_{kind}.txt")
    assert list_frames(tmp_path, SCENE)[0].intrinsics.color[0, 0] == 1170.187988


def test_images_without_annotation(tmp_path, folder):
    for kind in ("label", "instance"):
        for path in (folder / kind).iterdir():
            path.unlink()
        (folder / kind).rmdir()
    frame = list_frames(tmp_path, SCENE)[0]
    assert frame.load_depth().shape == (480, 640)
    with pytest.raises(SceneError, match=r"label/000000\.png: missing"):
        frame.load_label()


def _save(values, *parts):
    return lambda folder: Image.fromarray(values).save(folder.joinpath(*parts))


def _text(content, *parts):
    return lambda folder: folder.joinpath(*parts).write_text(content)


AT_ONCE = {
    "no colour": (lambda f: (f / "color/000100.jpg").unlink(), "color/000100.jpg", "missing"),
    "no depth": (lambda f: (f / "depth/000100.png").unlink(), "depth/000100.png", "missing"),
    "no pose": (lambda f: (f / "pose/000100.txt").unlink(), "pose/000100.txt", "missing"),
    "short pose": (_text("1 0 0 0\n0 1 0 0\n", "pose", "000100.txt"), "pose/000100.txt", "4 lines of 4"),
    "ragged pose": (_text("1 0\n0 1 0 0\n1\n1\n", "pose", "000100.txt"), "pose/000100.txt", "4 lines of 4"),
    "wordy pose": (_text("a b c d\n" * 4, "pose", "000100.txt"), "pose/000100.txt", "4 lines of 4"),
    "no intrinsics": (lambda f: (f / "intrinsics_depth.txt").unlink(), "intrinsics_depth.txt", "missing"),
    "zero focal": (_text("0 0 0 0\n" * 4, "intrinsics_color.txt"), "intrinsics_color.txt", "focal lengths"),
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_damage_found_when_listing(tmp_path, folder, name):
    damage, file, told = AT_ONCE[name]
    damage(folder)
    with pytest.raises(SceneError, match=told) as caught:
        read_frames(tmp_path, SCENE)
    assert str(caught.value).startswith(f"{SCENE}: {folder / file}: ") and "\n" not in str(caught.value)


GREY8, GREY16 = np.zeros((242, 324), np.uint8), np.zeros((480, 640), np.uint16)
WHEN_READ = {
    "cut colour": ("color", lambda f: truncate(f / "color/000000.jpg", 0.5), "damaged image"),
    "cut depth": ("depth", lambda f: truncate(f / "depth/000000.png", 0.5), "damaged image"),
    "flipped depth": ("depth", lambda f: flip_byte(f / "depth/000000.png", 60), "damaged image"),
    "empty label": ("label", lambda f: truncate(f / "label/000000.png", 0), "not a readable image"),
    "page as colour": ("color", _text("<html>", "color", "000000.jpg"), "not a readable image"),
    "grey colour": ("color", _save(GREY8, "color", "000000.jpg"), "image mode L, expected RGB"),
    "small depth": ("depth", _save(GREY16[::2, ::2], "depth", "000000.png"), "size 320x240, expected 640x480"),
    "8-bit depth": ("depth", _save(np.zeros((480, 640), np.uint8), "depth", "000000.png"), "expected 16-bit"),
    "16-bit label": ("label", _save(np.zeros((242, 324), np.uint16), "label", "000000.png"), "expected 8-bit"),
    "large label": (
        "label",
        _save(np.zeros((484, 648), np.uint8), "label", "000000.png"),
        "the colour image has 324x242",
    ),
    "rgb instance": ("instance", _save(np.zeros((242, 324, 3), np.uint8), "instance", "000000.png"), "expected 16-bit"),
    "no instance": ("instance", lambda f: (f / "instance/000000.png").unlink(), "missing"),
}


@pytest.mark.parametrize("name", WHEN_READ)
def test_damage_found_when_reading(tmp_path, folder, name):
    kind, damage, told = WHEN_READ[name]
    damage(folder)
    frame = list_frames(tmp_path, SCENE)[0]
    with pytest.raises(SceneError, match=told) as caught:
        {
            "color": frame.load_color,
            "depth": frame.load_depth,
            "label": frame.load_label,
            "instance": frame.load_instance,
        }[kind]()
    message = str(caught.value)
    assert message.startswith(f"{SCENE}: {frame.path(kind)}: ") and "\n" not in message


def test_no_frames_of_a_scene(tmp_path, folder):
    with pytest.raises(SceneError, match="nor one below tasks/"):
        list_frames(tmp_path, "scene0001_00")
