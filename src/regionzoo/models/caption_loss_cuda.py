"""The caption loss on a GPU: block by block, no matrix of points x captions, scores computed again in the backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from regionzoo.models.score_kernels import (
    FEATURE_SCALE,
    RESIDUAL_SCALE,
    row_gradients,
    row_losses,
    row_norms,
    row_residuals,
)
from regionzoo.models.segment_kernel import segment_sums
from regionzoo.models.triton_use import program

BLOCK_ROWS = 1 << 16
"""Voxels at a time: 160 MB of scores for 600 captions. Fewer take more launches than the GPU waits for."""


@dataclass(frozen=True)
class Incidences:
    """I pairs of a voxel and a caption, voxel by voxel; a pair may occur repeatedly.

    starts: int32 [V + 1], where each voxel's pairs begin. columns: int32 [I], the caption of each. free: int8 [I], 1
    for those that send gradients, or None if all do.
    """

    starts: Tensor
    columns: Tensor
    free: Tensor | None

    def __len__(self) -> int:
        return len(self.columns)


def incidences(voxel: Tensor, column: Tensor, free: Tensor | None, voxels: int, columns: int) -> Incidences:
    """Sort int64 [I] pairs by voxel; free: bool [I] or None. The device is not waited for."""
    sides = 1 if free is None else 2
    key = (voxel * columns + column) * sides
    if free is not None:
        key = key + free
    row = columns * sides
    if voxels * row < 2**31:
        key = key.int()
    key = key.sort().values
    bounds = torch.arange(voxels + 1, device=key.device, dtype=key.dtype) * row
    starts = torch.searchsorted(key, bounds, out_int32=True)
    caption = torch.div(key, sides, rounding_mode="floor") % columns
    return Incidences(starts, caption.int(), None if free is None else (key % 2).to(torch.int8))


class FusedScoreLoss(torch.autograd.Function):
    """:class:`~regionzoo.models.caption_loss.ScoreLoss` of raw features, with their normalisation, on a GPU.

    feats: float16, bfloat16 or float32 [V, D], not normalised. log_scale: float32 []. texts: float32 [U, D], unit rows,
    constant. pairs: whose mean is the loss (float32 []), and which of them send gradients. Gradients have the type of
    the features. Sums are float32 ones; factors are too, but for float16 features, whose texts and softmax are rounded
    as the features are. Memory beside the gradient: a block of rows.
    """

    @staticmethod
    def forward(ctx: Any, feats: Tensor, log_scale: Tensor, texts: Tensor, pairs: Incidences) -> Tensor:
        blocks = _Blocks(feats.contiguous(), texts)
        log_z, losses = (feats.new_empty(len(feats), dtype=torch.float32) for _ in range(2))
        factor = log_scale.exp() * blocks.unit
        for start, rows in blocks.rows():
            products, inverse = blocks.products(rows)
            row_losses[(len(rows),)](
                products, inverse, factor, pairs.starts[start:], pairs.columns, log_z[start:], losses[start:],
                len(texts), blocks.stride, blocks.exact, **program(blocks.stride),
            )  # fmt: skip
        ctx.save_for_backward(feats, log_scale, texts, log_z)
        ctx.pairs = pairs
        return losses.sum() / len(pairs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        feats, log_scale, texts, log_z = ctx.saved_tensors
        pairs: Incidences = ctx.pairs
        blocks = _Blocks(feats.contiguous(), texts)
        factor = log_scale.exp() * blocks.unit
        back = grad.float() * log_scale.exp() / (len(pairs) * RESIDUAL_SCALE * FEATURE_SCALE)
        gradient = torch.empty_like(blocks.feats)
        of_scale = feats.new_empty(len(feats), dtype=torch.float32)
        for start, rows in blocks.rows():
            products, inverse = blocks.products(rows)
            weights, residuals = blocks.residuals(len(rows))
            row_residuals[(len(rows),)](
                products, inverse, factor, pairs.starts[start:], pairs.columns, pairs.free, log_z[start:],
                residuals, weights, of_scale[start:], len(texts), blocks.stride, RESIDUAL_SCALE,
                blocks.exact, pairs.free is not None, **program(blocks.stride),
            )  # fmt: skip
            row_gradients[(len(rows),)](
                rows, inverse, blocks.back(residuals), weights, back, gradient[start:],
                feats.shape[1], **program(feats.shape[1]),
            )  # fmt: skip
        return gradient, of_scale.sum() * grad / len(pairs) if ctx.needs_input_grad[1] else None, None, None


class FusedRegionMean(torch.autograd.Function):
    """:class:`~regionzoo.models.caption_loss.RegionMean` on a GPU, with sums in a fixed order.

    feats: float of any size [V, D]; the means are float32 [K, D]. offsets: int64 [K + 1], where each region's
    incidences begin. The rest is as there.
    """

    @staticmethod
    def forward(
        ctx: Any, feats: Tensor, region: Tensor, voxel: Tensor, share: Tensor, free: Tensor | None, offsets: Tensor
    ) -> Tensor:
        ctx.save_for_backward(region, voxel, share if free is None else share * free)
        ctx.shape, ctx.dtype = feats.shape, feats.dtype
        return segment_sums(feats, voxel, share, offsets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        region, voxel, share = ctx.saved_tensors
        ordered, order = voxel.sort(stable=True)
        starts = torch.searchsorted(ordered, torch.arange(ctx.shape[0] + 1, device=voxel.device))
        sums = segment_sums(grad, region[order], share[order], starts, ctx.dtype)
        return sums, None, None, None, None, None


class _Blocks:
    """Blocks of rows, the texts in the parts that products want, and room for what is computed between two products.

    exact: whether products are as good as float32 ones, of unit rows; if not, they are float16 ones, of raw rows.
    unit: factor that makes cosines of products of unit rows. stride: length of a row of products.
    """

    def __init__(self, feats: Tensor, texts: Tensor) -> None:
        self.feats, self.exact = feats, feats.dtype != torch.float16
        self.unit = 1 / (FEATURE_SCALE * FEATURE_SCALE if self.exact else FEATURE_SCALE)
        # Rows that begin at multiples of 16 numbers: products and loads are faster.
        self.stride = -(-len(texts) // 16) * 16
        padded = texts.new_zeros((self.stride, texts.shape[1]))
        padded[: len(texts)] = texts * FEATURE_SCALE
        high = padded.half()
        parts = [high, high, (padded - high.float()).half()] if self.exact else [high]
        self._across, self._back = torch.cat(parts, 1).t(), torch.cat(parts)
        size, columns = min(BLOCK_ROWS, len(feats)), texts.shape[1]
        self._products, self._gradients = texts.new_empty((size, self.stride)), texts.new_empty((size, columns))
        self._inverse, self._weights = texts.new_empty(size), texts.new_empty(size)
        self._rows = high.new_empty((size, len(self._across) if self.exact else 0))
        self._residuals = high.new_empty((size, len(self._back)))

    def rows(self) -> list[tuple[int, Tensor]]:
        """First row and features of every block."""
        return [(start, self.feats[start : start + BLOCK_ROWS]) for start in range(0, len(self.feats), BLOCK_ROWS)]

    def products(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [rows, stride], products with the texts, and float32 [rows], 1 / norm of each row."""
        size, columns = rows.shape
        inverse, parts = self._inverse[:size], self._rows[:size]
        row_norms[(size,)](rows, inverse, parts, columns, FEATURE_SCALE, self.exact, **program(columns))
        return _product(parts if self.exact else rows, self._across, self._products[:size]), inverse

    def residuals(self, size: int) -> tuple[Tensor, Tensor]:
        """Room for a block's weights and the parts of its residuals."""
        return self._weights[:size], self._residuals[:size]

    def back(self, residuals: Tensor) -> Tensor:
        """float32 [rows, D]: residuals times texts."""
        return _product(residuals, self._back, self._gradients[: len(residuals)])


def _product(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """Product of float16 matrices, added and written in float32."""
    if left.is_cuda:
        return torch.mm(left, right, out_dtype=torch.float32, out=out)
    # Triton's interpreter, which tests use.
    return torch.mm(left.float(), right.float(), out=out)
