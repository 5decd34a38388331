"""The caption set of a pretrained captioner: frames of all training scenes -> regions, in one process, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from regionzoo.artifacts import sha256_file
from regionzoo.captions.build import build_regions
from regionzoo.captions.build_drives import build_drive_regions
from regionzoo.captions.models.describing import Progress, describe_scenes
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


def build_model_regions(
    scenes_dir: str | Path,
    raw_root: str | Path,
    scene_ids: Sequence[str],
    captioner: ModelCaptionerSettings,
    frame_interval: int,
    swap_xy_scale: bool,
    out_dir: str | Path,
    work_dir: str | Path,
    batch_size: int = 8,
    progress: Progress | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: int = 1,
) -> dict[str, Any]:
    """:func:`regionzoo.captions.build.build_regions` for a captioner that is too dear to be run a frame at a time.

    Frames are described in batches over several scenes and kept in ``work_dir``, a file a scene
    (:mod:`regionzoo.captions.models.kept`); then their boxes are lifted to points and ``out_dir`` is written, all or
    nothing, with ``workers`` processes. A run after a killed one describes the frames of the scenes that were not
    finished. What is kept does not depend on poses, depth images or vertices.

    Returns the statistics of ``build_regions`` and under "cost" what the descriptions took: frames (and how many were
    known), images, tokens, seconds, models with the hashes of their weights, device, precision and versions. Seconds
    and device differ between two runs with equal captions. Raises :class:`UserError` as ``build_regions`` does, and if
    the model cannot be used.
    """
    model = captioner.make(ModelRuntime(device, precision, batch_size))
    folder = kept_folder(work_dir, model)
    root = Path(raw_root)
    scenes = ((scene_id, _frames(root, scene_id, frame_interval)) for scene_id in scene_ids)
    cost = describe_scenes(model, scenes, len(scene_ids), _frame_digest, folder, progress)
    summary = build_regions(
        scenes_dir, root, scene_ids, KeptSettings(folder), frame_interval, swap_xy_scale, out_dir, workers
    )
    return summary | {"cost": asdict(cost) | model.facts()}


def build_model_drive_regions(
    scenes_dir: str | Path,
    raw_root: str | Path,
    scene_ids: Sequence[str],
    captioner: ModelCaptionerSettings,
    frame_interval: int,
    out_dir: str | Path,
    work_dir: str | Path,
    batch_size: int = 8,
    progress: Progress | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: int = 1,
) -> dict[str, Any]:
    """:func:`build_model_regions` for the camera images of drives, whose regions
    :func:`regionzoo.captions.build_drives.build_drive_regions` makes."""
    if frame_interval < 1:
        raise UserError(f"frame_interval is {frame_interval}, expected 1 or more")
    model = captioner.make(ModelRuntime(device, precision, batch_size))
    folder = kept_folder(work_dir, model)
    stored, root = Path(scenes_dir), Path(raw_root)
    scenes = ((drive, camera_images(stored / f"{drive}{SUFFIX}", root, frame_interval)) for drive in scene_ids)
    cost = describe_scenes(model, scenes, len(scene_ids), _camera_digest, folder, progress)
    summary = build_drive_regions(
        stored, scene_ids, KeptSettings(folder), frame_interval, out_dir, workers, raw_root=root
    )
    return summary | {"cost": asdict(cost) | model.facts()}


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
