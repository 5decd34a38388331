"""Class sets of the benchmarks as tables of facts (``data/*.csv``): index, raw id, name, colour."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

IGNORE = -100
"""Label of points that take no part in losses and scores, in every row (the original's nuScenes code says 255)."""


@dataclass(frozen=True)
class ClassSet:
    """An ordered list of classes; a label is a position in it.

    ``names``: human names. ``prompts``: spelling that the text encoder gets (the original's configs).
    ``raw_ids``: NYU40 ids (scannet20), ids of the label table (scannet200) or the devkit's coarse ids (nuscenes16).
    ``nyu40_ids``: of the indoor sets. ``colors``: RGB 0..255.
    ``train_only``: positions of classes that have no validation points.
    """

    name: str
    names: tuple[str, ...]
    prompts: tuple[str, ...]
    raw_ids: tuple[int, ...]
    colors: tuple[tuple[int, int, int], ...]
    nyu40_ids: tuple[int, ...] = ()
    train_only: tuple[int, ...] = ()

    def index(self, name: str) -> int:
        """Position of a class by name or prompt spelling; ``KeyError`` if it is neither."""
        for names in (self.names, self.prompts):
            if name in names:
                return names.index(name)
        raise KeyError(name)


def _rows(file: str) -> list[dict[str, str]]:
    text = files("regionzoo").joinpath("data", file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def class_set(name: str) -> ClassSet:
    """The class set ``scannet20``, ``scannet200`` or ``nuscenes16`` (official order of each benchmark)."""
    rows = _rows(f"{name}.csv")
    raw = "raw_id" if "raw_id" in rows[0] else "nyu40id"
    return ClassSet(
        name=name,
        names=tuple(row["name"] for row in rows),
        prompts=tuple(row.get("prompt", row["name"]) for row in rows),
        raw_ids=tuple(int(row[raw]) for row in rows),
        colors=tuple((int(row["red"]), int(row["green"]), int(row["blue"])) for row in rows),
        nyu40_ids=tuple(int(row["nyu40id"]) for row in rows if "nyu40id" in row),
        train_only=tuple(i for i, row in enumerate(rows) if row.get("in_val", "1") == "0"),
    )


CLASS_SETS = ("scannet20", "scannet200", "nuscenes16")
INDOOR_SETS = ("scannet20", "scannet200")
