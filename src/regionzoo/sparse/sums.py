"""Sums at sites of what a convolution over pairs contributes to them, in the order of the pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regionzoo.sparse.pairs import Group, Pairs
from regionzoo.sparse.scratch import KEPT_BYTES, Scratch


class Sums:
    """[V, width] under construction: every site's own product, then group by group those of the pairs.

    On a CPU all products are kept, [V + P, width], and then every site's are added up in one pass: adding them where
    they belong, offset by offset, takes three times as long. Where that would take more than ``KEPT_BYTES`` it is done
    all the same, and on a GPU, whose gathers and scatters do not differ; the result has the same bits.

    accumulator: type that is summed in. backward: whether a product belongs to the site that the pair reads.
    """

    def __init__(
        self, pairs: Pairs, width: int, like: Tensor, accumulator: torch.dtype, backward: bool, scratch: Scratch
    ) -> None:
        self._pairs, self._backward, self._accumulator, self._scratch = pairs, backward, accumulator, scratch
        self._like, self._width = like, width
        count = pairs.sites + len(pairs)
        at_once = like.device.type == "cpu" and count * width * like.element_size() <= KEPT_BYTES
        self._products = scratch.take("products", (count, width), like) if at_once else None
        self._total: Tensor | None = None

    def own(self, feats: Tensor, kernel: Tensor) -> None:
        """Begin with feats [V, c] times kernel [c, width]."""
        if self._products is None:
            self._total = (feats @ kernel).to(self._accumulator)
        else:
            torch.mm(feats, kernel, out=self._products[: self._pairs.sites])

    def add(self, group: Group, gathered: Sequence[Tensor], kernels: Sequence[Tensor]) -> None:
        """Add for each offset of ``group`` gathered [n, c] times the kernel [c, width] at its position among 27."""
        if self._products is None:
            products = self._scratch.take("products", (len(group), self._width), self._like)
        else:
            products = self._products[self._pairs.sites :][group.rows]
        parts = products.split(group.sizes)
        for k, read, product in zip(group.kernels, gathered, parts, strict=True):
            torch.mm(read, kernels[k], out=product)
        if self._total is not None:
            at = (self._pairs.source if self._backward else self._pairs.to)[group.rows]
            for sites, product in zip(at.split(group.sizes), parts, strict=True):  # each site at most once: no race
                self._total.index_add_(0, sites, product.to(self._accumulator))

    def total(self) -> Tensor:
        """[V, width] in the accumulator's type, when all groups have been added."""
        if self._total is None:
            matrix = self._pairs.summation(self._backward, self._accumulator)
            self._total = torch.sparse.mm(matrix, self._products.to(self._accumulator), "sum")
        return self._total
