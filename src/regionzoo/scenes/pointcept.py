"""Pointcept's processed scenes: ``<root>/{train,val,test}/<scene>/*.npy``, one array a file.

``coord`` float [N, 3] in metres, as in the scan's mesh file and in its order; ``color`` [N, 3] 0..255; ``segment20``,
``segment200`` [N], positions in the class lists, -1 for none; ``instance`` [N], number of the annotated object, -1 for
none. ``normal`` is not used here. Test scenes have no labels. Superpoints, raw categories and axis alignment are not
kept in this form.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regionzoo.errors import SceneError, UserError
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
from regionzoo.scenes.processed_layout import COLOR, COORD, INSTANCE, SEGMENTS, SPLITS
from regionzoo.scenes.scannet import NO_SUPERPOINT
from regionzoo.scenes.store import NO_INSTANCE, Scene


@dataclass(frozen=True)
class PointceptRoot:
    """A validated folder of processed scenes (:class:`regionzoo.scenes.processed.ProcessedRoot`)."""

    root: Path
    splits: dict[str, tuple[str, ...]]
    class_sets: tuple[str, ...]
    notices: tuple[str, ...] = ()

    @classmethod
    def open(
        cls, root: str | Path, lists: Lists = BOTH, exclude: Iterable[str] = (), dataset: str = "scannet"
    ) -> PointceptRoot:
        """Check the folder, and find the scenes of its splits.

        lists: split -> list file (below ``root`` or absolute), or None for all scenes of its folder. exclude: scene ids
        to leave out. dataset: its section below ``data`` in params.yaml, for messages. The class sets are those that
        the first scene with labels has; the others must have them too. Raises :class:`UserError` if the folder is
        missing, if there are no labels at all, if a split is empty or a scene is in two.
        """
        root = Path(root)
        require_root(root, dataset)
        found = {split: [path.name for path in (root / split).glob("[!.]*") if path.is_dir()] for split in SPLITS}
        splits, notices = split_scenes(root, found, lists, exclude, dataset)
        first = next((_folder(root, splits, scenes[0]) for split, scenes in splits.items() if split != "test"), None)
        sets = tuple(name for name, file in SEGMENTS.items() if first is not None and (first / file).is_file())
        if first is not None and not sets:
            raise UserError(f"{first}: holds neither {' nor '.join(SEGMENTS.values())}; labels are needed for training")
        return cls(root, splits, sets, notices)

    def raw_paths(self, scene_id: str) -> dict[str, str]:
        """File name -> path below the root, of the files that are there and used."""
        folder = _folder(self.root, self.splits, scene_id)
        used = (COORD, COLOR, INSTANCE, *(SEGMENTS[name] for name in self.class_sets))
        return {name: (folder / name).relative_to(self.root).as_posix() for name in used if (folder / name).is_file()}

    def raw_sha256(self, scene_id: str) -> dict[str, str]:
        """Hash of each used file by its name."""
        return {name: hash_of(self.root / path, scene_id) for name, path in self.raw_paths(scene_id).items()}

    def read_scene(self, scene_id: str, split: str, source: str) -> Scene:
        """Read one scene; in the split ``test`` labels may be missing (-100).

        Raises :class:`SceneError` with scene and file for anything missing, cut or inconsistent.
        """
        folder = _folder(self.root, self.splits, scene_id)
        hashes = self.raw_sha256(scene_id)

        def numbers(name: str) -> np.ndarray | None:
            """int64 [N] of a file; None if it is missing and may be."""
            if split == "test" and name not in hashes:
                return None
            return per_vertex(_load(folder / name, scene_id), count, "its values", scene_id, folder / name)

        coords = coordinates(_load(folder / COORD, scene_id), scene_id, folder / COORD)
        count = len(coords)
        colors = _colors(_load(folder / COLOR, scene_id), count, scene_id, folder / COLOR)
        labels = {}
        for name in self.class_sets:
            values, path = numbers(SEGMENTS[name]), folder / SEGMENTS[name]
            nothing = np.full(count, NO_INSTANCE, np.int16)
            labels[name] = nothing if values is None else class_labels(values, name, scene_id, path)
        instances = numbers(INSTANCE)
        if instances is None:
            group = np.full(count, NO_INSTANCE, np.int32)
        else:
            group = object_groups(instances, scene_id, folder / INSTANCE)
        return Scene(
            scene_id=scene_id,
            split=split,
            source=source,
            coords=coords,
            colors=colors,
            superpoint=np.full(count, NO_SUPERPOINT, np.int32),
            group=group,
            labels=labels,
            categories=group_categories(group, labels),
            raw_sha256=hashes,
        )


def _folder(root: Path, splits: dict[str, tuple[str, ...]], scene_id: str) -> Path:
    own = [split for split, scenes in splits.items() if scene_id in scenes]
    folders = [root / split / scene_id for split in dict.fromkeys([*own, *SPLITS])]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise SceneError(scene_id, folders[0], "no such folder, nor one in the other splits")
    return found


def _load(path: Path, scene_id: str) -> np.ndarray:
    """An array of plain numbers; :class:`SceneError` for anything else, whatever the file claims."""
    try:
        # Mapped: a header that claims more than the file holds is refused before memory is asked for.
        mapped = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise SceneError(scene_id, path, "missing") from None
    except OSError as error:
        raise SceneError(scene_id, path, f"cannot be read ({error.strerror})") from None
    except Exception as error:  # the header is parsed as Python's literals, which fails in many ways
        told = " ".join(str(error).split())[:100]
        raise SceneError(scene_id, path, f"not a whole .npy file of numbers ({told}); copy it again") from None
    if mapped.dtype.kind not in "iufb":
        raise SceneError(scene_id, path, f"holds {str(mapped.dtype)[:40]}, expected plain numbers")
    return np.array(mapped)


def _colors(values: np.ndarray, count: int, scene_id: str, path: Path) -> np.ndarray:
    if values.shape != (count, 3) or values.dtype.kind not in "iuf":
        told = f"colours are {values.dtype} {list(values.shape)}, expected [{count}, 3]"
        raise SceneError(scene_id, path, told)
    bad = np.flatnonzero(~((values >= 0) & (values <= 255) & (values == np.rint(values))).all(axis=1))
    if len(bad):
        told = f"colour {values[bad[0]].tolist()} at vertex {bad[0]}, expected whole numbers 0..255"
        raise SceneError(scene_id, path, told)
    return values.astype(np.uint8)
