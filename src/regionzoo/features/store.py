"""The feature store: an index, and one safetensors file a scene whose chunks are read one at a time.

A chunk is a random subset of a scene's vertices with a unit vector each, as OpenScene keeps its fused features: an item
of the training set takes one chunk of its scene. A store without scenes stands for "no distillation".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from regionzoo.artifacts import read_json, write_json, write_safetensors
from regionzoo.errors import SceneError, UserError

FORMAT_VERSION = "1"
INDEX = "index.json"
SUFFIX = ".safetensors"

Chunk = tuple[np.ndarray, np.ndarray]
"""points: int [m], ascending positions among the scene's vertices. feats: float16 [m, D], see :func:`unit_half`."""

_NORM_FLOOR = 1e-6
"""Added to a norm before dividing by it (original)."""


@dataclass(frozen=True)
class FeatureIndex:
    """dimension: D, 0 for a store without features. provider: identity of the source. scenes: number of chunks each."""

    dimension: int
    provider: dict[str, Any]
    scenes: dict[str, int]


def unit_half(feats: np.ndarray) -> np.ndarray:
    """Rows divided by (norm + 1e-6) in float32, then rounded: [m, D] of any float type -> float16 [m, D].

    A row of zeros stays zero.
    """
    feats = np.asarray(feats, np.float32)
    return (feats / (np.linalg.norm(feats, axis=1, keepdims=True) + np.float32(_NORM_FLOOR))).astype(np.float16)


def write_index(folder: str | Path, index: FeatureIndex) -> None:
    """Write ``folder/index.json``."""
    content = {"dimension": index.dimension, "provider": index.provider, "scenes": index.scenes}
    write_json(Path(folder) / INDEX, {"format": FORMAT_VERSION} | content)


def load_index(folder: str | Path) -> FeatureIndex:
    """Read ``folder/index.json``; :class:`UserError` if it is absent or not an index of this format."""
    path = Path(folder) / INDEX
    content = read_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT_VERSION:
        raise UserError(f"{path}: format {found}, expected {FORMAT_VERSION}; run the features rule again")
    dimension, provider, scenes = (content.get(key) for key in ("dimension", "provider", "scenes"))
    if not (_is_count(dimension) and isinstance(provider, dict) and isinstance(scenes, dict)):
        raise UserError(f"{path}: dimension, provider or scenes is absent or of another type; run the features rule")
    if not all(_is_count(chunks) for chunks in scenes.values()):
        raise UserError(f"{path}: scenes must map scene ids to numbers of chunks; run the features rule again")
    return FeatureIndex(dimension, provider, scenes)


def save_point_features(
    path: str | Path, scene_id: str, coords_sha256: str, n_points: int, chunks: Sequence[Chunk]
) -> None:
    """Write the chunks of a scene of ``n_points`` vertices atomically.

    points: int [m], strictly ascending, 0..n_points - 1. feats: float16 [m, D], one D for all chunks. ``ValueError`` if
    a chunk is otherwise.
    """
    tensors: dict[str, np.ndarray] = {}
    for k, (points, feats) in enumerate(chunks):
        problem = _problem(points, feats, n_points)
        if problem is None and feats.shape[1] != chunks[0][1].shape[1]:
            problem = f"dimension {feats.shape[1]}, but the first chunk has {chunks[0][1].shape[1]}"
        if problem:
            raise ValueError(f"{scene_id}: chunk {k}: {problem}")
        tensors[f"chunk{k}.points"] = points.astype(np.int32)
        tensors[f"chunk{k}.feats"] = feats
    metadata = {
        "format": FORMAT_VERSION,
        "scene_id": scene_id,
        "coords_sha256": coords_sha256,
        "n_points": str(n_points),
    }
    write_safetensors(path, tensors, metadata)


def load_chunk(path: str | Path, chunk: int, coords_sha256: str, dimension: int | None = None) -> Chunk:
    """One chunk of a scene, without reading the others: (points int64 [m] ascending, feats float16 [m, D]).

    Raises :class:`SceneError` if the file is absent or damaged, was made for other vertices than ``coords_sha256``, has
    no such chunk, or if ``dimension`` is given and is not D.
    """
    path = Path(path)
    scene_id = path.stem
    try:
        with safe_open(path, "np") as file:
            metadata, keys = file.metadata() or {}, set(file.keys())
            if metadata.get("format") != FORMAT_VERSION:
                raise SceneError(scene_id, path, f"format {metadata.get('format')}, expected {FORMAT_VERSION}")
            if metadata.get("coords_sha256") != coords_sha256:
                raise SceneError(
                    scene_id, path, "made for other vertices than the stored scene has; run the features rule again"
                )
            n_points = int(metadata["n_points"])
            names = f"chunk{chunk}.points", f"chunk{chunk}.feats"
            if not keys.issuperset(names):
                stored = sum(key.endswith(".points") for key in keys)
                raise SceneError(
                    scene_id, path, f"no chunk {chunk}, the file has {stored}; run the features rule again"
                )
            points, feats = (file.get_tensor(name) for name in names)
    except FileNotFoundError:
        raise SceneError(scene_id, path, "no point features for this scene; run the features rule") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise SceneError(scene_id, path, f"damaged ({error}); delete it and run the features rule again") from None
    problem = _problem(points, feats, n_points)
    if problem:
        raise SceneError(scene_id, path, f"chunk {chunk}: {problem}; run the features rule again")
    if dimension is not None and feats.shape[1] != dimension:
        raise SceneError(
            scene_id,
            path,
            f"features of dimension {feats.shape[1]}, expected {dimension}; use a feature source in the space of the "
            "row's text encoder",
        )
    return points.astype(np.int64), feats


def _problem(points: np.ndarray, feats: np.ndarray, n_points: int) -> str | None:
    if points.ndim != 1 or points.dtype.kind not in "iu":
        return f"points are {points.dtype} {list(points.shape)}, expected whole numbers [m]"
    if feats.ndim != 2 or feats.dtype != np.float16 or len(feats) != len(points):
        return f"features are {feats.dtype} {list(feats.shape)}, expected float16 [{len(points)}, D]"
    if len(points) and (points[0] < 0 or points[-1] >= n_points or (points[1:] <= points[:-1]).any()):
        return f"points do not ascend within 0..{n_points - 1}"
    return None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
