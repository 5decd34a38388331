"""nuScenes-lidarseg's 32 fine classes and the 16 that are trained and scored."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

import numpy as np

from regionzoo.classes import IGNORE, class_set


@cache
def _rows() -> tuple[tuple[str, str], ...]:
    text = files("regionzoo").joinpath("data", "lidarseg.csv").read_text()
    return tuple((row["name"], row["class"]) for row in csv.DictReader(text.splitlines()))


FINE = tuple(name for name, _ in _rows())
"""Names of the fine classes; a label file holds positions in this list.

The devkit's instructions print some of them in another order; the data, its colour map and ``category.json`` have this.
"""


@cache
def _table() -> np.ndarray:
    names = class_set("nuscenes16").names
    return np.array([names.index(name) if name else IGNORE for _, name in _rows()], np.int16)


def fine_to_nuscenes16(fine: np.ndarray) -> np.ndarray:
    """uint8 fine classes of any shape -> int16 positions in nuscenes16, -100 for those that are ignored.

    ``ValueError`` for a value that is no fine class.
    """
    table = _table()
    if fine.size and int(fine.max()) >= len(table):
        raise ValueError(f"fine class {int(fine.max())}; expected 0..{len(table) - 1}")
    return table[fine]
