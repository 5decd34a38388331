"""Pickled caption indices -> plain tables of numbers, in a process of its own.

Layouts of one file: a list of ``{"scene_name": ..., "infos": {region: ids}}``, whatever else its entries hold (boxes),
or a dict ``{scene: {region: ids}}``. Layout of a folder: ``<scene>.pickle``, each ``{region: ids}`` or one entry of
such a list. Ids are a tensor, an array, a list or a range of whole numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors.numpy import save_file

from regionzoo.foreign.confined import confine
from regionzoo.foreign.files import describe
from regionzoo.foreign.machine import Refused
from regionzoo.foreign.stand_ins import Array

NAMES, TABLE, IDS = "names.json", "table.safetensors", "ids.bin"

Entries = Iterator[tuple[str, dict[Any, Any]]]
"""Scene -> region -> ids."""


def write_table(entries: Entries, wanted: frozenset[str], most: int, folder: Path) -> None:
    """Write the tables of the ``wanted`` scenes into ``folder``.

    names.json: [[scene, [region, ...]], ...]. table.safetensors: for each of the R regions in that order ``size``,
    ``lowest``, ``highest`` int64 [R] of its ids (-1 where it has none). ids.bin: int32, the ids of one region after
    the other, each ascending and without repeats. Raises :class:`Refused` for another layout, for a scene that is
    there twice, and for a region with more than ``most`` ids.
    """
    names: list[tuple[str, list[str]]] = []
    seen: set[str] = set()
    columns: list[tuple[int, int, int]] = []
    with (folder / IDS).open("wb") as file:
        for scene, regions in entries:
            if scene in seen:
                raise Refused(f"{scene!r}: has two entries")
            seen.add(scene)
            if scene not in wanted:
                continue
            texts = [str(name) for name in regions]
            if len(set(texts)) < len(texts):
                raise Refused(f"{scene!r}: two regions have the same name")
            names.append((scene, texts))
            for name, ids in regions.items():
                columns.append(_write_ids(ids, f"{scene!r}: region {name!r}", most, file))
    (folder / NAMES).write_text(json.dumps(names))
    table = np.array(columns, np.int64).reshape(-1, 3)
    save_file({name: table[:, k].copy() for k, name in enumerate(("size", "lowest", "highest"))}, folder / TABLE)


def _write_ids(value: object, where: str, most: int, file: BinaryIO) -> tuple[int, int, int]:
    ids = whole_numbers_of(value, where, most)
    if len(ids) == 0:
        return 0, -1, -1
    if (ids[1:] <= ids[:-1]).any():
        ids = np.unique(ids)
    lowest, highest = int(ids[0]), int(ids[-1])
    # Ids that do not fit are refused by whoever reads the table.
    file.write(ids.astype("<i4").tobytes())
    return len(ids), lowest, highest


def whole_numbers_of(value: object, where: str, most: int) -> np.ndarray:
    """Integers [n], n <= ``most``, of whatever an index has for a region. Raises :class:`Refused`, naming ``where``."""
    if type(value) is range:
        length = len(value)
    elif type(value) is list or type(value) is tuple:
        # A long list holds runs of numbers (opcodes.load).
        if not {type(item) for item in value} <= {int, np.ndarray}:
            raise Refused(f"{where}: a list of something else than whole numbers")
        length = sum(len(item) if type(item) is np.ndarray else 1 for item in value)
    elif isinstance(value, Array):
        if len(value.shape) != 1:
            raise Refused(f"{where}: an array of the shape {list(value.shape)}, expected a list of point ids")
        length = value.shape[0]
    else:
        raise Refused(f"{where}: a {type(value).__name__}, expected a list of point ids")
    if length > most:
        raise Refused(f"{where}: {length} point ids, expected at most {most}, the points of the largest scene")
    if isinstance(value, Array):
        ids = value.values()
        if ids.dtype.kind not in "iu":
            raise Refused(f"{where}: {ids.dtype} numbers, expected point ids, which are whole")
        return ids.astype(np.int64)
    if type(value) is range:
        return np.arange(value.start, value.stop, value.step, np.int64)
    try:
        parts = [
            np.array([*items]) if kind is int else np.concatenate([*items]) for kind, items in groupby(value, type)
        ]
        return np.concatenate([np.zeros(0, np.int64), *parts], dtype=np.int64, casting="same_kind")
    except (OverflowError, TypeError):
        raise Refused(f"{where}: a number that is no point id") from None


def entries_of(value: object) -> Entries:
    """The entries of one file with all scenes."""
    if type(value) is dict:
        for scene, regions in value.items():
            if type(scene) is not str or type(regions) is not dict:
                raise Refused(f"{scene!r}: holds a {type(regions).__name__}, expected a dict of regions")
            yield scene, regions
    elif type(value) is list or type(value) is tuple:
        for place, entry in enumerate(value):
            yield _entry(entry, f"entry {place}")
    else:
        raise Refused(f"holds a {type(value).__name__}, expected a list or dict of scenes")


def entry_of_file(value: object, scene: str) -> dict[Any, Any]:
    """The regions in the file of one scene."""
    if type(value) is dict and type(value.get("infos")) is dict:
        told, value = _entry({"scene_name": scene} | value, scene)
        if told != scene:
            raise Refused(f"is the file of {told!r}, expected {scene!r}")
    if type(value) is not dict:
        raise Refused(f"holds a {type(value).__name__}, expected a dict of regions")
    return value


def _entry(entry: object, where: str) -> tuple[str, dict[Any, Any]]:
    if type(entry) is not dict or type(entry.get("scene_name")) is not str or type(entry.get("infos")) is not dict:
        raise Refused(f"{where} is no dict with a scene_name and a dict infos; is this a caption index?")
    return entry["scene_name"], entry["infos"]


def _files(paths: dict[str, str]) -> Entries:
    for scene, path in paths.items():
        try:
            yield scene, entry_of_file(describe(Path(path)), scene)
        except Refused as error:
            raise Refused(f"{Path(path).name}: {error}") from None


def _read(task: dict[str, Any], folder: Path) -> None:
    path = task["path"]
    entries = _files(path) if isinstance(path, dict) else entries_of(describe(Path(path)))
    write_table(entries, frozenset(task["wanted"]), task["most"], folder)


if __name__ == "__main__":
    confine(_read)
