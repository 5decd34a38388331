"""What the released files call a scene, and which stored points that is: a whole scan, or one keyframe of a drive."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from safetensors import safe_open

from regionzoo.errors import SceneError
from regionzoo.scenes.drives import KIND
from regionzoo.scenes.nuscenes_layout import LIDAR, SAMPLES
from regionzoo.scenes.store import load_metadata


@dataclass(frozen=True)
class Part:
    """Stored points that have an entry of their own in the released files.

    key: its name there. prefix: what its regions' names get here, so that they are unique in the stored scene. start,
    size: its points among those of the stored scene.
    """

    key: str
    prefix: str
    start: int
    size: int


@dataclass(frozen=True)
class Stored:
    """A stored scene or drive: the identity of its vertices, how many there are, and its parts in order."""

    scene_id: str
    coords_sha256: str
    n_points: int
    parts: tuple[Part, ...]


def read_stored(path: Path) -> Stored:
    """From the metadata of a stored scene or drive. :class:`SceneError` if it is absent or damaged.

    A scan is one part under its own name. A keyframe goes by its lidar file as the original's lists name it, up to the
    first dot and with "_" for "/"; its regions get the keyframe's number, "12/cam_front_0", as those made here do.
    """
    metadata = load_metadata(path)
    with safe_open(path, "np") as file:
        (n_points, _) = file.get_slice("coords").get_shape()
        offsets = file.get_tensor("offsets").tolist() if metadata.get("kind") == KIND else None
    scene_id = metadata["scene_id"]
    parts: tuple[Part, ...] = (Part(scene_id, "", 0, n_points),)
    if offsets is not None:
        sweeps = lidar_files(json.loads(metadata["raw_sha256"]))
        if len(sweeps) != len(offsets) - 1:
            told = f"records {len(sweeps)} lidar files for {len(offsets) - 1} keyframes; run preprocess again"
            raise SceneError(scene_id, path, told)
        parts = tuple(
            Part(released_name(sweep), f"{k}/", offsets[k], offsets[k + 1] - offsets[k])
            for k, sweep in enumerate(sweeps)
        )
    return Stored(scene_id, metadata["coords_sha256"], n_points, parts)


def lidar_files(raw_sha256: dict[str, str]) -> list[str]:
    """The sweeps of a drive's keyframes in temporal order: the end of a file's name is its time in microseconds."""
    sweeps = [name for name in raw_sha256 if name.startswith(f"{SAMPLES}/{LIDAR}/")]
    return sorted(sweeps, key=lambda name: (int(PurePosixPath(name).name.split(".")[0].rpartition("__")[2]), name))


def released_name(lidar_path: str) -> str:
    """What the original's lists call a keyframe."""
    return lidar_path.split(".")[0].replace("/", "_")
