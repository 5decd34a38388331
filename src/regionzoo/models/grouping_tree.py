"""Components of nearby points with SciPy: cells of mutually near points, a k-d tree, and ``csgraph``.

Points of a cell whose diagonal is shorter than the radius are all near each other, so only cells are connected, by one
near pair of their points. That is right where every neighbour list is complete. A point with more neighbours than the
cap is kept out of it; its neighbours are listed one by one, and the edges that lead to it and from it are directed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from regionzoo.models.grouping_cells import connected, reached, squared_radius

_MARGIN = 1 + 1e-5
"""The tree looks a little further, in float64; what counts is the float32 distance of the pairs that it finds."""
_PAIRS = 1 << 22
"""Pairs of points looked at together."""


def tree_components(points: Tensor, groups: Tensor, radius: float, cap: int) -> Tensor:
    """Same contract as :func:`~regionzoo.models.grouping_cells.cell_components`, tensors on the CPU."""
    labels = torch.empty_like(groups)
    order = torch.argsort(groups, stable=True)
    sizes = torch.unique_consecutive(groups[order], return_counts=True)[1].tolist()
    for members in torch.split(order, sizes) if sizes else ():
        cloud = _Cloud(points[members].numpy(), radius)
        labels[members] = members[torch.from_numpy(_one_group(cloud, cap))]
    return labels


@dataclass(frozen=True)
class _Cloud:
    """Points float32 [n, 3] and the radius."""

    points: np.ndarray
    radius: float

    def __len__(self) -> int:
        return len(self.points)

    def near(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether two points are near; float32 throughout, operations in the order that every path uses."""
        x, y, z = (np.take(axis, first) - np.take(axis, second) for axis in self.points.T)
        with np.errstate(over="ignore"):
            return x * x + y * y + z * z < squared_radius(self.radius).numpy()


def _one_group(cloud: _Cloud, cap: int) -> np.ndarray:
    """int64 [n]: smallest point that reaches each."""
    cells = _cells(cloud)
    full = _may_be_full(cloud, cells, cap)
    if not full.any():
        return _complete(cloud, cells)
    free = np.flatnonzero(~full)
    labels = np.arange(len(cloud))
    if len(free):
        part = _Cloud(cloud.points[free], cloud.radius)
        labels[free] = free[_complete(part, _cells(part))]
    last, source, target, out = _lists(cloud, full, cap)
    back = source <= last[target]
    one_way = [np.concatenate([source[out & ~back], target[~out]]), np.concatenate([target[out & ~back], source[~out]])]
    return _directed(labels, [source[out & back], target[out & back]], one_way)


def _directed(labels: np.ndarray, mutual: list[np.ndarray], one_way: list[np.ndarray]) -> np.ndarray:
    """``labels`` joined along mutual edges (sources, targets) and lowered along one-way edges."""
    start = torch.from_numpy(labels)
    joined = connected(len(labels), *(start[torch.from_numpy(end)] for end in mutual))
    return reached(joined[start], *(torch.from_numpy(end) for end in one_way)).numpy()


def _may_be_full(cloud: _Cloud, cells: _Cells, cap: int) -> np.ndarray:
    """bool [n]: points with more than ``cap`` neighbours, and perhaps some with as many."""
    around = cells.counts.astype(np.float64)
    around += np.bincount(cells.first, cells.counts[cells.second], len(around))
    around += np.bincount(cells.second, cells.counts[cells.first], len(around))
    full = (around > cap)[cells.cell]
    if full.any():
        tree = cKDTree(cloud.points.astype(np.float64))
        reach, threads = cloud.radius * _MARGIN, torch.get_num_threads()
        full[full] = tree.query_ball_point(tree.data[full], reach, return_length=True, workers=threads) > cap
    return full


def _lists(cloud: _Cloud, full: np.ndarray, cap: int) -> tuple[np.ndarray, ...]:
    """Last entry of every list (n where it is complete), and the edges of the points that ``full`` marks.

    Near pairs (source marked, target): the target is in the source's list (third result true), or it is not but is
    unmarked and so has the source in its own.
    """
    whole = cKDTree(cloud.points.astype(np.float64))
    last = np.full(len(cloud), len(cloud))
    parts = []
    sources = np.flatnonzero(full)
    step = max(16, 4 * _PAIRS // len(cloud))
    for start in range(0, len(sources), step):
        some = sources[start : start + step]
        found = cKDTree(whole.data[some]).sparse_distance_matrix(whole, cloud.radius * _MARGIN, output_type="ndarray")
        row, target = found["i"], found["j"]
        kept = cloud.near(some[row], target)
        shape = (len(some), len(cloud))
        # Compressed by column and then by row, entries of a row come out sorted, in linear time.
        lists = coo_array((np.ones(int(kept.sum()), np.int8), (row[kept], target[kept])), shape=shape).tocsc().tocsr()
        sizes = np.diff(lists.indptr)
        rank = np.arange(lists.nnz) - np.repeat(lists.indptr[:-1], sizes)
        more = sizes > cap
        last[some[more]] = lists.indices[lists.indptr[:-1][more] + cap - 1]
        out = rank < cap
        kept = out | ~full[lists.indices]
        parts.append((np.repeat(some, sizes)[kept], lists.indices[kept].astype(np.int64), out[kept]))
    return last, *(np.concatenate(part) for part in zip(*parts, strict=True))


# -- complete lists -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cells:
    """Occupied cells. cell: [n], of each point. order: points cell by cell, those of cell c from ``starts[c]`` on.

    counts: points of each cell. first, second: pairs of cells, each once, so close that points of theirs may be near.
    """

    cell: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    first: np.ndarray
    second: np.ndarray


def _cells(cloud: _Cloud) -> _Cells:
    # The diagonal is a thousandth shorter than the radius: no rounding makes two points of a cell too far apart.
    side = cloud.radius * 0.999 / math.sqrt(3)
    axes = []
    for axis in np.floor(cloud.points.astype(np.float64) / side).T:
        values, inverse = np.unique(axis, return_inverse=True)
        # Gaps are cut to three cells, which is too far anyway, so that keys stay small.
        axes.append(np.concatenate([[0], np.cumsum(np.minimum(np.diff(values), 3))]).astype(np.int64)[inverse])
    coords = np.stack(axes, 1)
    values, index, cell = np.unique(_keys(coords, coords.max(0)), return_index=True, return_inverse=True)
    counts = np.bincount(cell, minlength=len(values))
    starts = np.cumsum(counts) - counts
    return _Cells(cell, np.argsort(cell, kind="stable"), starts, counts, *_adjacent(coords[index]))


def _complete(cloud: _Cloud, cells: _Cells) -> np.ndarray:
    """int64 [n]: smallest point of each point's component, every neighbour list complete."""
    order, starts, counts = cells.order, cells.starts, cells.counts
    first, second = cells.first, cells.second
    # One pair of points joins most cells; only for cells that are still apart all pairs are looked at.
    linked = cloud.near(order[starts[first]], order[starts[second]])
    part = _joined(len(counts), first[linked], second[linked])
    apart = part[first] != part[second]
    first, second = first[apart], second[apart]
    more = [np.zeros(0, np.int64)]
    for pair, i, j in _all_pairs(counts[first], counts[second]):
        near = cloud.near(order[starts[first[pair]] + i], order[starts[second[pair]] + j])
        more.append(np.unique(pair[near]))
    edges = np.concatenate(more)
    part = _joined(len(counts), part[first[edges]], part[second[edges]])[part]
    component = part[cells.cell]
    return np.unique(component, return_index=True)[1][component]


def _keys(coords: np.ndarray, top: np.ndarray) -> np.ndarray:
    # Four spare cells on y and z: two behind one row and two before the next.
    return (coords[:, 0] * (top[1] + 5) + coords[:, 1]) * (top[2] + 5) + coords[:, 2]


def _adjacent(coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of cells, each once, at most two steps apart on every axis; ``coords`` in order of their keys."""
    top = coords.max(0)
    keys = _keys(coords, top)
    step_x, step_y = (top[1] + 5) * (top[2] + 5), top[2] + 5
    own = np.arange(len(keys))
    firsts, seconds = [], []
    for dx, dy in product(range(3), range(-2, 3)):
        if (dx, dy) < (0, 0):
            continue
        middle = keys + dx * step_x + dy * step_y
        low = own + 1 if (dx, dy) == (0, 0) else np.searchsorted(keys, middle - 2)
        sizes = np.searchsorted(keys, middle + 2, side="right") - low
        firsts.append(np.repeat(own, sizes))
        within = np.arange(len(firsts[-1])) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        seconds.append(np.repeat(low, sizes) + within)
    return np.concatenate(firsts), np.concatenate(seconds)


def _all_pairs(rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Every place of tables of ``rows`` x ``columns`` entries: table, row, column; a number of tables at a time."""
    ends = np.cumsum(rows * columns)
    low = done = 0
    while low < len(rows):
        high = max(low + 1, int(np.searchsorted(ends, done + _PAIRS, side="right")))
        table = np.repeat(np.arange(low, high), (rows * columns)[low:high])
        place = np.arange(len(table)) + done - (ends - rows * columns)[table]
        yield table, place // columns[table], place % columns[table]
        low, done = high, int(ends[high - 1])


def _joined(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1]
