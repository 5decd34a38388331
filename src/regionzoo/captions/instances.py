"""Objects in the annotation images of ``scannet_frames_25k``: areas and boxes from horizontal runs of equal pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from regionzoo.captions.captioner import Box

INSTANCE_BASE = 1000
"""The instance image holds NYU40 id * 1000 + running number."""

COLOR_STEP = 4
"""Mean colours are taken from every fourth row and column: that tells a colour word just as well."""


@dataclass(frozen=True, eq=False)
class Instances:
    """The objects of an image that are large enough and wanted.

    label: uint8 [H, W], NYU40 id or 0. instance: uint16 [H, W], NYU40 id * 1000 + number, or 0. An object is known by
    its key, the value of the instance image; where an annotation has a class but no instance, the pixels of that class
    are one object with key NYU40 id * 1000. keys: those with at least ``min_pixels`` pixels whose id passes ``wanted``,
    ascending.

    numbers, rows, starts, stops: int64 [R], the horizontal runs of equal pixels, top left first: position of the run's
    key in ``keys`` (len(keys) for any other), row, first column, column after the last. They are some ten thousand
    where the image has a million pixels, and as exact.
    """

    label: np.ndarray
    instance: np.ndarray
    min_pixels: int
    keys: tuple[int, ...]
    numbers: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    @classmethod
    def find(cls, label: np.ndarray, instance: np.ndarray, min_pixels: int, wanted: Callable[[int], bool]) -> Instances:
        """Read two images of one size."""
        width = instance.shape[1]
        border = np.ones(instance.shape, bool)
        np.not_equal(instance[:, 1:], instance[:, :-1], out=border[:, 1:])
        border[:, 1:] |= label[:, 1:] != label[:, :-1]
        first = np.flatnonzero(border)
        rows, starts = np.divmod(first, width)
        lengths = np.diff(first, append=instance.size)
        runs = _keys(label.ravel()[first], instance.ravel()[first])
        # Sums of whole numbers below 2**53: exact in float64, which bincount adds in.
        areas = np.bincount(runs, weights=lengths)
        keys = [int(key) for key in np.flatnonzero(areas >= min_pixels) if wanted(int(key) // INSTANCE_BASE)]
        positions = np.full(len(areas), len(keys))
        positions[keys] = np.arange(len(keys))
        return cls(label, instance, min_pixels, tuple(keys), positions[runs], rows, starts, starts + lengths)

    @cached_property
    def boxes(self) -> list[Box]:
        """The tight box of each key."""
        boxes = []
        for number in range(len(self.keys)):
            mine = np.flatnonzero(self.numbers == number)
            top, bottom = self.rows[mine[0]], self.rows[mine[-1]] + 1
            boxes.append((float(self.starts[mine].min()), float(top), float(self.stops[mine].max()), float(bottom)))
        return boxes

    def areas_inside(self, box: Box) -> dict[int, int]:
        """Key -> pixels inside a box of whole numbers, for the keys with at least ``min_pixels`` of them there."""
        x_min, y_min, x_max, y_max = box
        here = slice(*np.searchsorted(self.rows, (y_min, y_max)))
        common = np.minimum(self.stops[here], x_max) - np.maximum(self.starts[here], x_min)
        areas = np.bincount(self.numbers[here], weights=np.maximum(common, 0), minlength=len(self.keys))
        # The last sum is that of all other pixels, if there are any.
        known = zip(self.keys, areas[: len(self.keys)], strict=True)
        return {key: int(area) for key, area in known if area >= self.min_pixels}

    def mean_color(self, key: int, color: np.ndarray, box: Box) -> tuple[float, float, float]:
        """Mean of ``color`` (uint8 [H, W, 3]) over an object's pixels inside a box of whole numbers that has some."""
        x_min, y_min, x_max, y_max = map(int, box)
        # A very thin object may slip through the grid.
        for step in (COLOR_STEP, 1):
            grid = np.s_[y_min:y_max:step, x_min:x_max:step]
            mask = _keys(self.label[grid], self.instance[grid]) == key
            if mask.any():
                break
        red, green, blue = color[grid][mask].mean(axis=0)
        return float(red), float(green), float(blue)


def _keys(label: np.ndarray, instance: np.ndarray) -> np.ndarray:
    return np.where(instance == 0, label.astype(np.int32) * INSTANCE_BASE, instance.astype(np.int32))
