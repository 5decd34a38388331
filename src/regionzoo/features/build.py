"""The feature store of all training scenes: imported chunk files, or frames fused here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from regionzoo.artifacts import replaced_folder
from regionzoo.errors import SceneError, UserError
from regionzoo.features.fuse import draw_chunks, fuse_views
from regionzoo.features.openscene import import_scene
from regionzoo.features.provider import PixelFeatures, PixelFeatureSettings
from regionzoo.features.store import SUFFIX, Chunk, FeatureIndex, save_point_features, write_index
from regionzoo.scenes.frames import FrameSet, frame_folder, read_frames, require_frames
from regionzoo.scenes.shards import run_all
from regionzoo.scenes.store import load_scene

Progress = Callable[[int, int], None]
"""Called after each scene with (scenes done, scenes in all)."""

NONE: dict[str, Any] = {"provider": "none"}


@dataclass(frozen=True)
class _Described:
    """What one scene adds to the summary."""

    n_points: int
    sizes: tuple[int, ...]
    dimension: int
    covered: int
    known: int = 0
    frames: int = 0
    lost_frames: int = 0
    off_interval: bool = False


_Task = Callable[[Path, str], _Described]
"""(store folder, scene) -> the scene's file written into the folder, and what to say about it."""


def build_empty(out_dir: str | Path) -> dict[str, Any]:
    """Write a store without features, for rows that are not distilled; statistics as :func:`import_openscene`."""
    with replaced_folder(out_dir) as folder:
        write_index(folder, FeatureIndex(0, NONE, {}))
    return _statistics([], 0, NONE)


def import_openscene(
    scenes_dir: str | Path,
    folder: str | Path,
    scene_ids: Sequence[str],
    out_dir: str | Path,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Import OpenScene's fused features (:mod:`regionzoo.features.openscene`) into ``out_dir``, all or nothing.

    Returns statistics as JSON values. Raises :class:`UserError` if a scene has no file, or a file cannot be used or
    has another dimension than the first scene's.
    """
    task = partial(_import, Path(scenes_dir), Path(folder))
    return _build(task, {"provider": "openscene"}, scene_ids, out_dir, workers, progress)


def build_fused(
    scenes_dir: str | Path,
    raw_root: str | Path,
    scene_ids: Sequence[str],
    source: PixelFeatureSettings,
    frame_interval: int,
    chunks: int,
    chunk_points: int,
    seed: int,
    out_dir: str | Path,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fuse pixel features of the frames of scenes (:mod:`regionzoo.features.fuse`) into ``out_dir``, all or nothing.

    Frames count whose number is a multiple of ``frame_interval``. A scene without such a frame of known pose gets empty
    chunks and is counted: as off the interval if it has frames and all their numbers are others, or else as without
    frames.

    Returns statistics as JSON values. Raises :class:`UserError` if a scene or frame is broken, or if no scene at all
    has a usable frame.
    """
    identity = _made(source).identity | {"frame_interval": frame_interval}
    drawing = partial(draw_chunks, chunks=chunks, chunk_points=chunk_points, seed=seed)
    task = partial(_fuse, Path(scenes_dir), Path(raw_root), source, frame_interval, drawing)

    def check(done: Sequence[_Described]) -> dict[str, Any]:
        off_interval = sum(scene.off_interval for scene in done)
        with_frames = sum(scene.frames > 0 for scene in done)
        require_frames(Path(raw_root), len(scene_ids), with_frames, off_interval, frame_interval, "fused features")
        return {
            "frames": sum(scene.frames for scene in done),
            "frames_without_pose": sum(scene.lost_frames for scene in done),
            "scenes_without_frames": sum(scene.frames == 0 for scene in done) - off_interval,
            "scenes_off_interval": off_interval,
            "points_with_feature_share": _share(done, [scene.known for scene in done]),
        }

    return _build(task, identity, scene_ids, out_dir, workers, progress, check)


@cache
def _made(source: PixelFeatureSettings) -> PixelFeatures:
    """One source a process, whatever the number of scenes."""
    return source.make()


def _import(scenes_dir: Path, source: Path, folder: Path, scene_id: str) -> _Described:
    # The vertices themselves are needed: their number is not in the metadata.
    scene = load_scene(scenes_dir / f"{scene_id}{SUFFIX}")
    chunks = import_scene(source, scene_id, len(scene))
    return _save(folder, scene_id, scene.coords_sha256, len(scene), chunks)


def _fuse(
    scenes_dir: Path,
    raw_root: Path,
    source: PixelFeatureSettings,
    interval: int,
    drawing: Callable[..., list[Chunk]],
    folder: Path,
    scene_id: str,
) -> _Described:
    scene = load_scene(scenes_dir / f"{scene_id}{SUFFIX}")
    frames = _frames(raw_root, scene_id, interval)
    sums, counts = fuse_views(scene.coords, frames.frames, _made(source))
    said = _save(folder, scene_id, scene.coords_sha256, len(scene), drawing(sums, counts, scene_id=scene_id))
    known = int(np.count_nonzero(counts))
    return replace(
        said,
        known=known,
        frames=len(frames.frames),
        lost_frames=len(frames.lost),
        off_interval=frames.skipped > 0 and not (frames.frames or frames.lost),
    )


def _frames(raw_root: Path, scene_id: str, interval: int) -> FrameSet:
    try:
        frame_folder(raw_root, scene_id)
    except SceneError:
        return FrameSet((), (), 0)
    return read_frames(raw_root, scene_id, interval)


def _save(folder: Path, scene_id: str, coords_sha256: str, n_points: int, chunks: Sequence[Chunk]) -> _Described:
    dimensions = {feats.shape[1] for _, feats in chunks}
    if len(dimensions) != 1:
        raise UserError(f"{scene_id}: chunks of dimensions {sorted(dimensions)}, expected one for all")
    save_point_features(folder / f"{scene_id}{SUFFIX}", scene_id, coords_sha256, n_points, chunks)
    covered = len(np.unique(np.concatenate([points for points, _ in chunks])))
    return _Described(n_points, tuple(len(points) for points, _ in chunks), dimensions.pop(), covered)


def _answer(task: _Task, folder: Path, scene_id: str) -> _Described | UserError:
    """Runs in a worker: errors are returned, because one that escapes would end the process."""
    try:
        return task(folder, scene_id)
    except UserError as error:
        return error


def _build(
    task: _Task,
    identity: dict[str, Any],
    scene_ids: Sequence[str],
    out_dir: str | Path,
    workers: int,
    progress: Progress | None,
    more: Callable[[Sequence[_Described]], dict[str, Any]] = lambda done: {},
) -> dict[str, Any]:
    with replaced_folder(out_dir) as folder:
        done = run_all(partial(_answer, task, folder), scene_ids, workers, "features", progress)
        extra = more(done)
        dimension = done[0].dimension if done else 0
        for scene_id, scene in zip(scene_ids, done, strict=True):
            if scene.dimension != dimension:
                raise UserError(
                    f"{scene_id}: features of dimension {scene.dimension}, but {scene_ids[0]} has {dimension}; "
                    "one store needs one dimension"
                )
        counts = {scene_id: len(scene.sizes) for scene_id, scene in zip(scene_ids, done, strict=True)}
        write_index(folder, FeatureIndex(dimension, identity, counts))
    return _statistics(done, dimension, identity) | extra


def _statistics(done: Sequence[_Described], dimension: int, identity: dict[str, Any]) -> dict[str, Any]:
    sizes = [size for scene in done for size in scene.sizes]
    return {
        "provider": identity,
        "dimension": dimension,
        "scenes": len(done),
        "chunks": len(sizes),
        "points_per_chunk_median": float(np.median(sizes)) if sizes else 0.0,
        "points_covered_share": _share(done, [scene.covered for scene in done]),
    }


def _share(done: Sequence[_Described], parts: Sequence[int]) -> float:
    return sum(parts) / max(sum(scene.n_points for scene in done), 1)
