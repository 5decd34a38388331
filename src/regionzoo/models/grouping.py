"""From class scores and shifted points to proposals (reference: instance section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from regionzoo.models.grouping_cells import cell_components
from regionzoo.models.grouping_tree import tree_components
from regionzoo.models.instance_types import InstanceSettings, Proposals

Path = Literal["tree", "cells"]


def components(points: Tensor, groups: Tensor, settings: InstanceSettings, path: Path | None = None) -> Tensor:
    """int64 [M]: the smallest position that a breadth-first search would have come from, for each point.

    Two points are near if their squared distance, computed in float32 as (dx dx + dy dy) + dz dz, is less than the
    float32 square of ``radius``. A point's list are the first ``max_neighbours`` near points of its group in index
    order, itself included; searches start from the points in index order and follow the lists.

    points: float32 [M, 3], finite. groups: int64 [M], non-negative. path: SciPy's tree (CPU only) or sorted cells;
    None picks by device. All paths return the same.
    """
    if path == "tree" or (path is None and not points.is_cuda):
        return tree_components(points, groups, settings.radius, settings.max_neighbours)
    return cell_components(points, groups, settings.radius, settings.max_neighbours)


@torch.no_grad()
def group(
    scores: Tensor,
    class_ids: Sequence[int],
    points: Tensor,
    scene_ids: Tensor,
    settings: InstanceSettings,
    v2p: Tensor | None = None,
    retry: bool = False,
    path: Path | None = None,
) -> Proposals:
    """Proposals of a batch.

    scores: class probabilities [N, columns], or [V, columns] of voxels with ``v2p`` int64 [N]. class_ids: class
    position of each column; columns of classes before ``settings.shift`` make no proposals. points: float32 [N, 3],
    shifted; those that are not finite are no candidates. scene_ids: int64 [N]. retry: in training, halve
    ``min_points`` until there is a proposal (never below one point) and keep ``max_retry_proposals`` of what it gave.
    """
    if scores.shape[1] != len(class_ids):
        raise ValueError(f"{scores.shape[1]} columns of scores for {len(class_ids)} classes")
    points = points.detach().float()
    columns, candidates = _candidates(scores.detach(), class_ids, points, settings, v2p)
    scenes = int(scene_ids.max()) + 1 if len(scene_ids) else 1
    groups = columns * scenes + scene_ids.index_select(0, candidates)
    labels = components(points.index_select(0, candidates), groups, settings, path)
    # The first candidate of a component stands at its label: sorting by label orders proposals as they are found.
    sizes = torch.bincount(labels, minlength=len(labels))
    wanted, lowered = float(settings.min_points), False
    largest = int(sizes.max()) if len(sizes) else 0
    while retry and 0 < largest < wanted:
        wanted, lowered = wanted / 2, True
    roots = (sizes >= wanted).logical_and_(sizes > 0)
    members = roots.index_select(0, labels).nonzero().squeeze(1)
    # Stable: candidates of a proposal keep their order, which is ascending in points.
    order = torch.sort(labels.index_select(0, members), stable=True).indices
    point_ids = candidates.index_select(0, members.index_select(0, order))
    first = roots.nonzero().squeeze(1)
    offsets = torch.cat([first.new_zeros(1), sizes.index_select(0, first).cumsum(0)])
    proposals = Proposals(offsets, point_ids, scene_ids.index_select(0, candidates.index_select(0, first)))
    if lowered:
        proposals = proposals.first(settings.max_retry_proposals)
    return proposals if settings.max_proposals is None else proposals.first(settings.max_proposals)


def _candidates(
    scores: Tensor, class_ids: Sequence[int], points: Tensor, settings: InstanceSettings, v2p: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Column and point of every candidate, column by column and in point order."""
    above = scores.t() > settings.score_threshold
    if v2p is not None:
        above = above.index_select(1, v2p)
    above &= points.isfinite().all(1)
    allowed = torch.tensor([c >= settings.shift for c in class_ids], device=scores.device)
    above &= (allowed & (above.sum(1) >= settings.min_candidates)).unsqueeze(1)
    column, point = above.nonzero(as_tuple=True)
    return column, point
