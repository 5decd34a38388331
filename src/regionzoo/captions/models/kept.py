"""Descriptions of frames kept on disk, so that a killed run goes on where it was and no frame is described twice.

A file a scene, ``<scene>.json``, in a folder for each captioner and version of its code. A frame counts as described
if its image is the same as then, so another frame interval, or a second source of the same captioner, starts with
what there is.
"""

from __future__ import annotations

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from regionzoo.artifacts import read_json, sha256_bytes, write_json
from regionzoo.captions.captioner import Picture, Region2D
from regionzoo.codehash import SOURCE, closure
from regionzoo.errors import UserError

if TYPE_CHECKING:
    from regionzoo.captions.models.looking import Described, ModelCaptioner

IDENTITY = "identity.json"
LOCK = ".lock"


class FrameRecord(TypedDict):
    """What is kept of a frame.

    image: SHA-256 of its image. regions: x_min, y_min, x_max, y_max, text each. images, tokens, seconds: what they
    cost.
    """

    image: str
    regions: list[list[float | str]]
    images: int
    tokens: int
    seconds: float


def record(image: str, described: Described, seconds: float) -> FrameRecord:
    """The record of a frame that was described."""
    regions = [[*region.box, region.text] for region in described.regions]
    return FrameRecord(
        image=image, regions=regions, images=described.images, tokens=described.tokens, seconds=round(seconds, 6)
    )


def kept_folder(work_dir: str | Path, captioner: ModelCaptioner) -> Path:
    """The folder of a captioner, with its identity in it; named after that and the code that it runs."""
    code = closure(SOURCE, type(captioner).__module__)
    key = json.dumps({"identity": captioner.identity, "code": code}, sort_keys=True)
    folder = Path(work_dir) / sha256_bytes(key.encode())[:16]
    write_json(folder / IDENTITY, captioner.identity)
    return folder


def load_records(folder: Path, scene_id: str) -> dict[str, FrameRecord]:
    """What is kept of a scene, by frame; nothing if its file is absent or damaged."""
    try:
        return read_json(folder / f"{scene_id}.json")
    except UserError:
        return {}


def add_records(folder: Path, scene_id: str, records: dict[str, FrameRecord]) -> None:
    """Write records of frames to those that are kept of the scene."""
    # Two jobs may describe different frames of a scene at the same time.
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_json(folder / f"{scene_id}.json", load_records(folder, scene_id) | records, seal=True)


@dataclass(frozen=True)
class KeptSettings:
    """A captioner that knows by heart what is kept in ``folder`` (of :func:`kept_folder`)."""

    folder: Path

    def make(self) -> KeptCaptioner:
        """The captioner."""
        return KeptCaptioner(self.folder)


class KeptCaptioner:
    """Says of a frame what was said before; it looks at no image."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: tuple[tuple[str, int, int], dict[str, FrameRecord]] | None = None

    @property
    def identity(self) -> dict[str, str | int | float]:
        """That of the captioner that looked."""
        return read_json(self._folder / IDENTITY)

    def describe(self, frame: Picture) -> list[Region2D]:
        """Regions of one frame; :class:`UserError` if it was never described."""
        kept = self._records(frame.scene_id).get(frame.name)
        if kept is None:
            raise UserError(f"{frame.scene_id}: frame {frame.name} is not described in {self._folder}; run again")
        return [Region2D(tuple(box), text) for *box, text in kept["regions"]]

    def _records(self, scene_id: str) -> dict[str, FrameRecord]:
        """Read once for the frames of a scene, which come one after the other, and again if the file was replaced."""
        path = self._folder / f"{scene_id}.json"
        if not path.is_file():
            return {}
        stat = path.stat()
        version = (scene_id, stat.st_ino, stat.st_mtime_ns)
        if self._read is None or self._read[0] != version:
            self._read = version, read_json(path)
        return self._read[1]
