"""The submanifold 3x3x3 convolution in two ways; see :mod:`regionzoo.sparse.native`.

Both save features, weight and map alone, and gather the output gradient once for the two gradients they return.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from regionzoo.sparse.pairs import CENTRE, Group, Pairs
from regionzoo.sparse.scratch import Scratch
from regionzoo.sparse.sums import Sums

BLOCK_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 27}
"""Largest gathered block, in elements: about the CPU's cache, and 512 MB on a GPU."""

_SCRATCH = Scratch()


def _block_rows(device: torch.device, width: int) -> int:
    return max(1, BLOCK_ELEMENTS.get(device.type, 1 << 21) // max(width, 1))


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    """Sums over offsets and blocks are kept in float32 where features are half precision."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


class PairsConv(torch.autograd.Function):
    """Features [V, in], weight [out, 3, 3, 3, in] and the level's ``pairs`` -> [V, out]."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.pairs = pairs
        in_channels, out_channels = feats.shape[1], weight.shape[0]
        kernels = weight.flatten(1, 3).permute(1, 2, 0).unbind(0)  # 27 x [in, out]
        sums = Sums(pairs, out_channels, feats, _accumulator(feats.dtype), False, _SCRATCH)
        sums.own(feats, kernels[CENTRE])
        for group in pairs.groups(_block_rows(feats.device, in_channels)):
            sums.add(group, _gathered("gathered", feats, pairs.source, group), kernels)
        return sums.total().to(feats.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        feats, weight = ctx.saved_tensors
        pairs: Pairs = ctx.pairs
        needs_feats, needs_weight, _ = ctx.needs_input_grad
        grad = grad.contiguous()
        in_channels, out_channels = feats.shape[1], weight.shape[0]
        kernels = weight.flatten(1, 3).unbind(1)  # 27 x [out, in]
        sums = grad_weight = None
        if needs_feats:
            sums = Sums(pairs, in_channels, grad, _accumulator(grad.dtype), True, _SCRATCH)
            sums.own(grad, kernels[CENTRE])
        if needs_weight:
            grad_weight = weight.new_empty(weight.shape)
            grad_kernels = grad_weight.flatten(1, 3).unbind(1)
            torch.mm(grad.t(), feats, out=grad_kernels[CENTRE])
        for group in pairs.groups(_block_rows(grad.device, in_channels + out_channels)):
            gathered = _gathered("gathered", grad, pairs.to, group)
            if sums is not None:
                sums.add(group, gathered, kernels)
            if needs_weight:
                read = _gathered("read", feats, pairs.source, group)
                for k, part, source in zip(group.kernels, gathered, read, strict=True):
                    torch.mm(part.t(), source, out=grad_kernels[k])
        return None if sums is None else sums.total().to(feats.dtype), grad_weight, None


def _gathered(purpose: str, feats: Tensor, sites: Tensor, group: Group) -> tuple[Tensor, ...]:
    """For each offset of the group [n, c]: features at ``sites`` [P] of its pairs."""
    gathered = _SCRATCH.take(purpose, (len(group), feats.shape[1]), feats)
    return torch.index_select(feats, 0, sites[group.rows], out=gathered).split(group.sizes)


def _neighbourhood(padded: Tensor, table: Tensor) -> Tensor:
    """[rows, 27 * channels]: the features of every neighbour side by side, zeros for missing ones."""
    channels = padded.shape[1]
    gathered = _SCRATCH.take("gathered", (27 * len(table), channels), padded)
    torch.index_select(padded, 0, table.reshape(-1), out=gathered)
    return gathered.view(len(table), 27 * channels)


def _padded(feats: Tensor) -> Tensor:
    """The features and a row of zeros, which missing neighbours point at."""
    padded = _SCRATCH.take("padded", (len(feats) + 1, feats.shape[1]), feats)
    padded[:-1] = feats
    padded[-1] = 0
    return padded


class TableConv(torch.autograd.Function):
    """Features [V, in], weight [out, 3, 3, 3, in] and the level's ``table`` -> [V, out]."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(feats, weight, table)
        kernel = weight.flatten(1).t().contiguous()  # [27 * in, out]
        padded = _padded(feats)
        out = feats.new_empty((len(table), weight.shape[0]))
        block = _block_rows(feats.device, 27 * feats.shape[1])
        for start in range(0, len(table), block):
            rows = slice(start, start + block)
            torch.mm(_neighbourhood(padded, table[rows]), kernel, out=out[rows])
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
            of_block = _SCRATCH.take("block", (in_channels, 27 * out_channels), feats)
        block = _block_rows(grad.device, 27 * out_channels)
        for start in range(0, len(table), block):
            rows = slice(start, start + block)
            gathered = _neighbourhood(padded, table[rows])
            if needs_feats:
                torch.mm(gathered, kernel, out=grad_feats[rows])
            if needs_weight:
                # The large factor untransposed: half the time of the product the other way round on CPU.
                grad_kernel += torch.mm(feats[rows].t(), gathered, out=of_block)
        if needs_weight:
            grad_kernel = grad_kernel.view(in_channels, 27, out_channels).flip(1).permute(2, 1, 0)
            grad_kernel = grad_kernel.reshape(weight.shape).to(weight.dtype)
        return grad_feats, grad_kernel, None
