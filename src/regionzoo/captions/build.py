"""Caption sets of all training scenes: frames -> regions of one source; regions of several sources -> one set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from regionzoo.artifacts import replaced_folder
from regionzoo.captions.associate import project, region_points
from regionzoo.captions.captioner import Box, CaptionerSettings
from regionzoo.captions.fuse import fuse, next_source
from regionzoo.captions.sets import SUFFIX, Progress, captioning_statistics, made, regions_of, statistics, write_set
from regionzoo.captions.store import RegionCaptions, from_regions, load_captions
from regionzoo.errors import SceneError
from regionzoo.scenes.frames import Frame, FrameSet, frame_folder, read_frames, require_frames
from regionzoo.scenes.store import load_metadata, load_scene


def build_regions(
    scenes_dir: str | Path,
    raw_root: str | Path,
    scene_ids: Sequence[str],
    captioner: CaptionerSettings[Frame],
    frame_interval: int,
    swap_xy_scale: bool,
    out_dir: str | Path,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Caption the frames of scenes and write ``out_dir/<scene>.safetensors``, all or nothing.

    scenes_dir: scene store. raw_root: tree with the frames (:func:`regionzoo.scenes.frames.read_frames`). Regions are
    named ``<image>_<k>``, k counting the regions of that image that have points; the others are dropped and counted.
    Frames count whose number is a multiple of ``frame_interval``. A scene without such a frame of known pose gets an
    empty file and is counted: as off the interval if it has frames and all their numbers are others, or else as
    without frames.

    Returns statistics as JSON values. Raises :class:`UserError` if a scene or frame is broken, or if no scene at all
    has a usable frame.
    """
    task = partial(_caption_scene, Path(scenes_dir), Path(raw_root), captioner, frame_interval, swap_xy_scale)
    with replaced_folder(out_dir) as folder:
        done = write_set(task, folder, scene_ids, workers, progress)
        off_interval = sum(scene.off_interval for scene in done)
        with_frames = sum(scene.frames > 0 for scene in done)
        require_frames(Path(raw_root), len(scene_ids), with_frames, off_interval, frame_interval, "captions")
    return captioning_statistics(done, captioner)


def fuse_sets(
    scenes_dir: str | Path,
    scene_ids: Sequence[str],
    primary_dir: str | Path,
    supplementary_dirs: Sequence[str | Path],
    iou_high: Sequence[float],
    iou_low: Sequence[float],
    cascade: bool,
    out_dir: str | Path,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fuse caption sets scene by scene (:func:`regionzoo.captions.fuse.fuse`) into ``out_dir``, all or nothing.

    Returns statistics as JSON values, with the numbers of regions that each supplementary source offered and that
    were added. Raises :class:`UserError` if a file is absent, damaged, or made for other vertices than the stored
    scene has.
    """
    folders = [Path(primary_dir), *map(Path, supplementary_dirs)]
    task = partial(_fuse_scene, Path(scenes_dir), folders, tuple(iou_high), tuple(iou_low), cascade)
    with replaced_folder(out_dir) as folder:
        done = write_set(task, folder, scene_ids, workers, progress)
    sources = range(len(supplementary_dirs))
    return statistics(done) | {
        "regions_offered": [sum(scene.offered[k] for scene in done) for k in sources],
        "regions_added": [sum(scene.added[k] for scene in done) for k in sources],
    }


def _seen(
    coords: np.ndarray, frames: Sequence[Frame], swap_xy_scale: bool
) -> Iterator[tuple[Frame, Callable[[Box], np.ndarray]]]:
    """The frames of a scan with vertices ``coords``, each with what gives the visible ones inside a box."""
    for frame in frames:
        depth = frame.load_depth()
        seen = project(coords, frame.pose, frame.intrinsics.depth, depth)
        yield frame, partial(_inside, frame, seen, depth.shape, swap_xy_scale)


def _inside(
    frame: Frame, seen: tuple[np.ndarray, ...], depth_size: tuple[int, int], swap_xy_scale: bool, box: Box
) -> np.ndarray:
    ids, u, v = seen
    return region_points(ids, u, v, box, frame.color_size, depth_size, swap_xy_scale)


def _caption_scene(
    scenes_dir: Path,
    raw_root: Path,
    captioner: CaptionerSettings[Frame],
    interval: int,
    swap_xy_scale: bool,
    scene_id: str,
) -> tuple[RegionCaptions, dict[str, Any]]:
    scene = load_scene(scenes_dir / f"{scene_id}{SUFFIX}")
    frames = _frames(raw_root, scene_id, interval)
    pictures = _seen(scene.coords, frames.frames, swap_xy_scale)
    names, texts, regions, dropped = regions_of(pictures, made(captioner))
    captions = from_regions(scene_id, scene.coords_sha256, len(scene), names, texts, regions)
    return captions, {
        "frames": len(frames.frames),
        "lost_frames": len(frames.lost),
        "off_interval": frames.skipped > 0 and not (frames.frames or frames.lost),
        "without_points": dropped,
    }


def _frames(raw_root: Path, scene_id: str, interval: int) -> FrameSet:
    try:
        frame_folder(raw_root, scene_id)
    except SceneError:
        return FrameSet((), ())
    return read_frames(raw_root, scene_id, interval)


def _fuse_scene(
    scenes_dir: Path,
    folders: Sequence[Path],
    iou_high: tuple[float, ...],
    iou_low: tuple[float, ...],
    cascade: bool,
    scene_id: str,
) -> tuple[RegionCaptions, dict[str, Any]]:
    vertices = load_metadata(scenes_dir / f"{scene_id}{SUFFIX}")["coords_sha256"]
    primary, *others = (load_captions(folder / f"{scene_id}{SUFFIX}", vertices) for folder in folders)
    fused = fuse(primary, others, iou_high, iou_low, cascade)
    sources = range(next_source(primary), next_source(primary) + len(others))
    added = [sum(name.startswith(f"app_{k}_") for name in fused.names) for k in sources]
    return fused, {"offered": tuple(map(len, others)), "added": tuple(added)}
