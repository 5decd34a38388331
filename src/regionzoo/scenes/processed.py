"""What the processed forms of ScanNet that others use have in common, and the interface that they offer here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from regionzoo.artifacts import sha256_file
from regionzoo.classes import IGNORE, class_set
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.splits import form_splits, read_split_list
from regionzoo.scenes.store import NO_INSTANCE, Scene

UNLABELLED = (-100, -1, 255)
"""What the processed forms write for vertices without a class: PointGroup's, Pointcept's, and common fixes of them."""
Lists = Mapping[str, str | None]
"""Split -> its list file, or None for all scenes of the split's folder."""
BOTH: Lists = {"train": None, "val": None}


class ProcessedRoot(Protocol):
    """A tree of processed scenes that is open for reading; it travels to workers.

    splits: split -> sorted scene ids. notices: oddities that were tolerated. class_sets: those that its scenes are
    labelled in.
    """

    @property
    def root(self) -> Path: ...
    @property
    def splits(self) -> dict[str, tuple[str, ...]]: ...
    @property
    def notices(self) -> tuple[str, ...]: ...
    @property
    def class_sets(self) -> tuple[str, ...]: ...

    def read_scene(self, scene_id: str, split: str, source: str) -> Scene:
        """One scene, ``source`` recorded in it; :class:`UserError` of one line if that is not possible."""
        ...

    def raw_sha256(self, scene_id: str) -> dict[str, str]:
        """Hash of each file that ``read_scene`` would read now, as it would record them."""
        ...

    def raw_paths(self, scene_id: str) -> dict[str, str]:
        """Path below the root of each name in ``raw_sha256``."""
        ...


def split_scenes(
    root: Path, found: Mapping[str, Iterable[str]], lists: Lists, exclude: Iterable[str], dataset: str
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """(split -> sorted scene ids, notices).

    found: split -> the scenes of its folder. lists: for each wanted split a file below ``root`` (or an absolute path),
    or None for all scenes of the split's folder. :class:`UserError` if a list is missing, if a split is empty or if a
    scene is in two.
    """
    notices: list[str] = []
    listed = []
    for split, name in lists.items():
        folder = root / split
        if name is None:
            scenes, told = tuple(sorted(found.get(split, ()))), folder
            if not scenes:
                raise UserError(
                    f"{folder}: holds no scenes; data.{dataset}.root must be the folder above train/ and val/"
                )
        else:
            told = root / name
            if not told.exists():
                hint = f"name another under data.{dataset}, or null for all scenes of {folder}"
                raise UserError(f"{told}: no such scene list; {hint}")
            scenes = read_split_list(told, dataset, notices)
        listed.append((split, str(told), scenes))
    splits = form_splits(listed, exclude, dataset, notices)
    return splits, tuple(notices)


def require_root(root: Path, dataset: str) -> None:
    """:class:`UserError` if there is no such folder."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; data.{dataset}.root must be the folder above train/ and val/")


def hash_of(path: Path, scene_id: str) -> str:
    """SHA-256 of a file; :class:`SceneError` if it cannot be read."""
    try:
        return sha256_file(path)
    except FileNotFoundError:
        raise SceneError(scene_id, path, "missing") from None
    except OSError as error:
        raise SceneError(scene_id, path, f"cannot be read ({error.strerror})") from None


def coordinates(values: np.ndarray, scene_id: str, path: Path) -> np.ndarray:
    """float32 [N >= 1, 3] of an array of finite numbers; :class:`SceneError` if it is none."""
    if values.ndim != 2 or values.shape[1] != 3 or values.dtype.kind != "f" or not len(values):
        told = f"coordinates are {values.dtype} {list(values.shape)}, expected floats [N, 3]"
        raise SceneError(scene_id, path, told)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise SceneError(scene_id, path, f"{len(bad)} of {len(values)} vertices are not finite, first is {bad[0]}")
    return np.ascontiguousarray(values, np.float32)


def per_vertex(values: np.ndarray, count: int, what: str, scene_id: str, path: Path) -> np.ndarray:
    """int64 [count] of an array of whole numbers of any type, one a vertex; :class:`SceneError` if it is none.

    what: "semantic labels", for messages. [count, 1] is accepted.
    """
    if values.shape == (count, 1):
        values = values[:, 0]
    if values.shape != (count,) or values.dtype.kind not in "iuf":
        told = f"{what} are {values.dtype} {list(values.shape)}, expected a whole number for each of {count} vertices"
        raise SceneError(scene_id, path, told)
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    bad = np.flatnonzero((whole != values) | (whole < -(1 << 31)) | (whole >= 1 << 31))
    if len(bad):
        raise SceneError(scene_id, path, f"{what}: {values[bad[0]]} at vertex {bad[0]}, expected a whole number")
    return whole


def class_labels(values: np.ndarray, classes: str, scene_id: str, path: Path) -> np.ndarray:
    """int16 [N] of whole numbers [N]: positions in ``classes``, -100 where :data:`UNLABELLED` says so."""
    count = len(class_set(classes).names)
    known = (values >= 0) & (values < count)
    bad = np.flatnonzero(~known & ~np.isin(values, UNLABELLED))
    if len(bad):
        told = f"label {values[bad[0]]} at vertex {bad[0]}, expected 0..{count - 1} ({classes}) or -100, -1 or 255"
        raise SceneError(scene_id, path, told)
    return np.where(known, values, IGNORE).astype(np.int16)


def object_groups(values: np.ndarray, scene_id: str, path: Path) -> np.ndarray:
    """int32 [N] of instance ids [N]: the same numbers, -100 for all negative ones."""
    if values.max(initial=-1) >= len(values):
        raise SceneError(scene_id, path, f"instance {values.max()} of a scene with {len(values)} vertices")
    return np.where(values < 0, NO_INSTANCE, values).astype(np.int32)


def group_categories(group: np.ndarray, labels: dict[str, np.ndarray]) -> tuple[str, ...]:
    """For each group the class of most of its labelled vertices; "" for one without.

    The raw categories are not kept in processed forms. ``labels``: class set -> int16 [N]; the finest is asked first.
    """
    groups = int(group.max(initial=-1)) + 1
    found = [""] * groups
    for name in sorted(labels, key=lambda name: -len(class_set(name).names)):
        names = class_set(name).names
        inside = (group >= 0) & (labels[name] >= 0)
        cells = group[inside].astype(np.int64) * len(names) + labels[name][inside]
        counts = np.bincount(cells, minlength=groups * len(names)).reshape(groups, len(names))
        found = [text or (names[row.argmax()] if row.any() else "") for text, row in zip(found, counts, strict=True)]
    return tuple(found)
