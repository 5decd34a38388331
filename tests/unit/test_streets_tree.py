"""The generated tree: its tables and files are what the official download holds."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_streets import FOLDER, SETTINGS, Tree, streets

from regionzoo.scenes.lidarseg import FINE, fine_to_nuscenes16
from regionzoo.scenes.nuscenes_layout import CAMERAS, TABLES, official_split
from regionzoo.scenes.poses import pose_matrix

__all__ = ["streets"]

ONE_SAMPLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "nuscenes_onesample"
POINTS = 1084 * 32

FIELDS = {
    "attribute": "token name description",
    "calibrated_sensor": "token sensor_token translation rotation camera_intrinsic",
    "category": "token name description index",
    "ego_pose": "token timestamp rotation translation",
    "instance": "token category_token nbr_annotations first_annotation_token last_annotation_token",
    "lidarseg": "token sample_data_token filename",
    "log": "token logfile vehicle date_captured location",
    "map": "category token filename log_tokens",
    "sample": "token timestamp prev next scene_token",
    "sample_annotation": "token sample_token instance_token visibility_token attribute_tokens translation size rotation"
    " prev next num_lidar_pts num_radar_pts",
    "sample_data": "token sample_token ego_pose_token calibrated_sensor_token timestamp fileformat is_key_frame height"
    " width filename prev next",
    "scene": "token log_token nbr_samples first_sample_token last_sample_token name description",
    "sensor": "token channel modality",
    "visibility": "token level description",
}
REFERENCES = {
    "calibrated_sensor": {"sensor_token": "sensor"},
    "instance": {
        "category_token": "category",
        "first_annotation_token": "sample_annotation",
        "last_annotation_token": "sample_annotation",
    },
    "lidarseg": {"sample_data_token": "sample_data", "token": "sample_data"},
    "sample": {"scene_token": "scene"},
    "sample_annotation": {"sample_token": "sample", "instance_token": "instance", "visibility_token": "visibility"},
    "sample_data": {
        "sample_token": "sample",
        "ego_pose_token": "ego_pose",
        "calibrated_sensor_token": "calibrated_sensor",
    },
    "scene": {"log_token": "log", "first_sample_token": "sample", "last_sample_token": "sample"},
}


def test_tables_have_the_official_fields_and_valid_unique_tokens(streets: Tree) -> None:
    assert sorted(streets.tables) == sorted(TABLES) == sorted(FIELDS)
    for name, records in streets.tables.items():
        tokens = [record["token"] for record in records]
        assert len(set(tokens)) == len(tokens) > 0, name
        for record in records:
            assert " ".join(record) == FIELDS[name]
            assert name == "visibility" or re.fullmatch("[0-9a-f]{32}", record["token"])
    for name, references in REFERENCES.items():
        for field, other in references.items():
            assert {record[field] for record in streets.tables[name]} <= streets.by_token(other).keys(), (name, field)
    attributes = streets.by_token("attribute").keys()
    assert all(set(record["attribute_tokens"]) <= attributes for record in streets.tables["sample_annotation"])
    assert [record["name"] for record in streets.tables["category"]] == list(FINE)
    assert [record["index"] for record in streets.tables["category"]] == list(range(32))


def test_the_tables_text_is_laid_out_as_the_official_one(streets: Tree) -> None:
    text = (streets.root / FOLDER / "sample.json").read_text()
    assert text.rstrip("\n") == json.dumps(json.loads(text), indent=0)


def test_drives_are_the_first_of_the_official_splits(streets: Tree) -> None:
    train, val = (official_split(FOLDER)[split] for split in ("train", "val"))
    assert [scene["name"] for scene in streets.tables["scene"]] == [*train[:3], val[0]]
    assert SETTINGS.names("train") == train[:3]
    assert len({scene["log_token"] for scene in streets.tables["scene"]}) == 4
    assert set(streets.tables["map"][0]["log_tokens"]) == streets.by_token("log").keys()
    assert (streets.root / streets.tables["map"][0]["filename"]).is_file()


def test_chains_lead_through_all_records_in_order_of_time(streets: Tree) -> None:
    samples = streets.by_token("sample")
    for scene in streets.tables["scene"]:
        names = follow(samples, scene["first_sample_token"])
        assert names[-1] == scene["last_sample_token"] and len(names) == scene["nbr_samples"] == 2
        times = [samples[name]["timestamp"] for name in names]
        assert 495_000 < times[1] - times[0] < 505_000
        assert all(samples[name]["scene_token"] == scene["token"] for name in names)
    data = streets.by_token("sample_data")
    starts = [record for record in data.values() if not record["prev"]]
    assert len(starts) == 4 * 7
    for record in starts:
        chain = follow(data, record["token"])
        assert len(chain) == 2
        assert len({data[name]["calibrated_sensor_token"] for name in chain}) == 1
    annotations = streets.by_token("sample_annotation")
    for instance in streets.tables["instance"]:
        chain = follow(annotations, instance["first_annotation_token"])
        assert chain[-1] == instance["last_annotation_token"] and len(chain) == instance["nbr_annotations"]
        assert {annotations[name]["instance_token"] for name in chain} == {instance["token"]}
        order = [samples[annotations[name]["sample_token"]]["timestamp"] for name in chain]
        assert order == sorted(order)
    assert sum(instance["nbr_annotations"] for instance in streets.tables["instance"]) == len(annotations)


def follow(records: dict[str, dict[str, Any]], start: str) -> list[str]:
    """Tokens of a chain; each record's ``prev`` is the one before."""
    chain, before = [], ""
    while start:
        assert records[start]["prev"] == before
        chain.append(start)
        before, start = start, records[start]["next"]
    return chain


def test_every_keyframe_has_a_sweep_and_six_images(streets: Tree) -> None:
    sensors = {
        record["token"]: streets.by_token("sensor")[record["sensor_token"]]["channel"]
        for record in streets.tables["calibrated_sensor"]
    }
    found = Counter(
        (record["sample_token"], sensors[record["calibrated_sensor_token"]]) for record in streets.tables["sample_data"]
    )
    assert set(found.values()) == {1}
    assert found.keys() == {
        (sample, channel) for sample in streets.by_token("sample") for channel in ("LIDAR_TOP", *CAMERAS)
    }
    logs = streets.by_token("log")
    for record in streets.tables["sample_data"]:
        channel = sensors[record["calibrated_sensor_token"]]
        sample = streets.by_token("sample")[record["sample_token"]]
        log = logs[streets.by_token("scene")[sample["scene_token"]]["log_token"]]
        assert record["is_key_frame"] is True
        assert record["token"] == record["ego_pose_token"]
        assert streets.by_token("ego_pose")[record["token"]]["timestamp"] == record["timestamp"]
        stem = f"samples/{channel}/{log['logfile']}__{channel}__{record['timestamp']}"
        path = streets.root / record["filename"]
        if channel == "LIDAR_TOP":
            assert record["filename"] == f"{stem}.pcd.bin" and record["fileformat"] == "pcd"
            assert (record["height"], record["width"]) == (0, 0)
            assert record["timestamp"] == sample["timestamp"] and path.stat().st_size == POINTS * 20
        else:
            assert record["filename"] == f"{stem}.jpg" and record["fileformat"] == "jpg"
            assert (record["height"], record["width"]) == (900, 1600)
            assert 0 < sample["timestamp"] - record["timestamp"] < 50_000
            with Image.open(path) as image:
                assert image.format == "JPEG" and image.size == (1600, 900)
    for record in streets.tables["lidarseg"]:
        assert record["token"] == record["sample_data_token"]
        assert record["filename"] == f"lidarseg/{FOLDER}/{record['token']}_lidarseg.bin"
        assert (streets.root / record["filename"]).stat().st_size == POINTS
    files = {path.relative_to(streets.root).as_posix() for path in streets.root.rglob("*") if path.is_file()}
    listed = {r["filename"] for name in ("sample_data", "lidarseg", "map") for r in streets.tables[name]}
    hidden = {name for name in files if name.startswith(".")}
    assert files - hidden == listed | {f"{FOLDER}/{name}.json" for name in TABLES}


def test_sweeps_are_ordered_and_measured_as_real_ones(streets: Tree) -> None:
    for _, points, labels in streets.sweeps():
        assert np.isfinite(points).all() and labels.max() <= 31
        rings = points[:, 4].reshape(1084, 32)
        assert (rings == np.arange(32)).all(), "the ring runs fastest"
        assert (points[:, 3] == np.round(points[:, 3])).all() and points[:, 3].min() >= 0 and points[:, 3].max() <= 255
        distance = np.linalg.norm(points[:, :3], axis=1)
        lost = labels == 0
        assert distance[lost].max() < 0.7 and distance[~lost].min() > 0.3 and distance.max() < 101
        assert 0.01 < lost.mean() < 0.4
        ahead = np.degrees(np.unwrap(np.arctan2(points[:, 1], points[:, 0]).reshape(1084, 32)[:, 16]))
        far = (distance.reshape(1084, 32)[:, 16] > 8) & (np.arange(1084) > 5) & (np.arange(1084) < 1078)
        steps = np.diff(ahead[far]) / np.diff(np.flatnonzero(far))
        assert -0.6 < np.median(steps) < -0.2, "clockwise, a third of a degree a column"
        level = np.degrees(np.arcsin(points[:, 2] / np.maximum(distance, 1e-3))).reshape(1084, 32)
        for ring in (8, 16, 24, 31):
            at = distance.reshape(1084, 32)[:, ring] > 15
            if at.sum() > 100:
                assert abs(np.median(level[at, ring]) - (-30.67 + 41.34 / 31 * ring)) < 0.1


@pytest.mark.skipif(not ONE_SAMPLE.is_dir(), reason="needs the real keyframe")
def test_a_real_keyframe_has_the_same_layout(streets: Tree) -> None:
    for name, records in streets.tables.items():
        real = json.loads((ONE_SAMPLE / "v1.0-mini" / f"{name}.json").read_text())
        for mine, theirs in zip(records[:1], real[:1], strict=False):
            assert list(mine) == list(theirs)
            assert [type(value) for value in mine.values()] == [type(value) for value in theirs.values()], name
    real = np.fromfile(next((ONE_SAMPLE / "samples" / "LIDAR_TOP").iterdir()), "<f4").reshape(-1, 5)
    assert len(real) == POINTS and (real[:, 4].reshape(1084, 32) == np.arange(32)).all()
    distance = np.linalg.norm(real[:, :3], axis=1)
    level = np.degrees(np.arcsin(real[:, 2] / np.maximum(distance, 1e-3)))
    for ring in range(11, 32, 5):
        at = (real[:, 4] == ring) & (distance > 6)
        assert abs(np.median(level[at]) - (-30.67 + 41.34 / 31 * ring)) < 0.15
    mounted = {
        record["sensor_token"]: record
        for record in json.loads((ONE_SAMPLE / "v1.0-mini" / "calibrated_sensor.json").read_text())
    }
    channels = {r["channel"]: r["token"] for r in json.loads((ONE_SAMPLE / "v1.0-mini" / "sensor.json").read_text())}
    for record in streets.tables["calibrated_sensor"]:
        theirs = mounted[channels[streets.by_token("sensor")[record["sensor_token"]]["channel"]]]
        assert np.abs(np.subtract(record["translation"], theirs["translation"])).max() < 0.03
        assert np.abs(np.dot(record["rotation"], theirs["rotation"])) > 0.9999
        assert np.shape(record["camera_intrinsic"]) == np.shape(theirs["camera_intrinsic"])


def test_each_trained_class_is_in_a_split_of_three_drives(streets: Tree) -> None:
    counts = np.zeros(16, int)
    names = {scene["token"]: scene["name"] for scene in streets.tables["scene"]}
    train = official_split(FOLDER)["train"]
    for record, _, labels in streets.sweeps():
        if names[streets.by_token("sample")[record["sample_token"]]["scene_token"]] in train:
            mapped = fine_to_nuscenes16(labels)
            counts += np.bincount(mapped[mapped >= 0], minlength=16)
    assert (counts >= 20).all(), counts


def test_boxes_hold_exactly_the_points_that_they_count(streets: Tree) -> None:
    """The official tools' way: a point is inside if its way from a corner fits along the three edges there."""
    samples = {record["sample_token"]: (record, points, labels) for record, points, labels in streets.sweeps()}
    poses, mounted = streets.by_token("ego_pose"), streets.by_token("calibrated_sensor")
    instances, categories = streets.by_token("instance"), streets.by_token("category")
    right, inside, checked = 0, 0, 0
    boxed = {name: np.zeros(len(labels), bool) for name, (_, _, labels) in samples.items()}
    for annotation in streets.tables["sample_annotation"]:
        record, points, labels = samples[annotation["sample_token"]]
        ego, lidar = poses[record["token"]], mounted[record["calibrated_sensor_token"]]
        to_global = pose_matrix(ego["rotation"], ego["translation"]) @ pose_matrix(
            lidar["rotation"], lidar["translation"]
        )
        box = np.linalg.inv(to_global) @ pose_matrix(annotation["rotation"], annotation["translation"])
        width, length, height = annotation["size"]
        assert min(annotation["size"]) > 0.03
        corner = box @ [-length / 2, -width / 2, -height / 2, 1]
        edges = box[:3, :3] * [length, width, height]
        ways = (points[:, :3].astype(float) - corner[:3]) @ edges
        held = ((ways >= 0) & (ways <= (edges * edges).sum(axis=0))).all(axis=1)
        assert held.sum() == annotation["num_lidar_pts"]
        assert annotation["num_radar_pts"] == 0
        category = categories[instances[annotation["instance_token"]]["category_token"]]
        mine = labels[held] == category["index"]
        right, inside, checked = right + mine.sum(), inside + held.sum(), checked + 1
        boxed[annotation["sample_token"]] |= held
        if category["name"] in ("vehicle.car", "vehicle.truck", "vehicle.trailer", "vehicle.bus.rigid"):
            assert length > width
        assert not category["name"].startswith(("static.", "flat.", "noise", "vehicle.ego"))
    assert checked > 200 and right / inside > 0.8, "what else lies in boxes is the ground that things stand on"
    things = {name: (labels > 0) & (labels < 24) for name, (_, _, labels) in samples.items()}
    assert sum((boxed[name] & things[name]).sum() for name in boxed) / sum(t.sum() for t in things.values()) > 0.97
    assert {a["visibility_token"] for a in streets.tables["sample_annotation"]} == {"1", "2", "3", "4"}


def test_boxes_move_as_fast_as_their_things(streets: Tree) -> None:
    """Standing things stay where they are; moving ones go forwards."""
    annotations, samples = streets.by_token("sample_annotation"), streets.by_token("sample")
    attributes = {record["token"]: record["name"] for record in streets.tables["attribute"]}
    speeds: dict[str, list[float]] = {}
    for first in annotations.values():
        if not first["next"] or not first["attribute_tokens"]:
            continue
        second = annotations[first["next"]]
        times = [samples[a["sample_token"]]["timestamp"] for a in (first, second)]
        way = np.subtract(second["translation"], first["translation"])[:2]
        speed = float(np.linalg.norm(way)) / (times[1] - times[0]) * 1e6
        speeds.setdefault(attributes[first["attribute_tokens"][0]], []).append(speed)
        if speed > 3:
            facing = pose_matrix(first["rotation"], (0, 0, 0))[:2, 0]
            assert facing @ way / np.linalg.norm(way) > 0.95, "vehicles go forwards"
    assert max(speeds["vehicle.parked"]) < 0.01 and max(speeds["cycle.without_rider"]) < 0.01
    assert max(speeds["pedestrian.standing"]) < 0.01
    assert 0.5 < np.median(speeds["pedestrian.moving"]) < 2.5
    assert np.median(speeds["vehicle.moving"]) > 2


def test_the_official_devkit_loads_the_tree(streets: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    devkit = pytest.importorskip("nuscenes.nuscenes", exc_type=ImportError)
    geometry = pytest.importorskip("nuscenes.utils.geometry_utils", exc_type=ImportError)
    loaded = devkit.NuScenes(FOLDER, str(streets.root), verbose=False)
    assert "nuscenes" in sys.modules and len(loaded.lidarseg) == len(loaded.sample) == 8
    boxes_checked = 0
    for sample in loaded.sample:
        lidar = sample["data"]["LIDAR_TOP"]
        path, boxes, _ = loaded.get_sample_data(lidar)
        points = np.fromfile(path, np.float32).reshape(-1, 5)[:, :3].T
        for box in boxes:
            held = int(geometry.points_in_box(box, points).sum())
            assert held == loaded.get("sample_annotation", box.token)["num_lidar_pts"]
            boxes_checked += 1
        for camera in CAMERAS:
            points, _, _ = loaded.explorer.map_pointcloud_to_image(lidar, sample["data"][camera])
            assert points.shape[1] > 500
    assert boxes_checked == len(streets.tables["sample_annotation"])
    loaded.list_lidarseg_categories()
    loaded.list_scenes()
    assert "movable_object.trafficcone" in capsys.readouterr().out
