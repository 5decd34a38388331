"""Captioned regions of drives, looked up by keyframe: an index of each drive in memory, points read when chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regionzoo.captions.store import RegionCaptions, load_captions, load_region_points
from regionzoo.errors import SceneError
from regionzoo.scenes.drives import Keyframe, drive_metadata, keyframe_offsets
from regionzoo.text.table import TextTable

# Drives whose index a process keeps: some 100 KB each, where the point ids are 10 MB.
KEPT_DRIVES = 256


@dataclass(frozen=True)
class CaptionIndex:
    """What a drive's K captioned regions are, but for their points.

    keyframe: int64 [K], the keyframe that a region lies in, -1 for a region without points. texts: int64 [K], rows of
    the text table. offsets: int64 [K + 1], where each region's point ids are in the file.
    """

    keyframe: np.ndarray
    texts: np.ndarray
    offsets: np.ndarray


class SweepCaptions:
    """The captions of a row's drives, one file a drive in ``folder``; ``scenes_dir``: the drives themselves.

    Nothing of a drive is read before it is asked for; :class:`regionzoo.errors.SceneError` if its captions are for
    other points, or if a region spreads over several keyframes.
    """

    def __init__(self, folder: Path, scenes_dir: Path, table: TextTable) -> None:
        self.folder, self.scenes_dir, self.table = folder, scenes_dir, table
        self._kept: dict[str, CaptionIndex] = {}

    def of_keyframe(self, drive_id: str, number: int) -> np.ndarray:
        """int64: the drive's captioned regions that lie in one keyframe, ascending."""
        return np.flatnonzero(self._index(drive_id).keyframe == number)

    def chosen(self, keyframe: Keyframe, regions: np.ndarray) -> tuple[tuple[np.ndarray, ...], tuple[int, ...]]:
        """Points of some regions of a keyframe (int64 positions in it), and the rows of their texts."""
        index = self._index(keyframe.scene_id)
        spans = [(int(index.offsets[k]), int(index.offsets[k + 1])) for k in regions]
        points = load_region_points(self._path(self.folder, keyframe.scene_id), spans)
        positions = tuple(ids.astype(np.int64) - keyframe.start for ids in points)
        return positions, tuple(int(row) for row in index.texts[regions])

    def _index(self, drive_id: str) -> CaptionIndex:
        # Taken out and put back: the first of the dictionary is the one that was not asked for the longest.
        index = self._kept.pop(drive_id, None) or self._read(drive_id)
        self._kept[drive_id] = index
        if len(self._kept) > KEPT_DRIVES:
            self._kept.pop(next(iter(self._kept)))
        return index

    def _read(self, drive_id: str) -> CaptionIndex:
        drive, path = self._path(self.scenes_dir, drive_id), self._path(self.folder, drive_id)
        captions = load_captions(path, drive_metadata(drive)["coords_sha256"])
        keyframe = _keyframes(captions, keyframe_offsets(drive), path)
        return CaptionIndex(keyframe, self.table.lookup(captions.texts), captions.offsets)

    @staticmethod
    def _path(folder: Path, drive_id: str) -> Path:
        return folder / f"{drive_id}.safetensors"


def _keyframes(captions: RegionCaptions, offsets: np.ndarray, path: Path) -> np.ndarray:
    """int64 [K]: the keyframe that has all points of a region, -1 for an empty one; offsets: of the drive."""
    keyframe = np.full(len(captions), -1, np.int64)
    some = np.flatnonzero(np.diff(captions.offsets))
    if not len(some):
        return keyframe
    starts = captions.offsets[some]
    lowest, highest = (how.reduceat(captions.point_ids, starts) for how in (np.minimum, np.maximum))
    # The last of several equal bounds: a keyframe without points holds none.
    first, last = (np.searchsorted(offsets, ids, side="right") - 1 for ids in (lowest, highest))
    if (first != last).any():
        k = some[np.flatnonzero(first != last)[0]]
        raise SceneError(captions.scene_id, path, f"region {captions.names[k]} has points of several keyframes")
    keyframe[some] = first
    return keyframe
