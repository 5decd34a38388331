"""The scene store: one safetensors file a scene, in the raw file's vertex order, without pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from regionzoo.artifacts import mapped_arrays, write_safetensors
from regionzoo.errors import SceneError

FORMAT_VERSION = "1"
NO_INSTANCE = -100


@dataclass(frozen=True)
class Scene:
    """One processed scan of N vertices.

    coords: float32 [N, 3], metres, the raw file's world frame (not centred, not axis-aligned; of PointGroup's files,
        less their mean).
    colors: uint8 [N, 3], RGB 0..255.
    superpoint: int32 [N], ids of the official over-segmentation as in the raw file (sparse, not contiguous); -1 if
        there is none.
    group: int32 [N], position of the vertex' annotation group in ``categories``; -100 for none. Walls and floors
        are groups too: what counts as an instance is decided by the task.
    labels: per class set ("scannet20", "scannet200") int16 [N]; -100 = ignore.
    categories: raw category name of each annotation group.
    axis_alignment: float64 [4, 4] of the scan's text file, or None.
    source: "scannet" or "synthetic-rooms". raw_sha256: hash of every raw file that was read, by file name.
    """

    scene_id: str
    split: str
    source: str
    coords: np.ndarray
    colors: np.ndarray
    superpoint: np.ndarray
    group: np.ndarray
    labels: dict[str, np.ndarray]
    categories: tuple[str, ...] = ()
    axis_alignment: np.ndarray | None = None
    raw_sha256: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.coords)

    @cached_property
    def mean(self) -> np.ndarray:
        """float64 [3]: mean over the vertices, which the original subtracts and keeps in ``pc_mean.json``."""
        return self.coords.astype(np.float64).mean(axis=0)

    def centred(self) -> np.ndarray:
        """float32 [N, 3]: coordinates minus their mean (PointGroup's preprocessing)."""
        return (self.coords.astype(np.float64) - self.mean).astype(np.float32)

    @cached_property
    def coords_sha256(self) -> str:
        """Identity of the vertex order: captions and features name it, and refuse another scene's points."""
        return coords_hash(self.coords)


def coords_hash(coords: np.ndarray) -> str:
    """SHA-256 of coordinates [N, 3] as float32."""
    return hashlib.sha256(np.ascontiguousarray(coords, dtype="<f4").tobytes()).hexdigest()


def save_scene(path: str | Path, scene: Scene) -> None:
    """Write a scene atomically."""
    tensors = {
        "coords": scene.coords.astype(np.float32),
        "colors": scene.colors.astype(np.uint8),
        "superpoint": scene.superpoint.astype(np.int32),
        "group": scene.group.astype(np.int32),
    }
    tensors |= {f"labels.{name}": values.astype(np.int16) for name, values in scene.labels.items()}
    if scene.axis_alignment is not None:
        tensors["axis_alignment"] = scene.axis_alignment.astype(np.float64)
    metadata = {
        "format": FORMAT_VERSION,
        "scene_id": scene.scene_id,
        "split": scene.split,
        "source": scene.source,
        "coords_sha256": scene.coords_sha256,
        "categories": json.dumps(scene.categories),
        "raw_sha256": json.dumps(scene.raw_sha256, sort_keys=True),
    }
    write_safetensors(path, tensors, metadata)


def load_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a stored scene without its arrays; :class:`SceneError` if the file is absent or damaged."""
    path = Path(path)
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise SceneError(path.stem, path, "no such processed scene; run the preprocess rule") from None
    except (SafetensorError, OSError) as error:
        raise SceneError(path.stem, path, f"damaged ({error}); delete it and run preprocess again") from None
    if metadata.get("format") != FORMAT_VERSION:
        raise SceneError(
            path.stem, path, f"format {metadata.get('format')}, expected {FORMAT_VERSION}; preprocess again"
        )
    return metadata


def load_scene(path: str | Path, mapped: bool = False) -> Scene:
    """Read a stored scene; :class:`SceneError` if it is absent, damaged, or its vertices differ from its hash.

    mapped: its arrays are parts of the file, read-only (:func:`regionzoo.artifacts.mapped_arrays`).
    """
    metadata = load_metadata(path)
    if "kind" in metadata:
        raise SceneError(metadata["scene_id"], path, f"holds a {metadata['kind']}, not a scanned scene")
    tensors = stored_tensors(path, metadata, mapped=mapped)
    return Scene(
        scene_id=metadata["scene_id"],
        split=metadata["split"],
        source=metadata["source"],
        coords=tensors["coords"],
        colors=tensors["colors"],
        superpoint=tensors["superpoint"],
        group=tensors["group"],
        labels=labels_of(tensors),
        categories=tuple(json.loads(metadata["categories"])),
        axis_alignment=tensors.get("axis_alignment"),
        raw_sha256=json.loads(metadata["raw_sha256"]),
    )


def load_truth(path: str | Path, name: str) -> tuple[str, np.ndarray]:
    """Hash of the points and labels int16 [N] in the class set ``name`` of a stored scene or drive.

    :class:`SceneError` if the file is absent or damaged, if it lacks this class set, or if its points differ from their
    hash.
    """
    path = Path(path)
    metadata = load_metadata(path)
    tensors = stored_tensors(path, metadata, ("coords", f"labels.{name}"))
    if f"labels.{name}" not in tensors:
        raise without_labels(path, name)
    return metadata["coords_sha256"], tensors[f"labels.{name}"]


def without_labels(path: Path, name: str) -> SceneError:
    """What to raise for a stored scene that lacks the class set ``name``."""
    return SceneError(path.stem, path, f"has no labels of {name}: its raw files hold none (docs/data.md)")


def stored_tensors(
    path: str | Path, metadata: dict[str, str], names: tuple[str, ...] | None = None, mapped: bool = False
) -> dict[str, np.ndarray]:
    """The arrays of a stored scene or drive, those of ``names`` that there are ("coords" among them), or all.

    :class:`SceneError` if the points are not those of the hash in ``metadata``.
    """
    if mapped:
        tensors = {key: value for key, value in mapped_arrays(path).items() if names is None or key in names}
    else:
        with safe_open(path, "np") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys() if names is None or key in names}
    if coords_hash(tensors["coords"]) != metadata["coords_sha256"]:
        raise SceneError(metadata["scene_id"], Path(path), "points differ from the recorded hash; preprocess again")
    return tensors


def labels_of(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Class set -> labels, from the arrays of a file."""
    return {key.removeprefix("labels."): value for key, value in tensors.items() if key.startswith("labels.")}
