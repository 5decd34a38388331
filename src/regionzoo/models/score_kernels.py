"""Triton kernels of the caption loss: what lies between its matrix products, a row of a block at a time.

Numbers go into the tensor cores as float16. Where float32 is asked for, they are split into a float16 and its rounding
error, which together have 22 bits, and a product is taken of rows (high, low, high) with factors (high, high, low): as
exact as float32 and several times as fast. Nothing is added in an order that can change: two runs give the same bits.
"""

from __future__ import annotations

import triton
import triton.language as tl

FEATURE_SCALE = 256.0
"""Factor of unit vectors before they are split, so that rounding errors are normal float16 numbers."""
RESIDUAL_SCALE = 4096.0
"""The same for residuals, which are within -1..1."""


@triton.jit
def _store_parts(parts, row, column, columns, value, there, exact: tl.constexpr):
    """Row of float16 [rows, columns] or, with ``exact``, of [rows, 3 * columns]: high, low and high once more."""
    high = value.to(tl.float16)
    if exact:
        place = parts + row * (3 * columns) + column
        tl.store(place, high, mask=there)
        tl.store(place + columns, (value - high.to(tl.float32)).to(tl.float16), mask=there)
        tl.store(place + 2 * columns, high, mask=there)
    else:
        tl.store(parts + row * columns + column, high, mask=there)


@triton.jit
def row_norms(feats, inverse, parts, columns, scale, exact: tl.constexpr, width: tl.constexpr):
    """inverse[r] = 1 / |feats[r]|; with ``exact`` also the parts of the unit rows times ``scale``."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, width)
    inside = column < columns
    value = tl.load(feats + row * columns + column, mask=inside, other=0.0).to(tl.float32)
    norm = 1.0 / tl.maximum(tl.sqrt(tl.sum(value * value, 0)), 1e-12)
    tl.store(inverse + row, norm)
    if exact:
        _store_parts(parts, row, column, columns, value * norm * scale, inside, exact)


@triton.jit(do_not_specialize=["columns"])
def row_losses(
    products, inverse, factor, starts, column_of, log_z, losses, columns, stride, exact: tl.constexpr,
    width: tl.constexpr
):  # fmt: skip
    """log_z[r]: log-sum-exp of the row's scores. losses[r]: sum over its incidences of log_z - score.

    products: float32 [rows, stride], of unit rows with ``exact``, otherwise of raw ones. factor: [], what makes scores.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, width)
    inside = column < columns
    scale = tl.load(factor)
    if not exact:
        scale = scale * tl.load(inverse + row)
    # The stride is a multiple of 16, which makes wide loads; what lies between is 0.
    score = tl.load(products + row * stride + column, mask=column < stride, other=0.0) * scale
    masked = tl.where(inside, score, float("-inf"))
    top = tl.max(masked, 0)
    z = top + tl.log(tl.sum(tl.exp(masked - top), 0))
    first = tl.load(starts + row)
    last = tl.load(starts + row + 1)
    count = tl.zeros([width], tl.float32)
    for entry in range(first, last):
        count += tl.where(column == tl.load(column_of + entry), 1.0, 0.0)
    tl.store(log_z + row, z)
    tl.store(losses + row, tl.sum(count * tl.where(inside, z - score, 0.0), 0))


@triton.jit(do_not_specialize=["columns"])
def row_residuals(
    products, inverse, factor, starts, column_of, free, log_z, parts, weights, of_scale, columns, stride, scale,
    exact: tl.constexpr, masked: tl.constexpr, width: tl.constexpr
):  # fmt: skip
    """Softmax minus the shares of a row's sending incidences; their number; the scale's gradient.

    weights[r] = w, the number of sending incidences; the parts are of (softmax - counts / w) * scale, or 0 without any;
    of_scale[r] = w * sum of residual * score.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, width)
    inside = column < columns
    factors = tl.load(factor)
    if not exact:
        factors = factors * tl.load(inverse + row)
    written = column < stride
    score = tl.load(products + row * stride + column, mask=written, other=0.0) * factors
    share = tl.where(inside, tl.exp(score - tl.load(log_z + row)), 0.0)
    first = tl.load(starts + row)
    last = tl.load(starts + row + 1)
    count = tl.zeros([width], tl.float32)
    for entry in range(first, last):
        hit = tl.where(column == tl.load(column_of + entry), 1.0, 0.0)
        if masked:
            hit = hit * tl.load(free + entry).to(tl.float32)
        count += hit
    weight = tl.sum(count, 0)
    residual = tl.where(weight > 0, share - count / tl.maximum(weight, 1.0), 0.0)
    tl.store(weights + row, weight)
    tl.store(of_scale + row, weight * tl.sum(residual * score, 0))
    _store_parts(parts, row, column, stride, residual * scale, written, exact)


@triton.jit
def row_gradients(feats, inverse, products, weights, factor, gradient, columns, width: tl.constexpr):
    """gradient[r]: that of the unit row (``products * weight * factor``) taken back through the normalisation."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, width)
    inside = column < columns
    norm = tl.load(inverse + row)
    unit = tl.load(feats + row * columns + column, mask=inside, other=0.0).to(tl.float32) * norm
    back = tl.load(products + row * columns + column, mask=inside, other=0.0)
    back = back * (tl.load(weights + row) * tl.load(factor))
    back = (back - tl.sum(back * unit, 0) * unit) * norm
    tl.store(gradient + row * columns + column, back.to(gradient.dtype.element_ty), mask=inside)
