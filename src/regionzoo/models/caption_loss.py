"""The two pooling ways of the caption loss, without a points x captions or incidences x channels matrix."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_ELEMENTS = 1 << 22
"""Numbers held at a time: 16 MB of float32."""

Cells = tuple[Tensor, Tensor]
"""Sorted positions in the flattened score matrix (int64) and how often each occurs (int64)."""


def count_cells(cells: Tensor) -> Cells:
    """Sorted unique positions and their counts."""
    return torch.unique(cells, return_counts=True)


def _blocks(cells: Cells, rows: int, columns: int, step: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each block of ``step`` rows of the matrix: positions within the block, their rows in it, their counts."""
    starts = torch.arange(0, rows + step, step, device=cells[0].device) * columns
    bounds = torch.searchsorted(cells[0], starts).tolist()
    for block, (first, last) in enumerate(pairwise(bounds)):
        position = cells[0][first:last] - block * step * columns
        yield position, torch.div(position, columns, rounding_mode="floor"), cells[1][first:last].float()


class ScoreLoss(torch.autograd.Function):
    """Mean of -log softmax over counted cells of ``exp(log_scale) * points @ texts.T``.

    points: float32 [R, D]; log_scale: float32 []; texts: float32 [U, D], constant. counted: cells whose mean is the
    loss. free: the part of them that sends gradients (to points and scale); the others count in the mean alone.

    The gradient of a mean of log-probabilities needs nothing from later layers but one factor, so it is computed
    beside the loss, block of rows by block of rows: memory is O(R D), whatever the number of captions.
    """

    @staticmethod
    def forward(ctx: Any, points: Tensor, log_scale: Tensor, texts: Tensor, counted: Cells, free: Cells) -> Tensor:
        scale = log_scale.exp()
        needs_points, needs_scale = ctx.needs_input_grad[:2]
        grad_points = torch.zeros_like(points) if needs_points else None
        grad_scale = torch.zeros_like(log_scale) if needs_scale else None
        loss = points.new_zeros(())
        total = counted[1].sum()
        columns = len(texts)
        step = max(1, CHUNK_ELEMENTS // columns)
        counted_blocks = _blocks(counted, len(points), columns, step)
        free_blocks = _blocks(free, len(points), columns, step)
        for start, seen, sending in zip(range(0, len(points), step), counted_blocks, free_blocks, strict=True):
            rows = points[start : start + step]
            scores = rows @ texts.t() * scale
            log_z = scores.logsumexp(1)
            cell, row, times = seen
            loss += (times * (log_z.index_select(0, row) - scores.view(-1).index_select(0, cell))).sum()
            if not (needs_points or needs_scale):
                continue
            cell, row, times = sending
            weight = points.new_zeros(len(rows)).index_add_(0, row, times)
            # d loss / d scores = weight * softmax - times, and each cell is met once.
            grad = (scores - log_z.unsqueeze(1)).exp_().mul_(weight.unsqueeze(1))
            grad.view(-1).index_add_(0, cell, -times)
            if needs_scale:
                grad_scale += (grad * scores).sum()
            if needs_points:
                torch.mm(grad, texts, out=grad_points[start : start + step])
        if needs_points:
            grad_points *= scale / total
        if needs_scale:
            grad_scale /= total
        ctx.save_for_backward(grad_points, grad_scale)
        return loss / total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        points, scale = ctx.saved_tensors
        return (None if points is None else points * grad), (None if scale is None else scale * grad), None, None, None


class RegionMean(torch.autograd.Function):
    """Mean feature [K, D] of K regions over their incidences; zeros for a region without any.

    feats: float32 [V, D]. region, voxel: int64 [I], one entry an incidence. share: float32 [I], one over the number of
    the region's incidences. free: bool [I], the incidences that send gradients; None for all.
    """

    @staticmethod
    def forward(
        ctx: Any, feats: Tensor, region: Tensor, voxel: Tensor, share: Tensor, free: Tensor | None, regions: int
    ) -> Tensor:
        if free is None:
            ctx.save_for_backward(region, voxel, share)
        else:
            ctx.save_for_backward(region[free], voxel[free], share[free])
        ctx.shape = feats.shape
        return _weighted_sum(feats, voxel, region, share, regions)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        region, voxel, share = ctx.saved_tensors
        return _weighted_sum(grad, region, voxel, share, ctx.shape[0]), None, None, None, None, None


def _weighted_sum(rows: Tensor, source: Tensor, target: Tensor, weight: Tensor, size: int) -> Tensor:
    """[size, D] with ``weight * rows[source]`` added at ``target``, a block of incidences at a time."""
    out = rows.new_zeros((size, rows.shape[1]))
    step = max(1, CHUNK_ELEMENTS // rows.shape[1])
    for start in range(0, len(source), step):
        part = slice(start, start + step)
        out.index_add_(0, target[part], rows.index_select(0, source[part]) * weight[part].unsqueeze(1))
    return out
