"""Label modes: what a point's class becomes in training and in evaluation (reference: data section 3)."""

from __future__ import annotations

import numpy as np

from regionzoo.classes import IGNORE_INDOOR, ClassSet
from regionzoo.models.settings import Partition


def base_partition(classes: ClassSet, novel: tuple[str, ...], ignore: tuple[str, ...]) -> Partition:
    """The partition with the given novel and ignored classes; all others are base."""
    out = tuple(sorted(classes.index(name) for name in ignore))
    new = tuple(sorted(classes.index(name) for name in novel))
    base = tuple(c for c in range(len(classes.names)) if c not in out and c not in new)
    return Partition(base_idx=base, novel_idx=new, ignore_idx=out)


def _look_up(values: dict[int, float], n_classes: int, labels: np.ndarray, dtype: type) -> np.ndarray:
    # One extra last entry, so that -100 and any other stray label reads "ignore" instead of wrapping into a class.
    table = np.full(n_classes + 1, IGNORE_INDOOR, dtype)
    for label, value in values.items():
        table[label] = value
    known = (labels >= 0) & (labels < n_classes)
    return table[np.where(known, labels, n_classes)]


def training_labels(labels: np.ndarray, partition: Partition) -> np.ndarray:
    """int64 [N]: training column of each point (base classes, or all valid ones without base split); else -100."""
    values = {c: k for k, c in enumerate(partition.train_columns)}
    return _look_up(values, partition.num_classes, labels, np.int64)


def evaluation_labels(labels: np.ndarray, partition: Partition) -> np.ndarray:
    """int64 [N]: the class itself, -100 for ignored classes and unlabelled points."""
    values = {c: c for c in range(partition.num_classes) if c not in partition.ignore_idx}
    return _look_up(values, partition.num_classes, labels, np.int64)


def binary_labels(labels: np.ndarray, partition: Partition) -> np.ndarray:
    """float32 [N]: base 1, novel and ignored classes 0, unlabelled -100; all 1 without base split."""
    if not partition.base_idx:
        return np.ones(len(labels), np.float32)
    values = dict(enumerate(partition.binary_labels()))
    return _look_up(values, partition.num_classes, labels, np.float32)
