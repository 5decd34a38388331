"""Preprocessing and caption association as a script for one scan does them: the baseline of preprocessing.py.

Written from the description of the formats and of the original's steps, with NumPy where a formula is an array
expression already, and loops where the description has them: over vertices, segments, groups, regions, pairs.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from plyfile import PlyData

from regionzoo.captions.captioner import Box

IGNORE = -100
WALL, FLOOR = 1, 2


class PlainTable:
    """Ids of raw categories, read row by row."""

    def __init__(self, path: Path) -> None:
        self.raw_id: dict[str, int] = {}
        self.nyu40: dict[str, int] = {}
        with open(path, newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                self.raw_id.setdefault(row["raw_category"], int(row["id"] or 0))
                self.nyu40.setdefault(row["raw_category"], int(row["nyu40id"] or 0))


def convert(
    folder: Path,
    scene_id: str,
    table: PlainTable,
    classes: Sequence[Sequence[int]],
    out: Path,
    triangles: bool = False,
) -> tuple[np.ndarray, ...]:
    """One scan -> (xyz, rgb, classes of 20, classes of 200, instances), which is also written to ``out``.

    classes: NYU40 ids of the 20, ids of the 200. triangles: tell plyfile that all faces are, which it walks otherwise.
    """
    known = {"face": {"vertex_indices": 3}} if triangles else {}
    vertices = PlyData.read(str(folder / f"{scene_id}_vh_clean_2.ply"), known_list_len=known)["vertex"]
    xyz = np.stack([vertices["x"], vertices["y"], vertices["z"]], 1).astype(np.float64)
    xyz = (xyz - xyz.mean(0)).astype(np.float32)
    rgb = np.stack([vertices["red"], vertices["green"], vertices["blue"]], 1).astype(np.float32) / 127.5 - 1
    labels = PlyData.read(str(folder / f"{scene_id}_vh_clean_2.labels.ply"), known_list_len=known)["vertex"]["label"]
    class_of_nyu40 = {nyu40: k for k, nyu40 in enumerate(classes[0])}
    semantic = np.array([class_of_nyu40.get(int(value), IGNORE) for value in labels])

    segments = json.loads((folder / f"{scene_id}_vh_clean_2.0.010000.segs.json").read_text())["segIndices"]
    vertices_of: dict[int, list[int]] = {}
    for vertex, segment in enumerate(segments):
        vertices_of.setdefault(segment, []).append(vertex)
    groups = json.loads((folder / f"{scene_id}.aggregation.json").read_text())["segGroups"]
    class_of_id = {raw_id: k for k, raw_id in enumerate(classes[1])}
    semantic200 = np.full(len(xyz), IGNORE)
    instances = np.full(len(xyz), IGNORE)
    counter = 0
    for group in groups:
        members: list[int] = []
        for segment in group["segments"]:
            members += vertices_of.get(segment, [])
        semantic200[members] = class_of_id.get(table.raw_id.get(group["label"], 0), IGNORE)
        if table.nyu40.get(group["label"], 0) not in (WALL, FLOOR):
            instances[members] = counter
            counter += 1
    np.savez(out, xyz=xyz, rgb=rgb, semantic=semantic, semantic200=semantic200, instances=instances)
    return xyz, rgb, semantic, semantic200, instances


def regions(
    coords: np.ndarray,
    pose: np.ndarray,
    intrinsics: np.ndarray,
    depth: np.ndarray,
    boxes: Sequence[Box],
    color_size: tuple[int, int],
) -> list[np.ndarray]:
    """Vertices of each box that a frame sees: all are projected, then every box asks all that are seen."""
    homogeneous = np.concatenate([coords.astype(np.float64), np.ones((len(coords), 1))], 1)
    camera = (np.linalg.inv(pose) @ homogeneous.T).T
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (camera[:, 0] - intrinsics[0, 3]) * intrinsics[0, 0] / camera[:, 2] + intrinsics[0, 2]
        v = (camera[:, 1] - intrinsics[1, 3]) * intrinsics[1, 1] / camera[:, 2] + intrinsics[1, 2]
    height, width = depth.shape
    valid = (camera[:, 2] > 0) & np.isfinite(u) & np.isfinite(v)
    u, v = np.trunc(np.where(valid, u, -9) + 0.5), np.trunc(np.where(valid, v, -9) + 0.5)
    valid &= (u >= 0) & (u < width) & (v >= 0) & (v < height)
    pixels = np.zeros((len(coords), 2), np.int64)
    pixels[valid, 0], pixels[valid, 1] = u[valid], v[valid]
    measured = depth[pixels[:, 1], pixels[:, 0]].astype(np.float64)
    valid &= (measured != 0) & (np.abs(measured - camera[:, 2]) <= 0.2 * measured)
    seen = np.flatnonzero(valid)
    scaled = pixels[seen] * np.array([color_size[1] / width, color_size[0] / height])
    found = []
    for x_min, y_min, x_max, y_max in boxes:
        inside = (scaled[:, 0] > x_min) & (scaled[:, 0] < x_max) & (scaled[:, 1] > y_min) & (scaled[:, 1] < y_max)
        found.append(seen[inside])
    return found


def fused(primary: Sequence[np.ndarray], other: Sequence[np.ndarray], high: float) -> list[int]:
    """Positions of the regions of ``other`` whose largest IoU with one of ``primary`` is at most ``high``."""
    sets = [set(region.tolist()) for region in primary]
    kept = []
    for position, region in enumerate(other):
        points = set(region.tolist())
        largest = max((len(points & own) / (len(points | own) + 1e-6) for own in sets), default=0.0)
        if points and largest <= high:
            kept.append(position)
    return kept
