"""Pairs of neighbouring sites, offset by offset, and the sums at sites of what the pairs contribute."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

CENTRE = 13
"""Position of offset (0, 0, 0) among the 27 of a 3x3x3 kernel, z fastest."""


@dataclass(frozen=True)
class Group:
    """Successive offsets: their kernel positions, how many pairs each has, and the rows of all of these among P."""

    kernels: list[int]
    sizes: list[int]
    rows: slice

    def __len__(self) -> int:
        return self.rows.stop - self.rows.start


class Pairs:
    """The P neighbours among V sites, both directions of each counted, in the order of ``kernels``.

    ahead: for the offsets d after the centre (kernel positions 14..26) int64 rows (a, b) with site b = site a + d.
    Iteration gives these. Offset 26 - k is the mirror image of k: the same rows with their roles swapped.
    """

    def __init__(self, ahead: list[tuple[Tensor, Tensor]], sites: int) -> None:
        self._ahead = ahead
        self.sites = sites
        self.kernels = [position for k in range(CENTRE + 1, 27) for position in (k, 26 - k)]
        """Kernel positions in the order of their pairs, the centre left out: 14, 12, 15, 11 and so on."""
        self.sizes = [len(rows) for rows, _ in ahead for _ in range(2)]
        """How many pairs each of these has."""
        self._matrices: dict[tuple[bool, torch.dtype], Tensor] = {}

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self._ahead)

    def __len__(self) -> int:
        """P."""
        return sum(self.sizes)

    @cached_property
    def to(self) -> Tensor:
        """int64 [P]: the site that a convolution adds to."""
        return torch.cat([part for rows, neighbours in self for part in (rows, neighbours)])

    @cached_property
    def source(self) -> Tensor:
        """int64 [P]: the site that it reads, the one of ``to`` plus the offset."""
        return torch.cat([part for rows, neighbours in self for part in (neighbours, rows)])

    def groups(self, rows: int) -> Iterator[Group]:
        """All offsets, cut where they have about ``rows`` pairs in all."""
        first = start = total = 0
        for k, size in enumerate(self.sizes):
            if k > first and total + size > rows:
                yield Group(self.kernels[first:k], self.sizes[first:k], slice(start, start + total))
                first, start, total = k, start + total, 0
            total += size
        yield Group(self.kernels[first:], self.sizes[first:], slice(start, start + total))

    def summation(self, backward: bool, dtype: torch.dtype) -> Tensor:
        """Sparse [V, V + P] on CPU, 1 where a contribution belongs to a site.

        Contributions are first every site's to itself, then one of each pair, which belongs to the site that a
        convolution adds to, or ``backward`` to the site that it reads. A product with this goes through a site's
        contributions one after another: the sum that adding them offset by offset gives, bit for bit.
        """
        key = backward, dtype
        if key not in self._matrices:
            self._matrices[key] = self._matrix(*key)
        return self._matrices[key]

    def _matrix(self, backward: bool, dtype: torch.dtype) -> Tensor:
        kinds, count = len(self.sizes) + 1, self.sites + len(self)
        numbers = torch.arange(count, dtype=torch.int32)
        places = torch.full((kinds, self.sites), -1, dtype=torch.int32)
        places[0] = numbers[: self.sites]
        sites = (self.source if backward else self.to).split(self.sizes)
        for kind, (at, own) in enumerate(zip(sites, numbers[self.sites :].split(self.sizes), strict=True), start=1):
            places[kind].index_copy_(0, at, own)
        by_site = places.t().contiguous()
        found = by_site >= 0
        starts = torch.zeros(self.sites + 1, dtype=torch.int32)
        torch.cumsum(found.sum(1, dtype=torch.int32), 0, dtype=torch.int32, out=starts[1:])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*Sparse CSR.*beta state.*")
            return torch.sparse_csr_tensor(
                starts,
                by_site.masked_select(found),
                torch.ones(count, dtype=dtype),
                (self.sites, count),
                check_invariants=False,
            )
