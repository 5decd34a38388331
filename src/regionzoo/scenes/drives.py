"""Stored drives: the keyframes of one nuScenes scene in one file, one after another, in the scene store's manner.

850 files instead of 34,149: a keyframe is read by its slice of the file, and everything that only needs a scene's
points and labels (fusion of captions, scores) takes a drive for one large scene.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import safe_open

from regionzoo.artifacts import write_safetensors
from regionzoo.errors import SceneError
from regionzoo.scenes.store import FORMAT_VERSION, coords_hash, labels_of, load_metadata, stored_tensors

KIND = "drive"


@dataclass(frozen=True)
class Drive:
    """F keyframes of a drive, N lidar points in all.

    coords: float32 [N, 3], metres, in the lidar frame of each point's keyframe (x right, y forward, z up). intensity:
    float32 [N], 0..255. labels: per class set ("nuscenes16") int16 [N]; -100 = ignore. group: int32 [N], position in
    ``categories`` of the annotated box that holds the point; -100 for none, or more than one. All in the order of the
    sweeps' files.
    offsets: int64 [F + 1]; keyframe k has the points ``offsets[k]:offsets[k + 1]``. tokens: sample token of each.
    categories: raw category of each annotated box, of all keyframes.
    images: for each keyframe the file of each camera, a path below the raw root, in the order of
    ``nuscenes_layout.CAMERAS``. intrinsics: float64 [F, 6, 3, 3]. lidar_to_camera: float64 [F, 6, 4, 4], through the
    poses at the two sensors' own times.
    source: "nuscenes" or "synthetic-streets". raw_sha256: hash of every raw file that was read, by path below the raw
    root; "tables" is the digest of this drive's records.
    """

    scene_id: str
    split: str
    source: str
    coords: np.ndarray
    intensity: np.ndarray
    labels: dict[str, np.ndarray]
    group: np.ndarray
    offsets: np.ndarray
    tokens: tuple[str, ...]
    categories: tuple[str, ...]
    images: tuple[tuple[str, ...], ...]
    intrinsics: np.ndarray
    lidar_to_camera: np.ndarray
    raw_sha256: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.coords)

    @property
    def keyframes(self) -> int:
        """F."""
        return len(self.offsets) - 1

    def part(self, k: int) -> slice:
        """Where keyframe ``k`` lies among the points."""
        return slice(int(self.offsets[k]), int(self.offsets[k + 1]))

    @cached_property
    def coords_sha256(self) -> str:
        """Identity of the points and their order, as of a scene."""
        return coords_hash(self.coords)


@dataclass(frozen=True)
class Keyframe:
    """One keyframe of a drive, n points: float32 coords [n, 3] and intensity [n]; int16 labels [n] by class set.

    start: position of its first point in the drive.
    """

    scene_id: str
    number: int
    start: int
    coords: np.ndarray
    intensity: np.ndarray
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.coords)


def save_drive(path: str | Path, drive: Drive) -> None:
    """Write a drive atomically."""
    tensors = {
        "coords": drive.coords.astype(np.float32),
        "intensity": drive.intensity.astype(np.float32),
        "group": drive.group.astype(np.int32),
        "offsets": drive.offsets.astype(np.int64),
        "intrinsics": drive.intrinsics.astype(np.float64),
        "lidar_to_camera": drive.lidar_to_camera.astype(np.float64),
    }
    tensors |= {f"labels.{name}": values.astype(np.int16) for name, values in drive.labels.items()}
    metadata = {
        "format": FORMAT_VERSION,
        "kind": KIND,
        "scene_id": drive.scene_id,
        "split": drive.split,
        "source": drive.source,
        "coords_sha256": drive.coords_sha256,
        "keyframes": str(drive.keyframes),
        "tokens": json.dumps(drive.tokens),
        "categories": json.dumps(drive.categories),
        "images": json.dumps(drive.images),
        "raw_sha256": json.dumps(drive.raw_sha256, sort_keys=True),
    }
    write_safetensors(path, tensors, metadata)


def load_drive(path: str | Path) -> Drive:
    """Read a whole drive; :class:`SceneError` if it is absent, damaged, or its points differ from its hash."""
    path = Path(path)
    metadata = drive_metadata(path)
    tensors = stored_tensors(path, metadata)
    return Drive(
        scene_id=metadata["scene_id"],
        split=metadata["split"],
        source=metadata["source"],
        coords=tensors["coords"],
        intensity=tensors["intensity"],
        labels=labels_of(tensors),
        group=tensors["group"],
        offsets=tensors["offsets"],
        tokens=tuple(json.loads(metadata["tokens"])),
        categories=tuple(json.loads(metadata["categories"])),
        images=tuple(tuple(files) for files in json.loads(metadata["images"])),
        intrinsics=tensors["intrinsics"],
        lidar_to_camera=tensors["lidar_to_camera"],
        raw_sha256=json.loads(metadata["raw_sha256"]),
    )


def drive_metadata(path: str | Path) -> dict[str, str]:
    """The metadata alone ("keyframes" is F); :class:`SceneError` also for a stored scene of another kind."""
    path = Path(path)
    metadata = load_metadata(path)
    if metadata.get("kind") != KIND:
        raise SceneError(path.stem, path, "no stored drive; this row needs a nuScenes data set")
    return metadata


def keyframe_offsets(path: str | Path) -> np.ndarray:
    """int64 [F + 1]: where the keyframes of a stored drive begin among its points."""
    path = Path(path)
    drive_metadata(path)
    with safe_open(path, "np") as file:
        return file.get_tensor("offsets")


def load_keyframe(path: str | Path, number: int) -> Keyframe:
    """Read one keyframe without the rest of the file; ``IndexError`` if the drive has no such keyframe."""
    path = Path(path)
    metadata = drive_metadata(path)
    if not 0 <= number < int(metadata["keyframes"]):
        raise IndexError(f"{path}: keyframe {number} of {metadata['keyframes']}")
    with safe_open(path, "np") as file:
        start, stop = file.get_slice("offsets")[number : number + 2].tolist()
        labels = [key for key in file.keys() if key.startswith("labels.")]
        return Keyframe(
            scene_id=metadata["scene_id"],
            number=number,
            start=start,
            coords=file.get_slice("coords")[start:stop],
            intensity=file.get_slice("intensity")[start:stop],
            labels={key.removeprefix("labels."): file.get_slice(key)[start:stop] for key in labels},
        )
