"""A labelled scan as a coloured PLY, with a legend for programs (JSON) and one for people (PNG)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from regionzoo.apply.clouds import Cloud
from regionzoo.apply.colors import NOTHING, class_colors
from regionzoo.apply.instances import instance_of_points
from regionzoo.apply.picture import draw_legend, sample
from regionzoo.apply.ply import Read, write_ply
from regionzoo.apply.question import Question
from regionzoo.apply.score import Scored
from regionzoo.artifacts import write_json
from regionzoo.evaluation.instance_store import InstancePredictions
from regionzoo.report.picture_page import Entry
from regionzoo.report.scene_pictures import THIN

BLOCK = 1 << 20


def write_labelled(
    path: Path,
    cloud: Cloud,
    scored: Scored,
    question: Question,
    facts: dict[str, Any],
    found: InstancePredictions | None,
) -> None:
    """Write ``path`` with a class colour, ``label`` and ``confidence`` for each point, and its legends beside it.

    Points without a label have -1. found: adds the property ``instance``, the number of the best mask with the point.
    """
    palette = np.concatenate([class_colors(question.names), np.array([NOTHING], np.uint8)])
    counts = label_counts(scored, len(cloud))
    legend = path.with_name(f"{path.stem}.legend.json")
    _write_legend(legend, question, counts, palette, facts)
    _draw(legend.with_suffix(".png"), cloud, scored, question, counts, palette, facts)
    extra: dict[str, tuple[str, Read]] = {
        "label": ("i4", lambda a, b: labels_of(scored, a, b)),
        "confidence": ("f4", lambda a, b: scored.of_points("confidence", a, b, np.nan)),
    }
    if found is not None:
        owner = instance_of_points(found, len(cloud))
        extra["instance"] = ("i4", lambda a, b: owner[a:b])
    # The last entry of the palette stands for -1.
    write_ply(path, cloud, lambda a, b: palette[labels_of(scored, a, b)], extra, f"classes: {legend.name}")


def labels_of(scored: Scored, start: int, stop: int) -> np.ndarray:
    """int32: labels of the points ``start:stop``, -1 for none."""
    return scored.of_points("label", start, stop, -1)


def label_counts(scored: Scored, count: int) -> Counter[int]:
    """Points of each label."""
    counts: Counter[int] = Counter()
    for start in range(0, count, BLOCK):
        labels, points = np.unique(labels_of(scored, start, min(start + BLOCK, count)), return_counts=True)
        counts.update(dict(zip(labels.tolist(), points.tolist(), strict=True)))
    return counts


def share(points: int, count: int) -> str:
    """A share of ``count`` points in percent."""
    percent = 100 * points / count
    return f"{percent:.0f}%" if percent >= 1 else "<1%"


def _write_legend(
    path: Path, question: Question, counts: Counter[int], palette: np.ndarray, facts: dict[str, Any]
) -> None:
    classes = [
        {"label": c, "name": name, "color": palette[c].tolist(), "points": counts[c]}
        for c, name in enumerate(question.names)
    ]
    unlabelled = {"label": -1, "color": list(NOTHING), "points": counts[-1]}
    write_json(path, {"classes": classes, "unlabelled": unlabelled, "made_with": facts})


def _draw(
    path: Path,
    cloud: Cloud,
    scored: Scored,
    question: Question,
    counts: Counter[int],
    palette: np.ndarray,
    facts: dict[str, Any],
) -> None:
    part = sample(len(cloud))
    labels = labels_of(scored, 0, len(cloud))[part]
    seen = np.isfinite(cloud.coords[part]).all(axis=1)
    thin = np.isin(labels, [c for c, name in enumerate(question.names) if name in THIN])
    present = sorted((c for c in range(len(question.names)) if counts[c]), key=lambda c: (-counts[c], c))
    entries = [
        Entry(f"{question.names[c]} {share(counts[c], len(cloud))}", tuple(palette[c].tolist())) for c in present
    ]
    draw_legend(
        path,
        cloud.coords[part][seen],
        cloud.colors[part][seen],
        palette[labels][seen],
        labels[seen],
        thin[seen],
        entries,
        "Labels",
        f"Row {facts['row']}{', calibrated' if question.calibrated else ''}. Shares are of {len(cloud)} points. "
        "Ceiling and walls in front are cut away.",
    )
