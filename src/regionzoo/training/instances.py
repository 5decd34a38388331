"""What an instance head is to find in a training item (reference: instance section 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.classes import IGNORE


@dataclass(frozen=True)
class ItemInstances:
    """I instances among the n points of an item.

    labels: int64 [n], 0..I-1, -100 for none. classes: int64 [I], training column of each instance's first point.
    offsets: float32 [n, 3], from each point to its instance's centroid (0 where there is none).
    """

    labels: np.ndarray
    classes: np.ndarray
    offsets: np.ndarray


def item_instances(ids: np.ndarray, labels: np.ndarray, binary: np.ndarray, points: np.ndarray) -> ItemInstances:
    """Instances of base classes, numbered without gaps.

    ids: integer [n], instance of each point, negative for none. labels: integer [n] training labels, binary: [n]:
    points that are ignored there, or are not of a base class, belong to no instance. points: float32 [n, 3], as the
    network sees them; the centroids are those of the points that are left.
    """
    inside = (ids >= 0) & (labels >= 0) & (binary == 1)
    found, first, member = np.unique(ids[inside], return_index=True, return_inverse=True)
    numbers = np.full(len(ids), IGNORE, np.int64)
    numbers[inside] = member
    sums = np.zeros((len(found), 3))
    np.add.at(sums, member, points[inside].astype(np.float64))
    centroids = sums / np.maximum(np.bincount(member, minlength=len(found)), 1)[:, None]
    offsets = np.zeros((len(ids), 3), np.float32)
    offsets[inside] = centroids[member] - points[inside]
    return ItemInstances(numbers, labels[inside][first].astype(np.int64), offsets)
