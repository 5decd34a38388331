"""Semantic scores from the counts of a whole data set (reference: training and evaluation, section 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.classes import ClassSet
from regionzoo.evaluation.protocols import Protocol
from regionzoo.models.settings import Partition


@dataclass(frozen=True)
class SemanticScores:
    """Scores as fractions. iou, accuracy: float64 [classes], NaN where the protocol leaves an absent class out.
    points: int64 [classes], ground truth. summary: named means."""

    iou: np.ndarray
    accuracy: np.ndarray
    points: np.ndarray
    summary: dict[str, float]


def ground_truth(pairs: np.ndarray, roles: Partition, classes: ClassSet, protocol: Protocol) -> np.ndarray:
    """int64 [C, columns] from counts [C + 1, columns]: rows of the ground truth that a protocol looks at."""
    kept = pairs[:-1].copy()
    # In this order: an unlabelled point that counts as an excluded class is excluded.
    if protocol.unlabelled != "ignore":
        kept[classes.index(protocol.unlabelled)] += pairs[-1]
    if protocol.excluded_truth == "skipped":
        kept[list(protocol.excluded_classes(roles, classes))] = 0
    return kept


def semantic_scores(pairs: np.ndarray, roles: Partition, classes: ClassSet, protocol: Protocol) -> SemanticScores:
    """Scores under a protocol of counts int64 [C + 1, C], whose last row is points without ground truth.

    IoU_c = I/(P + T - I + 1e-10), Acc_c = I/(T + 1e-10) with I, T, P summed over the whole data set.
    """
    matrix = ground_truth(pairs, roles, classes, protocol)
    hit = np.diag(matrix).astype(np.float64)
    truth = matrix.sum(axis=1).astype(np.float64)
    said = matrix.sum(axis=0).astype(np.float64)
    iou = hit / (said + truth - hit + 1e-10)
    accuracy = hit / (truth + 1e-10)
    if protocol.absent == "nan":
        iou = np.where(truth + said == 0, np.nan, iou)
        accuracy = np.where(truth == 0, np.nan, accuracy)
    summary = {
        "allAcc": float(hit.sum() / max(truth.sum(), 1.0)),
        "allPre": float(hit.sum() / max(said.sum(), 1.0)),
    }
    means = protocol.averaged(roles, classes)
    for short, values in (("IoU", iou), ("Acc", accuracy)):
        if protocol.kind == "mean":
            summary[f"m{short}"] = _mean(values, means["all"])
            continue
        base, novel = means["base"], means["novel"]
        b, n = _mean(values, base), _mean(values, novel)
        summary[f"m{short}_base"], summary[f"m{short}_novel"] = b, n
        summary[f"h{short}"] = 2 * b * n / (b + n + 1e-9)
        summary[f"m{short}"] = (b * len(base) + n * len(novel)) / max(len(base) + len(novel), 1)
    return SemanticScores(iou, accuracy, truth.astype(np.int64), summary)


def binary_scores(binary: np.ndarray, roles: Partition, classes: ClassSet, protocol: Protocol) -> dict[str, float]:
    """How often the binary head is right, as fractions: over all points, and as mean of both sides; empty without any.

    binary: int64 [C + 1, 2], columns: the head says novel, base. Points of classes that the row ignores are "novel", as
    in training; they count here even where the protocol skips them.
    """
    kept = binary[:-1].copy()
    if protocol.unlabelled != "ignore":
        kept[classes.index(protocol.unlabelled)] += binary[-1]
    is_base = np.zeros(len(kept), bool)
    is_base[list(roles.base_idx)] = True
    truth = np.array([kept[~is_base].sum(), kept[is_base].sum()])
    hit = np.array([kept[~is_base, 0].sum(), kept[is_base, 1].sum()])
    if not truth.sum():
        return {}
    return {
        "binary_allAcc": float(hit.sum() / truth.sum()),
        "binary_mAcc": float(np.mean(hit / np.maximum(truth, 1))),
    }


def _mean(values: np.ndarray, classes: tuple[int, ...]) -> float:
    chosen = values[list(classes)]
    chosen = chosen[~np.isnan(chosen)]
    return float(chosen.mean()) if len(chosen) else 0.0
