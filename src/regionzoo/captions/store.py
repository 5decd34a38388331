"""The caption store: one safetensors file a scene, texts and point ids together, tied to the scene by a hash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from regionzoo.artifacts import mapped_arrays, write_safetensors
from regionzoo.errors import SceneError

FORMAT_VERSION = "1"


@dataclass(frozen=True)
class RegionCaptions:
    """K captioned regions of one scene of N vertices.

    names: K region names (``<image>_<k>``; ``app_<k>_<j>`` for regions added by fusion). texts: K captions.
    offsets: int64 [K + 1]; point_ids: int32 [offsets[-1]]; region k has ``point_ids[offsets[k]:offsets[k + 1]]``,
    positions in the scene's vertex order, ascending within a region.
    """

    scene_id: str
    coords_sha256: str
    n_points: int
    names: tuple[str, ...]
    texts: tuple[str, ...]
    offsets: np.ndarray
    point_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def region(self, k: int) -> np.ndarray:
        """int32 point ids of region k."""
        return self.point_ids[self.offsets[k] : self.offsets[k + 1]]


def from_regions(
    scene_id: str,
    coords_sha256: str,
    n_points: int,
    names: Sequence[str],
    texts: Sequence[str],
    regions: Sequence[np.ndarray],
) -> RegionCaptions:
    """Pack a list of point-id arrays."""
    offsets = np.zeros(len(regions) + 1, np.int64)
    np.cumsum([len(region) for region in regions], out=offsets[1:])
    ids = np.concatenate(regions).astype(np.int32) if len(regions) else np.zeros(0, np.int32)
    return RegionCaptions(scene_id, coords_sha256, n_points, tuple(names), tuple(texts), offsets, ids)


def save_captions(path: str | Path, captions: RegionCaptions) -> None:
    """Write the captions of a scene atomically."""
    blob = json.dumps({"names": captions.names, "texts": captions.texts}, ensure_ascii=False).encode()
    tensors = {
        "offsets": captions.offsets.astype(np.int64),
        "point_ids": captions.point_ids.astype(np.int32),
        "strings": np.frombuffer(blob, np.uint8),
    }
    metadata = {
        "format": FORMAT_VERSION,
        "scene_id": captions.scene_id,
        "coords_sha256": captions.coords_sha256,
        "n_points": str(captions.n_points),
    }
    write_safetensors(path, tensors, metadata)


def load_captions(path: str | Path, coords_sha256: str | None = None, mapped: bool = False) -> RegionCaptions:
    """Read a scene's captions and check them; give ``coords_sha256`` to refuse captions of other vertices.

    mapped: their arrays are parts of the file, read-only (:func:`regionzoo.artifacts.mapped_arrays`).
    Raises :class:`SceneError` if the file is absent or damaged, or if hash, counts or ranges do not match.
    """
    path = Path(path)
    scene_id = path.stem
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            tensors = mapped_arrays(path) if mapped else {key: file.get_tensor(key) for key in file.keys()}
    except FileNotFoundError:
        raise SceneError(scene_id, path, "no captions for this scene; run the captions rule") from None
    except (SafetensorError, OSError) as error:
        raise SceneError(scene_id, path, f"damaged ({error}); delete it and run the captions rule again") from None
    if metadata.get("format") != FORMAT_VERSION:
        raise SceneError(scene_id, path, f"format {metadata.get('format')}, expected {FORMAT_VERSION}")
    strings = json.loads(tensors["strings"].tobytes())
    captions = RegionCaptions(
        scene_id=metadata["scene_id"],
        coords_sha256=metadata["coords_sha256"],
        n_points=int(metadata["n_points"]),
        names=tuple(strings["names"]),
        texts=tuple(strings["texts"]),
        offsets=tensors["offsets"],
        point_ids=tensors["point_ids"],
    )
    problem = _problem(captions, coords_sha256)
    if problem:
        raise SceneError(captions.scene_id, path, problem)
    return captions


def load_region_points(path: str | Path, spans: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """int32 point ids of the regions that have these parts of ``point_ids``, without reading the others.

    The file must have been checked with :func:`load_captions` before; this looks at nothing else in it.
    """
    with safe_open(Path(path), "np") as file:
        ids = file.get_slice("point_ids")
        return [ids[start:stop] for start, stop in spans]


def _problem(captions: RegionCaptions, coords_sha256: str | None) -> str | None:
    count, offsets, ids = len(captions.texts), captions.offsets, captions.point_ids
    if coords_sha256 is not None and coords_sha256 != captions.coords_sha256:
        return "made for other vertices than the stored scene has; run the captions rule again"
    if len(captions.names) != count or len(offsets) != count + 1:
        return f"{count} texts, {len(captions.names)} names and {len(offsets) - 1} regions; expected equal numbers"
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] != len(ids):
        return "region offsets do not ascend from 0 to the number of point ids"
    if len(ids) and (ids.min() < 0 or ids.max() >= captions.n_points):
        return f"point ids {ids.min()}..{ids.max()} outside 0..{captions.n_points - 1}"
    return None
