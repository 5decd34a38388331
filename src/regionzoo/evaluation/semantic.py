"""Semantic scores from one global confusion matrix (reference evaluator; `training_eval` section 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.evaluation.protocols import Protocol


def confusion(target: np.ndarray, predicted: np.ndarray, n_classes: int, ignore: int) -> np.ndarray:
    """int64 [n_classes, n_classes]: rows ground truth, columns prediction, over points whose target is not ``ignore``.

    target, predicted: integer [N]. Raises ``ValueError`` if a kept target or prediction is outside 0..n_classes-1.
    """
    keep = target != ignore
    target, predicted = target[keep].astype(np.int64), predicted[keep].astype(np.int64)
    for name, values in (("target", target), ("prediction", predicted)):
        if len(values) and (values.min() < 0 or values.max() >= n_classes):
            raise ValueError(f"{name} {values.min()}..{values.max()} outside 0..{n_classes - 1}")
    return np.bincount(target * n_classes + predicted, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


@dataclass(frozen=True)
class SemanticScores:
    """Scores as fractions. ``iou`` and ``accuracy``: float64 [n_classes]; ``summary``: named means."""

    iou: np.ndarray
    accuracy: np.ndarray
    points: np.ndarray
    summary: dict[str, float]


def semantic_scores(
    matrix: np.ndarray,
    base: tuple[int, ...],
    novel: tuple[int, ...],
    train_only: tuple[int, ...],
    protocol: Protocol,
) -> SemanticScores:
    """Scores of a confusion matrix under a protocol.

    ``base`` and ``novel`` are class positions; for kind "valid", the valid classes are given as ``base``.
    IoU_c = I/(P + T - I + 1e-10), Acc_c = I/(T + 1e-10) with I, T, P summed over the whole data set.
    """
    hit = np.diag(matrix).astype(np.float64)
    truth = matrix.sum(axis=1).astype(np.float64)
    said = matrix.sum(axis=0).astype(np.float64)
    iou = hit / (said + truth - hit + 1e-10)
    accuracy = hit / (truth + 1e-10)
    absent = (truth + said) == 0
    if protocol.absent == "nan":
        iou = np.where(absent, np.nan, iou)
        accuracy = np.where(truth == 0, np.nan, accuracy)
    if protocol.train_only == "exclude":
        base = tuple(c for c in base if c not in train_only)
        novel = tuple(c for c in novel if c not in train_only)
    summary = {
        "allAcc": float(hit.sum() / max(truth.sum(), 1.0)),
        "allPre": float(hit.sum() / max(said.sum(), 1.0)),
    }
    if protocol.kind == "valid":
        summary |= {"mIoU": _mean(iou, base), "mAcc": _mean(accuracy, base)}
        return SemanticScores(iou, accuracy, truth.astype(np.int64), summary)
    for short, values in (("IoU", iou), ("Acc", accuracy)):
        b, n = _mean(values, base), _mean(values, novel)
        summary[f"m{short}_base"], summary[f"m{short}_novel"] = b, n
        summary[f"h{short}"] = 2 * b * n / (b + n + 1e-9)
        summary[f"m{short}"] = (b * len(base) + n * len(novel)) / max(len(base) + len(novel), 1)
    return SemanticScores(iou, accuracy, truth.astype(np.int64), summary)


def _mean(values: np.ndarray, classes: tuple[int, ...]) -> float:
    chosen = values[list(classes)]
    chosen = chosen[~np.isnan(chosen)]
    return float(chosen.mean()) if len(chosen) else 0.0
