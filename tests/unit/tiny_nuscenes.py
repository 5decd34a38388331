"""Writes small raw nuScenes trees, table by table (independent of the readers under test), and edits them.

Every drive has the sensors of the real car (lidar, six cameras) and one radar, records between the keyframes that a
reader has to pass over, its own calibration, and at each keyframe the boxes of ``OBJECTS``; barrier and cone overlap.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

SCENES = {
    "v1.0-trainval": ("scene-0001", "scene-0002", "scene-0003"),
    "v1.0-mini": ("scene-0061", "scene-0553", "scene-0103"),
}
"""Two drives of the official train split and one of val."""
CAMERA_YAWS = {
    "CAM_FRONT": 0.0,
    "CAM_FRONT_RIGHT": -55.0,
    "CAM_BACK_RIGHT": -110.0,
    "CAM_BACK": 180.0,
    "CAM_BACK_LEFT": 110.0,
    "CAM_FRONT_LEFT": 55.0,
}
"""Degrees to the left of straight ahead."""
CHANNELS = ("LIDAR_TOP", *CAMERA_YAWS, "RADAR_FRONT")
OBJECTS = (
    ("vehicle.car", (12.0, 3.0), (1.9, 4.6, 1.6), 20.0),
    ("human.pedestrian.adult", (-6.0, 8.0), (0.6, 0.7, 1.8), 70.0),
    ("movable_object.barrier", (7.0, -9.0), (2.0, 0.6, 1.0), 110.0),
    ("movable_object.trafficcone", (7.3, -9.2), (0.5, 0.5, 0.9), 0.0),
)
"""Category; metres ahead and to the left of the car; width, length, height; yaw in degrees."""
START = 1_600_000_000_000_000
_HALF_SECOND = 500_000


def token(*identity: object) -> str:
    """32 hex characters that depend on the identity alone."""
    return hashlib.sha256(repr(identity).encode()).hexdigest()[:32]


def fine_names() -> list[str]:
    """The 32 categories in the order of their index."""
    text = files("regionzoo").joinpath("data", "lidarseg.csv").read_text()
    return [row["name"] for row in csv.DictReader(text.splitlines())]


@dataclass
class TinyNuScenes:
    """What was written. Tables may be edited and written again.

    sweeps: lidar token -> float32 [n, 5]. fine: lidar token -> uint8 [n]. inside: lidar token -> bool [n, boxes], by
    the writer's own test, in the order of the annotation table.
    """

    root: Path
    version: str
    scenes: tuple[str, ...]
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sweeps: dict[str, np.ndarray] = field(default_factory=dict)
    fine: dict[str, np.ndarray] = field(default_factory=dict)
    inside: dict[str, np.ndarray] = field(default_factory=dict)

    def table(self, name: str) -> Path:
        return self.root / self.version / f"{name}.json"

    def write_tables(self, *names: str) -> None:
        """Write the named tables again, all of them if none is named."""
        for name in names or self.tables:
            self.table(name).parent.mkdir(parents=True, exist_ok=True)
            self.table(name).write_text(json.dumps(self.tables[name], indent=0))

    def get(self, name: str, of: str) -> dict[str, Any]:
        """The record with a token."""
        return next(record for record in self.tables[name] if record["token"] == of)

    def samples(self, scene: str) -> list[dict[str, Any]]:
        """The keyframes of a drive in time order."""
        of = next(record["token"] for record in self.tables["scene"] if record["name"] == scene)
        return sorted((r for r in self.tables["sample"] if r["scene_token"] == of), key=lambda r: r["timestamp"])

    def data(self, sample: dict[str, Any], channel: str) -> dict[str, Any]:
        """The keyframe record of a channel."""
        found = [r for r in self.tables["sample_data"] if r["sample_token"] == sample["token"] and r["is_key_frame"]]
        return next(record for record in found if f"/{channel}/" in record["filename"])

    def boxes(self, sample: dict[str, Any]) -> list[dict[str, Any]]:
        return [record for record in self.tables["sample_annotation"] if record["sample_token"] == sample["token"]]

    def label_file(self, lidar: str) -> Path:
        return self.root / "lidarseg" / self.version / f"{lidar}_lidarseg.bin"


def write_tiny_nuscenes(
    root: str | Path,
    version: str = "v1.0-trainval",
    scenes: tuple[str, ...] | None = None,
    keyframes: int = 2,
    points: int = 80,
    images: bool = True,
    seed: int = 0,
) -> TinyNuScenes:
    """Write a tree with all tables, sweeps, labels, a map and (unless ``images`` is false) 1600 x 900 JPEGs.

    scenes: names; default :data:`SCENES` of the version. points: of the first sweep; each next one has one more.
    """
    tiny = TinyNuScenes(Path(root), version, SCENES[version] if scenes is None else scenes)
    tables = tiny.tables = {
        "attribute": [{"token": token("attribute"), "name": "vehicle.moving", "description": ""}],
        "visibility": [{"token": str(n), "level": f"v{n}", "description": ""} for n in (1, 2, 3, 4)],
        "category": [
            {"token": token("category", name), "name": name, "description": "", "index": index}
            for index, name in enumerate(fine_names())
        ],
        "sensor": [{"token": token("sensor", name), "channel": name, "modality": _modality(name)} for name in CHANNELS],
        "map": [{"category": "semantic_prior", "token": token("map"), "filename": "maps/none.png", "log_tokens": []}],
    }
    names = ("calibrated_sensor", "ego_pose", "instance", "lidarseg", "log", "sample", "sample_annotation")
    tables |= {name: [] for name in (*names, "sample_data", "scene")}
    for number, scene in enumerate(tiny.scenes):
        _write_drive(tiny, number, scene, keyframes, points, images, np.random.default_rng([seed, number]))
    # The official tables are in no order that a reader may lean on.
    order = np.random.default_rng(seed)
    for name in ("sample_data", "ego_pose", "sample", "lidarseg"):
        tables[name] = [tables[name][i] for i in order.permutation(len(tables[name]))]
    tiny.write_tables()
    (tiny.root / "maps").mkdir(exist_ok=True)
    Image.new("L", (8, 8)).save(tiny.root / "maps" / "none.png")
    return tiny


def _modality(channel: str) -> str:
    return {"LID": "lidar", "CAM": "camera", "RAD": "radar"}[channel[:3]]


def _quaternion(rotation: Rotation) -> list[float]:
    return rotation.as_quat(scalar_first=True).tolist()


def _ego(number: int, microseconds: int) -> tuple[Rotation, np.ndarray]:
    """The car's pose: 8 m/s through a slow curve, slightly pitched, far from the origin of the map."""
    seconds = microseconds / 1e6
    yaw = 40.0 * number + 6.0 * seconds
    ahead = np.array([np.cos(np.radians(yaw)), np.sin(np.radians(yaw)), 0.0])
    rotation = Rotation.from_euler("ZYX", [yaw, 0.8, -0.5], degrees=True)
    return rotation, np.array([1000.0 + 300 * number, 600.0, 0.0]) + 8.0 * seconds * ahead


def _calibration(tiny: TinyNuScenes, scene: str, rng: np.random.Generator) -> dict[str, tuple[Rotation, np.ndarray]]:
    """Writes the records of a drive's sensors; returns where they are in the car."""
    mounted = {}
    for channel in CHANNELS:
        tilt = Rotation.from_rotvec(rng.normal(0, 0.01, 3))
        if channel in CAMERA_YAWS:
            yaw = Rotation.from_euler("z", CAMERA_YAWS[channel], degrees=True)
            # Camera axes (right, down, forward) in those of the car (forward, left, up).
            axes = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
            mounted[channel] = yaw * axes * tilt, yaw.apply([1.2, 0.0, 0.0]) + np.array([0.5, 0.0, 1.5])
            focal = float(rng.uniform(1200, 1300)) if channel != "CAM_BACK" else 800.0
            intrinsic = [[focal, 0.0, 810.0], [0.0, focal, 480.0], [0.0, 0.0, 1.0]]
        else:
            # The lidar's y axis points ahead.
            axes = Rotation.from_euler("z", -90 if channel == "LIDAR_TOP" else 0, degrees=True)
            mounted[channel] = axes * tilt, np.array([0.94, 0.0, 1.84])
            intrinsic = []
        rotation, translation = mounted[channel]
        tiny.tables["calibrated_sensor"].append(
            {
                "token": token("calibrated", scene, channel),
                "sensor_token": token("sensor", channel),
                "translation": translation.tolist(),
                "rotation": _quaternion(rotation),
                "camera_intrinsic": intrinsic,
            }
        )
    return mounted


def _write_drive(
    tiny: TinyNuScenes, number: int, scene: str, keyframes: int, points: int, images: bool, rng: np.random.Generator
) -> None:
    tables = tiny.tables
    mounted = _calibration(tiny, scene, rng)
    samples = [token("sample", scene, k) for k in range(keyframes)]
    tables["log"].append(
        {
            "token": token("log", scene),
            "logfile": f"n000-{scene}",
            "vehicle": "n000",
            "date_captured": "2020-01-01",
            "location": "singapore-onenorth",
        }
    )
    tables["map"][0]["log_tokens"].append(token("log", scene))
    tables["scene"].append(
        {
            "token": token("scene", scene),
            "log_token": token("log", scene),
            "nbr_samples": keyframes,
            "first_sample_token": samples[0],
            "last_sample_token": samples[-1],
            "name": scene,
            "description": "made for tests",
        }
    )
    for i, (category, *_) in enumerate(OBJECTS):
        tables["instance"].append(
            {
                "token": token("instance", scene, i),
                "category_token": token("category", category),
                "nbr_annotations": keyframes,
                "first_annotation_token": token("annotation", scene, i, 0),
                "last_annotation_token": token("annotation", scene, i, keyframes - 1),
            }
        )
    for k in range(keyframes):
        tables["sample"].append(
            {
                "token": samples[k],
                "timestamp": START + k * _HALF_SECOND,
                "prev": samples[k - 1] if k else "",
                "next": samples[k + 1] if k + 1 < keyframes else "",
                "scene_token": token("scene", scene),
            }
        )
        lidar = _write_records(tiny, number, scene, k, keyframes, images)
        boxes = _place_boxes(number, k, mounted["LIDAR_TOP"])
        sweep = _sweep(boxes, points + number * keyframes + k, rng)
        inside = np.stack([_inside(sweep[:, :3], *box) for box in boxes], axis=1)
        fine = rng.integers(24, 31, len(sweep)).astype(np.uint8)
        for b, (category, *_) in enumerate(OBJECTS):
            fine[inside[:, b]] = fine_names().index(category)
        tiny.sweeps[lidar], tiny.fine[lidar], tiny.inside[lidar] = sweep, fine, inside
        _write_file(tiny.root / tiny.get("sample_data", lidar)["filename"], sweep.astype("<f4").tobytes())
        _write_file(tiny.label_file(lidar), fine.tobytes())
        _write_boxes(tiny, number, scene, k, keyframes, inside.sum(axis=0))
        name = f"lidarseg/{tiny.version}/{lidar}_lidarseg.bin"
        tables["lidarseg"].append({"token": lidar, "sample_data_token": lidar, "filename": name})


def _write_records(tiny: TinyNuScenes, number: int, scene: str, k: int, keyframes: int, images: bool) -> str:
    """Records of all channels at keyframe ``k`` and of one moment behind it; returns the lidar's token."""
    for c, channel in enumerate(CHANNELS):
        kind = {"CAM": "jpg", "LID": "pcd.bin", "RAD": "pcd"}[channel[:3]]
        moments = [(2 * k, 0), (2 * k + 1, _HALF_SECOND // 2)]
        for moment, later in moments[: 1 if k + 1 == keyframes else 2]:
            # Each camera fires a little before the lidar's sweep ends, the radar a little after.
            since = k * _HALF_SECOND + later + (7_000 if channel.startswith("RAD") else -6_000 * c)
            folder = "sweeps" if later else "samples"
            filename = f"{folder}/{channel}/n000-{scene}__{channel}__{START + since}.{kind}"
            own = token("data", scene, channel, moment)
            rotation, translation = _ego(number, since)
            tiny.tables["ego_pose"].append(
                {
                    "token": own,
                    "timestamp": START + since,
                    "rotation": _quaternion(rotation),
                    "translation": translation.tolist(),
                }
            )
            tiny.tables["sample_data"].append(
                {
                    "token": own,
                    "sample_token": token("sample", scene, k),
                    "ego_pose_token": own,
                    "calibrated_sensor_token": token("calibrated", scene, channel),
                    "timestamp": START + since,
                    "fileformat": kind.removesuffix(".bin"),
                    "is_key_frame": not later,
                    "height": 900 if kind == "jpg" else 0,
                    "width": 1600 if kind == "jpg" else 0,
                    "filename": filename,
                    "prev": token("data", scene, channel, moment - 1) if moment else "",
                    "next": token("data", scene, channel, moment + 1) if moment < 2 * keyframes - 2 else "",
                }
            )
            if images and kind == "jpg" and not later:
                _write_file(tiny.root / filename, _jpeg(c))
    return token("data", scene, "LIDAR_TOP", 2 * k)


def _box_in_map(number: int, k: int, i: int) -> tuple[Rotation, np.ndarray]:
    """Objects stand still beside the car as it is at each keyframe, so that every keyframe sees them alike."""
    _, (ahead, left), (_, _, height), yaw = OBJECTS[i]
    rotation, translation = _ego(number, k * _HALF_SECOND)
    heading = rotation.as_euler("ZYX", degrees=True)[0]
    centre = rotation.apply([ahead, left, 0.4 + height / 2]) + translation
    return Rotation.from_euler("z", heading + yaw, degrees=True), centre


def _place_boxes(number: int, k: int, lidar: tuple[Rotation, np.ndarray]) -> list[tuple[Rotation, np.ndarray, tuple]]:
    """Boxes in the lidar frame: rotation, centre, size."""
    ego, shift = _ego(number, k * _HALF_SECOND)
    boxes = []
    for i in range(len(OBJECTS)):
        rotation, centre = _box_in_map(number, k, i)
        centre = lidar[0].inv().apply(ego.inv().apply(centre - shift) - lidar[1])
        boxes.append((lidar[0].inv() * ego.inv() * rotation, centre, OBJECTS[i][2]))
    return boxes


def _inside(points: np.ndarray, rotation: Rotation, centre: np.ndarray, size: tuple) -> np.ndarray:
    """bool [n]; a box' x axis is its length."""
    width, length, height = size
    local = rotation.inv().apply(points.astype(np.float64) - centre)
    return (np.abs(local) <= np.array([length, width, height]) / 2).all(axis=1)


def _sweep(boxes: list[tuple[Rotation, np.ndarray, tuple]], count: int, rng: np.random.Generator) -> np.ndarray:
    """float32 [count, 5]: half of the points inside boxes, the others anywhere."""
    points = rng.uniform([-40, -40, -2], [40, 40, 3], (count, 3))
    for n in range(count // 2):
        rotation, centre, (width, length, height) = boxes[n % len(boxes)]
        points[n] = rotation.apply(rng.uniform(-0.48, 0.48, 3) * [length, width, height]) + centre
    sweep = np.concatenate([points, rng.integers(0, 256, (count, 1)), rng.integers(0, 32, (count, 1))], axis=1)
    return rng.permutation(sweep).astype(np.float32)


def _write_boxes(tiny: TinyNuScenes, number: int, scene: str, k: int, keyframes: int, counts: np.ndarray) -> None:
    for i, (_, _, size, _) in enumerate(OBJECTS):
        rotation, centre = _box_in_map(number, k, i)
        tiny.tables["sample_annotation"].append(
            {
                "token": token("annotation", scene, i, k),
                "sample_token": token("sample", scene, k),
                "instance_token": token("instance", scene, i),
                "visibility_token": "4",
                "attribute_tokens": [],
                "translation": centre.tolist(),
                "size": list(size),
                "rotation": _quaternion(rotation),
                "prev": token("annotation", scene, i, k - 1) if k else "",
                "next": token("annotation", scene, i, k + 1) if k + 1 < keyframes else "",
                "num_lidar_pts": int(counts[i]),
                "num_radar_pts": 0,
            }
        )


@cache
def _jpeg(shade: int) -> bytes:
    content = BytesIO()
    Image.new("RGB", (1600, 900), (20 * shade, 90, 120)).save(content, "JPEG", quality=30)
    return content.getvalue()


def _write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
