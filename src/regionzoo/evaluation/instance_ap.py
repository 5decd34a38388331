"""Average precision of predicted instances (ScanNet's evaluate_semantic_instance.py; reference: instance section 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regionzoo.evaluation.instance_matches import Matches
from regionzoo.evaluation.instance_protocols import InstanceProtocol

THRESHOLDS = np.append(np.arange(0.5, 0.95, 0.05), 0.25)
"""IoU above which a prediction is right: nine for "AP" (the half-open range leaves 0.95 out), and 0.25."""

# Columns of THRESHOLDS that each figure is a mean of.
FIGURES = {"AP": slice(0, 9), "AP50": slice(0, 1), "AP25": slice(9, 10)}


@dataclass(frozen=True)
class InstanceScores:
    """Scores as fractions.

    classes: positions. by_class: figure ("AP", "AP50", "AP25") -> float64 [classes], NaN for a class without true
    instance. truths, predictions: int64 [classes], how many count. summary: named means.
    """

    classes: tuple[int, ...]
    by_class: dict[str, np.ndarray]
    truths: np.ndarray
    predictions: np.ndarray
    summary: dict[str, float]


def instance_scores(
    matches: Matches, base: Sequence[int], novel: Sequence[int], protocol: InstanceProtocol
) -> InstanceScores:
    """Scores of a data set under a protocol. base, novel: positions of the classes that have instances.

    summary: each figure over all classes, its ``_base`` and ``_novel`` means and ``h...``, their harmonic mean. Classes
    without true instance are left out of the means; a mean of none is 0.
    """
    classes = tuple(sorted([*base, *novel]))
    leave = protocol.no_proposals == "skipped"
    table = np.array([class_precision(matches, c, protocol.min_points, leave) for c in classes])
    by_class = {name: table[:, columns].mean(axis=1) for name, columns in FIGURES.items()}
    summary: dict[str, float] = {}
    for name, values in by_class.items():
        b, n = (_mean(values[np.isin(classes, side)]) for side in (base, novel))
        summary |= {f"h{name}": 2 * b * n / (b + n + 1e-9), f"{name}_base": b, f"{name}_novel": n, name: _mean(values)}
    counted = [_counted(matches, c, protocol.min_points, leave) for c in classes]
    return InstanceScores(
        classes,
        by_class,
        np.array([len(true) for true, _ in counted], np.int64),
        np.array([len(predictions) for _, predictions in counted], np.int64),
        summary,
    )


def class_precision(
    matches: Matches,
    label: int,
    min_points: int,
    leave_unproposed: bool,
    thresholds: np.ndarray = THRESHOLDS,
) -> np.ndarray:
    """float64 [thresholds]: average precision of one class, NaN if it has no true instance that counts.

    min_points: smaller predictions are dropped, smaller true instances are neither found nor missed.
    leave_unproposed: what is in scenes without proposals is not missed.
    """
    true, predictions = _counted(matches, label, min_points, leave_unproposed)
    if not len(true):
        return np.full(len(thresholds), np.nan)
    if not len(predictions):
        return np.zeros(len(thresholds))
    # Positions among the predictions that count; the last entry stands for all others.
    place = np.full(len(matches.label), -1)
    place[predictions] = np.arange(len(predictions))
    chosen = (matches.true_label[matches.pair_true] == label) & (place[matches.pair_prediction] >= 0)
    pair_true, pair_points = matches.pair_true[chosen], matches.pair_points[chosen].astype(np.int64)
    pair = place[matches.pair_prediction[chosen]]
    score, size = matches.score[predictions].astype(np.float64), matches.size[predictions].astype(np.int64)
    iou = pair_points / (matches.true_size[pair_true] + size[pair] - pair_points)
    large = matches.true_size[pair_true] >= min_points
    # Who lies on void and on instances too small to count is no false positive.
    excused = matches.void[predictions] + np.bincount(pair[~large], pair_points[~large], minlength=len(predictions))
    return np.array(
        [_at(t, pair_true, pair, iou, large, score, excused / size, len(true)) for t in thresholds.tolist()]
    )


def _counted(matches: Matches, label: int, min_points: int, leave_unproposed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the true instances and of the predictions of a class that count."""
    true = (matches.true_label == label) & (matches.true_size >= min_points)
    if leave_unproposed:
        true &= ~matches.true_unproposed
    return np.flatnonzero(true), np.flatnonzero((matches.label == label) & (matches.size >= min_points))


def _at(
    threshold: float,
    pair_true: np.ndarray,
    pair: np.ndarray,
    iou: np.ndarray,
    large: np.ndarray,
    score: np.ndarray,
    excused: np.ndarray,
    n_true: int,
) -> float:
    above = iou > threshold
    claims = np.flatnonzero(above & large)
    claims = claims[_claims(pair_true[claims], pair[claims])]
    # Of those that claim an instance the highest score is right and the others are wrong.
    claims = claims[np.lexsort((score[pair[claims]], pair_true[claims]))]
    owner = pair_true[claims]
    best = np.append(owner[1:] != owner[:-1], True)[: len(owner)]
    found = np.zeros(len(score), bool)
    found[pair[above]] = True
    wrong = score[~found & (excused <= threshold)]
    return area(
        np.concatenate([score[pair[claims]], wrong]),
        np.concatenate([best, np.zeros(len(wrong), bool)]),
        n_true - int(best.sum()),
    )


def _claims(true: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """bool [pairs]: which predictions claim an instance, pairs in the order in which the original goes through them.

    The first to claim an instance is taken from then on. A taken prediction claims no other instance, which can only
    happen below an IoU of a half, where a prediction may be above the threshold with two instances.
    """
    kept = np.ones(len(true), bool)
    if len(np.unique(prediction)) == len(prediction):
        return kept
    taken: set[int] = set()
    claimed: set[int] = set()
    for k, (t, p) in enumerate(zip(true.tolist(), prediction.tolist(), strict=True)):
        if p in taken:
            kept[k] = False
        elif t not in claimed:
            claimed.add(t)
            taken.add(p)
    return kept


def area(score: np.ndarray, right: np.ndarray, missed: int) -> float:
    """Area under precision over recall.

    score: float64 [n] of the predictions that are ``right`` (bool [n]) or wrong. missed: true instances without
    prediction. There must be a true instance: a right prediction or a missed one.
    """
    order = np.argsort(score, kind="stable")
    _, first = np.unique(score[order], return_index=True)
    below = np.append(0, np.cumsum(right[order]))[first]
    hits = right.sum() - below
    precision = np.append(hits / (len(score) - first), 1.0)
    recall = np.append(hits / (right.sum() + missed), 0.0)
    # Each point stands for half of the way to both its neighbours.
    padded = np.concatenate([recall[:1], recall, [0.0]])
    return float(precision @ ((padded[:-2] - padded[2:]) / 2))


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else 0.0
