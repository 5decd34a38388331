"""Gather, multiply and add in one kernel, and the same for weights' gradients. No atomics: every sum has a fixed order.

No ``from __future__ import annotations``: Triton reads the annotations.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl

from regionzoo.sparse.fused.launch import Kernel, Variant, ceil_div, power_of_two, precision
from regionzoo.sparse.fused.memory import Buffer, Data
from regionzoo.sparse.fused.search import LIST, TILE
from regionzoo.sparse.fused.sites import Convolution, Table

_PROCESSORS = 132
"""What the split of the work is laid out for (an H100's); results depend on it, so it is not asked of the device."""


@triton.jit(do_not_specialize=["count", "added"])
def _gather_product(
    feats, weight, table, active, add, out, count: tl.int32, channels: tl.int32, columns: tl.int32, added: tl.int32,
    block_v: tl.constexpr, block_in: tl.constexpr, block_out: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    site = tl.program_id(0) * block_v + tl.arange(0, block_v)
    column = tl.program_id(1) * block_out + tl.arange(0, block_out)
    within = tl.arange(0, block_in)
    inside = site < count
    offsets = active + (tl.program_id(0) * block_v // TILE) * LIST
    steps = tl.cdiv(channels, block_in)
    total = tl.zeros((block_v, block_out), tl.float32)
    # Offsets that no site of the tile has are not in the list, so the loop has no branch and its loads run ahead.
    for i in range(tl.load(offsets) * steps):
        k = tl.load(offsets + 1 + i // steps)
        channel = i % steps * block_in + within
        source = tl.load(table + k * count.to(tl.int64) + site, mask=inside, other=-1)
        rows = feats + source.to(tl.int64) * channels
        a = tl.load(
            rows[:, None] + channel[None, :], mask=(source >= 0)[:, None] & (channel < channels)[None, :], other=0.0
        )
        b = tl.load(
            weight + (k * channels + channel).to(tl.int64)[:, None] * columns + column[None, :],
            mask=(channel < channels)[:, None] & (column < columns)[None, :], other=0.0,
        )  # fmt: skip
        total = tl.dot(a, b, total, input_precision=precision)
    used = inside[:, None] & (column < columns)[None, :]
    place = site.to(tl.int64)[:, None] * columns + column[None, :]
    total += tl.load(add + place, mask=used & (added != 0), other=0.0).to(tl.float32)
    tl.store(out + place, total.to(out.dtype.element_ty), mask=used)


@triton.jit(do_not_specialize=["lines", "tiles", "kernel", "rows_each"])
def _outer_product(
    feats, grad, feat_rows, grad_rows, totals, parts, lines: tl.int32, tiles: tl.int32, kernel: tl.int32,
    rows_each: tl.int32, channels: tl.int32, columns: tl.int32, block_v: tl.constexpr, block_in: tl.constexpr,
    block_out: tl.constexpr, precision: tl.constexpr,
):  # fmt: skip
    """parts[s, o, k, i]: sum over share s of the pairs of offset k of grad[., o] feats[., i]."""
    k = tl.program_id(0)
    share = tl.program_id(1)
    blocks_in = tl.cdiv(channels, block_in)
    channel = tl.program_id(2) % blocks_in * block_in + tl.arange(0, block_in)
    column = tl.program_id(2) // blocks_in * block_out + tl.arange(0, block_out)
    found = tl.load(totals + k * tiles + tiles - 1)
    first = share * rows_each
    last = tl.minimum(first + rows_each, found)
    line = k * lines.to(tl.int64)
    total = tl.zeros((block_out, block_in), tl.float32)
    for start in range(first, last, block_v):
        pair = start + tl.arange(0, block_v)
        used = pair < last
        here = tl.load(feat_rows + line + pair, mask=used, other=0).to(tl.int64)
        there = tl.load(grad_rows + line + pair, mask=used, other=0).to(tl.int64)
        a = tl.load(
            feats + here[:, None] * channels + channel[None, :],
            mask=used[:, None] & (channel < channels)[None, :], other=0.0,
        )  # fmt: skip
        g = tl.load(
            grad + there[:, None] * columns + column[None, :],
            mask=used[:, None] & (column < columns)[None, :], other=0.0,
        )  # fmt: skip
        total = tl.dot(tl.trans(g), a, total, input_precision=precision)
    where = parts + ((share * columns + column[:, None]).to(tl.int64) * kernel + k) * channels + channel[None, :]
    # Shares behind the last pair are left out of the sum, so they need not be written.
    tl.store(where, total, mask=(first < found) & (column < columns)[:, None] & (channel < channels)[None, :])


_multiply = Kernel(_gather_product)
_outer = Kernel(_outer_product)


class Tiling(NamedTuple):
    """Block sizes along rows, input channels and output columns; warps of a program, loads ahead."""

    rows: int
    channels: int
    columns: int
    warps: int = 4
    stages: int = 3

    def variant(self, dtype: torch.dtype) -> Variant:
        """The kernel that this takes."""
        return Variant((self.rows, self.channels, self.columns, precision(dtype)), self.warps, self.stages, dtype)


@lru_cache(maxsize=4096)
def _product_variant(count: int, channels: int, columns: int, dtype: torch.dtype) -> Variant:
    return product_tiling(count, channels, columns, dtype).variant(dtype)


def product_tiling(count: int, channels: int, columns: int, dtype: torch.dtype) -> Tiling:
    """Depends on sizes alone, so that equal inputs give equal bits; few choices, since each is compiled."""
    single = dtype == torch.float32
    if count >= 50_000:
        return Tiling(
            128, power_of_two(channels, 16, 32 if single else 64), power_of_two(columns, 16, 64 if single else 128)
        )
    # Too few tiles to fill the GPU: smaller ones, and more channels a step, since the steps of a tile take the time.
    rows = 64 if count >= 8_000 else 32 if count >= 2_000 else 16
    return Tiling(
        rows,
        power_of_two(channels, 16, 32 if single else 128),
        power_of_two(columns, 16, 128 if rows == 64 and not single else 64),
    )


def gather_product(
    feats: Data, weight: Buffer, table: Table, widths: tuple[int, int], out: Data, add: Data | None, device: int,
    variant: Variant | None = None,
) -> None:  # fmt: skip
    """out[r] = sum over k of ``feats[table[k, r]] @ weight[k]``, plus ``add[r]``.

    feats: [*, channels] and weight: [K, channels, columns] of one type; widths: these two, multiples of 16. out and
    add: [R, columns].
    """
    channels, columns = widths
    variant = variant or _product_variant(table.count, channels, columns, feats.dtype)
    rows, _, across, _ = variant.constants
    _multiply(
        (ceil_div(table.count, rows), ceil_div(columns, across), 1),
        (feats, weight, table.rows, table.active, out if add is None else add, out),
        (table.count, channels, columns, 0 if add is None else 1),
        variant,
        device,
    )


class Shares(NamedTuple):
    """A weight's gradient in parts.

    parts: float32 [shares, out, K, in]; of an offset with n pairs, the first ``ceil(n / rows_each)`` count.
    """

    parts: Buffer
    table: Table
    rows_each: int
    widths: tuple[int, int]

    @property
    def numel(self) -> int:
        """Elements of the weight."""
        return self.table.kernel * self.widths[0] * self.widths[1]


class OuterPlan(NamedTuple):
    """How a weight's gradient is cut: into ``shares`` of ``rows_each`` pairs and ``tiles`` blocks of its matrix."""

    variant: Variant
    rows_each: int
    shares: int
    tiles: int


def outer_tiling(channels: int, columns: int, dtype: torch.dtype) -> Tiling:
    """As :func:`product_tiling`; ``rows`` are pairs."""
    if dtype == torch.float32:
        return Tiling(32, power_of_two(channels, 16, 64), power_of_two(columns, 16, 64), 4, 2)
    block_in, block_out = power_of_two(channels, 16, 128), power_of_two(columns, 16, 64)
    rows = 64 if block_in == block_out <= 32 else 128
    return Tiling(rows, block_in, block_out, 2 if block_in * block_out <= 1024 else 4)


@lru_cache(maxsize=4096)
def outer_plan(kernel: int, count: int, channels: int, columns: int, dtype: torch.dtype) -> OuterPlan:
    """The cut of a weight [columns, kernel, channels] for a table of ``count`` rows."""
    return cut_outer(kernel, count, channels, columns, dtype, outer_tiling(channels, columns, dtype))


def cut_outer(kernel: int, count: int, channels: int, columns: int, dtype: torch.dtype, block: Tiling) -> OuterPlan:
    """:func:`outer_plan` with a tiling of one's own."""
    tiles = ceil_div(channels, block.channels) * ceil_div(columns, block.columns)
    # On surfaces a site has about 11 of 27 neighbours and 4 of 8 children.
    expected = count * (11 if kernel == 27 else 4) * tiles
    programs = _PROCESSORS * (8 if block.channels * block.columns <= 1024 else 4)
    rows_each = max(ceil_div(expected, programs * block.rows), 256 // block.rows) * block.rows
    return OuterPlan(block.variant(dtype), rows_each, ceil_div(count, rows_each), tiles)


def weight_shares(
    feats: Data, grad: Data, conv: Convolution, widths: tuple[int, int], plan: OuterPlan, parts: Buffer
) -> Shares:
    """The parts of the sum over pairs of ``grad[row] feats[source]``, of ``grad[source] feats[row]`` if swapped.

    feats: [*, in], grad: [*, out], ``widths``: in and out. parts: room for ``plan.shares`` weights.
    """
    table, pairs = conv.paired, conv.pairs()
    _outer(
        (table.kernel, plan.shares, plan.tiles),
        (feats, grad, *(pairs if conv.swapped else pairs[::-1]), table.totals, parts),
        (table.count, table.tiles, table.kernel, plan.rows_each, *widths),
        plan.variant,
        conv.maps.device,
    )
    return Shares(parts, table, plan.rows_each, widths)
