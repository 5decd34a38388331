"""SFusion: regions of supplementary sources that overlap little with what is there already."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from regionzoo.captions.store import RegionCaptions, from_regions
from regionzoo.errors import UserError

EPSILON = 1e-6
APPENDED = re.compile(r"app_(\d+)_")


def region_iou(a: RegionCaptions, b: RegionCaptions) -> sparse.coo_array:
    """float64 [len(a), len(b)]: size of intersection / (size of union + 1e-6) of the regions as sets of vertices.

    A vertex listed twice in a region counts once. Exact: the sizes are a product of 0/1 incidence matrices. Only pairs
    with a common vertex are stored: a drive has ten million pairs, nearly all of them from different keyframes.
    """
    first, second = _incidence(a), _incidence(b)
    common = (first @ second.T).tocoo()
    sizes_a, sizes_b = np.diff(first.indptr), np.diff(second.indptr)
    shared = common.data.astype(np.float64)
    iou = shared / (sizes_a[common.row] + sizes_b[common.col] - shared + EPSILON)
    return sparse.coo_array((iou, (common.row, common.col)), shape=common.shape)


def _incidence(captions: RegionCaptions) -> sparse.csr_array:
    shape = (len(captions), captions.n_points)
    # A copy: sum_duplicates works in place, and the arrays belong to the captions.
    ones = np.ones(len(captions.point_ids), np.int32)
    matrix = sparse.csr_array((ones, captions.point_ids, captions.offsets), shape=shape, copy=True)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def fuse(
    primary: RegionCaptions,
    supplementary: Sequence[RegionCaptions],
    iou_high: Sequence[float],
    iou_low: Sequence[float],
    cascade: bool = True,
) -> RegionCaptions:
    """Append to ``primary`` the regions of each supplementary source that pass the overlap filter (SFusion).

    A region of source k is kept if it has points and ``iou_low[k] <= max IoU with the regions there are <=
    iou_high[k]``; k counts from 1, or on from the primary's own if that is a fused set. It is named ``app_<k>_<j>``,
    j counting the kept ones from 0. With ``cascade`` (the original's default) the regions there are include those
    accepted from the sources before k; without it they are the primary's alone. Nothing is removed from the primary,
    and regions of one source are not compared with each other.

    Raises :class:`UserError` if the sources describe other vertices, or if there is not one bound a source.
    """
    if not len(supplementary) == len(iou_high) == len(iou_low):
        raise UserError(
            f"caption fusion: {len(supplementary)} supplementary sources, {len(iou_high)} iou_high, {len(iou_low)} "
            "iou_low; give one bound of each kind a source"
        )
    current = primary
    bounded = zip(supplementary, iou_high, iou_low, strict=True)
    for k, (source, high, low) in enumerate(bounded, start=next_source(primary)):
        _check_same_vertices(primary, source)
        overlap = region_iou(current if cascade else primary, source)
        # A region that shares no vertex with any other has no overlap.
        highest = np.zeros(len(source))
        np.maximum.at(highest, overlap.col, overlap.data)
        kept = np.flatnonzero((highest >= low) & (highest <= high) & (np.diff(source.offsets) > 0))
        current = _append(current, source, kept, k)
    return current


def next_source(captions: RegionCaptions) -> int:
    """The number of the next source that is added to a set: 1, or more if it is a fused set already."""
    return 1 + max((int(found[1]) for found in map(APPENDED.match, captions.names) if found), default=0)


def _check_same_vertices(primary: RegionCaptions, source: RegionCaptions) -> None:
    for name in ("scene_id", "coords_sha256", "n_points"):
        ours, theirs = getattr(primary, name), getattr(source, name)
        if ours != theirs:
            raise UserError(
                f"{primary.scene_id}: caption fusion of regions with different {name} ({ours} and {theirs}); "
                "run the captions rule of both sources again"
            )


def _append(current: RegionCaptions, source: RegionCaptions, kept: np.ndarray, k: int) -> RegionCaptions:
    names = [f"app_{k}_{j}" for j in range(len(kept))]
    return from_regions(
        current.scene_id,
        current.coords_sha256,
        current.n_points,
        (*current.names, *names),
        (*current.texts, *(source.texts[j] for j in kept)),
        [current.region(j) for j in range(len(current))] + [source.region(j) for j in kept],
    )
