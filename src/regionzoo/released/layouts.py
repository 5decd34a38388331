"""The three ways in which versions of spconv store the weight of a convolution."""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

from torch import Tensor

Layout = Literal["okkki", "kkkoi", "kkkio"]
"""Order of the axes: o output channels, k the kernel along x, y and z, i input channels.

"okkki": spconv 2.2 and later, and 2.x with implicit GEMM; ours. "kkkoi": native builds of spconv 2.x. "kkkio": 1.x.
"""
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
OURS: Layout = "okkki"

_TO_OURS: dict[Layout, tuple[int, ...]] = {
    "okkki": (0, 1, 2, 3, 4),
    "kkkoi": (3, 0, 1, 2, 4),
    "kkkio": (4, 0, 1, 2, 3),
}
_FROM_OURS: dict[Layout, tuple[int, ...]] = {
    layout: tuple(order.index(axis) for axis in range(5)) for layout, order in _TO_OURS.items()
}

Shape = tuple[int, ...]


def shape_in(layout: Layout, shape: Shape) -> Shape:
    """The shape that our convolution weight of ``shape`` has in a layout."""
    return tuple(shape[axis] for axis in _FROM_OURS[layout])


def to_ours(weight: Tensor, layout: Layout) -> Tensor:
    """[out, x, y, z, in], contiguous, from a weight in ``layout``."""
    return weight.permute(_TO_OURS[layout]).contiguous()


def from_ours(weight: Tensor, layout: Layout) -> Tensor:
    """A weight [out, x, y, z, in] in ``layout``, contiguous."""
    return weight.permute(_FROM_OURS[layout]).contiguous()


def fitting_layouts(found: dict[str, Shape], ours: dict[str, Shape]) -> tuple[Layout, ...]:
    """The layouts under which the most convolutions of a file fit, out of those that ``ours`` has too.

    A square one (as many channels out as in) fits under both "kkkoi" and "kkkio", so a file is told by all of its
    convolutions together. None: no convolution fits under any. More than one: they cannot be told apart.
    """
    fits: Counter[Layout] = Counter()
    for key in found.keys() & ours.keys():
        fits.update(layout for layout in LAYOUTS if shape_in(layout, ours[key]) == found[key])
    most = max(fits.values(), default=0)
    return tuple(layout for layout in LAYOUTS if most and fits[layout] == most)
