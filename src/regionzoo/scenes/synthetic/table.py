"""The label table of the data set: raw categories, their ids and NYU40 classes."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

COLUMNS = (
    "id",
    "raw_category",
    "category",
    "count",
    "nyu40id",
    "eigen13id",
    "nyuClass",
    "nyu40class",
    "eigen13class",
    "ModelNet40",
    "ModelNet10",
    "ShapeNetCore55",
    "synsetoffset",
    "wnsynsetid",
    "wnsynsetkey",
    "mpcat40",
    "mpcat40index",
)

# Raw categories of rooms that are no ScanNet200 class, with their ids in the official table.
EXTRA_ROWS = (
    (22, "books", "book", 23, "books"),
    (61, "rug", "rug", 40, "otherprop"),
    (194, "vase", "vase", 40, "otherprop"),
    (231, "remote", "remote", 40, "otherprop"),
    (245, "cutting board", "cutting board", 40, "otherprop"),
    (269, "globe", "globe", 40, "otherprop"),
    (307, "footrest", "footrest", 39, "otherfurniture"),
    (339, "magazine", "magazine", 40, "otherprop"),
)


@cache
def nyu40_ids() -> dict[str, int]:
    """Raw category -> NYU40 id."""
    known = {row["name"]: int(row["nyu40id"]) for row in _classes()}
    return known | {name: nyu40 for _, name, _, nyu40, _ in EXTRA_ROWS}


def table_text() -> str:
    """The tab-separated table with the official columns (CRLF line ends, as most copies have)."""
    rows = [(int(r["raw_id"]), r["name"], r["name"], int(r["nyu40id"]), r["nyu40class"]) for r in _classes()]
    lines = ["\t".join(COLUMNS)]
    for raw_id, raw, category, nyu40, nyu40_class in (*rows, *EXTRA_ROWS):
        cells = dict.fromkeys(COLUMNS, "")
        cells |= {"id": str(raw_id), "raw_category": raw, "category": category, "count": "1"}
        cells |= {"nyu40id": str(nyu40), "nyuClass": category, "nyu40class": nyu40_class}
        lines.append("\t".join(cells.values()))
    return "\r\n".join(lines) + "\r\n"


def _classes() -> list[dict[str, str]]:
    text = files("regionzoo").joinpath("data", "scannet200.csv").read_text()
    return list(csv.DictReader(text.splitlines()))
