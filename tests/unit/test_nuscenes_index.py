"""From nuScenes' tables to an index: what it holds, when it is made again, and what becomes of a damaged one."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny_nuscenes import CAMERA_YAWS, TinyNuScenes, token, write_tiny_nuscenes

from regionzoo.errors import SceneError, UserError
from regionzoo.scenes import nuscenes_index
from regionzoo.scenes.nuscenes_index import require_index
from regionzoo.scenes.nuscenes_layout import READ_TABLES
from regionzoo.scenes.nuscenes_records import SensorRecord, read_drive_record, read_names

SCENE = "scene-0002"


@pytest.fixture
def tiny(tmp_path: Path) -> TinyNuScenes:
    return write_tiny_nuscenes(tmp_path / "raw", scenes=("scene-0001", SCENE), keyframes=3, points=9, images=False)


def build(tiny: TinyNuScenes) -> Path:
    index = tiny.root / "work" / "tables.sqlite"
    require_index(tiny.root / tiny.version, index)
    return index


def is_record(found: SensorRecord, tiny: TinyNuScenes, expected: dict) -> None:
    assert (found.token, found.filename, found.timestamp) == (
        expected["token"], expected["filename"], expected["timestamp"])  # fmt: skip
    ego = tiny.get("ego_pose", expected["ego_pose_token"])
    mount = tiny.get("calibrated_sensor", expected["calibrated_sensor_token"])
    for matrix, record in ((found.ego, ego), (found.mount, mount)):
        rotation = Rotation.from_quat(record["rotation"], scalar_first=True).as_matrix()
        assert np.allclose(matrix[:3, :3], rotation, rtol=0, atol=1e-12)
        assert matrix[:3, 3].tolist() == record["translation"] and matrix[3].tolist() == [0, 0, 0, 1]
    if mount["camera_intrinsic"]:
        assert found.intrinsics.tolist() == mount["camera_intrinsic"]
    else:
        assert found.intrinsics is None


def test_a_drive_is_what_its_tables_say(tiny):
    index = build(tiny)
    assert read_names(index) == (("scene-0001", SCENE), 6)
    drive = read_drive_record(index, SCENE)
    samples = tiny.samples(SCENE)
    assert [keyframe.token for keyframe in drive.keyframes] == [sample["token"] for sample in samples]
    for keyframe, sample in zip(drive.keyframes, samples, strict=True):
        assert keyframe.timestamp == sample["timestamp"]
        is_record(keyframe.lidar, tiny, tiny.data(sample, "LIDAR_TOP"))
        assert keyframe.labels == f"lidarseg/{tiny.version}/{keyframe.lidar.token}_lidarseg.bin"
        assert len(keyframe.cameras) == 6
        for camera, channel in zip(keyframe.cameras, CAMERA_YAWS, strict=True):
            is_record(camera, tiny, tiny.data(sample, channel))
        boxes = tiny.boxes(sample)
        assert keyframe.boxes.centers.tolist() == [box["translation"] for box in boxes]
        assert keyframe.boxes.sizes.tolist() == [box["size"] for box in boxes]
        turned = Rotation.from_quat([box["rotation"] for box in boxes], scalar_first=True).as_matrix()
        assert np.allclose(keyframe.boxes.rotations, turned, rtol=0, atol=1e-12)
        objects = [tiny.get("instance", box["instance_token"]) for box in boxes]
        assert keyframe.instances == tuple(record["token"] for record in objects)
        names = [tiny.get("category", record["category_token"])["name"] for record in objects]
        assert keyframe.categories == tuple(names)
        assert keyframe.num_lidar_pts.tolist() == [box["num_lidar_pts"] for box in boxes]


def test_keyframes_without_boxes(tiny):
    second = tiny.samples(SCENE)[1]["token"]
    annotations = tiny.tables["sample_annotation"]
    tiny.tables["sample_annotation"] = [record for record in annotations if record["sample_token"] != second]
    tiny.write_tables("sample_annotation")
    assert [len(k.boxes) for k in read_drive_record(build(tiny), SCENE).keyframes] == [4, 0, 4]
    tiny.tables["sample_annotation"] = []
    tiny.write_tables("sample_annotation")
    assert [k.boxes.rotations.shape for k in read_drive_record(build(tiny), SCENE).keyframes] == [(0, 3, 3)] * 3


def test_the_digest_is_that_of_the_drives_own_records(tmp_path, tiny):
    digest = read_drive_record(build(tiny), SCENE).sha256
    other = write_tiny_nuscenes(tmp_path / "one", scenes=("scene-0001", SCENE), keyframes=3, points=9, images=False)

    def changed(edit: Callable[[], object]) -> bool:
        edit()
        other.write_tables()
        return read_drive_record(build(other), SCENE).sha256 != digest

    samples = other.samples(SCENE)
    camera, box = other.data(samples[1], "CAM_BACK"), other.boxes(samples[1])[0]
    mount = other.get("calibrated_sensor", camera["calibrated_sensor_token"])
    assert not changed(lambda: None)
    # Another drive in front of it, and another order of the records, are nothing to this drive.
    assert not changed(lambda: [table.reverse() for name, table in other.tables.items() if name != "sample_annotation"])
    assert not changed(lambda: other.get("scene", token("scene", "scene-0001")).update(name="scene-0009"))
    assert changed(lambda: other.get("ego_pose", camera["ego_pose_token"])["translation"].__setitem__(0, 5.0))
    for record, field, value in (
        (mount, "camera_intrinsic", [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (mount, "rotation", [0.5, 0.5, 0.5, 0.5]),
        (camera, "filename", "samples/CAM_BACK/other.jpg"),
        (box, "size", [1.0, 2.0, 3.5]),
        (box, "instance_token", token("instance", SCENE, 1)),
    ):
        before = record[field]
        digest = read_drive_record(build(other), SCENE).sha256
        assert changed(lambda record=record, field=field, value=value: record.update({field: value})), field
        record[field] = before


def made_at(index: Path) -> int:
    return index.stat().st_ino


def test_an_index_is_reused_until_a_table_is_touched(tiny, monkeypatch):
    monkeypatch.setattr(nuscenes_index, "RACY", 0)
    index = build(tiny)
    first = made_at(index)
    assert made_at(build(tiny)) == first
    for name in READ_TABLES:
        os.utime(tiny.table(name))
        assert made_at(build(tiny)) != first, name
        first = made_at(index)
        assert made_at(build(tiny)) == first
    # As many bytes and the old time stamp, but other content.
    seen = tiny.table("scene").stat()
    tiny.table("scene").write_text(tiny.table("scene").read_text().replace(SCENE, "scene-0004"))
    os.utime(tiny.table("scene"), ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert read_names(build(tiny))[0] == ("scene-0001", "scene-0004")
    # Tables that are not read here.
    (tiny.root / tiny.version / "panoptic.json").write_text("[]")
    first = made_at(index)
    assert made_at(build(tiny)) == first


def test_an_index_of_fresh_tables_is_made_again(tiny):
    first = made_at(build(tiny))
    assert made_at(build(tiny)) != first


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500, None])
def test_an_index_that_cannot_be_opened_is_made_again(tiny, monkeypatch, content):
    monkeypatch.setattr(nuscenes_index, "RACY", 0)
    index = build(tiny)
    whole = index.read_bytes()
    index.write_bytes(whole[: len(whole) // 3] if content is None else content)
    for read in (read_names, lambda path: read_drive_record(path, SCENE)):
        with pytest.raises(UserError, match=r"damaged \(.*\); delete it and run"):
            read(index)
    build(tiny)
    assert index.read_bytes() == whole
    assert sorted(path.name for path in index.parent.iterdir()) == ["tables.sqlite"]


def test_a_damaged_index_gives_no_other_drive(tiny):
    """A bit is flipped at many places, one after another: the drive is read as it was or refused."""
    index = build(tiny)
    whole, expected = index.read_bytes(), read_drive_record(index, SCENE)
    refused = 0
    for place in range(50, len(whole), len(whole) // 60):
        index.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            found = read_drive_record(index, SCENE)
        except SceneError:
            refused += 1
        else:
            assert repr(found) == repr(expected)
    assert refused > 8


def test_an_index_of_an_older_format_is_made_again(tiny, monkeypatch):
    monkeypatch.setattr(nuscenes_index, "RACY", 0)
    first = made_at(build(tiny))
    monkeypatch.setattr(nuscenes_index, "FORMAT", nuscenes_index.FORMAT + 1)
    assert made_at(build(tiny)) != first


def test_a_failed_build_leaves_the_folder_as_it_was(tiny):
    index = build(tiny)
    before = index.read_bytes()
    tiny.table("ego_pose").write_text("[]")
    with pytest.raises(UserError, match="has no pose"):
        build(tiny)
    assert index.read_bytes() == before
    assert [path.name for path in index.parent.iterdir()] == ["tables.sqlite"]


def test_unknown_drives_and_absent_indexes(tiny):
    index = build(tiny)
    with pytest.raises(SceneError, match=r"scene-0777: .*: scene\.json has no such scene"):
        read_drive_record(index, "scene-0777")
    with pytest.raises(SceneError, match="no such index"):
        read_drive_record(index.with_name("none.sqlite"), SCENE)


def test_reading_writes_nothing(tiny):
    index = build(tiny)
    index.chmod(0o444)
    before = (index.stat().st_mtime_ns, sorted(os.listdir(index.parent)))
    read_drive_record(index, SCENE)
    assert (index.stat().st_mtime_ns, sorted(os.listdir(index.parent))) == before
    with sqlite3.connect(index) as connection:
        assert connection.execute("SELECT count(*) FROM record").fetchone() == (42,)


def test_what_is_not_read_may_be_anything(tiny):
    """Records between keyframes and of radars count neither as keyframes nor by their links."""
    for record in tiny.tables["sample_data"]:
        if not record["is_key_frame"]:
            record.update(calibrated_sensor_token="none", sample_token="none", ego_pose_token="none")
        elif "RADAR" in record["filename"]:
            record.update(ego_pose_token="none")
    tiny.write_tables()
    assert len(read_drive_record(build(tiny), SCENE).keyframes) == 3


def test_many_records_do_not_fill_the_memory(tiny):
    """What is kept of a table is what the index needs of it: 6,000 more records add next to nothing."""
    import tracemalloc

    more = [dict(tiny.tables["sample_data"][0], is_key_frame=False, token=token("more", n)) for n in range(6_000)]
    tiny.tables["sample_data"] += more
    tiny.tables["ego_pose"] += [dict(tiny.tables["ego_pose"][0], token=record["token"]) for record in more]
    tiny.write_tables("sample_data", "ego_pose")
    assert tiny.table("sample_data").stat().st_size > 2_500_000
    del more
    tracemalloc.start()
    build(tiny)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_json_layouts_are_equal(tiny):
    digest = read_drive_record(build(tiny), SCENE).sha256
    for name, table in tiny.tables.items():
        tiny.table(name).write_text("\n\n " + json.dumps(table, indent=4) + "\n")
    assert read_drive_record(build(tiny), SCENE).sha256 == digest
