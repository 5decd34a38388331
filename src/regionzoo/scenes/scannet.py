"""ScanNet v2's raw files -> :class:`~regionzoo.scenes.store.Scene`.

Quirks of the real data, and where each is handled:

- vertex order is the index space of everything else: :func:`read_vertices` neither merges nor reorders;
- labels.ply carries ids outside NYU40's 40 (50, 149): :mod:`regionzoo.scenes.labels` maps them to ignore;
- a category may be missing from the label table: id 0, hence ignore (:class:`~regionzoo.scenes.labels.LabelTable`);
- scene0217_00 lists its objects twice: :func:`drop_repeated_half`;
- a segment may belong to two groups, or to none that exists: :func:`groups_of_vertices`;
- split lists are unsorted: :func:`regionzoo.scenes.splits.read_split_list`;
- test scans have no annotation, and their text file has no ``axisAlignment``: :func:`read_scene`;
- the high-resolution pair ``*_vh_clean.segs.json``, ``*_vh_clean.aggregation.json`` indexes another mesh: never read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from plyfile import PlyData, PlyParseError

from regionzoo.artifacts import sha256_file
from regionzoo.classes import IGNORE
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.labels import LabelTable, nyu40_to_scannet20, raw_id_to_scannet200
from regionzoo.scenes.raw_layout import LABEL_TABLE_FILE, SCAN_FOLDERS, SCAN_SUFFIXES
from regionzoo.scenes.splits import form_splits, read_split_list
from regionzoo.scenes.store import NO_INSTANCE, Scene

MESH, LABELS, SEGMENTS, AGGREGATION, TEXT = SCAN_SUFFIXES
NO_SUPERPOINT = -1
"""Superpoint id of every vertex of a test scan."""

_WALL, _FLOOR = 1, 2  # NYU40


@dataclass(frozen=True)
class Group:
    """One annotated object: raw category, ids of its segments, and its number in the file."""

    category: str
    segments: tuple[int, ...]
    object_id: int


@dataclass(frozen=True)
class ScanNetRoot:
    """A validated raw folder: label table and the sorted scene ids of each split."""

    root: Path
    table: LabelTable
    splits: dict[str, tuple[str, ...]]
    notices: tuple[str, ...] = ()

    @classmethod
    def open(
        cls, root: str | Path, lists: dict[str, str] | None = None, exclude: tuple[str, ...] | list[str] = ()
    ) -> ScanNetRoot:
        """Check the folder and read the lists of the splits, if any are named.

        ``lists``: split -> name of its list file below ``root`` (or an absolute path). ``exclude``: scene ids to
        leave out. Raises :class:`UserError` if the folder, its scans, the label table or a list is missing, if a list
        ends up empty, or if a scene is in two lists.
        """
        root = Path(root)
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; data.scannet.root must be the folder of the ScanNet download")
        if not any((root / name).is_dir() for name in SCAN_FOLDERS):
            raise UserError(f"{root}: holds no folder scans/; data.scannet.root must be the folder above scans/")
        table = LabelTable.read(root / LABEL_TABLE_FILE)
        notices: list[str] = []
        listed = (
            (split, str(root / name), read_split_list(root / name, "scannet", notices))
            for split, name in (lists or {}).items()
        )
        splits = form_splits(listed, exclude, "scannet", notices)
        return cls(root, table, splits, tuple(notices))

    @cached_property
    def table_sha256(self) -> str:
        """Hash of the label table: it decides the labels, so it counts as a raw input of every scene."""
        return sha256_file(self.root / LABEL_TABLE_FILE)

    def folder(self, scene_id: str) -> Path:
        """``scans/<S>``, else ``scans_test/<S>``; :class:`SceneError` if there is neither."""
        for name in SCAN_FOLDERS:
            if (folder := self.root / name / scene_id).is_dir():
                return folder
        raise SceneError(scene_id, self.root / SCAN_FOLDERS[0] / scene_id, "no such folder, nor one in scans_test/")

    def raw_sha256(self, scene_id: str) -> dict[str, str]:
        """Hash of each raw file that :func:`read_scene` would read now, by file name; absent files are left out."""
        folder = self.folder(scene_id)
        hashes = {LABEL_TABLE_FILE: self.table_sha256}
        for suffix in SCAN_SUFFIXES:
            path = folder / f"{scene_id}{suffix}"
            try:
                hashes[path.name] = sha256_file(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise SceneError(scene_id, path, f"cannot be read ({error.strerror})") from None
        return hashes


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def read_vertices(path: Path, scene_id: str) -> np.ndarray:
    """Vertex records of a PLY file (structured [N], file order, copied out of the map).

    Any PLY encoding is accepted; ``known_list_len`` lets plyfile map triangle lists instead of walking them in
    Python (1 ms instead of 470 ms for a scan), and checks that the faces are all there too, so that a file that was
    cut anywhere is refused. :class:`SceneError` if the file is absent, not a PLY, cut short, or without vertices.
    """
    try:
        ply = PlyData.read(str(path), known_list_len={"face": {"vertex_indices": 3}})
    except FileNotFoundError:
        raise SceneError(scene_id, path, "missing") from None
    except PlyParseError as error:
        raise SceneError(scene_id, path, f"not a whole PLY file ({_one_line(error)}); copy it again") from None
    except (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError) as error:
        raise SceneError(scene_id, path, f"cannot be read as PLY ({_one_line(error)}); copy it again") from None
    if "vertex" not in ply or not ply["vertex"].count:
        raise SceneError(scene_id, path, "holds no vertices")
    return np.array(ply["vertex"].data)


def _columns(vertices: np.ndarray, names: tuple[str, ...], wanted: str, path: Path, scene_id: str) -> np.ndarray:
    """[N, len(names)]: properties side by side; ``wanted``: "float" (any width), "uchar", or "integer" (any)."""
    types = {"float": "f2 f4 f8", "uchar": "u1", "integer": "i1 u1 i2 u2 i4 u4"}[wanted].split()
    for name in names:
        found = vertices.dtype[name] if name in (vertices.dtype.names or ()) else None
        if found is None or found.str[1:] not in types:
            told = "missing" if found is None else f"of type {found}"
            raise SceneError(scene_id, path, f"vertex property {name} is {told}, expected {wanted}")
    return np.stack([vertices[name] for name in names], axis=1)


def read_mesh(path: Path, scene_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates float32 [N, 3] (metres, world frame of the scan) and colours uint8 [N, 3] of a PLY; alpha is dropped.

    :class:`SceneError` as :func:`read_vertices`, and if a property is missing or of another type, or a coordinate is
    not finite.
    """
    vertices = read_vertices(path, scene_id)
    coords = _columns(vertices, ("x", "y", "z"), "float", path, scene_id).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(coords).all(axis=1))
    if len(bad):
        raise SceneError(scene_id, path, f"{len(bad)} of {len(coords)} vertices are not finite, first is {bad[0]}")
    return coords, _columns(vertices, ("red", "green", "blue"), "uchar", path, scene_id)


def read_vertex_labels(path: Path, scene_id: str) -> np.ndarray:
    """NYU40 ids of ``labels.ply`` as stored (uint16 [N]; 0 = unannotated, stray ids kept)."""
    return _columns(read_vertices(path, scene_id), ("label",), "integer", path, scene_id)[:, 0]


def _json_object(path: Path, scene_id: str, key: str) -> list[Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise SceneError(scene_id, path, "missing") from None
    except OSError as error:
        raise SceneError(scene_id, path, f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise SceneError(scene_id, path, f"not valid JSON ({_one_line(error)}); copy it again") from None
    if not isinstance(value, dict) or not isinstance(value.get(key), list):
        raise SceneError(scene_id, path, f"holds no list under the key {key!r}")
    return value[key]


def read_superpoints(path: Path, scene_id: str) -> np.ndarray:
    """``segIndices`` of segs.json: int32 [N], non-negative, sparse ids. Its other keys differ between releases."""
    values = _json_object(path, scene_id, "segIndices")
    # One pass over the types: asarray alone would turn true into 1, and rejects ragged lists with a long message.
    if not set(map(type, values)) <= {int}:
        raise SceneError(scene_id, path, "segIndices must hold whole numbers only")
    if values and not (min(values) >= 0 and max(values) < 1 << 31):
        raise SceneError(scene_id, path, "segIndices must lie in 0..2^31-1")
    return np.array(values, dtype=np.int32)


def read_groups(path: Path, scene_id: str) -> tuple[Group, ...]:
    """``segGroups`` of aggregation.json in file order, as they are (see :func:`drop_repeated_half`)."""
    groups = []
    for position, entry in enumerate(_json_object(path, scene_id, "segGroups")):
        if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
            raise SceneError(scene_id, path, f"segGroups[{position}] has no text under the key 'label'")
        segments = entry.get("segments")
        if not isinstance(segments, list) or not set(map(type, segments)) <= {int}:
            raise SceneError(scene_id, path, f"segGroups[{position}] has no list of whole numbers under 'segments'")
        # Nothing here depends on objectId; a hand-made file without it is as good.
        object_id = entry.get("objectId")
        object_id = object_id if isinstance(object_id, int) else position
        groups.append(Group(entry["label"], tuple(segments), object_id))
    return tuple(groups)


def drop_repeated_half(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """The first half of a listing whose second half repeats it (val scene0217_00), else the listing itself.

    Repeats means: same categories and segments in the same order. Two different objects never share all their
    segments, so this needs no scene id (the official scripts name the scene). Without it every object of that scan
    would be there twice, the first time without vertices.
    """
    half, odd = divmod(len(groups), 2)
    content = [(group.category, group.segments) for group in groups]
    if odd or not any(group.segments for group in groups) or content[:half] != content[half:]:
        return groups
    return groups[:half]


def groups_of_vertices(superpoint: np.ndarray, groups: tuple[Group, ...]) -> tuple[np.ndarray, int]:
    """int32 [N]: position of each vertex' group, -100 for none; and the number of listed segments that do not exist.

    If two groups claim a segment the last one has it, and segments that no vertex carries are passed over, both as in
    ScanNet's own exporters (``export_semantic_label_grid_for_evaluation.py`` and its siblings).
    """
    owner = {segment: position for position, group in enumerate(groups) for segment in group.segments}
    present, inverse = np.unique(superpoint, return_inverse=True)
    present_ids = present.tolist()
    of_segment = np.array([owner.get(segment, NO_INSTANCE) for segment in present_ids], dtype=np.int32)
    return of_segment[inverse], len(owner.keys() - set(present_ids))


def read_axis_alignment(path: Path, scene_id: str) -> np.ndarray | None:
    """float64 [4, 4] (raw frame -> axis-aligned frame) of a scan's text file; None if it has none or is absent.

    Test scans have none, which means identity. The semantic pipeline never applies it (the official 3D benchmark and
    the original do not either), so an absent file stops nothing.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SceneError(scene_id, path, f"cannot be read ({error.strerror})") from None
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() == "axisAlignment":
            try:
                matrix = np.array([float(cell) for cell in value.split()])
            except ValueError:
                matrix = np.array([])
            if matrix.shape != (16,) or not np.isfinite(matrix).all():
                raise SceneError(scene_id, path, "axisAlignment must be 16 finite numbers")
            return matrix.reshape(4, 4)
    return None


def read_scene(
    root: ScanNetRoot, scene_id: str, split: str, source: str = "scannet", notices: list[str] | None = None
) -> Scene:
    """Read one raw scan with the labels of both class sets.

    scannet20 comes from ``labels.ply``, scannet200 from segments and groups through the label table (labels.ply has
    NYU40 ids only). In the split ``test`` the annotation files may be missing: labels are then -100, superpoints -1,
    groups -100. Elsewhere a missing file is an error. ``notices`` collects oddities that were tolerated.
    :class:`SceneError`: one line with scene and file, for anything missing, cut, or inconsistent.
    """
    notices = [] if notices is None else notices
    folder = root.folder(scene_id)
    paths = {suffix: folder / f"{scene_id}{suffix}" for suffix in SCAN_SUFFIXES}
    hashes = root.raw_sha256(scene_id)
    coords, colors = read_mesh(paths[MESH], scene_id)
    count = len(coords)

    def wanted(suffix: str) -> bool:
        return split != "test" or paths[suffix].name in hashes

    def same_count(values: np.ndarray, suffix: str) -> np.ndarray:
        if len(values) != count:
            told = f"{len(values)} vertices, but {paths[MESH].name} has {count}; they are not of the same release"
            raise SceneError(scene_id, paths[suffix], told)
        return values

    nyu40 = np.zeros(count, dtype=np.uint16)
    superpoint = np.full(count, NO_SUPERPOINT, dtype=np.int32)
    groups: tuple[Group, ...] = ()
    if wanted(LABELS):
        nyu40 = same_count(read_vertex_labels(paths[LABELS], scene_id), LABELS)
    if wanted(SEGMENTS):
        superpoint = same_count(read_superpoints(paths[SEGMENTS], scene_id), SEGMENTS)
    if wanted(AGGREGATION):
        listed = read_groups(paths[AGGREGATION], scene_id)
        groups = drop_repeated_half(listed)
        if len(groups) < len(listed):
            notices.append(f"{scene_id}: lists its {len(groups)} objects twice; the second half is dropped")
    group, absent = groups_of_vertices(superpoint, groups)
    if absent:
        notices.append(f"{scene_id}: {absent} segments of its objects do not exist; passed over")
    categories = tuple(entry.category for entry in groups)
    if unknown := sorted({name for name in categories if name not in root.table}):
        notices.append(f"{scene_id}: not in {LABEL_TABLE_FILE}, hence unlabelled: {', '.join(unknown)}")
    of_group = raw_id_to_scannet200(np.array([root.table.raw_id(name) for name in categories], dtype=np.int64))
    # The entry behind the last group answers for vertices of no group.
    scannet200 = np.append(of_group, np.int16(IGNORE))[np.where(group < 0, len(groups), group)]
    return Scene(
        scene_id=scene_id,
        split=split,
        source=source,
        coords=coords,
        colors=colors,
        superpoint=superpoint,
        group=group,
        labels={"scannet20": nyu40_to_scannet20(nyu40), "scannet200": scannet200},
        categories=categories,
        axis_alignment=read_axis_alignment(paths[TEXT], scene_id),
        raw_sha256=hashes,
    )


def pointgroup_instances(scene: Scene, table: LabelTable) -> np.ndarray:
    """int32 [N]: the original's instance ids 0, 1, 2, ... (PointGroup's ``prepare_data_inst.py``), -100 for none.

    Groups that are walls or floors (NYU40 1 and 2: also "closet wall", "shower floor", ...) are left out and the others
    numbered in file order. Categories outside the 20 classes are numbered too; their points drop out later because
    their semantic label is ignore. A group without vertices still takes a number, as in the original.
    """
    counted = [table.nyu40_id(name) not in (_WALL, _FLOOR) for name in scene.categories]
    number = np.where(counted, np.cumsum(counted, dtype=np.int32) - 1, NO_INSTANCE)
    number = np.append(number, NO_INSTANCE).astype(np.int32)
    return number[np.where(scene.group < 0, len(scene.categories), scene.group)]
