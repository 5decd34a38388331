"""How much predicted and true instances of a class overlap: all that instance scores need of a scene.

What is kept of a scene is a few numbers a prediction, so a data set is gone through scene by scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from regionzoo.evaluation.run_length import Masks

POINTS_AT_ONCE = 1 << 22
"""Mask points that are held as ids at a time (32 MiB)."""


@dataclass(frozen=True)
class InstanceTruth:
    """G true instances among N points.

    of_point: int64 [N], instance of each point, G for none ("void"). label: int64 [G], class position; instances are
    ordered by class, then id.
    """

    of_point: np.ndarray
    label: np.ndarray


def instance_truth(labels: np.ndarray, instance: np.ndarray, classes: Sequence[int]) -> InstanceTruth:
    """True instances: the points of an instance id that share a label among ``classes``.

    labels: integer [N], class positions, -100 unlabelled. instance: integer [N], negative for none
    (:func:`regionzoo.scenes.instances.instance_ids`). Everything else is void: other classes, points without instance.
    """
    thing = np.isin(labels, classes) & (instance >= 0)
    stride = int(instance.max(initial=0)) + 1
    codes = labels[thing].astype(np.int64) * stride + instance[thing]
    found, inverse = np.unique(codes, return_inverse=True)
    of_point = np.full(len(labels), len(found), np.int64)
    of_point[thing] = inverse
    return InstanceTruth(of_point, found // stride)


@dataclass(frozen=True)
class Matches:
    """P predictions, G true instances and the pairs of one class that share points, of any number of scenes.

    label, score, size, void: [P], class position, confidence, number of points, and of those without true instance.
    true_label, true_size: [G]. true_unproposed: bool [G], in a scene without proposals. pair_true, pair_prediction,
    pair_points: [pairs], positions in the lists and number of shared points, ordered by true instance, then prediction,
    within each class of a scene.
    scenes, unproposed: scenes in all, and those without proposals.
    """

    label: np.ndarray
    score: np.ndarray
    size: np.ndarray
    void: np.ndarray
    true_label: np.ndarray
    true_size: np.ndarray
    true_unproposed: np.ndarray
    pair_true: np.ndarray
    pair_prediction: np.ndarray
    pair_points: np.ndarray
    scenes: int = 1
    unproposed: int = 0

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several as one, positions renumbered; ``ValueError`` for none."""
        if not parts:
            raise ValueError("no scene to score")
        first = {"pair_true": 0, "pair_prediction": 0}
        columns: dict[str, list[np.ndarray]] = {field.name: [] for field in fields(cls)}
        for part in parts:
            for name, column in columns.items():
                values = getattr(part, name)
                # int64 from here on: the number of all predictions need not fit the few bytes of a scene's.
                column.append(values.astype(np.int64) + first[name] if name in first else values)
            first["pair_true"] += len(part.true_label)
            first["pair_prediction"] += len(part.label)
        counts = {name: int(sum(columns.pop(name))) for name in ("scenes", "unproposed")}
        return cls(**{name: np.concatenate(column) for name, column in columns.items()}, **counts)


def overlaps(masks: Masks, of_point: np.ndarray, columns: int) -> np.ndarray:
    """int64 [M, columns]: points of each mask by the value 0..columns-1 of ``of_point``, int [N]."""
    table = np.zeros((len(masks), columns), np.int64)
    ends = masks.sizes().cumsum()
    first = 0
    while first < len(masks):
        before = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, before + POINTS_AT_ONCE, side="right")), first + 1)
        offsets, ids = masks.ids(first, last)
        cells = np.repeat(np.arange(last - first) * columns, np.diff(offsets)) + of_point[ids]
        table[first:last] = np.bincount(cells, minlength=(last - first) * columns).reshape(-1, columns)
        first = last
    return table


def scene_matches(
    truth: InstanceTruth,
    masks: Masks,
    mask: np.ndarray,
    label: np.ndarray,
    score: np.ndarray,
    no_proposals: bool = False,
) -> Matches:
    """Overlaps of one scene. mask, label, score: of each prediction, as in
    :class:`regionzoo.evaluation.instance_store.InstancePredictions`; ``ValueError`` if the points differ in number."""
    if masks.points != len(truth.of_point):
        raise ValueError(f"masks over {masks.points} points, the scene has {len(truth.of_point)}")
    mask = np.asarray(mask, np.int64)  # an empty list is an array of floats
    n = len(truth.label)
    table = overlaps(masks, truth.of_point, n + 1)
    true_size = np.bincount(truth.of_point, minlength=n + 1)[:n]
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for c in np.intersect1d(label, truth.label):
        predictions, instances = np.flatnonzero(label == c), np.flatnonzero(truth.label == c)
        shared = table[np.ix_(mask[predictions], instances)].T
        i, p = np.nonzero(shared)
        pairs.append((instances[i], predictions[p], shared[i, p]))
    joined = [np.concatenate(column) for column in zip(*pairs, strict=True)] if pairs else [np.zeros(0, np.int64)] * 3
    size = table.sum(axis=1)
    return Matches(
        label=label.astype(np.int16),
        score=score.astype(np.float32),
        size=size[mask].astype(np.int32),
        void=table[mask, n].astype(np.int32),
        true_label=truth.label.astype(np.int16),
        true_size=true_size.astype(np.int32),
        true_unproposed=np.full(n, no_proposals),
        pair_true=joined[0].astype(np.int32),
        pair_prediction=joined[1].astype(np.int32),
        pair_points=joined[2].astype(np.int32),
        unproposed=int(no_proposals),
    )
