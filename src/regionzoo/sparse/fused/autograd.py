"""The fused operations with their gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from regionzoo.sparse.fused.memory import Buffer, Data, room
from regionzoo.sparse.fused.norm import Normal, normalise, normalise_back, pack, split_rows, sum_shares
from regionzoo.sparse.fused.product import gather_product, outer_plan, weight_shares
from regionzoo.sparse.fused.sites import Convolution


def _widths(weight: Tensor) -> tuple[int, int]:
    return weight.shape[-1], weight.shape[0]


class Convolve(torch.autograd.Function):
    """Features [V, in], weight float32 [out, k, k, k, in] -> [R, out]; widths multiples of 16."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, conv: Convolution) -> Tensor:
        packed = pack(weight, feats.dtype, conv.mirrored, ctx.needs_input_grad[0], conv.maps)
        out = feats.new_empty((conv.ahead.count, weight.shape[0]))
        gather_product(feats, packed.ahead, conv.ahead, _widths(weight), out, None, conv.maps.device)
        ctx.save_for_backward(feats)
        ctx.conv, ctx.back, ctx.shape = conv, packed.back, weight.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (feats,) = ctx.saved_tensors
        conv, columns, channels = ctx.conv, ctx.shape[0], ctx.shape[-1]
        grad = grad.contiguous()
        grad_feats = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_feats = torch.empty_like(feats)
            gather_product(grad, ctx.back, conv.back, (columns, channels), grad_feats, None, conv.maps.device)
        if ctx.needs_input_grad[1]:
            grad_weight = torch.empty(ctx.shape, device=feats.device)
            plan = outer_plan(conv.paired.kernel, conv.paired.count, channels, columns, feats.dtype)
            size = plan.shares * grad_weight.numel()
            conv.maps.scratch.rewind(room(torch.float32, size))
            parts = conv.maps.scratch.take(torch.float32, size)
            sum_shares(weight_shares(feats, grad, conv, (channels, columns), plan, parts), grad_weight, conv.maps)
        return grad_feats, grad_weight, None


class _Unit(NamedTuple):
    """What the backward of convolution(relu(norm(x))) needs besides x and relu(norm(x)): packed weight, factors."""

    conv: Convolution
    widths: tuple[int, int]
    normal: Normal
    back: Buffer


def _ahead(
    x: Data, norm: nn.BatchNorm1d, weight: Tensor, conv: Convolution, normal: Data, out: Data, add: Data | None,
    keep: bool,
) -> _Unit:  # fmt: skip
    """out = convolution(relu(norm(x))) + add, with ``normal`` = relu(norm(x)) on the way."""
    facts, packed = normalise(x, conv.back.count, norm, weight, normal, conv.mirrored, keep, conv.maps)
    gather_product(normal, packed.ahead, conv.ahead, _widths(weight), out, add, conv.maps.device)
    return _Unit(conv, _widths(weight), facts, packed.back)


class _Need(NamedTuple):
    """Elements of scratch that a backward takes: gradient of relu(norm(x)), sums over rows, parts of a weight."""

    inner: int
    partial: int
    parts: int


def _need(unit: _Unit, dtype: torch.dtype, weighs: bool) -> _Need:
    conv, (channels, columns) = unit.conv, unit.widths
    rows, kernel = conv.back.count, conv.paired.kernel
    shares = outer_plan(kernel, conv.paired.count, channels, columns, dtype).shares if weighs else 0
    return _Need(rows * channels, split_rows(rows, channels, dtype).partial, shares * kernel * channels * columns)


def _back(
    unit: _Unit, grad: Data, x: Data, normal: Data, add: Data | None, out: Data, slopes: Data, weight_grad: Data | None,
    need: _Need,
) -> None:  # fmt: skip
    """out = gradient of x for the gradient ``grad`` of the result, plus ``add``; takes its scratch."""
    conv, (channels, columns) = unit.conv, unit.widths
    maps, dtype = conv.maps, x.dtype
    inner, partial = maps.scratch.take(dtype, need.inner), maps.scratch.take(torch.float32, need.partial)
    gather_product(grad, unit.back, conv.back, (columns, channels), inner, None, maps.device)
    shares = None
    if weight_grad is not None:
        plan = outer_plan(conv.paired.kernel, conv.paired.count, channels, columns, dtype)
        parts = maps.scratch.take(torch.float32, need.parts)
        shares = weight_shares(normal, grad, conv, unit.widths, plan, parts)
    rows = conv.back.count
    normalise_back(inner, x, rows, channels, unit.normal, add, out, slopes, partial, shares, weight_grad, maps)


def _room(need: _Need, dtype: torch.dtype) -> int:
    return room(dtype, need.inner) + room(torch.float32, need.partial, need.parts)


class NormReluConvolve(torch.autograd.Function):
    """Features [V, in], the norm's gain and bias, the weight after it -> [R, out]."""

    @staticmethod
    def forward(
        ctx: Any, feats: Tensor, gain: Tensor, bias: Tensor, weight: Tensor, norm: nn.BatchNorm1d, conv: Convolution
    ) -> Tensor:
        out = feats.new_empty((conv.ahead.count, weight.shape[0]))
        normal = torch.empty_like(feats)
        ctx.unit = _ahead(feats, norm, weight, conv, normal, out, None, any(ctx.needs_input_grad))
        ctx.shape = weight.shape
        ctx.save_for_backward(feats, normal)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        feats, normal = ctx.saved_tensors
        weighs = ctx.needs_input_grad[3]
        need = _need(ctx.unit, feats.dtype, weighs)
        ctx.unit.conv.maps.scratch.rewind(_room(need, feats.dtype))
        out = torch.empty_like(feats)
        slopes = torch.empty((2, feats.shape[1]), device=feats.device)
        grad_weight = torch.empty(ctx.shape, device=feats.device) if weighs else None
        _back(ctx.unit, grad.contiguous(), feats, normal, None, out, slopes, grad_weight, need)
        return out, *slopes.unbind(), grad_weight, None, None


class ResidualUnits(torch.autograd.Function):
    """Two units (gain, bias, weight each) one after the other, plus the features, or ``feats @ skip.T``: [V, out].

    skip: [out, in] of the features' type, or None.
    """

    @staticmethod
    def forward(
        ctx: Any,
        feats: Tensor,
        gain: Tensor,
        bias: Tensor,
        weight: Tensor,
        last_gain: Tensor,
        last_bias: Tensor,
        last_weight: Tensor,
        skip: Tensor | None,
        norm: nn.BatchNorm1d,
        last_norm: nn.BatchNorm1d,
        conv: Convolution,
    ) -> Tensor:
        keep = any(ctx.needs_input_grad)
        rows, columns = len(feats), weight.shape[0]
        # relu(norm(feats)), the hidden features and relu(norm(hidden)) side by side.
        inner = feats.new_empty(feats.numel() + 2 * rows * columns)
        normal, hidden, last_normal = _inner_parts(inner, feats.numel(), rows * columns)
        out = feats.new_empty((rows, columns))
        ctx.first = _ahead(feats, norm, weight, conv, normal, hidden, None, keep)
        through = feats if skip is None else feats @ skip.t()
        ctx.last = _ahead(hidden, last_norm, last_weight, conv, last_normal, out, through, keep)
        ctx.shapes = weight.shape, last_weight.shape
        ctx.save_for_backward(feats, inner, skip)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        feats, inner, skip = ctx.saved_tensors
        wanted, first, last = ctx.needs_input_grad, ctx.first, ctx.last
        (channels, columns), rows, dtype = first.widths, len(feats), feats.dtype
        normal, hidden, last_normal = _inner_parts(inner, feats.numel(), rows * columns)
        grad = grad.contiguous()
        scratch = first.conv.maps.scratch
        needs = _need(first, dtype, wanted[3]), _need(last, dtype, wanted[6])
        scratch.rewind(room(dtype, rows * columns) + sum(_room(need, dtype) for need in needs))
        between = scratch.take(dtype, rows * columns)
        sizes = [2 * channels, 2 * columns, *(shape.numel() for shape in ctx.shapes)]
        slopes, last_slopes, *weights = torch.split_with_sizes(torch.empty(sum(sizes), device=feats.device), sizes)
        weights = [part.view(shape) for part, shape in zip(weights, ctx.shapes, strict=True)]
        grads = [part if asked else None for part, asked in zip(weights, wanted[3:7:3], strict=True)]
        _back(last, grad, hidden, last_normal, None, between, last_slopes, grads[1], needs[1])
        through = grad if skip is None else grad @ skip
        out = torch.empty_like(feats)
        _back(first, between, feats, normal, through, out, slopes, grads[0], needs[0])
        grad_skip = grad.t() @ feats if wanted[7] else None
        of_first, of_last = slopes.split(channels), last_slopes.split(columns)
        return out, *of_first, grads[0], *of_last, grads[1], grad_skip, None, None, None


def _inner_parts(inner: Tensor, first: int, others: int) -> list[Buffer]:
    size, address = inner.element_size(), inner.data_ptr()
    starts = ((0, first), (first, others), (first + others, others))
    return [Buffer(inner, address, start * size, inner.dtype, numel) for start, numel in starts]
