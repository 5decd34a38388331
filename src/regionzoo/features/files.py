"""Pixel features that another program wrote: ``<folder>/<scene>/<frame>.npy``, float16 or float32 [h, w, D]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regionzoo.errors import SceneError, UserError
from regionzoo.features.provider import FeatureMap

if TYPE_CHECKING:
    from regionzoo.scenes.frames import Frame

SUFFIX = ".npy"


def peek_dimension(folder: str | Path, scene_ids: Sequence[str]) -> int:
    """D of the first file of the first of these scenes that has one; :class:`UserError` if none has."""
    for scene_id in scene_ids:
        if path := min((Path(folder) / scene_id).glob(f"*{SUFFIX}"), default=None):
            return int(_read(scene_id, path).shape[2])
    raise UserError(f"{folder}: no <scene>/<frame>{SUFFIX} of any of the {len(scene_ids)} training scenes")


@dataclass(frozen=True)
class FileFeatureSettings:
    """folder: holds a sub-folder a scene. dimension: what every file must have (:func:`peek_dimension`)."""

    folder: str
    dimension: int

    def make(self) -> FileFeatures:
        """The source with these settings."""
        return FileFeatures(self)


class FileFeatures:
    """Reads the array of a frame; only the cells that are asked for are read from the disk."""

    def __init__(self, settings: FileFeatureSettings) -> None:
        self.settings = settings

    @property
    def identity(self) -> dict[str, Any]:
        """Name; what the files hold shows in the store's own hashes."""
        return {"provider": "files"}

    @property
    def dimension(self) -> int:
        """D of every file."""
        return self.settings.dimension

    def describe(self, frame: Frame) -> FeatureMap:
        """The array of a frame; :class:`SceneError` if it is absent, damaged or of another shape or type."""
        path = Path(self.settings.folder) / frame.scene_id / f"{frame.name}{SUFFIX}"
        feats = _read(frame.scene_id, path)
        if feats.shape[2] != self.dimension:
            raise SceneError(
                frame.scene_id, path, f"features of dimension {feats.shape[2]}, other files have {self.dimension}"
            )
        return FeatureMap.dense(feats)


def _read(scene_id: str, path: Path) -> np.ndarray:
    try:
        feats = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise SceneError(scene_id, path, "missing; write the features of every frame that is used") from None
    except Exception as error:  # a broken header can raise nearly anything
        raise SceneError(scene_id, path, f"no readable .npy file of numbers ({type(error).__name__})") from None
    if not isinstance(feats, np.ndarray) or feats.ndim != 3 or feats.dtype not in (np.float16, np.float32):
        told = f"{feats.dtype} {list(feats.shape)}" if isinstance(feats, np.ndarray) else "an archive"
        raise SceneError(scene_id, path, f"holds {told}, expected float16 or float32 [h, w, D]")
    if 0 in feats.shape:
        raise SceneError(scene_id, path, f"holds an empty array {list(feats.shape)}")
    return feats
