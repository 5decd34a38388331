"""The caption set of a pretrained captioner: frames of all training scenes -> regions, in one process, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from regionzoo.artifacts import sha256_file
from regionzoo.captions.build import build_regions
from regionzoo.captions.build_drives import build_drive_regions
from regionzoo.captions.models.describing import Progress, SeenPicture, describe_scenes
from regionzoo.captions.models.kept import KeptSettings, kept_folder
from regionzoo.captions.models.runtime import Device, ModelRuntime, Precision
from regionzoo.captions.sets import SUFFIX
from regionzoo.captions.street_view import CameraImage, camera_images
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.frames import Frame, frame_folder, read_frames

if TYPE_CHECKING:
    from regionzoo.captions.models.looking import ModelCaptioner


class ModelCaptionerSettings(Protocol):
    """Settings of a captioner of this package: they also say how to make it for a certain machine."""

    def make(self, runtime: ModelRuntime | None = None) -> ModelCaptioner: ...


@dataclass(frozen=True)
class ModelRun:
    """Scenes before a captioner: where they are, what looks at them, and where its regions go.

    work_dir: keeps descriptions, a file a scene (:mod:`regionzoo.captions.models.kept`). workers: processes that lift
    boxes to points. The rest is as in :class:`regionzoo.captions.models.runtime.ModelRuntime`.
    """

    scenes_dir: Path
    raw_root: Path
    scene_ids: Sequence[str]
    captioner: ModelCaptionerSettings
    out_dir: Path
    work_dir: Path
    batch_size: int = ModelRuntime.batch_size
    device: Device = ModelRuntime.device
    precision: Precision = ModelRuntime.precision
    workers: int = 1
    progress: Progress | None = None

    def describe(
        self, frames: Callable[[str], Sequence[SeenPicture]], digest: Callable[[SeenPicture], str]
    ) -> tuple[KeptSettings, dict[str, Any]]:
        """Describe the ``frames`` of all scenes; the captioner that repeats what was said, and what it cost."""
        model = self.captioner.make(ModelRuntime(self.device, self.precision, self.batch_size))
        folder = kept_folder(self.work_dir, model)
        scenes = ((scene_id, frames(scene_id)) for scene_id in self.scene_ids)
        cost = describe_scenes(model, scenes, len(self.scene_ids), digest, folder, self.progress)
        return KeptSettings(folder), asdict(cost) | model.facts()


def build_model_regions(run: ModelRun, frame_interval: int, swap_xy_scale: bool) -> dict[str, Any]:
    """:func:`regionzoo.captions.build.build_regions` for a captioner that is too dear to be run a frame at a time.

    Frames are described in batches over several scenes and kept; then their boxes are lifted to points and the result
    is written, all or nothing. A run after a killed one describes the frames of the scenes that were not finished. What
    is kept does not depend on poses, depth images or vertices.

    Returns the statistics of ``build_regions`` and under "cost" what the descriptions took: frames (and how many were
    known), images, tokens, seconds, models with the hashes of their weights, device, precision and versions. Seconds
    and device differ between two runs with equal captions. Raises :class:`UserError` as ``build_regions`` does, and if
    the model cannot be used.
    """
    kept, cost = run.describe(lambda scene_id: _frames(run.raw_root, scene_id, frame_interval), _frame_digest)
    summary = build_regions(
        run.scenes_dir, run.raw_root, run.scene_ids, kept, frame_interval, swap_xy_scale, run.out_dir, run.workers
    )
    return summary | {"cost": cost}


def build_model_drive_regions(run: ModelRun, frame_interval: int) -> dict[str, Any]:
    """:func:`build_model_regions` for the camera images of drives, whose regions
    :func:`regionzoo.captions.build_drives.build_drive_regions` makes."""
    if frame_interval < 1:
        raise UserError(f"frame_interval is {frame_interval}, expected 1 or more")

    def images(drive: str) -> Sequence[CameraImage]:
        return camera_images(run.scenes_dir / f"{drive}{SUFFIX}", run.raw_root, frame_interval)

    kept, cost = run.describe(images, _camera_digest)
    summary = build_drive_regions(
        run.scenes_dir, run.scene_ids, kept, frame_interval, run.out_dir, run.workers, raw_root=run.raw_root
    )
    return summary | {"cost": cost}


def _frames(raw_root: Path, scene_id: str, interval: int) -> tuple[Frame, ...]:
    """Those that ``build_regions`` will ask for."""
    try:
        frame_folder(raw_root, scene_id)
    except SceneError:
        return ()
    return read_frames(raw_root, scene_id, interval).frames


def _frame_digest(frame: Frame) -> str:
    return _digest(frame.scene_id, frame.path("color"))


def _camera_digest(image: CameraImage) -> str:
    return _digest(image.scene_id, image.path)


def _digest(scene_id: str, path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise SceneError(scene_id, path, f"cannot be read ({error.strerror})") from None
