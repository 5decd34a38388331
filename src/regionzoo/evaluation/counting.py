"""One pass over the validation scenes: how often each ground-truth class got each prediction, for every variant.

Points without ground truth have a row of their own, so that every protocol follows from the same counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regionzoo.classes import class_set
from regionzoo.errors import SceneError
from regionzoo.evaluation.predictions import REBUILD, SUFFIX, Variant, load_predictions
from regionzoo.progress import Meter
from regionzoo.scenes.store import load_truth


@dataclass(frozen=True)
class Counts:
    """Sums over the validation set, C classes.

    pairs: for each variant int64 [C + 1, C], rows ground truth (the last: unlabelled), columns prediction.
    binary: int64 [C + 1, 2], columns: the binary head says novel, base; None without one. scenes, points: what went in.
    """

    pairs: dict[Variant, np.ndarray]
    binary: np.ndarray | None
    scenes: int
    points: int


def count_pairs(truth: np.ndarray, predicted: np.ndarray, classes: int, columns: int) -> np.ndarray:
    """int64 [classes + 1, columns]: how many points have each ground truth and prediction.

    truth: integer [N]; what is outside 0..classes-1 counts in the last row. predicted: integer [N]; ``ValueError`` if
    one is outside 0..columns-1.
    """
    if len(predicted) and (predicted.min() < 0 or predicted.max() >= columns):
        raise ValueError(f"prediction {predicted.min()}..{predicted.max()} outside 0..{columns - 1}")
    row = np.where((truth >= 0) & (truth < classes), truth, classes).astype(np.int64)
    cells = (classes + 1) * columns
    return np.bincount(row * columns + predicted, minlength=cells).reshape(classes + 1, columns)


def count(
    predictions: Path,
    sha256: Mapping[str, str],
    scenes: Path,
    scene_ids: Sequence[str],
    name: str,
    variants: Sequence[Variant],
    title: str,
) -> Counts:
    """Count the scenes one by one.

    predictions: folder; sha256: of its files by name, as its manifest has them. name: the class set. variants: those
    that are needed. Raises :class:`regionzoo.errors.SceneError` for a missing, damaged or misplaced file.
    """
    n = len(class_set(name).names)
    pairs = {variant: np.zeros((n + 1, n), np.int64) for variant in variants}
    binary: np.ndarray | None = None
    points = 0
    with Meter(title, len(scene_ids)) as meter:
        for done, scene_id in enumerate(scene_ids, 1):
            identity, truth = load_truth(scenes / f"{scene_id}{SUFFIX}", name)
            file = f"{scene_id}{SUFFIX}"
            if file not in sha256:
                raise SceneError(scene_id, predictions, f"its manifest has no predictions for this scene; {REBUILD}")
            found = load_predictions(predictions / file, identity, len(truth), sha256[file])
            if found.class_set != name:
                raise SceneError(scene_id, predictions / file, f"predicts {found.class_set}, not {name}; {REBUILD}")
            for variant in variants:
                pairs[variant] += count_pairs(truth, found.labels[variant], n, n)
            if found.is_base is not None:
                counted = count_pairs(truth, found.is_base, n, 2)
                binary = counted if binary is None else binary + counted
            points += len(truth)
            meter.update(done)
    return Counts(pairs, binary, len(scene_ids), points)
