"""Components of nearby points in plain PyTorch: a sorted table of cells, distances in chunks, label propagation.

The graph is directed where a point has more than ``cap`` neighbours: its list holds the first ``cap`` in index order.
Breadth-first search from seeds in index order gives every point the smallest point that reaches it, and that is what
is computed: an edge (u, v) exists if the two are near and ``v <= last[u]``, the last entry of u's list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

CHUNK_PAIRS = {"cpu": 1 << 19, "cuda": 1 << 24}
"""Candidate pairs looked at together: about the CPU's cache; 2 GB on a GPU."""

_MAX_KEYS = 2**62


def squared_radius(radius: float) -> Tensor:
    """float32 []: the square that float32 squared distances are compared with."""
    return torch.tensor(radius, dtype=torch.float32).square()


@dataclass(frozen=True)
class _Chunk:
    """Candidate pairs of consecutive rows. row: position in ``rows``; source, target: points; near: bool, all [n]."""

    row: Tensor
    source: Tensor
    target: Tensor
    near: Tensor


class _Cells:
    """Points sorted by cell; the candidates of a cell are the points of the 27 cells around it."""

    def __init__(self, points: Tensor, groups: Tensor, radius: float) -> None:
        self.axes = [points[:, axis].contiguous() for axis in range(3)]
        self.limit = squared_radius(radius).to(points.device)
        # A little larger than the radius, so that rounding never takes a neighbour two cells away.
        cell = torch.floor(points.double() / (radius * 1.001))
        keys, self._steps = _cell_keys(cell, groups)
        keys, self.order = torch.sort(keys, stable=True)
        self._keys, self._cell, counts = torch.unique_consecutive(keys, return_inverse=True, return_counts=True)
        self._starts = _offsets(counts)
        first, last = self._columns()
        sizes = last - first
        self.candidate_counts = sizes.sum(1)
        self.most = int(self.candidate_counts.max())
        flat = sizes.flatten()
        of_range = torch.repeat_interleave(flat, output_size=int(flat.sum()))
        entry = torch.arange(len(of_range), device=points.device)
        position = entry + (first.flatten() - _offsets(flat)[:-1]).index_select(0, of_range)
        self._candidates = self.order.index_select(0, position)
        self._of_range = of_range
        self._first = _offsets(self.candidate_counts)

    def _columns(self) -> tuple[Tensor, Tensor]:
        """int64 [cells, 9]: bounds of the sorted points in each z column of three cells, which are adjacent there."""
        device = self._keys.device
        step_x, step_y = self._steps
        near = torch.arange(-1, 2, device=device)
        shifts = (near[:, None] * step_x + near[None, :] * step_y).flatten()
        middle = self._keys[:, None] + shifts
        first = torch.searchsorted(self._keys, middle - 1)
        last = torch.searchsorted(self._keys, middle + 1, right=True)
        return self._starts[first], self._starts[last]

    @cached_property
    def _sorted(self) -> Tensor:
        """int64, ascending: cell * number of points + candidate."""
        cell = torch.div(self._of_range, 9, rounding_mode="floor")
        return torch.sort(cell * len(self.order) + self._candidates).values

    @cached_property
    def _in_order(self) -> Tensor:
        """int64: the candidates of each cell, cell after cell, in index order within a cell."""
        return self._sorted % len(self.order)

    def count(self, rows: Tensor) -> Tensor:
        """Number of candidates of the points at sorted positions ``rows``."""
        return self.candidate_counts.index_select(0, self._cell.index_select(0, rows))

    def count_below(self, rows: Tensor, bound: Tensor) -> Tensor:
        """How many candidates are smaller than ``bound`` [rows], which is at most the number of points."""
        cell = self._cell.index_select(0, rows)
        key = cell * len(self.order) + bound
        return torch.searchsorted(self._sorted, key) - self._first.index_select(0, cell)

    def touches(self, marked: Tensor) -> Tensor:
        """Sorted positions of the points that have a marked point (bool [M]) among their candidates."""
        hits = torch.zeros(len(self._keys), dtype=torch.int64, device=marked.device)
        cell = torch.div(self._of_range, 9, rounding_mode="floor")
        hits.index_add_(0, cell, marked.index_select(0, self._candidates).long())
        return (hits > 0).index_select(0, self._cell).nonzero().squeeze(1)

    def pairs(self, rows: Tensor, sizes: Tensor, start: int = 0, in_order: bool = True) -> Iterator[_Chunk]:
        """The ``sizes`` [rows] candidates from ``start`` on of the points at ``rows``, whole rows at a time."""
        if not len(rows):
            return
        table = self._in_order if in_order else self._candidates
        begin = self._first.index_select(0, self._cell.index_select(0, rows)) + start
        source_of = self.order.index_select(0, rows)
        bounds = _offsets(sizes)
        for low, high, done, upto in _blocks(bounds):
            row = torch.repeat_interleave(sizes[low:high], output_size=upto - done)
            shift = (begin[low:high] - bounds[low:high] + done).index_select(0, row)
            target = table.index_select(0, torch.arange(upto - done, device=rows.device) + shift)
            source = source_of[low:high].index_select(0, row)
            yield _Chunk(row + low, source, target, self._near(source, target))

    def _near(self, source: Tensor, target: Tensor) -> Tensor:
        # Separate float32 operations in this order: every path must round alike.
        x, y, z = (axis.index_select(0, source) - axis.index_select(0, target) for axis in self.axes)
        return x * x + y * y + z * z < self.limit


def _offsets(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _blocks(bounds: Tensor) -> Iterator[tuple[int, int, int, int]]:
    """Rows ``low:high`` of about ``CHUNK_PAIRS`` entries, at least one row, and the entries ``done:upto`` they are."""
    budget = CHUNK_PAIRS.get(bounds.device.type, 1 << 20)
    bounds = bounds.cpu()
    low, done, rows = 0, 0, len(bounds) - 1
    while low < rows:
        high = max(low + 1, int(torch.searchsorted(bounds, done + budget, right=True)) - 1)
        upto = int(bounds[high])
        if upto > done:
            yield low, high, done, upto
        low, done = high, upto


def _cell_keys(cell: Tensor, groups: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """int64 [M] keys in order of (group, x, y, z), and what a step in x and in y adds to them."""
    axes = list((cell - cell.amin(0)).unbind(1))
    # Two cells free on every axis: the neighbours of one row or group must not be taken for those of the next.
    extents = [int(axis.max()) + 3 for axis in axes]
    if (int(groups.max()) + 1) * extents[0] * extents[1] * extents[2] >= _MAX_KEYS:
        axes = [_without_gaps(axis) for axis in axes]
        extents = [int(axis.max()) + 3 for axis in axes]
    x, y, z = (axis.long() for axis in axes)
    return ((groups * extents[0] + x) * extents[1] + y) * extents[2] + z, (extents[1] * extents[2], extents[2])


def _without_gaps(axis: Tensor) -> Tensor:
    """The same order with every gap shortened to one free cell, for points that lie absurdly far apart."""
    values, inverse = torch.unique(axis, return_inverse=True)
    steps = torch.cat([values.new_zeros(1), values.diff().clamp(max=2)])
    return steps.cumsum(0).index_select(0, inverse)


def cell_components(points: Tensor, groups: Tensor, radius: float, cap: int) -> Tensor:
    """int64 [M]: for each point the smallest position among those that reach it, itself included.

    points: float32 [M, 3], finite. groups: int64 [M], non-negative; points of different groups are never joined.
    """
    if not len(points):
        return groups.clone()
    cells = _Cells(points, groups, radius)
    if cells.most <= cap:
        return connected(len(points), *_all_edges(cells))
    last, source, target = _capped_edges(cells, cap)
    mutual = source <= last.index_select(0, target)
    labels = connected(len(points), source[mutual], target[mutual])
    back = _backward_edges(cells, last)
    source, target = torch.cat([source[~mutual], back[0]]), torch.cat([target[~mutual], back[1]])
    return reached(labels, source, target)


def _all_edges(cells: _Cells) -> tuple[Tensor, Tensor]:
    """Every near pair once, the smaller point first."""
    rows = torch.arange(len(cells.order), device=cells.order.device)
    found = []
    for chunk in cells.pairs(rows, cells.count(rows), in_order=False):
        kept = chunk.near & (chunk.target > chunk.source)
        found.append((chunk.source[kept], chunk.target[kept]))
    return _joined(found, rows)


def _capped_edges(cells: _Cells, cap: int) -> tuple[Tensor, Tensor, Tensor]:
    """Last entry of each point's list (the number of points where the list is complete); edges to larger points."""
    rows = torch.arange(len(cells.order), device=cells.order.device)
    last = torch.full_like(rows, len(rows))
    seen = torch.zeros_like(rows)
    found = []
    active, step = rows, max(2 * cap, 64)
    for start in range(0, cells.most, step):
        # A list that is more than full needs no further candidates.
        active = active[(cells.count(active) > start) & (seen.index_select(0, active) <= cap)]
        sizes = (cells.count(active) - start).clamp(max=step)
        for chunk in cells.pairs(active, sizes, start):
            hit = chunk.near.nonzero().squeeze(1)
            row, source, target = (part.index_select(0, hit) for part in (chunk.row, chunk.source, chunk.target))
            counts = torch.bincount(row, minlength=len(active))
            # Position in the list: hits of a row follow each other, in index order.
            ahead = seen.index_select(0, active) - (counts.cumsum(0) - counts)
            rank = torch.arange(len(row), device=row.device) + ahead.index_select(0, row)
            end = rank == cap - 1
            last[source[end]] = target[end]
            kept = (rank < cap) & (target > source)
            found.append((source[kept], target[kept]))
            seen.index_add_(0, active, counts)
    last[cells.order[seen <= cap]] = len(rows)
    return last, *_joined(found, rows)


def _backward_edges(cells: _Cells, last: Tensor) -> tuple[Tensor, Tensor]:
    """Edges to smaller points whose own list does not lead back."""
    rows = cells.touches(last < len(last))
    source = cells.order.index_select(0, rows)
    bound = torch.minimum(source, last.index_select(0, source) + 1)
    found = []
    for chunk in cells.pairs(rows, cells.count_below(rows, bound)):
        kept = chunk.near & (last.index_select(0, chunk.target) < chunk.source)
        found.append((chunk.source[kept], chunk.target[kept]))
    return _joined(found, rows)


def _joined(parts: list[tuple[Tensor, Tensor]], like: Tensor) -> tuple[Tensor, Tensor]:
    empty = like.new_zeros(0)
    sources, targets = zip(*parts, strict=True) if parts else ((empty,), (empty,))
    return torch.cat(sources), torch.cat(targets)


def connected(count: int, source: Tensor, target: Tensor) -> Tensor:
    """Smallest point of each point's component, edges taken both ways."""
    labels = torch.arange(count, device=source.device)
    while True:
        first, second = labels.index_select(0, source), labels.index_select(0, target)
        apart = (first != second).nonzero().squeeze(1)
        if not len(apart):
            return labels
        # Roots are hooked to smaller roots, then every point to its root.
        source, target = first.index_select(0, apart), second.index_select(0, apart)
        labels.scatter_reduce_(0, torch.maximum(source, target), torch.minimum(source, target), "amin")
        while not torch.equal(labels, shorter := labels.index_select(0, labels)):
            labels = shorter


def reached(labels: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """``labels`` of strongly connected parts, lowered along one-way edges to the smallest that reaches each."""
    source, target = labels.index_select(0, source), labels.index_select(0, target)
    edges = torch.unique((source * len(labels) + target)[source != target])
    source, target = torch.div(edges, len(labels), rounding_mode="floor"), edges % len(labels)
    lowest = torch.arange(len(labels), device=labels.device)
    while True:
        lower = lowest.scatter_reduce(0, target, lowest.index_select(0, source), "amin")
        # What reaches the smallest that reaches a point, reaches the point.
        lower = lower.index_select(0, lower)
        if torch.equal(lower, lowest):
            return lowest.index_select(0, labels)
        lowest = lower
