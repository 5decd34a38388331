"""Where nuScenes' raw files lie, and its official splits. Imports nothing heavy."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal, get_args

import yaml

NuScenesVersion = Literal["v1.0-mini", "v1.0-trainval"]
VERSIONS: tuple[NuScenesVersion, ...] = get_args(NuScenesVersion)

LIDAR = "LIDAR_TOP"
CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_FRONT_LEFT")
"""The cameras in the order in which everything here keeps them."""
IMAGE_SIZE = (900, 1600)
"""Height and width of every image."""

SAMPLES, LIDARSEG = "samples", "lidarseg"
TABLES = (
    "attribute",
    "calibrated_sensor",
    "category",
    "ego_pose",
    "instance",
    "lidarseg",
    "log",
    "map",
    "sample",
    "sample_annotation",
    "sample_data",
    "scene",
    "sensor",
    "visibility",
)
READ_TABLES = (
    "calibrated_sensor",
    "category",
    "ego_pose",
    "instance",
    "lidarseg",
    "sample",
    "sample_annotation",
    "sample_data",
    "scene",
    "sensor",
)
"""The tables that are read here; the others only have to be there for the official devkit."""


def input_folders(version: NuScenesVersion) -> tuple[str, ...]:
    """Folders below the root whose files the pipeline reads (:func:`is_nuscenes_input`)."""
    return version, f"{LIDARSEG}/{version}", *(f"{SAMPLES}/{channel}" for channel in (LIDAR, *CAMERAS))


def is_nuscenes_input(relative: str) -> bool:
    """Whether the pipeline reads this file of one of the :func:`input_folders` (posix path below the root)."""
    folder, _, name = relative.rpartition("/")
    if name.startswith("."):
        return False
    if folder in VERSIONS:
        return name.removesuffix(".json") in READ_TABLES and name.endswith(".json")
    return name.endswith((".pcd.bin", "_lidarseg.bin", ".jpg"))


@cache
def official_split(version: NuScenesVersion) -> dict[str, tuple[str, ...]]:
    """{"train": names, "val": names} of the scenes of a version, sorted."""
    text = files("regionzoo").joinpath("data", "nuscenes_splits.yaml").read_text()
    return {split: tuple(_names(numbers)) for split, numbers in yaml.safe_load(text)[version].items()}


def _names(ranges: str) -> list[str]:
    names = []
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        names += [f"scene-{number:04d}" for number in range(int(first), int(last or first) + 1)]
    return names
