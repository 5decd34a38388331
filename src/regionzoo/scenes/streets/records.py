"""The records that a drive adds to the tables of nuScenes."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np

from regionzoo.scenes.lidarseg import FINE
from regionzoo.scenes.nuscenes_layout import CAMERAS, IMAGE_SIZE, LIDAR, LIDARSEG, SAMPLES
from regionzoo.scenes.streets.annotate import Annotated
from regionzoo.scenes.streets.rig import CHANNELS, Mounting
from regionzoo.scenes.streets.settings import VERSION

Record = dict[str, Any]
VEHICLE, LOCATION = "n900", "synthetic-street"
ATTRIBUTES = (
    "vehicle.moving",
    "vehicle.stopped",
    "vehicle.parked",
    "cycle.with_rider",
    "cycle.without_rider",
    "pedestrian.sitting_lying_down",
    "pedestrian.standing",
    "pedestrian.moving",
)
VISIBILITY = (("1", "v0-40"), ("2", "v40-60"), ("3", "v60-80"), ("4", "v80-100"))
LEVELS = np.array([0.4, 0.6, 0.8])


def token(*identity: object) -> str:
    """32 hex digits that depend on the identity alone."""
    return hashlib.sha256("/".join(str(part) for part in identity).encode()).hexdigest()[:32]


def fragment(records: list[Record]) -> str:
    """Records as they stand between the brackets of a table, in the official files' layout."""
    return ",\n".join(json.dumps(record, indent=0) for record in records)


def constant_tables() -> dict[str, list[Record]]:
    """The tables that are the same for all drives."""
    return {
        "attribute": [{"token": token("attribute", name), "name": name, "description": ""} for name in ATTRIBUTES],
        "category": [
            {"token": token("category", name), "name": name, "description": "", "index": index}
            for index, name in enumerate(FINE)
        ],
        "sensor": [
            {
                "token": token("sensor", channel),
                "channel": channel,
                "modality": "lidar" if channel == LIDAR else "camera",
            }
            for channel in CHANNELS
        ],
        "visibility": [{"token": name, "level": level, "description": ""} for name, level in VISIBILITY],
    }


class DriveRecords:
    """Collects the records of one drive."""

    def __init__(self, scene: str, seed: int, start: int, description: str) -> None:
        self._identity = (seed, scene)
        self._start = start
        self.log_token = self._token("log")
        when = datetime.fromtimestamp(start / 1e6, UTC)
        self._logfile = f"{VEHICLE}-{when:%Y-%m-%d-%H-%M-%S}+0000"
        self.tables: dict[str, list[Record]] = {
            name: []
            for name in (
                "calibrated_sensor",
                "ego_pose",
                "instance",
                "lidarseg",
                "log",
                "sample",
                "sample_annotation",
                "sample_data",
                "scene",
            )
        }
        self.tables["log"].append(
            {
                "token": self.log_token,
                "logfile": self._logfile,
                "vehicle": VEHICLE,
                "date_captured": f"{when:%Y-%m-%d}",
                "location": LOCATION,
            }
        )
        self.tables["scene"].append(
            {
                "token": self._token("scene"),
                "log_token": self.log_token,
                "nbr_samples": 0,
                "first_sample_token": "",
                "last_sample_token": "",
                "name": scene,
                "description": description,
            }
        )

    def _token(self, *what: object) -> str:
        return token(*self._identity, *what)

    def add_rig(self, rig: dict[str, Mounting]) -> None:
        """The calibration of the drive's log."""
        for channel, mounting in rig.items():
            self.tables["calibrated_sensor"].append(
                {
                    "token": self._token("calibrated_sensor", channel),
                    "sensor_token": token("sensor", channel),
                    "translation": list(mounting.translation),
                    "rotation": list(mounting.rotation),
                    "camera_intrinsic": [list(row) for row in mounting.matrix],
                }
            )

    def add_sample(self, timestamp: int) -> None:
        """A keyframe."""
        scene, samples = self.tables["scene"][0], self.tables["sample"]
        name = self._token("sample", len(samples))
        if samples:
            samples[-1]["next"] = name
        samples.append(
            {
                "token": name,
                "timestamp": timestamp,
                "prev": samples[-1]["token"] if samples else "",
                "next": "",
                "scene_token": scene["token"],
            }
        )
        scene["nbr_samples"] = len(samples)
        scene["first_sample_token"], scene["last_sample_token"] = samples[0]["token"], name

    def add_data(self, channel: str, timestamp: int, rotation: np.ndarray, translation: np.ndarray) -> str:
        """What a sensor took for the last keyframe, and the car's pose then; returns the file's path below the root."""
        keyframe = len(self.tables["sample"]) - 1
        name = self._token("sample_data", channel, keyframe)
        camera = channel in CAMERAS
        before = self._token("sample_data", channel, keyframe - 1) if keyframe else ""
        for record in self.tables["sample_data"]:
            if record["token"] == before:
                record["next"] = name
        height, width = IMAGE_SIZE if camera else (0, 0)
        ending = "jpg" if camera else "pcd.bin"
        path = f"{SAMPLES}/{channel}/{self._logfile}__{channel}__{timestamp}.{ending}"
        self.tables["sample_data"].append(
            {
                "token": name,
                "sample_token": self.tables["sample"][-1]["token"],
                "ego_pose_token": name,
                "calibrated_sensor_token": self._token("calibrated_sensor", channel),
                "timestamp": timestamp,
                "fileformat": "jpg" if camera else "pcd",
                "is_key_frame": True,
                "height": height,
                "width": width,
                "filename": path,
                "prev": before,
                "next": "",
            }
        )
        self.tables["ego_pose"].append(
            {
                "token": name,
                "timestamp": timestamp,
                "rotation": rotation.tolist(),
                "translation": translation.tolist(),
            }
        )
        return path

    def add_labels(self) -> str:
        """The label file of the last keyframe's sweep; returns its path below the root."""
        name = self._token("sample_data", LIDAR, len(self.tables["sample"]) - 1)
        path = f"{LIDARSEG}/{VERSION}/{name}_lidarseg.bin"
        self.tables["lidarseg"].append({"token": name, "sample_data_token": name, "filename": path})
        return path

    def annotate(self, categories: list[str], attributes: list[str], frames: list[Annotated]) -> None:
        """Boxes of things [T], "" as a category for what has none, in all keyframes.

        A thing is annotated from the first to the last keyframe in which the lidar hits it.
        """
        for thing, (category, attribute) in enumerate(zip(categories, attributes, strict=True)):
            held = [k for k, frame in enumerate(frames) if frame.hit[thing]]
            if not category or not held:
                continue
            instance = self._token("instance", thing)
            first, last = held[0], held[-1]
            names = {k: self._token("sample_annotation", thing, k) for k in range(first, last + 1)}
            self.tables["instance"].append(
                {
                    "token": instance,
                    "category_token": token("category", category),
                    "nbr_annotations": len(names),
                    "first_annotation_token": names[first],
                    "last_annotation_token": names[last],
                }
            )
            for k, name in names.items():
                frame = frames[k]
                level = int(np.searchsorted(LEVELS, frame.seen[thing], "right"))
                self.tables["sample_annotation"].append(
                    {
                        "token": name,
                        "sample_token": self.tables["sample"][k]["token"],
                        "instance_token": instance,
                        "visibility_token": VISIBILITY[level][0],
                        "attribute_tokens": [token("attribute", attribute)] if attribute else [],
                        "translation": frame.centre[thing].tolist(),
                        "size": frame.size[thing].tolist(),
                        "rotation": frame.rotation[thing].tolist(),
                        "prev": names.get(k - 1, ""),
                        "next": names.get(k + 1, ""),
                        "num_lidar_pts": int(frame.points[thing]),
                        "num_radar_pts": 0,
                    }
                )
