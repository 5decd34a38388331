"""A caption index as numbers on disk: which regions each scene has, and the point ids of each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from regionzoo.captions.imported.index_reader import IDS, NAMES, TABLE
from regionzoo.errors import UserError
from regionzoo.foreign.confined import Limits, run_confined

_MODULE = "regionzoo.captions.imported.index_reader"
_SUFFIXES = (".pickle", ".pkl")


@dataclass(frozen=True)
class Regions:
    """The regions of one scene in an index: names, and for each the number of its ids, the lowest and the highest.

    size, lowest, highest: int64 [K]; -1 where a region has no ids. first: position of the first id in the file of ids.
    """

    names: tuple[str, ...]
    size: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    first: int

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Index:
    """Scene -> its regions; ``ids``: file of int32, the ids of all regions, ascending within each."""

    scenes: dict[str, Regions]
    ids: Path


def read_index(path: Path, wanted: Iterable[str], most: int, folder: Path) -> Index:
    """Read the ``wanted`` scenes of an index, a file or a folder of ``<scene>.pickle``, in a process of its own.

    most: no region may have more ids. folder: an empty one for the tables, about as large as the index; the ids stay
    there. Raises :class:`UserError` of one line if the index is absent, damaged or something else.
    """
    wanted = list(wanted)
    try:
        if path.is_dir():
            source: object = _scene_files(path, wanted)
            size = sum(Path(name).stat().st_size for name in source.values())  # type: ignore[attr-defined]
        else:
            source, size = str(path.resolve()), path.stat().st_size
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); name the index pickle, or the folder of them"
        ) from None
    run_confined(_MODULE, {"path": source, "wanted": wanted, "most": most}, path, folder, Limits.of_size(size))
    return load_index(folder)


def load_index(folder: Path) -> Index:
    """The tables that the reader wrote. ``ValueError`` if they do not fit together."""
    table = load_file(folder / TABLE)
    size, lowest, highest = (table[name] for name in ("size", "lowest", "highest"))
    starts = np.concatenate([[0], np.cumsum(size)])
    if (size < 0).any() or (folder / IDS).stat().st_size != starts[-1] * 4:
        raise ValueError("the tables of an index do not fit together")
    scenes, row = {}, 0
    for scene, names in json.loads((folder / NAMES).read_text()):
        part = slice(row, row + len(names))
        scenes[scene] = Regions(tuple(names), size[part], lowest[part], highest[part], int(starts[row]))
        row += len(names)
    if row != len(size):
        raise ValueError("the tables of an index do not fit together")
    return Index(scenes, folder / IDS)


def _scene_files(folder: Path, wanted: list[str]) -> dict[str, str]:
    found = {path.stem: str(path.resolve()) for path in folder.iterdir() if path.suffix in _SUFFIXES}
    files = {scene: found[scene] for scene in wanted if scene in found}
    if not files:
        raise UserError(f"{folder}: holds no <scene>.pickle of a training scene")
    return files
