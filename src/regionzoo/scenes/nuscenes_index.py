"""The part of nuScenes' tables that is needed, in one SQLite file: keyframes, their seven sensors and their boxes.

The tables of v1.0-trainval are gigabytes of JSON without an order; a drive's records are found here in milliseconds,
by any number of processes. The file is a cache: it is made again whenever a table looks touched.
"""

from __future__ import annotations

import errno
import json
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from regionzoo.artifacts import atomic_path
from regionzoo.errors import UserError
from regionzoo.progress import Meter
from regionzoo.scenes.nuscenes_layout import IMAGE_SIZE, READ_TABLES
from regionzoo.scenes.nuscenes_records import READ_ONLY, connect, rows_of, rows_sha256
from regionzoo.scenes.nuscenes_tables import (
    AGAIN,
    CHANNELS,
    LABELS_OVER,
    Table,
    read_categories,
    read_channels,
    read_instances,
    read_keyframe_order,
    read_lidarseg,
)

FORMAT = 1
"""To be raised whenever the content of an index changes, so that older files are made again."""
RACY = 2_000_000_000
"""Nanoseconds. A table written less than this before it was read may change within the same tick of its time stamps,
so its stamps prove nothing."""

_POSE, _BOX, _INTRINSICS = struct.Struct("<7d"), struct.Struct("<10d"), struct.Struct("<9d")
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE scene (
    name TEXT PRIMARY KEY, first INTEGER NOT NULL, keyframes INTEGER NOT NULL, sha256 TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE keyframe (id INTEGER PRIMARY KEY, token TEXT NOT NULL, timestamp INTEGER NOT NULL);
CREATE TABLE mount (token TEXT PRIMARY KEY, pose BLOB NOT NULL, intrinsics BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE ego (token TEXT PRIMARY KEY, pose BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE record (
    keyframe INTEGER, channel INTEGER, token TEXT NOT NULL, timestamp INTEGER NOT NULL, filename TEXT NOT NULL,
    ego TEXT NOT NULL, mount TEXT NOT NULL, labels TEXT NOT NULL, PRIMARY KEY (keyframe, channel)
) WITHOUT ROWID;
CREATE TABLE box (
    keyframe INTEGER, position INTEGER, category INTEGER NOT NULL, instance TEXT NOT NULL,
    num_lidar_pts INTEGER NOT NULL, box BLOB NOT NULL, PRIMARY KEY (keyframe, position)
) WITHOUT ROWID;
"""


def require_index(folder: Path, index: Path) -> None:
    """Make ``index`` from the tables in ``folder``, unless it was made from these very tables.

    :class:`UserError` of one line for anything missing, broken or contradictory in the tables.
    """
    stamps = _stamps(folder)
    if _stamps_of(index) == stamps:
        return
    now = time.time_ns()
    with atomic_path(index) as temporary:
        try:
            # No journal and no locks: nobody else knows this file, and some network drives cannot lock.
            with closing(connect(temporary, "mode=rw&nolock=1")) as connection:
                _fill(connection, folder)
                trusted = all(now - max(changed) > RACY for _, *changed in stamps.values())
                told = json.dumps({"format": FORMAT, "tables": stamps}) if trusted else ""
                connection.execute("INSERT INTO meta VALUES ('made from', ?)", (told,))
                connection.commit()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise OSError(errno.ENOSPC, str(error)) from None
            raise UserError(f"{index}: cannot be written ({error}); check the disk and its free space") from None
        if _stamps(folder) != stamps:
            raise UserError(f"{folder}: the tables are being written; run the same command again when that has ended")


def _stamps(folder: Path) -> dict[str, list[int]]:
    """Size and times of each table that is read."""
    stamps = {}
    for name in READ_TABLES:
        path = folder / f"{name}.json"
        try:
            seen = path.stat()
        except FileNotFoundError:
            raise UserError(f"{path}: no such table; {LABELS_OVER if name == 'lidarseg' else AGAIN}") from None
        stamps[name] = [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]
    return stamps


def _stamps_of(index: Path) -> dict[str, list[int]] | None:
    """Stamps of the tables from which an index was made; None if there is none, or none to be trusted."""
    if not index.is_file():
        return None
    try:
        with closing(connect(index, READ_ONLY)) as connection:
            told = json.loads(connection.execute("SELECT value FROM meta WHERE key = 'made from'").fetchone()[0])
        return told["tables"] if told["format"] == FORMAT else None
    except (sqlite3.DatabaseError, ValueError, TypeError, KeyError):
        return None


def _fill(connection: sqlite3.Connection, folder: Path) -> None:
    connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
    # The tables of all of nuScenes take a minute or two, most of it the records and the poses.
    with Meter(f"read the tables of {folder}", 4) as meter:
        instances = read_instances(folder, read_categories(folder))
        keyframes = _fill_keyframes(connection, folder)
        meter.update(1)
        needed = _fill_records(connection, folder, keyframes, _fill_mounts(connection, folder))
        _require_all_sensors(connection, folder)
        meter.update(2)
        _fill_poses(connection, folder, needed)
        meter.update(3)
        _fill_boxes(connection, folder, keyframes, instances)
        for name, start, count in connection.execute("SELECT name, first, keyframes FROM scene").fetchall():
            digest = rows_sha256(name, rows_of(connection, start, count))
            connection.execute("UPDATE scene SET sha256 = ? WHERE name = ?", (digest, name))
        meter.update(4)


def _fill_keyframes(connection: sqlite3.Connection, folder: Path) -> dict[str, int]:
    """Scenes and their keyframes in order of time; returns the number of each keyframe."""
    keyframes: dict[str, int] = {}
    for name, order in read_keyframe_order(folder).items():
        connection.execute("INSERT INTO scene VALUES (?, ?, ?, '')", (name, len(keyframes), len(order)))
        for token, timestamp in order:
            connection.execute("INSERT INTO keyframe VALUES (?, ?, ?)", (len(keyframes), token, timestamp))
            keyframes[token] = len(keyframes)
    return keyframes


def _insert(connection: sqlite3.Connection, into: str, table: Table, rows: Iterator[tuple]) -> None:
    """A repeated key is an error of the record that was read last: its token, or its keyframe and sensor."""
    marks = ", ".join("?" * (into.count(",") + 1))
    try:
        connection.executemany(f"INSERT INTO {into} VALUES ({marks})", rows)
    except sqlite3.IntegrityError:
        raise table.error("an earlier record has the same token, or the same keyframe and sensor") from None


def _fill_mounts(connection: sqlite3.Connection, folder: Path) -> dict[str, int | None]:
    """Returns token of a calibrated sensor -> channel, None for other sensors."""
    sensors = read_channels(folder)
    table = Table(folder, "calibrated_sensor")
    channels: dict[str, int | None] = {}

    def rows() -> Iterator[tuple]:
        for _ in table:
            token, sensor = table.token(), table.text("sensor_token")
            if sensor not in sensors:
                raise table.error(f"names the sensor {sensor!r}, which sensor.json does not have")
            channels[token] = channel = sensors[sensor]
            if channel is None:
                continue
            intrinsics = _INTRINSICS.pack(*table.matrix("camera_intrinsic")) if channel > 0 else b""
            yield token, _POSE.pack(*table.pose()), intrinsics

    _insert(connection, "mount (token, pose, intrinsics)", table, rows())
    return channels


def _fill_records(
    connection: sqlite3.Connection, folder: Path, keyframes: dict[str, int], channels: dict[str, int | None]
) -> set[str]:
    """Returns the tokens of the poses that the records need."""
    labels = read_lidarseg(folder)
    table = Table(folder, "sample_data")
    needed: set[str] = set()

    def rows() -> Iterator[tuple]:
        for _ in table:
            is_keyframe = table.field("is_key_frame")
            if is_keyframe is False:
                continue
            if is_keyframe is not True:
                raise table.error("is_key_frame must be true or false")
            mount = table.text("calibrated_sensor_token")
            if mount not in channels:
                raise table.error(f"names {mount!r}, which calibrated_sensor.json does not have")
            channel = channels[mount]
            if channel is None:
                continue
            keyframe = keyframes.get(table.text("sample_token"))
            if keyframe is None:
                raise table.error(f"names the keyframe {table.text('sample_token')!r}, which sample.json does not have")
            if channel > 0 and (table.field("height"), table.field("width")) != IMAGE_SIZE:
                raise table.error(f"height and width must be {IMAGE_SIZE[0]} and {IMAGE_SIZE[1]}")
            token, pose = table.token(), table.text("ego_pose_token")
            needed.add(pose)
            label_file = labels.pop(token, None) if channel == 0 else ""
            if label_file is None:
                path = folder / "lidarseg.json"
                raise UserError(f"{path}: has no record of the sweep {token}; {LABELS_OVER}")
            time_of = table.whole("timestamp")
            yield keyframe, channel, token, time_of, table.file("filename"), pose, mount, label_file

    _insert(connection, "record (keyframe, channel, token, timestamp, filename, ego, mount, labels)", table, rows())
    if labels:
        told = f"names {next(iter(labels))!r}, which is no {CHANNELS[0]} keyframe of sample_data.json"
        raise UserError(f"{folder / 'lidarseg.json'}: {told}; {LABELS_OVER}")
    return needed


def _require_all_sensors(connection: sqlite3.Connection, folder: Path) -> None:
    short = connection.execute(
        "SELECT keyframe.id, keyframe.token FROM keyframe LEFT JOIN record ON keyframe = keyframe.id "
        "GROUP BY keyframe.id HAVING count(channel) < ? LIMIT 1",
        (len(CHANNELS),),
    ).fetchone()
    if short:
        found = {
            channel for (channel,) in connection.execute("SELECT channel FROM record WHERE keyframe = ?", short[:1])
        }
        absent = next(name for channel, name in enumerate(CHANNELS) if channel not in found)
        raise UserError(f"{folder / 'sample_data.json'}: has no {absent} record of the keyframe {short[1]}; {AGAIN}")


def _fill_poses(connection: sqlite3.Connection, folder: Path, needed: set[str]) -> None:
    table = Table(folder, "ego_pose")

    def rows() -> Iterator[tuple]:
        for _ in table:
            token = table.token()
            if token in needed:
                needed.remove(token)
                yield token, _POSE.pack(*table.pose())

    _insert(connection, "ego (token, pose)", table, rows())
    if needed:
        raise UserError(f"{table.path}: has no pose {min(needed)!r}, which sample_data.json names; {AGAIN}")


def _fill_boxes(
    connection: sqlite3.Connection, folder: Path, keyframes: dict[str, int], instances: dict[str, int]
) -> None:
    table = Table(folder, "sample_annotation")

    def rows() -> Iterator[tuple]:
        for _ in table:
            sample, instance = table.text("sample_token"), table.text("instance_token")
            if sample not in keyframes:
                raise table.error(f"names the keyframe {sample!r}, which sample.json does not have")
            if instance not in instances:
                raise table.error(f"names the object {instance!r}, which instance.json does not have")
            box = _BOX.pack(*table.pose(), *table.numbers("size", 3))
            # Its position in the table keeps the order of the file among the boxes of a keyframe.
            yield keyframes[sample], table.number, instances[instance], instance, table.whole("num_lidar_pts"), box

    _insert(connection, "box (keyframe, position, category, instance, num_lidar_pts, box)", table, rows())
