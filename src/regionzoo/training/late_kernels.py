"""Kernels of :mod:`regionzoo.training.late_rooms`: a program works on points of one room.

Products are not contracted with the sums behind them (``enable_fp_fusion``), so the bits are those of a CPU.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256
"""Points of a program."""


def place(
    points: Tensor, colors: Tensor, offsets: Tensor, longest: int, matrices: Tensor, color_shifts: Tensor
) -> tuple[Tensor, Tensor]:
    """Features float32 [N, 6] and points float64 [N, 3] (metres) of rooms of at most ``longest`` points.

    The rest is as in :class:`~regionzoo.training.late_rooms.LatePoints`.
    """
    feats = torch.empty((len(points), 6), dtype=torch.float32, device=points.device)
    moved = torch.empty((len(points), 3), dtype=torch.float64, device=points.device)
    grid = (triton.cdiv(longest, BLOCK), len(offsets) - 1)
    _place[grid](
        points, colors, offsets, matrices, color_shifts, feats, moved, BLOCK, num_warps=4, enable_fp_fusion=False
    )
    return feats, moved


def distort(
    points: Tensor, offsets: Tensor, longest: int, values: Tensor, sizes: Tensor, starts: Tensor, scale: Tensor
) -> None:
    """One round of elastic distortion of float64 points [N, 3], in place; as :func:`place` and
    :class:`~regionzoo.training.late_rooms.Grids` say.
    """
    grid = (triton.cdiv(longest, BLOCK), len(offsets) - 1)
    _distort[grid](
        points, offsets, values, sizes, starts, scale, values.shape[1], BLOCK, num_warps=4, enable_fp_fusion=False
    )


@triton.jit
def _rows(offsets, block: tl.constexpr):
    room = tl.program_id(1)
    row = tl.load(offsets + room) + tl.program_id(0) * block + tl.arange(0, block)
    return room, row, row < tl.load(offsets + room + 1)


@triton.jit
def _place(points, colors, offsets, matrices, color_shifts, feats, moved, block: tl.constexpr):
    room, row, there = _rows(offsets, block)
    x = tl.load(points + row * 3, mask=there, other=0.0).to(tl.float64)
    y = tl.load(points + row * 3 + 1, mask=there, other=0.0).to(tl.float64)
    z = tl.load(points + row * 3 + 2, mask=there, other=0.0).to(tl.float64)
    half = tl.full([block], 127.5, tl.float32)
    for axis in tl.static_range(3):
        matrix = matrices + room * 9 + axis
        value = (x * tl.load(matrix) + y * tl.load(matrix + 3) + z * tl.load(matrix + 6)).to(tl.float32)
        tl.store(feats + row * 6 + 3 + axis, value, mask=there)
        tl.store(moved + row * 3 + axis, value.to(tl.float64), mask=there)
        color = tl.load(colors + row * 3 + axis, mask=there, other=0).to(tl.float32)
        color = tl.div_rn(color, half) - 1.0
        shift = tl.load(color_shifts + room * 3 + axis)
        tl.store(feats + row * 6 + axis, (color.to(tl.float64) + shift).to(tl.float32), mask=there)


@triton.jit
def _position(points, row, there, axis: tl.constexpr, granularity, size):
    """Coordinates along an axis, their node below, the share of the node above, and whether they are off the grid."""
    value = tl.load(points + row * 3 + axis, mask=there, other=0.0)
    last = (size - 1).to(tl.float64)
    position = (value / granularity + last) * 0.5
    low = tl.floor(position)
    return value, low.to(tl.int64), position - low, (position < 0.0) | (position > last)


@triton.jit
def _share(above, side: tl.constexpr):
    """Weight of the node above, or of the one below."""
    if side:
        return above
    else:
        return 1.0 - above


@triton.jit(do_not_specialize=["nodes"])
def _distort(points, offsets, values, sizes, starts, scale, nodes, block: tl.constexpr):
    room, row, there = _rows(offsets, block)
    granularity, magnitude = tl.load(scale), tl.load(scale + 1)
    size_x, size_y, size_z = tl.load(sizes + room * 3), tl.load(sizes + room * 3 + 1), tl.load(sizes + room * 3 + 2)
    x, low_x, up_x, off_x = _position(points, row, there, 0, granularity, size_x)
    y, low_y, up_y, off_y = _position(points, row, there, 1, granularity, size_y)
    z, low_z, up_z, off_z = _position(points, row, there, 2, granularity, size_z)
    outside = off_x | off_y | off_z
    first = (low_x * size_y + low_y) * size_z + low_z
    own = values + tl.load(starts + room)
    for axis in tl.static_range(3):
        total = tl.zeros([block], tl.float64)
        for corner in tl.static_range(8):
            at = first + (corner // 4 * size_y + corner // 2 % 2) * size_z + corner % 2
            # Corners beyond the last node have weight 0, whatever is read there.
            at = tl.minimum(tl.maximum(at, 0), size_x * size_y * size_z - 1)
            part = tl.load(own + axis * nodes + at, mask=there, other=0.0).to(tl.float64)
            part = part * _share(up_x, corner // 4)
            part = part * _share(up_y, corner // 2 % 2)
            part = part * _share(up_z, corner % 2)
            total += part
        value = tl.where(outside, 0.0, total.to(tl.float32)).to(tl.float64) * magnitude
        if axis == 0:
            tl.store(points + row * 3, x + value, mask=there)
        elif axis == 1:
            tl.store(points + row * 3 + 1, y + value, mask=there)
        else:
            tl.store(points + row * 3 + 2, z + value, mask=there)
