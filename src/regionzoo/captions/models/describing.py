"""All frames of many scenes before a captioner, in batches that cross scenes; finished scenes are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from regionzoo.captions.captioner import Picture
from regionzoo.captions.models.kept import FrameRecord, add_records, load_records, record

if TYPE_CHECKING:
    from regionzoo.captions.models.looking import ModelCaptioner

SeenPicture = TypeVar("SeenPicture", bound=Picture)
Progress = Callable[[int, int, str], None]
"""Called after each scene with (scenes done, scenes in all, how fast)."""


@dataclass
class Cost:
    """What the descriptions of all frames cost, in this run and in those before it.

    frames_kept: described before this run. images: that a model saw. tokens: that it wrote. seconds: of the models,
    with the decoding of the images.
    """

    frames: int = 0
    frames_kept: int = 0
    images: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass
class _Scene:
    """A scene in work: the records of its frames so far, and how many are missing."""

    scene_id: str
    records: dict[str, FrameRecord]
    missing: int


@dataclass(frozen=True)
class _Waiting:
    """A frame that is to be described."""

    scene: _Scene
    frame: Picture
    image: str


def describe_scenes(
    captioner: ModelCaptioner,
    scenes: Iterable[tuple[str, Sequence[SeenPicture]]],
    total: int,
    digest: Callable[[SeenPicture], str],
    folder: Path,
    progress: Progress | None = None,
) -> Cost:
    """Describe the frames that are not kept in ``folder`` (of :func:`regionzoo.captions.models.kept.kept_folder`).

    scenes: (scene id, its frames), ``total`` of them, taken one after the other as they are needed. digest: hash of a
    frame's image, by which a changed image is noticed. A scene is written when its last frame is described; a killed
    run loses the scenes that it was at.
    """
    work = _Work(captioner, folder, total, progress)
    for scene_id, frames in scenes:
        work.add(scene_id, [(frame, digest(frame)) for frame in frames])
        work.describe(captioner.runtime.batch_size)
    work.describe(1)
    return work.cost


class _Work:
    def __init__(self, captioner: ModelCaptioner, folder: Path, total: int, progress: Progress | None) -> None:
        self.captioner, self.folder, self.total, self.progress = captioner, folder, total, progress
        self.cost = Cost()
        self._done = 0
        self._queue: list[_Waiting] = []

    def add(self, scene_id: str, frames: Sequence[tuple[Picture, str]]) -> None:
        """Queue the frames of a scene of which nothing is known; a scene without such a frame is finished."""
        kept = load_records(self.folder, scene_id)
        known = {
            frame.name: kept[frame.name]
            for frame, image in frames
            if frame.name in kept and kept[frame.name]["image"] == image
        }
        self.cost.frames_kept += len(known)
        scene = _Scene(scene_id, known, len(frames) - len(known))
        self._queue += [_Waiting(scene, frame, image) for frame, image in frames if frame.name not in known]
        if scene.missing == 0:
            self._finish(scene)

    def describe(self, at_least: int) -> None:
        """Describe queued frames, a batch after the other, while there are ``at_least`` so many."""
        size = self.captioner.runtime.batch_size
        while len(self._queue) >= at_least:
            batch = self._queue[:size]
            del self._queue[:size]
            self._describe(batch)

    def _describe(self, batch: Sequence[_Waiting]) -> None:
        start = monotonic()
        answers = self.captioner.describe_counted([waiting.frame for waiting in batch])
        share = (monotonic() - start) / len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            scene = waiting.scene
            scene.records[waiting.frame.name] = record(waiting.image, answer, share)
            scene.missing -= 1
            if scene.missing == 0:
                add_records(self.folder, scene.scene_id, scene.records)
                self._finish(scene)

    def _finish(self, scene: _Scene) -> None:
        records, cost = scene.records.values(), self.cost
        cost.frames += len(records)
        cost.images += sum(one["images"] for one in records)
        cost.tokens += sum(one["tokens"] for one in records)
        cost.seconds += sum(one["seconds"] for one in records)
        self._done += 1
        if self.progress is not None:
            self.progress(self._done, self.total, f"{cost.images / max(cost.seconds, 1e-9):.1f} images/s")
