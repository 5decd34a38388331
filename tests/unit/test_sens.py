"""Recordings are read frame by frame and exported in the layout of the frames' download."""

import json
import os
import shutil
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_scene import truncate, write_frames
from sens_files import COLOR_SHAPE, jpeg, recording

from regionzoo.cli import main
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.frames import read_frames
from regionzoo.scenes.raw_layout import is_raw_input
from regionzoo.scenes.sens import SensFile
from regionzoo.scenes.sens_export import export_scene, export_scenes

SCENE = "scene0000_00"


@pytest.fixture
def path(tmp_path):
    return tmp_path / f"{SCENE}.sens"


def test_the_header(path):
    made = recording(3)
    path.write_bytes(made.content())
    with SensFile(path) as sens:
        header = sens.header
    assert (header.sensor, header.color_size, header.depth_size) == ("StructureSensor", COLOR_SHAPE, (480, 640))
    assert (header.depth_shift, header.frames) == (1000.0, 3)
    found = header.color_intrinsics, header.color_extrinsics, header.depth_intrinsics, header.depth_extrinsics
    for matrix, expected in zip(found, made.matrices, strict=True):
        np.testing.assert_array_equal(matrix, expected.astype(np.float32))


@pytest.mark.parametrize("interval", [1, 2, 3, 100])
def test_frames_at_an_interval(path, interval):
    made = recording(7, lost=(2,))
    path.write_bytes(made.content())
    with SensFile(path) as sens:
        for _ in range(2):  # it starts over
            frames = list(sens.frames(interval))
            assert [frame.number for frame in frames] == list(range(0, 7, interval))
    for frame in frames:
        shot = made.shots[frame.number]
        np.testing.assert_array_equal(frame.pose, shot.pose.astype(np.float32))
        assert (frame.color, frame.color_time, frame.depth_time) == (shot.color, shot.color_time, shot.depth_time)
        assert frame.depth.dtype == np.uint16
        np.testing.assert_array_equal(frame.depth, shot.image)


@pytest.mark.parametrize("interval", [1, 2, 4])
def test_exported_frames_are_those_of_the_download(tmp_path, path, interval):
    made = recording(9, lost=(4,))
    path.write_bytes(made.content())
    folder = tmp_path / "scannet_frames_25k"
    exported = export_scene(path, SCENE, folder, interval)
    numbers = list(range(0, 9, interval))
    assert (exported.frames, exported.lost, exported.kept) == (len(numbers), 1, False)
    for step in (interval, 2 * interval):
        found = read_frames(tmp_path, SCENE, step)
        assert found.lost == ("000004",) if 4 % step == 0 else found.lost == ()
        assert [frame.name for frame in found.frames] == [f"{n:06d}" for n in range(0, 9, step) if n != 4]
    for frame in read_frames(tmp_path, SCENE, interval).frames:
        shot = made.shots[int(frame.name)]
        np.testing.assert_array_equal(frame.pose.astype(np.float32), shot.pose.astype(np.float32))
        assert frame.path("color").read_bytes() == shot.color
        assert frame.color_size == COLOR_SHAPE
        np.testing.assert_array_equal(frame.load_depth(), (shot.image / 1000).astype(np.float32))
        np.testing.assert_array_equal(frame.intrinsics.depth.astype(np.float32), made.matrices[2].astype(np.float32))
        np.testing.assert_array_equal(frame.intrinsics.color.astype(np.float32), made.matrices[0].astype(np.float32))
    assert (folder / SCENE / "pose" / "000004.txt").read_text() == "-inf -inf -inf -inf\n" * 4
    inputs = {p.name for p in folder.rglob("*.*") if is_raw_input(p.relative_to(tmp_path).as_posix())}
    assert inputs == {f"{n:06d}{s}" for n in numbers for s in (".jpg", ".png", ".txt")} | {
        "intrinsics_color.txt",
        "intrinsics_depth.txt",
    }


def mtimes(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_an_export_is_kept_until_its_source_or_the_interval_changes(tmp_path, path):
    path.write_bytes(recording(5).content())
    out = tmp_path / "frames"
    export_scene(path, SCENE, out, 2)
    before = mtimes(out / SCENE)
    assert export_scene(path, SCENE, out, 2).kept and mtimes(out / SCENE) == before
    assert not export_scene(path, SCENE, out, 1).kept
    assert len(list((out / SCENE / "color").iterdir())) == 5
    path.write_bytes(recording(5, lost=(0,), seed=1).content())
    assert not export_scene(path, SCENE, out, 1).kept
    os.utime(path, (1, 1))
    assert not export_scene(path, SCENE, out, 1).kept
    (out / SCENE / "export.json").write_text("{}")
    with pytest.raises(SceneError, match="was not exported here"):
        export_scene(path, SCENE, out, 1)


def test_the_download_itself_is_never_replaced(tmp_path, path):
    path.write_bytes(recording(2).content())
    folder = write_frames(tmp_path / "scannet_frames_25k", SCENE, ["000000", "000100"])
    before = mtimes(folder)
    with pytest.raises(SceneError, match=rf"^{SCENE}: .*is there, but was not exported here; name another folder"):
        export_scene(path, SCENE, tmp_path / "scannet_frames_25k", 1)
    assert mtimes(folder) == before


def tree(tmp_path, frames):
    """Recordings below scans/, the last one below scans_test/."""
    names = []
    for k, (name, count) in enumerate(frames.items()):
        folder = tmp_path / ("scans_test" if k == len(frames) - 1 else "scans") / name
        folder.mkdir(parents=True)
        (folder / f"{name}.sens").write_bytes(recording(count, lost=(0,), seed=k).content())
        names.append(name)
    return names


@pytest.mark.parametrize("workers", [1, 2])
def test_all_scenes_and_going_on(tmp_path, workers):
    names = tree(tmp_path, {"scene0000_00": 3, "scene0001_00": 2, "scene0707_00": 1})
    broken = tmp_path / "scans" / names[1] / f"{names[1]}.sens"
    whole = broken.read_bytes()
    truncate(broken, 0.9)
    out = tmp_path / "frames"
    with pytest.raises(UserError, match=rf"^{names[1]}: .*frame 1: cut short.*; the other 2 of 3 scenes are exported$"):
        export_scenes(tmp_path, names, out, 1, workers)
    assert sorted(path.name for path in out.iterdir()) == [names[0], names[2]]
    broken.write_bytes(whole)
    seen = []
    summary = export_scenes(tmp_path, names, out, 1, workers, progress=lambda *done: seen.append(done))
    assert summary == {"scenes": 3, "scenes_kept": 2, "frames": 6, "frames_without_pose": 3}
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert {name: json.loads((out / name / "export.json").read_text())["frames"] for name in names} == {
        names[0]: 3,
        names[1]: 2,
        names[2]: 1,
    }
    again = export_scenes(tmp_path, names, out, 1, workers)
    assert again == summary | {"scenes_kept": 3}


def test_the_command(tmp_path, monkeypatch, capsys):
    names = tree(tmp_path, {"scene0000_00": 5, "scene0001_00": 3, "scene0707_00": 1})
    (tmp_path / "scans" / names[0] / "other.sens").write_bytes(b"")
    (tmp_path / "train.txt").write_text(f"{names[1]}\n")

    def call(*options):
        monkeypatch.setattr("sys.argv", ["regionzoo", "sens-export", "--root", str(tmp_path), *options])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return captured.err if ended.value.code else captured.out.splitlines()[-1]

    frames = tmp_path / "scannet_frames_25k"
    told = call("--interval", "2", "--list", "train.txt")
    assert told == f"{frames}: 1 scenes, 2 frames, 1 of them without pose"
    assert call("--interval", "2") == f"{frames}: 3 scenes (1 were there), 6 frames, 3 of them without pose"
    assert [frame.name for frame in read_frames(tmp_path, names[0], 4).frames] == ["000004"]
    assert call("--out", str(tmp_path / "some"), "--list", "train.txt").startswith(f"{tmp_path / 'some'}: 1 scenes, 1 ")
    assert "none.txt: no such scene list" in call("--list", "none.txt")
    shutil.rmtree(tmp_path / "scans")
    shutil.rmtree(tmp_path / "scans_test")
    assert "no recording scans/<scene>/<scene>.sens; name the folder above scans/" in call()


def test_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"^scene0000_00: .*scans/scene0000_00/scene0000_00\.sens: missing"):
        export_scenes(tmp_path, ["scene0000_00"], tmp_path / "frames", 1)
    with pytest.raises(UserError, match=r"^a: .*a\.sens: missing \(2 more are broken: b, c\); the other 0 of 3 scenes"):
        export_scenes(tmp_path, ["b", "a", "c"], tmp_path / "frames", 1)
    with pytest.raises(UserError, match="the frame interval is 0, expected 1 or more"):
        export_scenes(tmp_path, ["scene0000_00"], tmp_path / "frames", 0)


def damaged_depth(made):
    made.shots[1].depth = b"xxxx" + made.shots[1].depth[4:]


def short_depth(made):
    made.shots[1].depth = zlib.compress(bytes(100))


def depth_bomb(made):
    made.shots[1].depth = zlib.compress(bytes(100_000_000), 9)


def depth_without_end(made):
    made.shots[1].depth = made.shots[1].depth[:-2]  # of the checksum


def edit(**fields):
    def change(made):
        for name, value in fields.items():
            setattr(made, name, value)

    return change


def edit_shot(**fields):
    def change(made):
        for name, value in fields.items():
            setattr(made.shots[1], name, value)

    return change


WRONG = {
    "version": (edit(version=3), "version 3 of the format, expected 4; is this a .sens file"),
    "name": (edit(sensor=bytes(2000)), "damaged: a sensor's name of 2000 bytes"),
    "raw colour": (edit(color_form=0), "colour is raw, expected JPEG; export the frames with another tool"),
    "png colour": (edit(color_form=1), "colour is PNG, expected JPEG"),
    "unknown colour": (edit(color_form=-1), "colour is unknown, expected JPEG"),
    "odd colour": (edit(color_form=77), "colour is 77, expected JPEG"),
    "raw depth": (edit(depth_form=0), "depth is raw, expected zlib; export the frames with another tool"),
    "occi depth": (edit(depth_form=2), "depth is OCCI, expected zlib"),
    "no pixels": (edit(sides=(32, 0, 640, 480)), "damaged: images of 32x0 and 640x480 pixels"),
    "too many pixels": (edit(sides=(32, 24, 640, 1 << 31)), "damaged: images of"),
    "small depth": (edit(sides=(32, 24, 320, 240)), "depth of 320x240 pixels, expected 640x480"),
    "other units": (edit(shift=4000.0), "4000 depth units a metre, expected 1000"),
    "no units": (edit(shift=float("nan")), "damaged: depth_shift nan"),
    "frames without end": (edit(announced=1 << 60), "1152921504606846976 frames are announced, more than its"),
    "a frame more": (edit(announced=4, tail=b""), "frame 3: cut short"),
    "no jpeg": (edit_shot(color=b"\x89PNG" + bytes(50)), "frame 1: its colour is no JPEG image"),
    "other size": (edit_shot(color=jpeg((8, 16), 3)), "frame 1: colour of 16x8 pixels, expected 32x24"),
    "large colour": (edit_shot(color=bytes(1 << 18)), "frame 1: damaged: 262144 bytes of colour"),
    "damaged depth": (damaged_depth, "frame 1: damaged depth; copy the file again"),
    "short depth": (short_depth, "frame 1: depth is not 640x480 pixels"),
    "depth bomb": (depth_bomb, "frame 1: depth is not 640x480 pixels"),
    "depth without end": (depth_without_end, "frame 1: depth is not 640x480 pixels"),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_recordings_are_refused(tmp_path, path, name):
    change, told = WRONG[name]
    made = recording(3)
    change(made)
    path.write_bytes(made.content())
    with pytest.raises(SceneError, match=rf"^{SCENE}: .*{SCENE}\.sens: {told}") as error:
        export_scene(path, SCENE, tmp_path / "frames", 1)
    assert "\n" not in str(error.value)
    assert list((tmp_path / "frames").glob("*") if (tmp_path / "frames").exists() else []) == []


def test_a_bomb_is_not_unpacked(path):
    made = recording(2)
    depth_bomb(made)
    path.write_bytes(made.content())
    tracemalloc.start()
    with pytest.raises(SceneError, match="frame 1"), SensFile(path) as sens:
        list(sens.frames())
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_sizes_that_lie(tmp_path, path):
    made = recording(2)
    content = bytearray(made.content())
    at = len(made.head()) + 64 + 16
    content[at : at + 16] = struct.pack("<QQ", 1 << 63, 1 << 63)
    path.write_bytes(bytes(content))
    with (
        pytest.raises(SceneError, match="frame 0: cut short: 18446744073709551616 bytes are due"),
        SensFile(path) as sens,
    ):
        list(sens.frames(5))


CONTENT = recording(2).content()
WITHOUT_TAIL = len(CONTENT) - len(recording(0).tail)


@given(end=st.integers(0, WITHOUT_TAIL - 1))
@settings(max_examples=80, deadline=None)
def test_every_truncation_is_noticed(tmp_path_factory, end):
    path = tmp_path_factory.mktemp("cut") / "a.sens"
    path.write_bytes(CONTENT[:end])
    with pytest.raises(SceneError, match=r"^a: .*(cut short|more than its)"), SensFile(path) as sens:
        list(sens.frames())


def test_what_is_behind_the_frames_is_not_needed(path):
    path.write_bytes(CONTENT[:WITHOUT_TAIL])
    with SensFile(path) as sens:
        assert len(list(sens.frames())) == 2


@given(places=st.lists(st.tuples(st.integers(0, WITHOUT_TAIL - 1), st.integers(0, 255)), min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_damage_is_told_or_read_and_nothing_else(tmp_path_factory, places):
    path = tmp_path_factory.mktemp("damaged") / "a.sens"
    content = bytearray(CONTENT)
    for place, value in places:
        content[place] = value
    path.write_bytes(bytes(content))
    try:
        with SensFile(path) as sens:
            assert len(list(sens.frames())) == sens.header.frames
    except SceneError as error:
        assert "\n" not in str(error)
