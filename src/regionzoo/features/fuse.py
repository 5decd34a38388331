"""Pixel features of many views -> one vector a vertex, and the random chunks of vertices that are stored."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from regionzoo.artifacts import stable_int
from regionzoo.captions.associate import project
from regionzoo.errors import UserError
from regionzoo.features.provider import PixelFeatures
from regionzoo.features.store import Chunk, unit_half
from regionzoo.scenes.frames import Frame


def fuse_views(coords: np.ndarray, frames: Iterable[Frame], source: PixelFeatures) -> tuple[np.ndarray, np.ndarray]:
    """Add up the features of every view that sees a vertex: (sums float32 [N, D], counts int32 [N]).

    coords: float [N, 3], world frame, metres. A view sees a vertex by :func:`regionzoo.captions.associate.project`;
    where its map has no feature, or zeros, the view does not count. Frames are taken one at a time: memory is that of
    the sums (1 GB for 500,000 vertices of 512 numbers), of which vertices that no view sees take nothing.
    :class:`UserError` names a frame whose features are not finite or of another dimension.
    """
    sums = np.zeros((len(coords), source.dimension), np.float32)
    counts = np.zeros(len(coords), np.int32)
    for frame in frames:
        depth = frame.load_depth()
        ids, u, v = project(coords, frame.pose, frame.intrinsics.depth, depth)
        if len(ids) == 0:
            continue
        features = source.describe(frame)
        rows = features.rows(u, v, depth.shape)
        ids, rows = ids[rows >= 0], rows[rows >= 0]
        used, positions = np.unique(rows, return_inverse=True)
        vectors = np.asarray(features.vectors[used], np.float32)
        if vectors.shape[1] != source.dimension or not np.isfinite(vectors).all():
            raise UserError(
                f"{frame.scene_id}: frame {frame.name}: features must be finite and of dimension {source.dimension}, "
                f"found dimension {vectors.shape[1]}; correct the feature source"
            )
        counted = vectors.any(axis=1)[positions]
        ids, positions = ids[counted], positions[counted]
        # A vertex occurs once in a view, so nothing is lost here.
        sums[ids] += vectors[positions]
        counts[ids] += 1
    return sums, counts


def draw_chunks(
    sums: np.ndarray, counts: np.ndarray, chunks: int, chunk_points: int, seed: int, scene_id: str
) -> list[Chunk]:
    """``chunks`` random subsets of min(``chunk_points``, vertices with a feature) vertices each, for the store.

    sums, counts: see :func:`fuse_views`; a vertex' feature is the mean over its views. Each subset is drawn without
    replacement from (seed, scene, number of the chunk). A scene that no view sees has ``chunks`` empty chunks.
    """
    known = np.flatnonzero(counts)
    drawn = []
    for chunk in range(chunks):
        rng = np.random.default_rng([seed, stable_int("chunks"), stable_int(scene_id), chunk])
        points = np.sort(rng.choice(known, min(chunk_points, len(known)), replace=False))
        drawn.append((points, unit_half(sums[points] / counts[points, None].astype(np.float32))))
    return drawn
