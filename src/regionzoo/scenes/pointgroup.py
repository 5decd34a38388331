"""PointGroup's processed scenes, which the original reads: ``<root>/{train,val,test}/<scene>.pth``.

Each is a tuple of ``torch.save``: coordinates less their mean, colours / 127.5 - 1, class of each vertex (0..19 or
0..199, -100), instance (0, 1, ..., -100; walls and floors have none). Test scenes have the first two alone; a variant
has six, the last of them superpoints. Vertices are those of the scan's mesh file, in its order.

Labels of ScanNet200's classes are in files of the same names below ``<root>/scannet200/``, if there are any.

What such a file cannot give back: superpoints (-1), raw categories, axis alignment and the world frame. Coordinates
stay as they are stored, which is how the original's networks see them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regionzoo.errors import SceneError, UserError
from regionzoo.foreign.arrays import read_tuple
from regionzoo.scenes.processed import (
    BOTH,
    Lists,
    class_labels,
    coordinates,
    group_categories,
    hash_of,
    object_groups,
    per_vertex,
    require_root,
    split_scenes,
)
from regionzoo.scenes.processed_layout import SECOND, SPLITS, TUPLE_SUFFIXES
from regionzoo.scenes.scannet import NO_SUPERPOINT
from regionzoo.scenes.store import NO_INSTANCE, Scene

_COLOR_ERROR = 0.02  # of 255; float32 leaves 1e-5, half precision more than this


@dataclass(frozen=True)
class PointGroupRoot:
    """A validated folder of processed scenes (:class:`regionzoo.scenes.processed.ProcessedRoot`)."""

    root: Path
    splits: dict[str, tuple[str, ...]]
    class_sets: tuple[str, ...]
    notices: tuple[str, ...] = ()

    @classmethod
    def open(
        cls, root: str | Path, lists: Lists = BOTH, exclude: Iterable[str] = (), dataset: str = "scannet"
    ) -> PointGroupRoot:
        """Check the folder, and find the scenes of its splits.

        lists: split -> list file (below ``root`` or absolute), or None for all scenes of its folder. exclude: scene ids
        to leave out. dataset: its section below ``data`` in params.yaml, for messages. Raises :class:`UserError` if the
        folder is missing, a split is empty or a scene is in two.
        """
        root = Path(root)
        require_root(root, dataset)
        found = {
            split: {name for path in (root / split).glob("*.pth") if (name := _scene_of(path)) is not None}
            for split in SPLITS
        }
        splits, notices = split_scenes(root, found, lists, exclude, dataset)
        second = (SECOND,) if (root / SECOND).is_dir() else ()
        return cls(root, splits, ("scannet20", *second), notices)

    def raw_paths(self, scene_id: str) -> dict[str, str]:
        """Name among the hashes -> path below the root."""
        first = self._file(scene_id)
        paths = {first.name: first}
        if SECOND in self.class_sets:
            second = self._file(scene_id, SECOND)
            paths[f"{SECOND}/{second.name}"] = second
        return {name: path.relative_to(self.root).as_posix() for name, path in paths.items()}

    def raw_sha256(self, scene_id: str) -> dict[str, str]:
        """Hash of each file of the scene by its name."""
        return {name: hash_of(self.root / path, scene_id) for name, path in self.raw_paths(scene_id).items()}

    def read_scene(self, scene_id: str, split: str, source: str) -> Scene:
        """Read one scene; in the split ``test`` labels may be missing (-100).

        Colours come back exactly. Raises :class:`UserError` of one line with scene and file for anything missing, cut,
        hostile or inconsistent.
        """
        path = self._file(scene_id)
        hashes = self.raw_sha256(scene_id)
        arrays = _read(path, scene_id, split)
        coords = coordinates(arrays[0], scene_id, path)
        colors = _colors(arrays[1], len(coords), scene_id, path)
        count = len(coords)
        labels = {"scannet20": _labels(arrays, "scannet20", count, scene_id, path)}
        if SECOND in self.class_sets:
            labels[SECOND] = self._second_labels(scene_id, split, coords)
        group = np.full(count, NO_INSTANCE, np.int32)
        if len(arrays) > 3:
            group = object_groups(per_vertex(arrays[3], count, "instances", scene_id, path), scene_id, path)
        superpoint = np.full(count, NO_SUPERPOINT, np.int32)
        if len(arrays) == 6:
            superpoint = per_vertex(arrays[5], count, "superpoints", scene_id, path).astype(np.int32)
        return Scene(
            scene_id=scene_id,
            split=split,
            source=source,
            coords=coords,
            colors=colors,
            superpoint=superpoint,
            group=group,
            labels=labels,
            categories=group_categories(group, labels),
            raw_sha256=hashes,
        )

    def _second_labels(self, scene_id: str, split: str, coords: np.ndarray) -> np.ndarray:
        path = self._file(scene_id, SECOND)
        arrays = _read(path, scene_id, split)
        same = coordinates(arrays[0], scene_id, path)
        if same.shape != coords.shape or not np.allclose(same, coords, rtol=0, atol=1e-3):
            told = f"its {len(same)} vertices are not the {len(coords)} of {self._file(scene_id)}"
            raise SceneError(scene_id, path, told)
        return _labels(arrays, SECOND, len(coords), scene_id, path)

    def _file(self, scene_id: str, below: str = "") -> Path:
        own = [split for split, scenes in self.splits.items() if scene_id in scenes]
        # A list may name scenes of another split's folder.
        folders = dict.fromkeys([*own, *SPLITS])
        paths = [self.root / below / folder / f"{scene_id}{suffix}" for folder in folders for suffix in TUPLE_SUFFIXES]
        found = next((path for path in paths if path.is_file()), None)
        if found is None:
            raise SceneError(scene_id, paths[0], "missing, in the other splits' folders too")
        return found


def _scene_of(path: Path) -> str | None:
    return path.name.removesuffix(".pth").removesuffix("_inst_nostuff") if path.name[0] != "." else None


def _read(path: Path, scene_id: str, split: str) -> list[np.ndarray]:
    try:
        arrays = read_tuple(path)
    except UserError as error:
        raise UserError(f"{scene_id}: {error}") from None
    lengths = (2, 4, 6) if split == "test" else (4, 6)
    # Of six elements the fifth is not used, whatever it is.
    if len(arrays) not in lengths or any(array is None for k, array in enumerate(arrays) if k != 4):
        kinds = ", ".join("another object" if array is None else "array" for array in arrays)
        told = f"holds ({kinds}), expected the arrays coordinates, colours, semantic labels, instances"
        raise SceneError(scene_id, path, told)
    return list(arrays)  # type: ignore[arg-type]


def _labels(arrays: list[np.ndarray], classes: str, count: int, scene_id: str, path: Path) -> np.ndarray:
    if len(arrays) == 2:
        return np.full(count, NO_INSTANCE, np.int16)
    return class_labels(per_vertex(arrays[2], count, "semantic labels", scene_id, path), classes, scene_id, path)


def _colors(values: np.ndarray, count: int, scene_id: str, path: Path) -> np.ndarray:
    """uint8 [count, 3] of colours / 127.5 - 1."""
    if values.shape != (count, 3) or values.dtype.kind != "f":
        told = f"colours are {values.dtype} {list(values.shape)}, expected floats [{count}, 3]"
        raise SceneError(scene_id, path, told)
    exact = (values.astype(np.float64) + 1) * 127.5
    rounded = np.rint(exact)
    good = (np.abs(exact - rounded) <= _COLOR_ERROR) & (rounded >= 0) & (rounded <= 255)
    bad = np.flatnonzero(~good.all(axis=1))
    if len(bad):
        told = f"colour {values[bad[0]].tolist()} at vertex {bad[0]}, expected value / 127.5 - 1 of values 0..255"
        raise SceneError(scene_id, path, told)
    return rounded.astype(np.uint8)
