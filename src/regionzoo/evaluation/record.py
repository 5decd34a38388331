"""How numbers are written down: percent, the table of classes, a line of `dvc metrics show`."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from regionzoo.classes import ClassSet
from regionzoo.evaluation.notes import note
from regionzoo.evaluation.semantic import SemanticScores
from regionzoo.models.settings import Partition

FORMAT_VERSION = 1


def percent(value: float) -> float:
    """A fraction as percent with two decimals, as tables print it."""
    return round(100 * value, 2)


def percent_or_none(value: float) -> float | None:
    """As :func:`percent`; None for NaN, which JSON cannot hold: a class that the protocol leaves out."""
    return None if math.isnan(value) else percent(value)


def summary(metrics: dict[str, float], source: str, scale: str, protocol: str) -> dict[str, Any]:
    """What a line of `dvc metrics show` holds: mean IoUs and accuracy in percent, and what they are numbers of."""
    shown = {name: value for name, value in metrics.items() if "IoU" in name or "AP50" in name or name == "allAcc"}
    said = f"{source}, {scale}" + (": not comparable with published scores" if note(source) else "")
    return shown | {"data": said, "protocol": protocol}


def per_class_table(scores: SemanticScores, classes: ClassSet, roles: Partition) -> pd.DataFrame:
    """One line a class: role, IoU and accuracy in percent (None: left out), number of ground-truth points."""

    def role(c: int) -> str:
        if c in roles.ignore_idx:
            return "ignored"
        return "novel" if c in roles.novel_idx else "base"

    rows: list[dict[str, Any]] = [
        {
            "class": name,
            "role": role(c),
            "iou": percent_or_none(float(scores.iou[c])),
            "accuracy": percent_or_none(float(scores.accuracy[c])),
            "points": int(scores.points[c]),
        }
        for c, name in enumerate(classes.names)
    ]
    # As objects: a column of numbers would turn None into NaN.
    return pd.DataFrame(rows, dtype=object)
