"""Batch normalisation with ReLU around a convolution: what :mod:`~regionzoo.sparse.fused.norm_kernels` computes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from regionzoo.sparse.fused import norm_kernels
from regionzoo.sparse.fused.launch import Kernel, Variant, ceil_div
from regionzoo.sparse.fused.memory import Buffer, Data, room
from regionzoo.sparse.fused.product import Shares
from regionzoo.sparse.fused.sites import SiteMaps

_PACK: int = norm_kernels.PACK.value
_SHARES = 264
"""Programs of a pass over the rows: two for each of an H100's processors. Sums are made share by share."""
_SUMMED = 1024

_moments = Kernel(norm_kernels.moments)
_normalise = Kernel(norm_kernels.normalise)
_pack = Kernel(norm_kernels.pack)
_back_sums = Kernel(norm_kernels.back_sums)
_back_spread = Kernel(norm_kernels.back_spread)
_sum_shares = Kernel(norm_kernels.sum_shares)


class Packed(NamedTuple):
    """A weight as the products read it: ``ahead`` [K, in, out] and ``back`` [K, out, in], the same if not asked for."""

    ahead: Buffer
    back: Buffer


class Split(NamedTuple):
    """Rows in ``shares`` of ``rows_each``, channels in ``blocks``: how a pass over [V, C] is cut."""

    variant: Variant
    rows_each: int
    shares: int
    blocks: int

    @property
    def partial(self) -> int:
        """Elements of two sums for each share and channel."""
        return self.shares * self.blocks * self.variant.constants[0] * 2


@lru_cache(maxsize=4096)
def split_rows(count: int, channels: int, dtype: torch.dtype) -> Split:
    """Depends on sizes alone, so that equal inputs give equal bits."""
    block = min(channels & -channels, 64)  # the largest power of two that divides the width
    rows = 4096 // block
    rows_each = ceil_div(ceil_div(count, _SHARES), rows) * rows
    return Split(Variant((block, rows), 8, 3, dtype), rows_each, ceil_div(count, rows_each), channels // block)


@lru_cache(maxsize=64)
def _summing(variant: Variant) -> Variant:
    return variant._replace(constants=(*variant.constants, _SUMMED))


def _pack_tiles(shape: torch.Size) -> int:
    columns, k, _, _, channels = shape
    return k**3 * ceil_div(columns, _PACK) * ceil_div(channels, _PACK)


def _packed(weight: Tensor, dtype: torch.dtype, keep: bool, maps: SiteMaps) -> Packed:
    ahead = maps.kept.take(dtype, weight.numel())
    return Packed(ahead, maps.kept.take(dtype, weight.numel()) if keep else ahead)


def pack(weight: Tensor, dtype: torch.dtype, mirrored: bool, keep: bool, maps: SiteMaps) -> Packed:
    """A weight float32 [out, k, k, k, in] as products of ``dtype`` read it; ``keep`` for the backward, too."""
    packed = _packed(weight, dtype, keep, maps)
    columns, k, _, _, channels = weight.shape
    numbers = (channels, columns, k**3, int(mirrored), int(keep))
    _pack((_pack_tiles(weight.shape), 1, 1), (weight, *packed), numbers, Variant((), 4, 3, dtype), maps.device)
    return packed


class Normal(NamedTuple):
    """What was done to x: ``affine`` float32 [4, C]; ``batch``, whether by its own statistics."""

    affine: Buffer
    batch: bool


def normalise(
    x: Data, rows: int, norm: nn.BatchNorm1d, weight: Tensor, out: Data, mirrored: bool, keep: bool, maps: SiteMaps
) -> tuple[Normal, Packed]:
    """out = relu(norm(x)), and the weight [out, k, k, k, C] of the convolution that takes it, packed.

    x: [rows, C], rows > 0, C a multiple of 16. Running statistics move as those of ``norm(x)`` would, and one row alone
    is normalised by them, as :class:`~regionzoo.models.norm.VoxelNorm` does.
    """
    columns, k, _, _, channels = weight.shape
    split = split_rows(rows, channels, x.dtype)
    batch = norm.training and rows > 1
    affine = maps.kept.take(torch.float32, 4 * channels)
    partial = affine
    if batch:
        maps.scratch.rewind(room(torch.float32, split.partial))
        partial = maps.scratch.take(torch.float32, split.partial)
        grid = (split.shares, split.blocks, 1)
        _moments(grid, (x, partial), (rows, channels, split.rows_each), split.variant, maps.device)
    packed = _packed(weight, x.dtype, keep, maps)
    programs = split.shares * split.blocks
    _normalise(
        (programs + _pack_tiles(weight.shape), 1, 1),
        (
            x, partial, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.num_batches_tracked, affine,
            out, weight, *packed,
        ),
        (
            rows, channels, split.rows_each, split.shares, programs, float(norm.momentum), float(norm.eps), int(batch),
            int(batch and norm.track_running_stats), columns, k**3, int(mirrored), int(keep),
        ),
        split.variant,
        maps.device,
    )  # fmt: skip
    return Normal(affine, batch), packed


def normalise_back(
    grad: Data, x: Data, rows: int, channels: int, normal: Normal, add: Data | None, out: Data, slopes: Data,
    partial: Buffer, shares: Shares | None, weight_grad: Data | None, maps: SiteMaps,
) -> None:  # fmt: skip
    """out [rows, C] = the backward of relu(norm(x)) for ``grad``, plus ``add``; slopes [2, C]: of gain and bias.

    ``weight_grad`` becomes the sum of ``shares``. partial: room for two sums of each share of the rows.
    """
    split = split_rows(rows, channels, x.dtype)
    _back_sums(
        (split.shares, split.blocks, 1),
        (grad, x, normal.affine, partial),
        (rows, channels, split.rows_each),
        split.variant,
        maps.device,
    )
    programs = split.shares * split.blocks
    if shares is None:
        table, parts, elements, pairs_each = maps.submanifold(0).paired, partial, 0, 1
    else:
        table, parts, elements, pairs_each = shares.table, shares.parts, shares.numel, shares.rows_each
        assert shares.widths[0] == channels
    _back_spread(
        (programs + ceil_div(elements, _SUMMED), 1, 1),
        (
            grad, x, normal.affine, partial, out if add is None else add, out, slopes, parts, table.totals,
            partial if weight_grad is None else weight_grad,
        ),
        (
            rows, channels, split.rows_each, split.shares, programs, 1.0 / rows if normal.batch else 0.0,
            0 if add is None else 1, elements, table.kernel, table.tiles, pairs_each,
        ),
        _summing(split.variant),
        maps.device,
    )  # fmt: skip


def sum_shares(shares: Shares, out: Tensor, maps: SiteMaps) -> None:
    """out float32 [out, K, in] = the sum of a weight's gradient in parts."""
    table = shares.table
    numbers = (shares.numel, shares.widths[0], table.kernel, table.tiles, shares.rows_each)
    variant = Variant((_SUMMED,), 4, 3, torch.float32)
    grid = (ceil_div(shares.numel, _SUMMED), 1, 1)
    _sum_shares(grid, (shares.parts, table.totals, out), numbers, variant, maps.device)
