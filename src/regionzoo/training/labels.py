"""Label modes: what a point's class becomes in training and in evaluation (reference: data section 3)."""

from __future__ import annotations

import numpy as np

from regionzoo.classes import IGNORE, class_set
from regionzoo.models.settings import Partition
from regionzoo.settings.train import Classes


def partition_of(classes: Classes) -> Partition:
    """Positions of the classes by role; without annotation every class that is not ignored is "novel"."""
    names = class_set(classes.set)
    out = tuple(sorted(names.index(name) for name in classes.ignore))
    new = tuple(sorted(names.index(name) for name in classes.novel))
    rest = tuple(c for c in range(len(names.names)) if c not in out and c not in new)
    if not classes.annotated:
        return Partition(base_idx=(), novel_idx=rest, ignore_idx=out)
    return Partition(base_idx=rest, novel_idx=new, ignore_idx=out)


def annotation(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """Labels of a scene as the training sees them: with ``unlabelled_as``, unlabelled points count as that class.

    labels: integer [N], -100 unlabelled. The original's look-up has 256 entries and -100 reads entry 156, which is a
    class of ScanNet200 (reference: data section 2.3).
    """
    if classes.unlabelled_as is None:
        return labels
    return np.where(labels == IGNORE, class_set(classes.set).index(classes.unlabelled_as), labels)


def _look_up(values: dict[int, float], n_classes: int, labels: np.ndarray, dtype: type) -> np.ndarray:
    # One extra last entry, so that -100 and any other stray label reads "ignore" instead of wrapping into a class.
    table = np.full(n_classes + 1, IGNORE, dtype)
    for label, value in values.items():
        table[label] = value
    known = (labels >= 0) & (labels < n_classes)
    return table[np.where(known, labels, n_classes)]


def training_labels(labels: np.ndarray, partition: Partition) -> np.ndarray:
    """int16 [N]: training column of each point (base classes, or all valid ones without base split); else -100."""
    values = {c: k for k, c in enumerate(partition.train_columns)}
    return _look_up(values, partition.num_classes, labels, np.int16)


def evaluation_labels(labels: np.ndarray, partition: Partition) -> np.ndarray:
    """int64 [N]: the class itself, -100 for ignored classes and unlabelled points."""
    values = {c: c for c in range(partition.num_classes) if c not in partition.ignore_idx}
    return _look_up(values, partition.num_classes, labels, np.int64)


def binary_labels(labels: np.ndarray, partition: Partition) -> np.ndarray:
    """int8 [N]: base 1, novel and ignored classes 0, unlabelled -100."""
    values = dict(enumerate(partition.binary_labels()))
    return _look_up(values, partition.num_classes, labels, np.int8)
