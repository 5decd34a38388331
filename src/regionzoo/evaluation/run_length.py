"""Masks of points as runs: a run is a stretch of neighbouring point ids. No mask is ever held point by point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Masks:
    """M masks over the same ``points`` points (CSR).

    offsets: int32 [M + 1]; mask m has the runs ``offsets[m]:offsets[m + 1]``. starts, lengths: int32 [runs], first
    point id (from 0) and number of points of each run. The runs of a mask ascend and do not touch, so that equal masks
    are equal arrays.
    """

    offsets: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    points: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(cls, ids: Sequence[np.ndarray], points: int) -> Self:
        """Masks of integer id arrays; as :meth:`of_csr`."""
        sizes = np.array([len(each) for each in ids], np.int64)
        joined = np.concatenate([np.asarray(each, np.int64) for each in ids]) if len(ids) else np.zeros(0, np.int64)
        return cls.of_csr(np.append(0, sizes.cumsum()), joined, points)

    @classmethod
    def of_csr(cls, offsets: np.ndarray, ids: np.ndarray, points: int) -> Self:
        """Masks whose mask m has the point ids ``ids[offsets[m]:offsets[m + 1]]``.

        ``ValueError`` unless they ascend strictly within each mask and lie in 0..points-1.
        """
        offsets, ids = np.asarray(offsets, np.int64), np.asarray(ids, np.int64)
        if len(ids) and (ids.min() < 0 or ids.max() >= points):
            raise ValueError(f"point ids {ids.min()}..{ids.max()} outside 0..{points - 1}")
        first = np.zeros(len(ids) + 1, bool)
        first[offsets] = True
        steps = np.diff(ids, prepend=-1)
        if (steps[~first[:-1]] <= 0).any():
            raise ValueError("point ids must ascend strictly within a mask")
        breaks = np.flatnonzero(first[:-1] | (steps != 1))
        lengths = np.diff(np.append(breaks, len(ids)))
        runs = np.searchsorted(breaks, offsets).astype(np.int32)
        return cls(runs, ids[breaks].astype(np.int32), lengths.astype(np.int32), points)

    def sizes(self) -> np.ndarray:
        """int64 [M]: number of points of each mask."""
        total = np.append(0, self.lengths.cumsum(dtype=np.int64))
        return np.diff(total[self.offsets])

    def ids(self, first: int = 0, last: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Offsets int64 [last - first + 1] and the point ids, int64, of the masks ``first:last``, one after another."""
        runs = self.offsets[first : (len(self) if last is None else last) + 1]
        starts, lengths = (values[runs[0] : runs[-1]].astype(np.int64) for values in (self.starts, self.lengths))
        ends = lengths.cumsum()
        ids = np.repeat(starts - (ends - lengths), lengths) + np.arange(lengths.sum())
        return np.append(0, ends)[runs - runs[0]], ids

    def mask(self, m: int) -> np.ndarray:
        """bool [points] of one mask."""
        out = np.zeros(self.points, bool)
        out[self.ids(m, m + 1)[1]] = True
        return out

    def problem(self) -> str | None:
        """Why these arrays are no masks; None if they are."""
        offsets, starts, lengths = (values.astype(np.int64) for values in (self.offsets, self.starts, self.lengths))
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(starts) or (np.diff(offsets) < 0).any():
            return "offsets of masks do not fit their runs"
        if len(starts) != len(lengths):
            return f"{len(starts)} starts and {len(lengths)} lengths of runs"
        if len(starts) and (starts.min() < 0 or lengths.min() < 1 or (starts + lengths).max() > self.points):
            return f"runs outside of 0..{self.points - 1}"
        touching = starts[1:] <= (starts + lengths)[:-1]
        touching[offsets[1:-1][(offsets[1:-1] > 0) & (offsets[1:-1] < len(starts))] - 1] = False
        return "runs of a mask touch or do not ascend" if touching.any() else None


def counts_text(masks: Masks, m: int) -> str:
    """One mask as the original writes it: starts, counted from 1, and lengths in turn, joined by spaces."""
    part = slice(masks.offsets[m], masks.offsets[m + 1])
    return " ".join(map(str, np.stack([masks.starts[part] + 1, masks.lengths[part]], axis=1).ravel().tolist()))


def masks_of_counts(texts: Sequence[str], points: int) -> Masks:
    """Masks from the original's texts; ``ValueError`` if one is not such a text."""
    values = [np.array(text.split(), np.int64) for text in texts]
    if any(len(each) % 2 for each in values):
        raise ValueError("a mask's text must have pairs of a start and a length")
    offsets = np.append(0, np.cumsum([len(each) // 2 for each in values], dtype=np.int64)).astype(np.int32)
    pairs = (np.concatenate(values) if values else np.zeros(0, np.int64)).reshape(-1, 2)
    masks = Masks(offsets, (pairs[:, 0] - 1).astype(np.int32), pairs[:, 1].astype(np.int32), points)
    if problem := masks.problem():
        raise ValueError(problem)
    return masks
