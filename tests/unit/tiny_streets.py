"""A few synthetic drives for tests: one tree on disk for all of them, and streets in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regionzoo.scenes.streets import StreetSettings, generate
from regionzoo.scenes.streets.drive import street_of
from regionzoo.scenes.streets.ego import Ride
from regionzoo.scenes.streets.jobs import Job
from regionzoo.scenes.streets.rig import CHANNELS, Mounting
from regionzoo.scenes.streets.road import SIDEWALK, TERRAIN, Road, Side
from regionzoo.scenes.streets.street import Street
from regionzoo.scenes.streets.things import Path as Way

SETTINGS = StreetSettings(train_scenes=3, val_scenes=1, keyframes=2, seed=5)
FOLDER = "v1.0-trainval"


@dataclass(frozen=True)
class Tree:
    """A generated tree and its tables."""

    root: Path
    tables: dict[str, list[dict[str, Any]]]

    def by_token(self, table: str) -> dict[str, dict[str, Any]]:
        """Records by token."""
        return {record["token"]: record for record in self.tables[table]}

    def sweeps(self) -> list[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
        """Record, points [n, 5] and labels [n] of every sweep."""
        labels = {record["sample_data_token"]: record["filename"] for record in self.tables["lidarseg"]}
        return [
            (
                record,
                np.fromfile(self.root / record["filename"], "<f4").reshape(-1, 5),
                np.fromfile(self.root / labels[record["token"]], np.uint8),
            )
            for record in self.tables["sample_data"]
            if record["fileformat"] == "pcd"
        ]


def read_tables(root: Path) -> dict[str, list[dict[str, Any]]]:
    """All tables of a tree."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((root / FOLDER).iterdir())}


@cache
def _made(folder: Path) -> Tree:
    root = folder / "streets"
    assert generate(root, SETTINGS, workers=1) == []
    return Tree(root, read_tables(root))


@pytest.fixture(scope="session")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Three drives to train on and one to validate, two keyframes each. Tests must leave it as it is."""
    return _made(tmp_path_factory.getbasetemp())


def drawn_street(number: int = 0) -> Street:
    """The street of a drive, with all that moves."""
    return street_of(Job(0, number, SETTINGS))


def still_street(number: int = 0) -> Street:
    """The same without anything that moves, the recording car included."""
    street = drawn_street(number)
    things = [replace(t, path=replace(t.path, along=0.0, across=0.0)) for t in street.things]
    return replace(street, things=things, ride=replace(street.ride, speed=0.0))


def empty_road(curvature: float = 0.0) -> Road:
    """A bare road 12 m wide, a sidewalk on its right, a verge, a sidewalk and grass on its left."""
    left = Side(6.0, 1.5, 3.0, np.array([0.0]), np.array([TERRAIN, TERRAIN], np.uint8))
    right = Side(6.0, 0.0, 3.0, np.array([0.0]), np.array([SIDEWALK, TERRAIN], np.uint8))
    return Road(curvature, 0.15, left, right)


def level_rig() -> dict[str, Mounting]:
    """Sensors that look straight ahead without any lean: the lidar 2 m high, all cameras to the front at 1.5 m."""
    half = float(np.sqrt(0.5))
    lens = ((1200.0, 0.0, 800.0), (0.0, 1200.0, 450.0), (0.0, 0.0, 1.0))
    rig = {channel: Mounting((0.0, 0.0, 1.5), (0.5, -0.5, 0.5, -0.5), lens, 0) for channel in CHANNELS}
    rig["LIDAR_TOP"] = Mounting((0.0, 0.0, 2.0), (half, 0.0, 0.0, -half), (), 0)
    return rig


def straight_ride(speed: float) -> Ride:
    """A ride along the centre line without any sway or lean."""
    return Ride(speed, 0.0, 0.0, 0.0, (0.0, 0.0), (0.0, 0.0, 0.0))


def stand_at(s: float, d: float, yaw: float = 0.0) -> Way:
    """A place to stand."""
    return Way(s, d, yaw)
