"""Import of OpenScene's fused 2D features: ``<folder>/<scene>_<k>.pt``, each a random chunk of a scene's vertices.

Two layouts. Legacy, three keys: ``feat`` [m, D] or [m, D, 1], a row for each of the m vertices that ``mask_full``
(bool [n]) marks, and ``mask``, which of those rows have a feature (bool [m] or row numbers). Current, two keys:
``feat`` and ``mask_full``, every marked vertex has a feature. The n vertices are those of the scan's mesh file, in its
order.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from regionzoo.errors import SceneError, UserError
from regionzoo.features.store import Chunk, unit_half

LEGACY_KEYS = frozenset({"feat", "mask", "mask_full"})
KEYS = frozenset({"feat", "mask_full"})


def scene_files(folder: str | Path, scene_id: str) -> list[Path]:
    """The chunk files of a scene by number; :class:`SceneError` if there is none."""
    folder = Path(folder)
    numbered = {}
    for path in folder.glob(f"{scene_id}_*.pt"):
        if match := re.fullmatch(re.escape(scene_id) + r"_(\d+)\.pt", path.name):
            numbered[int(match[1])] = path
    if not numbered:
        raise SceneError(
            scene_id,
            folder / f"{scene_id}_0.pt",
            "missing; download the features of every training scene, or name the scene in data.<dataset>.exclude",
        )
    return [numbered[number] for number in sorted(numbered)]


def import_scene(folder: str | Path, scene_id: str, n_points: int) -> list[Chunk]:
    """All chunks of a scene of ``n_points`` vertices, as the feature store keeps them.

    Raises :class:`SceneError` if the scene has no file or one of them cannot be used.
    """
    return [read_chunk(path, scene_id, n_points) for path in scene_files(folder, scene_id)]


def read_chunk(path: Path, scene_id: str, n_points: int) -> Chunk:
    """One file as (points int64 [m] ascending, feats float16 [m, D] of unit length): the rows that have a feature.

    Raises :class:`SceneError` for a file that is damaged, holds anything but the arrays of one of the two layouts, or
    was made for another number of vertices.
    """
    from regionzoo.features.torch_files import load_arrays

    try:
        content = load_arrays(path)
    except UserError as error:
        raise UserError(f"{scene_id}: {error}") from None
    keys = frozenset(content)
    if keys not in (KEYS, LEGACY_KEYS):
        raise SceneError(
            scene_id, path, f"keys {', '.join(sorted(keys))}, expected feat and mask_full, or feat, mask and mask_full"
        )
    chunk = _flags(content["mask_full"], n_points)
    if chunk is None:
        found = content["mask_full"]
        raise SceneError(
            scene_id,
            path,
            f"mask_full is {found.dtype} {list(found.shape)}, expected bool [{n_points}], one a vertex of the scan",
        )
    feats, points = content["feat"], np.flatnonzero(chunk)
    if feats.ndim == 3 and feats.shape[2] == 1:
        feats = feats[:, :, 0]
    if feats.ndim != 2 or feats.dtype.kind != "f" or len(feats) != len(points) or feats.shape[1] == 0:
        raise SceneError(
            scene_id,
            path,
            f"feat is {content['feat'].dtype} {list(content['feat'].shape)}, expected a row of floats for each of the "
            f"{len(points)} vertices that mask_full marks",
        )
    if "mask" in content:
        rows = _rows(content["mask"], len(points))
        if rows is None:
            found = content["mask"]
            raise SceneError(
                scene_id,
                path,
                f"mask is {found.dtype} {list(found.shape)}, expected bool [{len(points)}] or row numbers below that",
            )
        feats, points = feats[rows], points[rows]
    if not np.isfinite(feats).all():
        raise SceneError(scene_id, path, "feat holds numbers that are not finite; download it again")
    return points, unit_half(feats)


def _flags(array: np.ndarray, length: int) -> np.ndarray | None:
    """bool [length] from a bool array or, as older torch had them, bytes of 0 and 1; None if it is neither."""
    if array.shape != (length,) or array.dtype.kind not in "bu" or array.dtype.itemsize != 1:
        return None
    return array.astype(bool) if length == 0 or array.max() <= 1 else None


def _rows(array: np.ndarray, length: int) -> np.ndarray | None:
    """Ascending row numbers int64 from flags [length] or from row numbers in any order; None if it is neither."""
    flags = _flags(array, length)
    if flags is None:
        known = array.ndim == 1 and array.dtype.kind == "i"
        if not known or (len(array) and not 0 <= array.min() <= array.max() < length):
            return None
        flags = np.zeros(length, bool)
        flags[array] = True
    return np.flatnonzero(flags)
