"""One real keyframe of nuScenes: published point counts, and projections against float64 and the devkit's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from regionzoo.scenes.boxes import points_in_boxes
from regionzoo.scenes.camera import project
from regionzoo.scenes.drives import Drive
from regionzoo.scenes.nuscenes import NuScenesRoot
from regionzoo.scenes.nuscenes_layout import CAMERAS
from regionzoo.scenes.nuscenes_records import KeyframeRecord, read_drive_record
from regionzoo.scenes.poses import inverse

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "nuscenes_onesample"
SCENE, VERSION = "scene-0061", "v1.0-mini"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="no real keyframe beside the checkout")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> NuScenesRoot:
    return NuScenesRoot.open(REAL, VERSION, {"train": None}, (), tmp_path_factory.mktemp("real") / "index.sqlite")


@pytest.fixture(scope="module")
def drive(root: NuScenesRoot) -> Drive:
    return root.read_drive(SCENE, "train")


@pytest.fixture(scope="module")
def keyframe(root: NuScenesRoot) -> KeyframeRecord:
    return read_drive_record(root.index, SCENE).keyframes[0]


def table(name: str) -> dict[str, dict[str, Any]]:
    records = json.loads((REAL / VERSION / f"{name}.json").read_text())
    return {record["token"]: record for record in records}


def test_it_loads(root, drive):
    assert root.splits == {"train": (SCENE,)}
    assert len(drive) == 34688 and drive.keyframes == 1 and len(drive.categories) == 68
    assert drive.intensity.min() >= 0 and drive.intensity.max() <= 255
    # Labels were made of the boxes, so a point of a single box has its category's class.
    assert (drive.labels["nuscenes16"] >= 0).sum() > 900


def test_sixty_of_its_boxes_hold_the_published_numbers_of_points(drive, keyframe):
    boxes = keyframe.boxes.moved(inverse(keyframe.lidar.to_map))
    counts = np.array([len(ids) for ids in points_in_boxes(drive.coords, boxes)])
    assert (counts == keyframe.num_lidar_pts).sum() == 60
    assert np.abs(counts - keyframe.num_lidar_pts).max() <= 16
    in_map = drive.coords.astype(np.float64) @ keyframe.lidar.to_map[:3, :3].T + keyframe.lidar.to_map[:3, 3]
    assert counts.tolist() == [len(ids) for ids in points_in_boxes(in_map, keyframe.boxes)]


def by_hand(points: np.ndarray, camera: str) -> np.ndarray:
    """float64 [n, 3]: points in a camera's frame, step by step through the records of the tables."""
    poses, mounts = table("ego_pose"), table("calibrated_sensor")
    data = list(table("sample_data").values())
    lidar, seen = (next(r for r in data if f"/{name}/" in r["filename"]) for name in ("LIDAR_TOP", camera))

    def step(record: dict[str, Any]) -> tuple[Rotation, np.ndarray]:
        return Rotation.from_quat(record["rotation"], scalar_first=True), np.array(record["translation"])

    moved = points.astype(np.float64)
    for turn, shift in (step(mounts[lidar["calibrated_sensor_token"]]), step(poses[lidar["ego_pose_token"]])):
        moved = turn.apply(moved) + shift
    for turn, shift in (step(poses[seen["ego_pose_token"]]), step(mounts[seen["calibrated_sensor_token"]])):
        moved = turn.inv().apply(moved - shift)
    return moved


@pytest.mark.parametrize("number", range(6))
def test_projections_are_those_of_the_tables(drive, number):
    x, y, z = by_hand(drive.coords, CAMERAS[number]).T
    focal, centre = drive.intrinsics[0, number][[0, 1], [0, 1]], drive.intrinsics[0, number][:2, 2]
    with np.errstate(divide="ignore"):
        u, v = focal[0] * x / z + centre[0], focal[1] * y / z + centre[1]
    expected = np.flatnonzero((z > 1) & (u > 1) & (u < 1599) & (v > 1) & (v < 899))
    assert len(expected) > 1000
    ids, *found = project(drive.coords, drive.lidar_to_camera[0, number], drive.intrinsics[0, number])
    assert ids.tolist() == expected.tolist()
    assert np.allclose(found, [u[ids], v[ids], z[ids]], rtol=0, atol=1e-6)


def test_projections_are_those_of_the_devkit(drive):
    pytest.importorskip("nuscenes")
    from nuscenes.nuscenes import NuScenes

    devkit = NuScenes(VERSION, str(REAL), verbose=False)
    sample = devkit.get("sample", drive.tokens[0])
    for number, camera in enumerate(CAMERAS):
        assert drive.images[0][number] == devkit.get("sample_data", sample["data"][camera])["filename"]
        theirs, depth, _ = devkit.explorer.map_pointcloud_to_image(sample["data"]["LIDAR_TOP"], sample["data"][camera])
        ids, u, v, z = project(drive.coords, drive.lidar_to_camera[0, number], drive.intrinsics[0, number])
        assert theirs.shape[1] == len(ids) > 1000
        # The devkit adds the map's large coordinates in float32.
        assert np.abs(theirs[:2] - [u, v]).max() < 0.03
        assert np.abs(depth - z).max() < 1e-3


def test_boxes_are_those_of_the_devkit(drive, keyframe):
    pytest.importorskip("nuscenes")
    from nuscenes.nuscenes import NuScenes
    from nuscenes.utils.geometry_utils import points_in_box

    devkit = NuScenes(VERSION, str(REAL), verbose=False)
    _, theirs, _ = devkit.get_sample_data(devkit.get("sample", drive.tokens[0])["data"]["LIDAR_TOP"])
    boxes = keyframe.boxes.moved(inverse(keyframe.lidar.to_map))
    assert [box.name for box in theirs] == list(drive.categories)
    for box, ids in zip(theirs, points_in_boxes(drive.coords, boxes), strict=True):
        assert ids.tolist() == np.flatnonzero(points_in_box(box, drive.coords.T)).tolist()
