"""Kernels of batch normalisation and ReLU. In passing, weights are packed and the parts of their gradients summed.

Sums run over fixed shares of the rows in a fixed order. ``affine`` is float32 [4, C]: scale, shift, mean and
1 / deviation. No ``from __future__ import annotations``: Triton reads the annotations.
"""

import triton
import triton.language as tl

PACK: tl.constexpr = tl.constexpr(32)
"""Side of the squares in which a weight is packed."""

STEP: tl.constexpr = tl.constexpr(64)
"""Shares summed at a time."""


@triton.jit(do_not_specialize=["count", "rows_each"])
def moments(
    x, partial, count: tl.int32, channels: tl.int32, rows_each: tl.int32, block_c: tl.constexpr, rows: tl.constexpr
):
    """[shares, 2, C]: mean and sum of squared deviations of each share of the rows."""
    share = tl.program_id(0)
    column = tl.program_id(1) * block_c + tl.arange(0, block_c)
    first = share * rows_each
    last = tl.minimum(first + rows_each, count)
    seen = tl.zeros((block_c,), tl.float32)
    mean = tl.zeros((block_c,), tl.float32)
    square = tl.zeros((block_c,), tl.float32)
    for start in range(first, last, rows):
        row = start + tl.arange(0, rows)
        used = (row < last)[:, None]
        value = tl.load(x + row.to(tl.int64)[:, None] * channels + column[None, :], mask=used, other=0.0).to(tl.float32)
        here = tl.minimum(last - start, rows).to(tl.float32)
        own = tl.sum(value, 0) / here
        off = tl.where(used, value - own[None, :], 0.0)
        delta = own - mean
        both = seen + here
        mean += delta * (here / both)
        square += tl.sum(off * off, 0) + delta * delta * (seen * here / both)
        seen = both
    tl.store(partial + share * 2 * channels + column, mean)
    tl.store(partial + (share * 2 + 1) * channels + column, square)


@triton.jit
def _together(partial, shares, rows_each, count, channels, column, block_c: tl.constexpr):
    """Mean and sum of squared deviations of all rows."""
    share = tl.arange(0, STEP)
    mean = tl.zeros((block_c,), tl.float32)
    for start in range(0, shares, STEP):
        size = tl.maximum(tl.minimum(count - (start + share) * rows_each, rows_each), 0).to(tl.float32)
        where = partial + (start + share)[:, None] * 2 * channels + column[None, :]
        mean += tl.sum(tl.load(where, mask=(start + share < shares)[:, None], other=0.0) * size[:, None], 0)
    mean = mean / count
    square = tl.zeros((block_c,), tl.float32)
    for start in range(0, shares, STEP):
        known = (start + share < shares)[:, None]
        size = tl.maximum(tl.minimum(count - (start + share) * rows_each, rows_each), 0).to(tl.float32)
        where = partial + (start + share)[:, None] * 2 * channels + column[None, :]
        off = tl.load(where, mask=known, other=0.0) - mean[None, :]
        own = tl.load(where + channels, mask=known, other=0.0)
        square += tl.sum(own + size[:, None] * off * off, 0)
    return mean, square


@triton.jit
def _pack(weight, ahead, back, tile, channels, columns, kernel, mirrored, keep):
    """Weight [out, K, in] -> ``ahead`` [K, in, out] and ``back`` [K, out, in], its offsets mirrored if asked."""
    across = tl.cdiv(channels, PACK)
    down = tl.cdiv(columns, PACK)
    k = tile // (across * down)
    channel = tile % across * PACK + tl.arange(0, PACK)
    column = tile // across % down * PACK + tl.arange(0, PACK)
    inside = (column < columns)[:, None] & (channel < channels)[None, :]
    value = tl.load(weight + (column[:, None] * kernel + k) * channels + channel[None, :], mask=inside, other=0.0)
    value = value.to(ahead.dtype.element_ty)
    where = ahead + (k * channels + channel[:, None]) * columns + column[None, :]
    tl.store(where, tl.trans(value), mask=tl.trans(inside))
    other = tl.where(mirrored != 0, kernel - 1 - k, k)
    where = back + (other * columns + column[:, None]) * channels + channel[None, :]
    tl.store(where, value, mask=inside & (keep != 0))


@triton.jit(do_not_specialize=["kernel", "mirrored", "keep"])
def pack(
    weight, ahead, back, channels: tl.int32, columns: tl.int32, kernel: tl.int32, mirrored: tl.int32, keep: tl.int32
):
    """:func:`_pack` alone; ``keep`` 0 leaves ``back`` unwritten."""
    _pack(weight, ahead, back, tl.program_id(0), channels, columns, kernel, mirrored, keep)


@triton.jit(
    do_not_specialize=[
        "count", "rows_each", "shares", "programs", "momentum", "eps", "batch", "update", "kernel", "mirrored", "keep"
    ]
)  # fmt: skip
def normalise(
    x, partial, gain, bias, running_mean, running_var, batches, affine, out, weight, ahead, back,
    count: tl.int32, channels: tl.int32, rows_each: tl.int32, shares: tl.int32, programs: tl.int32,
    momentum: tl.float32, eps: tl.float32, batch: tl.int32, update: tl.int32, columns: tl.int32, kernel: tl.int32,
    mirrored: tl.int32, keep: tl.int32, block_c: tl.constexpr, rows: tl.constexpr,
):  # fmt: skip
    """out = relu(x scale + shift); ``batch`` takes the rows' statistics (``partial``), else the running ones are used.

    ``update`` moves the running statistics. Programs from ``programs`` on pack the weight of the convolution to come.
    """
    program = tl.program_id(0)
    if program < programs:
        blocks = channels // block_c
        share = program // blocks
        column = program % blocks * block_c + tl.arange(0, block_c)
        old_mean = tl.load(running_mean + column)
        old_var = tl.load(running_var + column)
        mean = old_mean
        var = old_var
        if batch != 0:
            mean, square = _together(partial, shares, rows_each, count, channels, column, block_c)
            var = square / count
            if (update != 0) & (share == 0):
                tl.store(running_mean + column, old_mean + momentum * (mean - old_mean))
                tl.store(running_var + column, old_var + momentum * (square / (count - 1) - old_var))
                if program == 0:
                    tl.store(batches, tl.load(batches) + 1)
        inverse = 1.0 / tl.sqrt_rn(var + eps)
        scale = tl.load(gain + column) * inverse
        shift = tl.load(bias + column) - mean * scale
        if share == 0:
            tl.store(affine + column, scale)
            tl.store(affine + channels + column, shift)
            tl.store(affine + 2 * channels + column, mean)
            tl.store(affine + 3 * channels + column, inverse)
        first = share * rows_each
        last = tl.minimum(first + rows_each, count)
        for start in range(first, last, rows):
            row = start + tl.arange(0, rows)
            used = (row < last)[:, None]
            place = row.to(tl.int64)[:, None] * channels + column[None, :]
            value = tl.load(x + place, mask=used, other=0.0).to(tl.float32) * scale[None, :] + shift[None, :]
            tl.store(out + place, tl.maximum(value, 0.0).to(out.dtype.element_ty), mask=used)
    else:
        _pack(weight, ahead, back, program - programs, channels, columns, kernel, mirrored, keep)


@triton.jit
def _masked(grad, x, affine, row, used, channels, column):
    """Gradient before the ReLU, and the normalised features, of a block of rows."""
    place = row.to(tl.int64)[:, None] * channels + column[None, :]
    value = tl.load(x + place, mask=used, other=0.0).to(tl.float32)
    g = tl.load(grad + place, mask=used, other=0.0).to(tl.float32)
    scale = tl.load(affine + column)
    shift = tl.load(affine + channels + column)
    mean = tl.load(affine + 2 * channels + column)
    inverse = tl.load(affine + 3 * channels + column)
    passed = used & (value * scale[None, :] + shift[None, :] > 0)
    return tl.where(passed, g, 0.0), (value - mean[None, :]) * inverse[None, :]


@triton.jit(do_not_specialize=["count", "rows_each"])
def back_sums(
    grad, x, affine, partial, count: tl.int32, channels: tl.int32, rows_each: tl.int32, block_c: tl.constexpr,
    rows: tl.constexpr,
):  # fmt: skip
    """[shares, 2, C]: sums over a share of the gradient g before the ReLU, and of g times the normalised features."""
    share = tl.program_id(0)
    column = tl.program_id(1) * block_c + tl.arange(0, block_c)
    first = share * rows_each
    last = tl.minimum(first + rows_each, count)
    plain = tl.zeros((block_c,), tl.float32)
    times = tl.zeros((block_c,), tl.float32)
    for start in range(first, last, rows):
        row = start + tl.arange(0, rows)
        g, normal = _masked(grad, x, affine, row, (row < last)[:, None], channels, column)
        plain += tl.sum(g, 0)
        times += tl.sum(g * normal, 0)
    tl.store(partial + share * 2 * channels + column, plain)
    tl.store(partial + (share * 2 + 1) * channels + column, times)


@triton.jit
def _sum_shares(parts, totals, out, block, elements, channels, kernel, tiles, pairs_each, size: tl.constexpr):
    """out[o, k, i] = sum of parts[s, o, k, i] over the shares that offset k has."""
    element = block * size + tl.arange(0, size)
    inside = element < elements
    k = element // channels % kernel
    found = tl.load(totals + k * tiles + tiles - 1, mask=inside, other=0)
    shares = tl.cdiv(found, pairs_each)
    total = tl.zeros((size,), tl.float32)
    for share in range(tl.max(shares, 0)):
        total += tl.load(parts + share * elements + element, mask=inside & (share < shares), other=0.0)
    tl.store(out + element, total, mask=inside)


@triton.jit(do_not_specialize=["elements", "kernel", "tiles", "pairs_each"])
def sum_shares(
    parts, totals, out, elements: tl.int32, channels: tl.int32, kernel: tl.int32, tiles: tl.int32, pairs_each: tl.int32,
    size: tl.constexpr,
):  # fmt: skip
    """:func:`_sum_shares` alone."""
    _sum_shares(parts, totals, out, tl.program_id(0), elements, channels, kernel, tiles, pairs_each, size)


@triton.jit(
    do_not_specialize=[
        "count", "rows_each", "shares", "programs", "portion", "added", "elements", "kernel", "tiles", "pairs_each"
    ]
)  # fmt: skip
def back_spread(
    grad, x, affine, partial, add, out, slopes, parts, totals, weight_grad,
    count: tl.int32, channels: tl.int32, rows_each: tl.int32, shares: tl.int32, programs: tl.int32,
    portion: tl.float32, added: tl.int32, elements: tl.int32, kernel: tl.int32, tiles: tl.int32, pairs_each: tl.int32,
    block_c: tl.constexpr, rows: tl.constexpr, size: tl.constexpr,
):  # fmt: skip
    """Gradient of the features, plus ``add``; ``slopes`` [2, C] are those of gain and bias.

    portion: 1 / rows where the rows' own statistics normalised them, 0 where running ones did. Programs from
    ``programs`` on sum the parts of the weight's gradient.
    """
    program = tl.program_id(0)
    if program < programs:
        blocks = channels // block_c
        own = program // blocks
        column = program % blocks * block_c + tl.arange(0, block_c)
        share = tl.arange(0, STEP)
        plain = tl.zeros((block_c,), tl.float32)
        times = tl.zeros((block_c,), tl.float32)
        for start in range(0, shares, STEP):
            known = (start + share < shares)[:, None]
            where = partial + (start + share)[:, None] * 2 * channels + column[None, :]
            plain += tl.sum(tl.load(where, mask=known, other=0.0), 0)
            times += tl.sum(tl.load(where + channels, mask=known, other=0.0), 0)
        if own == 0:
            tl.store(slopes + column, times)
            tl.store(slopes + channels + column, plain)
        scale = tl.load(affine + column)
        first = own * rows_each
        last = tl.minimum(first + rows_each, count)
        for start in range(first, last, rows):
            row = start + tl.arange(0, rows)
            used = (row < last)[:, None]
            g, normal = _masked(grad, x, affine, row, used, channels, column)
            value = scale[None, :] * (g - (plain * portion)[None, :] - normal * (times * portion)[None, :])
            place = row.to(tl.int64)[:, None] * channels + column[None, :]
            value += tl.load(add + place, mask=used & (added != 0), other=0.0).to(tl.float32)
            tl.store(out + place, value.to(out.dtype.element_ty), mask=used)
    else:
        _sum_shares(parts, totals, weight_grad, program - programs, elements, channels, kernel, tiles, pairs_each, size)
