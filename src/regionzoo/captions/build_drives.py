"""Caption sets of drives: cameras of the keyframes -> regions of one source."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from regionzoo.artifacts import replaced_folder
from regionzoo.captions.captioner import CaptionerSettings
from regionzoo.captions.sets import SUFFIX, Progress, captioning_statistics, made, regions_of, write_set
from regionzoo.captions.store import RegionCaptions, from_regions
from regionzoo.captions.street_view import StreetView, street_views
from regionzoo.errors import UserError
from regionzoo.scenes.drives import load_drive


def build_drive_regions(
    scenes_dir: str | Path,
    scene_ids: Sequence[str],
    captioner: CaptionerSettings[StreetView],
    frame_interval: int,
    out_dir: str | Path,
    workers: int = 1,
    progress: Progress | None = None,
    raw_root: str | Path = "",
) -> dict[str, Any]:
    """Caption the cameras' images of drives and write ``out_dir/<drive>.safetensors``, all or nothing.

    scenes_dir: store of drives. raw_root: tree with the images, for captioners that look at pixels. A frame is a
    keyframe with its six images; those count whose number in the drive, from 0, is a multiple of ``frame_interval``.
    Regions are named ``<keyframe>/<camera>_<k>``, "12/cam_front_0", k counting the regions of that image that have
    points; the others are dropped and counted.

    Returns the statistics of :func:`regionzoo.captions.build.build_regions`. Raises :class:`UserError` if a drive is
    absent or damaged, or an image that is looked at.
    """
    if frame_interval < 1:
        raise UserError(f"frame_interval is {frame_interval}, expected 1 or more")
    task = partial(_caption_drive, Path(scenes_dir), Path(raw_root), captioner, frame_interval)
    with replaced_folder(out_dir) as folder:
        done = write_set(task, folder, scene_ids, workers, progress)
    return captioning_statistics(done, captioner)


def _caption_drive(
    scenes_dir: Path, raw_root: Path, captioner: CaptionerSettings[StreetView], interval: int, scene_id: str
) -> tuple[RegionCaptions, dict[str, Any]]:
    drive = load_drive(scenes_dir / f"{scene_id}{SUFFIX}")
    keyframes = range(0, drive.keyframes, interval)
    pictures = ((view, view.region) for view in street_views(drive, raw_root, keyframes))
    names, texts, regions, dropped = regions_of(pictures, made(captioner))
    captions = from_regions(scene_id, drive.coords_sha256, len(drive), names, texts, regions)
    return captions, {"frames": len(keyframes), "without_points": dropped}
