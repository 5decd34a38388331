"""The submanifold 3x3x3 convolution in two ways; see :mod:`regionzoo.sparse.native`.

Both save features, weight and map alone, and gather the output gradient once for the two gradients they return.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from regionzoo.sparse.pyramid import CENTRE

BLOCK_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 27}
"""Largest gathered block of the ``table`` path, in elements: about the CPU's cache, and 512 MB on a GPU."""

Pairs = list[tuple[Tensor, Tensor]]


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    """Sums over offsets and blocks are kept in float32 where features are half precision."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


class PairsConv(torch.autograd.Function):
    """Features [V, in], weight [out, 3, 3, 3, in] and the level's ``pairs`` -> [V, out]."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.pairs = pairs
        kernel = weight.flatten(1, 3).permute(1, 2, 0)  # [27, in, out]
        exact = _accumulator(feats.dtype)
        out = (feats @ kernel[CENTRE]).to(exact)
        for offset, (rows, neighbours) in enumerate(pairs, start=CENTRE + 1):
            out.index_add_(0, rows, (feats.index_select(0, neighbours) @ kernel[offset]).to(exact))
            out.index_add_(0, neighbours, (feats.index_select(0, rows) @ kernel[26 - offset]).to(exact))
        return out.to(feats.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        feats, weight = ctx.saved_tensors
        needs_feats, needs_weight, _ = ctx.needs_input_grad
        grad = grad.contiguous()
        exact = _accumulator(feats.dtype)
        kernel = weight.flatten(1, 3).transpose(0, 1).contiguous()  # [27, out, in]
        grad_feats = (grad @ kernel[CENTRE]).to(exact) if needs_feats else None
        grad_kernel = torch.empty_like(kernel) if needs_weight else None
        if needs_weight:
            torch.mm(grad.t(), feats, out=grad_kernel[CENTRE])
        for offset, (rows, neighbours) in enumerate(ctx.pairs, start=CENTRE + 1):
            for k, to, source in ((offset, rows, neighbours), (26 - offset, neighbours, rows)):
                gathered = grad.index_select(0, to)
                if needs_feats:
                    grad_feats.index_add_(0, source, (gathered @ kernel[k]).to(exact))
                if needs_weight:
                    torch.mm(gathered.t(), feats.index_select(0, source), out=grad_kernel[k])
        if needs_feats:
            grad_feats = grad_feats.to(feats.dtype)
        if needs_weight:
            grad_kernel = grad_kernel.transpose(0, 1).reshape(weight.shape)
        return grad_feats, grad_kernel, None


def _blocks(table: Tensor, channels: int) -> range:
    size = max(1, BLOCK_ELEMENTS.get(table.device.type, 1 << 21) // (27 * channels))
    return range(0, len(table), size)


def _neighbourhood(padded: Tensor, table: Tensor) -> Tensor:
    """[rows, 27 * channels]: the features of every neighbour side by side, zeros for missing ones."""
    return padded.index_select(0, table.reshape(-1)).view(len(table), 27 * padded.shape[1])


def _padded(feats: Tensor) -> Tensor:
    return torch.cat([feats, feats.new_zeros((1, feats.shape[1]))])


class TableConv(torch.autograd.Function):
    """Features [V, in], weight [out, 3, 3, 3, in] and the level's ``table`` -> [V, out]."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(feats, weight, table)
        kernel = weight.flatten(1).t().contiguous()  # [27 * in, out]
        padded = _padded(feats)
        out = feats.new_empty((len(table), weight.shape[0]))
        blocks = _blocks(table, feats.shape[1])
        for start in blocks:
            stop = start + blocks.step
            torch.mm(_neighbourhood(padded, table[start:stop]), kernel, out=out[start:stop])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        feats, weight, table = ctx.saved_tensors
        needs_feats, needs_weight, _ = ctx.needs_input_grad
        out_channels, in_channels = weight.shape[0], weight.shape[-1]
        # The neighbour at offset k sees this site at offset 26 - k: gathering with the forward's table meets the
        # kernel in reverse. One gather serves both gradients.
        kernel = weight.flatten(1, 3).flip(1).transpose(0, 1).reshape(-1, in_channels)  # [27 * out, in]
        padded = _padded(grad)
        grad_feats = torch.empty_like(feats) if needs_feats else None
        grad_kernel = None
        if needs_weight:
            exact = _accumulator(feats.dtype)
            grad_kernel = torch.zeros((in_channels, 27 * out_channels), dtype=exact, device=feats.device)
        blocks = _blocks(table, out_channels)
        for start in blocks:
            stop = start + blocks.step
            gathered = _neighbourhood(padded, table[start:stop])
            if needs_feats:
                torch.mm(gathered, kernel, out=grad_feats[start:stop])
            if needs_weight:
                # The large factor untransposed: half the time of the product the other way round on CPU.
                grad_kernel += feats[start:stop].t() @ gathered
        if needs_weight:
            grad_kernel = grad_kernel.view(in_channels, 27, out_channels).flip(1).permute(2, 1, 0)
            grad_kernel = grad_kernel.reshape(weight.shape).to(weight.dtype)
        return grad_feats, grad_kernel, None
