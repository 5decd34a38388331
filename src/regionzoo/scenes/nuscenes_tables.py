"""nuScenes' JSON tables, read record by record: memory does not grow with a table.

Quirks of the real data, and where each is handled: ``category.json`` of the plain download has 23 rows without an
index, nuScenes-lidarseg brings another with 32 (:func:`read_categories`); a record of ``lidarseg.json`` has the token
of the sweep that it labels (:func:`read_lidarseg`); ``sample_data`` holds all sweeps of all sensors, 2.6 million
records, of which one in eleven is needed (:mod:`regionzoo.scenes.nuscenes_index`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any, Self

import ijson

from regionzoo.errors import UserError
from regionzoo.scenes.lidarseg import FINE
from regionzoo.scenes.nuscenes_layout import CAMERAS, LIDAR

AGAIN = "unpack the download's metadata again, then nuScenes-lidarseg over it"
LABELS_OVER = "unpack nuScenes-lidarseg over the download"
CHANNELS = (LIDAR, *CAMERAS)
"""The sensors whose records are read; a channel's number is its position here."""


class Table:
    """One table ``<folder>/<name>.json``; iterate over it, and ask for checked fields of the present record.

    Whatever is wrong with the file or a record is a :class:`UserError` of one line.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.json"
        self.number = 0
        self.record: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Self]:
        try:
            with self.path.open("rb") as file:
                if file.read(64).lstrip()[:1] != b"[":
                    raise UserError(f"{self.path}: not a JSON list of records; {AGAIN}")
                file.seek(0)
                for record in ijson.items(file, "item", use_float=True):
                    self.number += 1
                    if not isinstance(record, dict):
                        raise self.error("not an object with fields")
                    self.record = record
                    yield self
        except FileNotFoundError:
            raise UserError(f"{self.path}: no such table; {AGAIN}") from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror})") from None
        except (ijson.JSONError, UnicodeDecodeError, OverflowError) as error:
            told = " ".join(str(error).split())[:100]
            raise UserError(
                f"{self.path}: not whole JSON, broken after record {self.number} ({told}); {AGAIN}"
            ) from None

    def error(self, reason: str, advice: str = AGAIN) -> UserError:
        """About the present record."""
        return UserError(f"{self.path}: record {self.number}: {reason}; {advice}")

    def field(self, name: str) -> Any:
        """Any value that is there."""
        try:
            return self.record[name]
        except KeyError:
            raise self.error(f"has no field {name!r}") from None

    def text(self, name: str) -> str:
        """A string."""
        value = self.field(name)
        if type(value) is not str:
            raise self.error(f"{name} must be text")
        return value

    def token(self) -> str:
        """The record's own token, which is never empty."""
        token = self.text("token")
        if not token:
            raise self.error("its token is empty")
        return token

    def whole(self, name: str) -> int:
        """A whole number."""
        value = self.field(name)
        if type(value) is not int:
            raise self.error(f"{name} must be a whole number")
        return value

    def numbers(self, name: str, count: int) -> list[float]:
        """``count`` finite numbers."""
        value = self.field(name)
        try:
            good = len(value) == count and all(map(isfinite, value))
        except TypeError:
            good = False
        if not good:
            raise self.error(f"{name} must be {count} finite numbers")
        return value

    def matrix(self, name: str) -> list[float]:
        """3 x 3 finite numbers, row by row."""
        value = self.field(name)
        rows = value if isinstance(value, list) else []
        cells = [cell for row in rows if isinstance(row, list) and len(row) == 3 for cell in row]
        if (
            len(rows) != 3
            or len(cells) != 9
            or not all(type(cell) in (int, float) and isfinite(cell) for cell in cells)
        ):
            raise self.error(f"{name} must be 3 x 3 finite numbers")
        return cells

    def pose(self) -> list[float]:
        """7 numbers: translation x, y, z in metres, rotation w, x, y, z."""
        rotation = self.numbers("rotation", 4)
        if not any(rotation):
            raise self.error("rotation must not be 0 throughout")
        return [*self.numbers("translation", 3), *rotation]

    def file(self, name: str) -> str:
        """A path below the root."""
        path = PurePosixPath(self.text(name))
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise self.error(f"{name} must be a path below the root")
        return str(path)


def read_categories(folder: Path) -> dict[str, int]:
    """Token -> fine class of every category; :class:`UserError` unless the classes are those of nuScenes-lidarseg."""
    table = Table(folder, "category")
    index_of: dict[str, int] = {}
    names: dict[int, str] = {}
    for _ in table:
        if "index" not in table.record:
            raise table.error("has no index, so this is the table without lidarseg's classes", LABELS_OVER)
        index = table.whole("index")
        if index in names:
            raise table.error(f"a second category of index {index}", LABELS_OVER)
        index_of[table.token()] = index
        names[index] = table.text("name")
    expected = dict(enumerate(FINE))
    for index in sorted(expected.keys() | names.keys()):
        if names.get(index) != expected.get(index):
            told = f"index {index} is {names.get(index, 'absent')}, expected {expected.get(index, 'none')}"
            raise UserError(f"{table.path}: {told}, and label files hold these indices; {LABELS_OVER}")
    return index_of


def read_channels(folder: Path) -> dict[str, int | None]:
    """Token of a sensor -> its number in :data:`CHANNELS`, None for other sensors (radar)."""
    table = Table(folder, "sensor")
    number = {channel: n for n, channel in enumerate(CHANNELS)}
    return {table.token(): number.get(table.text("channel")) for _ in table}


def read_instances(folder: Path, categories: dict[str, int]) -> dict[str, int]:
    """Token of an annotated object -> its fine class."""
    table = Table(folder, "instance")
    instances = {}
    for _ in table:
        category = categories.get(table.text("category_token"))
        if category is None:
            raise table.error(f"names the category {table.text('category_token')!r}, which category.json does not have")
        instances[table.token()] = category
    return instances


def read_lidarseg(folder: Path) -> dict[str, str]:
    """Token of a sweep -> its label file, a path below the root."""
    table = Table(folder, "lidarseg")
    labels: dict[str, str] = {}
    for _ in table:
        token = table.token()
        # The devkit looks records up by token, so both must name the sweep.
        if token != table.text("sample_data_token"):
            raise table.error("token and sample_data_token differ", LABELS_OVER)
        if token in labels:
            raise table.error(f"a second record of {token}", LABELS_OVER)
        labels[token] = table.file("filename")
    return labels


def read_keyframe_order(folder: Path) -> dict[str, list[tuple[str, int]]]:
    """Drive name -> (token, timestamp in microseconds) of its keyframes in time order.

    The order is that of ``next`` from the drive's first keyframe; :class:`UserError` if it does not end at the last
    after ``nbr_samples``, if ``prev`` or a timestamp contradicts it, or a keyframe of the drive is left out.
    """
    samples: dict[str, dict[str, tuple[int, str, str]]] = {}
    table = Table(folder, "sample")
    for _ in table:
        of_scene = samples.setdefault(table.text("scene_token"), {})
        if (token := table.token()) in of_scene:
            raise table.error(f"a second record of {token}")
        of_scene[token] = (table.whole("timestamp"), table.text("prev"), table.text("next"))
    scenes = Table(folder, "scene")
    order: dict[str, list[tuple[str, int]]] = {}
    for _ in scenes:
        name = scenes.text("name")
        if not name or PurePosixPath(name).name != name or name in order:
            raise scenes.error(f"{name!r} cannot be a drive's name, or is there twice")
        order[name] = _follow(scenes, table.path, name, samples.pop(scenes.token(), {}))
    if samples:
        raise UserError(
            f"{table.path}: names the scene {next(iter(samples))!r}, which scene.json does not have; {AGAIN}"
        )
    return order


def _follow(scene: Table, path: Path, name: str, samples: dict[str, tuple[int, str, str]]) -> list[tuple[str, int]]:
    first, last, count = scene.text("first_sample_token"), scene.text("last_sample_token"), scene.whole("nbr_samples")
    if count != len(samples) or not samples:
        raise UserError(f"{path}: has {len(samples)} keyframes of {name}, scene.json says {count}; {AGAIN}")
    keyframes: list[tuple[str, int]] = []
    before, token = "", first
    while token and len(keyframes) < count:
        if token not in samples:
            raise UserError(f"{path}: has no keyframe {token!r} of {name}, which another record names; {AGAIN}")
        timestamp, prev, following = samples[token]
        if prev != before or (keyframes and timestamp <= keyframes[-1][1]):
            raise UserError(f"{path}: prev or timestamp of {token} ({name}) contradicts the order of next; {AGAIN}")
        keyframes.append((token, timestamp))
        before, token = token, following
    if token or before != last or len(keyframes) < count:
        raise UserError(f"{path}: the keyframes of {name} do not lead to its last one in {count} steps; {AGAIN}")
    return keyframes
