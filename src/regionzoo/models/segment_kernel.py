"""Weighted sums of gathered rows on a GPU, in an order that never changes: each sum has one program of its own."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 1 << 12
"""Numbers that a program adds at once: many entries of few channels for long segments, or the other way round."""
LONG = 64


def segment_sums(
    rows: Tensor, source: Tensor, weight: Tensor, starts: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """[S, C] of ``dtype``: for each segment the sum of ``weight * rows[source]`` over its entries, 0 without any.

    rows: [n, C]. source: integer [I], row of each entry, segment by segment. weight: float32 [I]. starts: integer
    [S + 1], where each segment's entries begin.
    """
    rows, columns = rows.contiguous(), rows.shape[1]
    sums = torch.empty((len(starts) - 1, columns), dtype=dtype, device=rows.device)
    if sums.numel():
        channels = 128 if len(source) > LONG * len(sums) else 512
        grid = (len(sums), triton.cdiv(columns, channels))
        _segment_sums[grid](rows, source, weight, starts, sums, columns, TILE // channels, channels)
    return sums


@triton.jit
def _segment_sums(rows, source, weight, starts, sums, columns, entries: tl.constexpr, channels: tl.constexpr):
    segment = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * channels + tl.arange(0, channels)
    inside = channel < columns
    total = tl.zeros([channels], tl.float32)
    last = tl.load(starts + segment + 1)
    for begin in range(tl.load(starts + segment), last, entries):
        entry = begin + tl.arange(0, entries)
        there = entry < last
        row = tl.load(source + entry, mask=there, other=0).to(tl.int64)
        factor = tl.load(weight + entry, mask=there, other=0.0)
        value = tl.load(
            rows + row[:, None] * columns + channel[None, :], mask=there[:, None] & inside[None, :], other=0.0
        )
        total += tl.sum(value.to(tl.float32) * factor[:, None], 0)
    tl.store(sums + segment * columns + channel, total.to(sums.dtype.element_ty), mask=inside)
