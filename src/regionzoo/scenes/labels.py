"""ScanNet's label table (raw category -> ids) and the look-ups from raw ids to class indices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from regionzoo.classes import IGNORE, class_set
from regionzoo.errors import UserError

UNKNOWN = 0
"""Id of a raw category that the table does not list, and of a vertex without annotation."""

_COLUMNS = ("id", "raw_category", "nyu40id")
_MIN_ROWS = 150  # PointGroup's look-up has 150 rows: ids such as 50 and 149 do occur in labels.ply


@dataclass(frozen=True)
class LabelTable:
    """``scannetv2-labels.combined.tsv``: ids of each raw category (the free text of ``aggregation.json``).

    raw_ids: raw category -> ``id`` (ScanNet200's id space). nyu40_ids: raw category -> ``nyu40id``.
    Several categories share an id (607 rows, 549 ids in the official file).
    """

    raw_ids: dict[str, int]
    nyu40_ids: dict[str, int]

    def raw_id(self, category: str) -> int:
        """``id`` of a raw category, 0 if the table lacks it. Case and spaces count, as in the official tools."""
        return self.raw_ids.get(category, UNKNOWN)

    def nyu40_id(self, category: str) -> int:
        """``nyu40id`` of a raw category, 0 if the table lacks it."""
        return self.nyu40_ids.get(category, UNKNOWN)

    def __contains__(self, category: str) -> bool:
        return category in self.raw_ids

    @classmethod
    def read(cls, path: str | Path) -> LabelTable:
        """Read the table; :class:`UserError` if it is absent, lacks a column, or an id is not a number.

        Copies in circulation differ, so: any line ending (also ``\\r\\r\\n``, whose blank lines are skipped), cells
        stripped, the first row of a category wins, an empty id cell means 0, columns are found by name.
        """
        path = Path(path)
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")  # text mode has universal newlines
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; it comes with the ScanNet download") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read as text ({error})") from None
        header = [cell.strip() for cell in lines[0].split("\t")]
        missing = [name for name in _COLUMNS if name not in header]
        if missing:
            raise UserError(f"{path}: not ScanNet's label table, first line lacks the column(s) {', '.join(missing)}")
        id_column, name_column, nyu40_column = (header.index(name) for name in _COLUMNS)
        raw_ids: dict[str, int] = {}
        nyu40_ids: dict[str, int] = {}
        for number, line in enumerate(lines[1:], start=2):
            cells = [cell.strip() for cell in line.split("\t")]
            if not any(cells):
                continue
            cells += [""] * (len(header) - len(cells))  # editors drop trailing empty cells
            name = cells[name_column]
            if not name or name in raw_ids:
                continue
            try:
                raw_ids[name] = int(cells[id_column] or UNKNOWN)
                nyu40_ids[name] = int(cells[nyu40_column] or UNKNOWN)
            except ValueError:
                raise UserError(f"{path}: line {number}: id and nyu40id of {name!r} must be whole numbers") from None
        if not raw_ids:
            raise UserError(f"{path}: holds no category; download it again")
        return cls(raw_ids, nyu40_ids)


@cache
def _lookup(classes: str) -> np.ndarray:
    """int16 [max id + 2 or more]: class index of each raw id; the last row is ignore and stands for larger ids."""
    raw_ids = class_set(classes).raw_ids
    table = np.full(max(max(raw_ids) + 2, _MIN_ROWS), IGNORE, dtype=np.int16)
    table[list(raw_ids)] = np.arange(len(raw_ids), dtype=np.int16)
    return table


def _to_classes(values: np.ndarray, classes: str) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "iu":
        raise TypeError(f"label ids must be integers, got {values.dtype}")
    table = _lookup(classes)
    # Clipping sends negative ids to row 0 and large ones to the last row. Both are ignore: no class has the id 0.
    # (The original's 256-row table let -100 wrap to row 156, a real class of ScanNet200.)
    return table[np.clip(values, 0, len(table) - 1)]


def nyu40_to_scannet20(nyu40_ids: np.ndarray) -> np.ndarray:
    """NYU40 ids (any integer type and shape) -> int16 class index 0..19, -100 for every other value.

    Safe for any integer: stray ids of the real files (50, 149), negatives and values beyond the table are ignore.
    """
    return _to_classes(nyu40_ids, "scannet20")


def raw_id_to_scannet200(raw_ids: np.ndarray) -> np.ndarray:
    """Ids of the label table (any integer type and shape) -> int16 class index 0..199, -100 for every other value."""
    return _to_classes(raw_ids, "scannet200")
