"""A drive's keyframes, sensors and boxes, from the index of nuScenes' tables."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.boxes import Boxes
from regionzoo.scenes.lidarseg import FINE
from regionzoo.scenes.nuscenes_tables import CHANNELS
from regionzoo.scenes.poses import pose_matrix, rotation_matrix


@dataclass(frozen=True)
class SensorRecord:
    """What one sensor took at a keyframe.

    filename: below the raw root. timestamp: microseconds. ego: float64 [4, 4], car to map at that time. mount: float64
    [4, 4], sensor to car. intrinsics: float64 [3, 3], pixels; None for the lidar.
    """

    token: str
    filename: str
    timestamp: int
    ego: np.ndarray
    mount: np.ndarray
    intrinsics: np.ndarray | None

    @property
    def to_map(self) -> np.ndarray:
        """float64 [4, 4]: sensor to map."""
        return self.ego @ self.mount


@dataclass(frozen=True)
class KeyframeRecord:
    """One keyframe: lidar, the cameras in the order of ``CAMERAS``, label file, and B boxes in the map's frame.

    categories: of each box. instances: token of the object that a box shows. num_lidar_pts: int64 [B], as annotated.
    """

    token: str
    timestamp: int
    lidar: SensorRecord
    cameras: tuple[SensorRecord, ...]
    labels: str
    boxes: Boxes
    categories: tuple[str, ...]
    instances: tuple[str, ...]
    num_lidar_pts: np.ndarray


@dataclass(frozen=True)
class DriveRecord:
    """A drive's keyframes in time order. sha256: digest of all its records."""

    name: str
    keyframes: tuple[KeyframeRecord, ...]
    sha256: str


READ_ONLY = "mode=ro&immutable=1"
"""Options to connect with: no locks, no files beside the index."""
Rows = tuple[list[tuple], list[tuple], list[tuple]]
"""A drive's rows of the index: keyframes, sensor records, boxes; keyframes counted from 0."""


def read_names(index: Path) -> tuple[tuple[str, ...], int]:
    """All drives of the tables, sorted, and the number of their keyframes; :class:`UserError` for a damaged index."""
    try:
        with closing(connect(index, READ_ONLY)) as connection:
            names = tuple(name for (name,) in connection.execute("SELECT name FROM scene ORDER BY name"))
            return names, connection.execute("SELECT count(*) FROM keyframe").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise UserError(f"{index}: {_damaged(error)}") from None


def read_drive_record(index: Path, name: str) -> DriveRecord:
    """The records of one drive; :class:`SceneError` if the index is absent or damaged, or has no such drive."""
    if not index.is_file():
        raise SceneError(name, index, "no such index of the tables; run the same command again")
    try:
        with closing(connect(index, READ_ONLY)) as connection:
            found = connection.execute("SELECT first, keyframes, sha256 FROM scene WHERE name = ?", (name,)).fetchone()
            if found is None:
                raise SceneError(name, index, "scene.json has no such scene")
            rows = rows_of(connection, *found[:2])
            if rows_sha256(name, rows) != found[2]:
                raise sqlite3.DatabaseError("its rows differ from their digest")
    except sqlite3.DatabaseError as error:
        raise SceneError(name, index, _damaged(error)) from None
    return _drive_record(name, rows, found[2])


def _damaged(error: sqlite3.DatabaseError) -> str:
    return f"damaged ({error}); delete it and run the same command again"


def rows_of(connection: sqlite3.Connection, first: int, count: int) -> Rows:
    """Rows of the keyframes ``first``, ``first + 1``, ... in the order of time, sensors and the annotation table."""
    ids = (first, first + count - 1)
    frames = connection.execute("SELECT token, timestamp FROM keyframe WHERE id BETWEEN ? AND ?", ids)
    sensors = connection.execute(
        "SELECT record.token, filename, timestamp, labels, ego.pose, mount.pose, intrinsics FROM record "
        "JOIN ego ON ego.token = ego JOIN mount ON mount.token = mount "
        "WHERE keyframe BETWEEN ? AND ? ORDER BY keyframe, channel",
        ids,
    )
    boxes = connection.execute(
        "SELECT keyframe - ?, category, instance, num_lidar_pts, box FROM box "
        "WHERE keyframe BETWEEN ? AND ? ORDER BY keyframe, position",
        (first, *ids),
    )
    return frames.fetchall(), sensors.fetchall(), boxes.fetchall()


def rows_sha256(name: str, rows: Rows) -> str:
    """Digest of a drive's rows; neither other drives nor the order of the tables' records change it."""
    digest = hashlib.sha256(name.encode())
    for part in rows:
        digest.update(f"\n{len(part)}".encode())
        for row in part:
            digest.update(repr(row).encode())
    return digest.hexdigest()


def connect(path: Path, options: str) -> sqlite3.Connection:
    """options: of SQLite's file URI."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True)
    connection.execute("PRAGMA cache_size = -65536")
    return connection


def _drive_record(name: str, rows: Rows, sha256: str) -> DriveRecord:
    frames, sensors, boxes = rows
    ego, mount = (_poses([row[column] for row in sensors]) for column in (4, 5))
    records = [
        SensorRecord(row[0], row[1], row[2], ego[n], mount[n], _intrinsics(row[6])) for n, row in enumerate(sensors)
    ]
    values = np.frombuffer(b"".join(row[4] for row in boxes), "<f8").reshape(len(boxes), 10)
    placed = Boxes(values[:, :3], values[:, 7:], rotation_matrix(values[:, 3:7]))
    of = np.array([row[0] for row in boxes], np.int64)
    keyframes = []
    for k, (token, timestamp) in enumerate(frames):
        lidar, *cameras = records[k * len(CHANNELS) : (k + 1) * len(CHANNELS)]
        start, stop = np.searchsorted(of, [k, k + 1])
        shown = boxes[start:stop]
        keyframes.append(
            KeyframeRecord(
                token=token,
                timestamp=timestamp,
                lidar=lidar,
                cameras=tuple(cameras),
                labels=sensors[k * len(CHANNELS)][3],
                boxes=Boxes(placed.centers[start:stop], placed.sizes[start:stop], placed.rotations[start:stop]),
                categories=tuple(FINE[row[1]] for row in shown),
                instances=tuple(row[2] for row in shown),
                num_lidar_pts=np.array([row[3] for row in shown], np.int64),
            )
        )
    return DriveRecord(name, tuple(keyframes), sha256)


def _poses(packed: list[bytes]) -> np.ndarray:
    values = np.frombuffer(b"".join(packed), "<f8").reshape(len(packed), 7)
    return pose_matrix(values[:, 3:], values[:, :3])


def _intrinsics(packed: bytes) -> np.ndarray | None:
    return np.frombuffer(packed, "<f8").reshape(3, 3) if packed else None
