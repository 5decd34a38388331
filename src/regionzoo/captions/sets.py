"""A caption set: one file a scene, all or nothing, and the statistics of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from regionzoo.captions.captioner import Box, Captioner, CaptionerSettings, Picture
from regionzoo.captions.store import RegionCaptions, save_captions
from regionzoo.errors import UserError
from regionzoo.scenes.shards import run_all

SUFFIX = ".safetensors"

Progress = Callable[[int, int], None]
"""Called after each scene with (scenes done, scenes in all)."""

SeenPicture = TypeVar("SeenPicture", bound=Picture)
Task = Callable[[str], tuple[RegionCaptions, dict[str, Any]]]
"""Scene id -> its captions, and what the scene adds to the counts of :class:`Captioned`."""


@dataclass(frozen=True)
class Captioned:
    """What one scene adds to the summary."""

    sizes: np.ndarray
    covered: int
    n_points: int
    texts: frozenset[str]
    frames: int = 0
    lost_frames: int = 0
    off_interval: bool = False
    without_points: int = 0
    offered: tuple[int, ...] = ()
    added: tuple[int, ...] = ()


def write_set(
    task: Task, folder: Path, scene_ids: Sequence[str], workers: int, progress: Progress | None
) -> list[Captioned]:
    """Run a picklable ``task`` for each scene, in ``workers`` processes, and save its captions into ``folder``.

    Raises the :class:`UserError` of the first broken scene.
    """
    return run_all(partial(_save, task, folder), scene_ids, workers, "captions", progress)


def statistics(done: Sequence[Captioned]) -> dict[str, Any]:
    """Statistics of a set as JSON values."""
    sizes = np.concatenate([scene.sizes for scene in done]) if done else np.zeros(0, np.int64)
    points = sum(scene.n_points for scene in done)
    return {
        "scenes": len(done),
        "captions": len(sizes),
        "captions_per_scene": len(sizes) / max(len(done), 1),
        "points_per_caption_median": float(np.median(sizes)) if len(sizes) else 0.0,
        "points_covered_share": sum(scene.covered for scene in done) / max(points, 1),
        "unique_captions": len(frozenset().union(*(scene.texts for scene in done))),
    }


def captioning_statistics(done: Sequence[Captioned], captioner: CaptionerSettings) -> dict[str, Any]:
    """:func:`statistics` of a set that a captioner made, and what it looked at."""
    off_interval = sum(scene.off_interval for scene in done)
    return statistics(done) | {
        "captioner": captioner.make().identity,
        "frames": sum(scene.frames for scene in done),
        "frames_without_pose": sum(scene.lost_frames for scene in done),
        "scenes_without_frames": sum(scene.frames == 0 for scene in done) - off_interval,
        "scenes_off_interval": off_interval,
        "regions_without_points": sum(scene.without_points for scene in done),
    }


@cache
def made(captioner: CaptionerSettings) -> Captioner:
    """One captioner a process, whatever the number of scenes."""
    return captioner.make()


def regions_of(
    pictures: Iterable[tuple[SeenPicture, Callable[[Box], np.ndarray]]], captioner: Captioner[SeenPicture]
) -> tuple[list[str], list[str], list[np.ndarray], int]:
    """(names, texts, point ids, number of regions without points) of what a captioner says of pictures.

    pictures: each with what gives the ids of its points inside a box. Regions are named ``<picture>_<k>``, k counting
    those of the picture that have points.
    """
    names: list[str] = []
    texts: list[str] = []
    regions: list[np.ndarray] = []
    dropped = 0
    for picture, inside in pictures:
        kept = 0
        for region in captioner.describe(picture):
            points = inside(region.box)
            if len(points) == 0:
                dropped += 1
                continue
            names.append(f"{picture.name}_{kept}")
            texts.append(region.text)
            regions.append(points)
            kept += 1
    return names, texts, regions, dropped


def _save(task: Task, folder: Path, scene_id: str) -> Captioned | UserError:
    """Runs in a worker: errors are returned, because one that escapes would end the process."""
    try:
        captions, counts = task(scene_id)
        save_captions(folder / f"{scene_id}{SUFFIX}", captions)
    except UserError as error:
        return error
    return Captioned(
        sizes=np.diff(captions.offsets),
        covered=len(np.unique(captions.point_ids)),
        n_points=captions.n_points,
        texts=frozenset(captions.texts),
        **counts,
    )
