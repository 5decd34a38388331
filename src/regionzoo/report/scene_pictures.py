"""Pictures of instances: a scan's colours, its annotated instances, and the predicted ones, side by side."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from regionzoo.artifacts import atomic_path
from regionzoo.classes import ClassSet
from regionzoo.report.picture_page import Entry, Label, Panel, compose
from regionzoo.report.point_view import View, view

THIN = ("wall", "door", "window", "picture", "curtain", "shower curtain")
"""Classes of what a wall is or has on it: cut away where it stands between the eye and the room."""
WIDTH, HEIGHT = 600, 620
"""Pixels of a panel at most."""
FINE = 2
"""The view is computed this many times finer and then averaged."""
MATCH = 0.5
"""Above this IoU, a prediction of the right class has found an instance."""
LABELLED = 40
"""Instances with fewer visible pixels get no name."""
NOTHING, OUTLINE = (255, 255, 255), 0.45
CROSS = "✗"


@dataclass(frozen=True)
class Predictions:
    """Predicted instances of one scan, in any order; a mask may be predicted as several classes.

    masks: positions of the points of each distinct mask, int [points of the mask]. mask: int [R], position in
    ``masks``. label: int [R], class position in the class set. score: float [R].
    """

    masks: Sequence[np.ndarray]
    mask: np.ndarray
    label: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Instance:
    """An instance in a picture. points: int, its points. paint: those of them that show its colour."""

    points: np.ndarray
    paint: np.ndarray
    label: int
    score: float | None = None


def draw_instances(
    path: Path,
    coords: np.ndarray,
    colors: np.ndarray,
    labels: np.ndarray,
    truth: np.ndarray,
    predictions: Predictions,
    classes: ClassSet,
    *,
    title: str,
    note: str = "",
    novel: Collection[int] = (),
    least_points: int = 50,
    least_score: float = 0.1,
    most: int = 60,
) -> Path:
    """Write one PNG of three panels; equal arguments give equal bytes.

    coords: float [N, 3] in metres, z up. colors: uint8 [N, 3]. labels: int [N], annotated class, negative for none.
    truth: int [N], annotated instance, negative for none. note: what must be said of the data, such as that they are
    synthetic; it is printed in the title's second line. novel: classes that are marked in the legend.
    least_points: smaller annotated instances are never called missed. least_score, most: see :func:`best_predictions`.
    Raises ValueError if arrays do not fit together or there are no points.
    """
    _check(coords, colors, labels, truth, predictions, classes)
    annotated = annotated_instances(labels, truth)
    predicted = best_predictions(predictions, len(coords), least_score, most)
    pairs = matches(annotated, predicted, len(coords))
    found, right = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    thin = (labels < 0) | np.isin(labels, [c for c, name in enumerate(classes.names) if name in THIN])
    seen = view(coords, thin, truth, WIDTH * FINE, HEIGHT * FINE)
    counted = {k for k, item in enumerate(annotated) if len(item.points) >= least_points}
    missed, wrong = counted - found, set(range(len(predicted))) - right
    tints = _tints(annotated, predicted, pairs, classes)
    panels = (
        Panel("Colours of the scan", _shrink(_coloured(colors, seen))),
        _panel("Annotated instances", annotated, missed, tints[0], colors, seen, classes),
        _panel("Predicted instances and scores", predicted, wrong, tints[1], colors, seen, classes),
    )
    present = sorted({item.label for item in (*annotated, *predicted)})
    legend = [Entry(classes.names[c] + (" (novel)" if c in novel else ""), classes.colors[c]) for c in present]
    caption = _caption(len(counted & found), len(counted), least_points, len(predicted), least_score)
    page = compose(title, note, panels, legend, caption)
    with atomic_path(path) as temporary:
        page.save(temporary, format="PNG", compress_level=6)
    return path


def annotated_instances(labels: np.ndarray, truth: np.ndarray) -> list[Instance]:
    """The annotated instances in the order of their ids; the class is that of most of the points (lowest of equals).

    An instance whose points mostly have no class is left out.
    """
    order = np.argsort(truth, kind="stable")
    order = order[np.searchsorted(truth[order], 0) :]
    ids, starts = np.unique(truth[order], return_index=True)
    instances = []
    for points in np.split(order, starts[1:]) if len(ids) else []:
        values, counts = np.unique(labels[points], return_counts=True)
        label = int(values[np.argmax(counts)])
        if label >= 0:
            instances.append(Instance(points, points, label))
    return instances


def best_predictions(predictions: Predictions, points: int, least_score: float, most: int) -> list[Instance]:
    """What a reader should see of the predictions: each mask once, with its best class, best score first.

    A point belongs to the best mask that has it. A mask is left out if that leaves it less than half of its points, or
    if its score is below ``least_score``, or after the first ``most``. Of equal scores the first mask and class count.
    """
    order = np.lexsort((predictions.label, predictions.mask, -predictions.score))
    free, used, chosen = np.ones(points, dtype=bool), set(), []
    for k in order:
        which, score = int(predictions.mask[k]), float(predictions.score[k])
        if score < least_score or len(chosen) == most:
            break
        if which in used:
            continue
        used.add(which)
        mask = np.asarray(predictions.masks[which], dtype=np.int64)
        paint = mask[free[mask]]
        if 2 * len(paint) >= len(mask) > 0:
            free[paint] = False
            chosen.append(Instance(mask, paint, int(predictions.label[k]), score))
    return chosen


def matches(annotated: list[Instance], predicted: list[Instance], points: int) -> list[tuple[int, int]]:
    """Positions of annotated and predicted instances of one class whose whole masks have an IoU above MATCH."""
    owner = np.full(points, len(annotated), dtype=np.int64)
    for k, item in enumerate(annotated):
        owner[item.points] = k
    pairs = []
    for j, guess in enumerate(predicted):
        common = np.bincount(owner[guess.points], minlength=len(annotated) + 1)
        for k in np.flatnonzero(common[:-1]):
            union = len(guess.points) + len(annotated[k].points) - common[k]
            if annotated[k].label == guess.label and common[k] > MATCH * union:
                pairs.append((int(k), j))
    return pairs


def _caption(found: int, counted: int, least_points: int, shown: int, least_score: float) -> str:
    return (
        f"{found} of {counted} annotated instances of at least {least_points} points are found: a prediction that is "
        f"shown has their class and an IoU above {MATCH:g} with them. Red with {CROSS}: annotated and not found, or "
        f"predicted without finding anything. Shown are {shown} predicted masks with a score of at least "
        f"{least_score:g}, each as its best class; where masks overlap, the higher score wins. Ceiling and walls in "
        "front are cut away."
    )


def _tints(
    annotated: list[Instance], predicted: list[Instance], pairs: list[tuple[int, int]], classes: ClassSet
) -> tuple[np.ndarray, np.ndarray]:
    """float32 [instances, 3] of both panels: colours of the classes, lighter or darker by turns within a class.

    So neighbours of one class differ, and a found instance looks the same in both panels.
    """
    turns: dict[int, int] = {}
    first = []
    for item in annotated:
        turns[item.label] = turns.get(item.label, -1) + 1
        first.append(turns[item.label])
    partner = {j: k for k, j in reversed(pairs)}
    second = [first[partner[j]] if j in partner else 0 for j in range(len(predicted))]
    one, two = (
        np.array([_tint(classes.colors[item.label], n) for item, n in zip(items, numbers, strict=True)], np.float32)
        for items, numbers in ((annotated, first), (predicted, second))
    )
    return one, two


def _panel(
    title: str,
    instances: list[Instance],
    bad: set[int],
    tints: np.ndarray,
    colors: np.ndarray,
    seen: View,
    classes: ClassSet,
) -> Panel:
    owner = np.full(len(colors) + 1, -1, dtype=np.int64)
    for k, item in enumerate(instances):
        owner[item.paint] = k
    # The last entry stands for pixels without a point.
    who = owner[seen.point]
    grey = colors.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    backdrop = np.repeat((190 + 0.24 * grey)[:, None], 3, axis=1).clip(0, 255)
    image = _coloured(backdrop, seen)
    if instances:
        on = who >= 0
        # A little of the scan's own light and shadow keeps the shapes.
        light = 0.82 + 0.18 * grey[seen.point[on]] / 255
        image[on] = tints[who[on]] * (light * seen.shade[on])[:, None]
        image[_edges(who)] *= OUTLINE
    spots = _spots(who[::FINE, ::FINE], len(instances))
    labels = [
        Label(_name(item, classes, k in bad), *spots[k], k in bad) for k, item in enumerate(instances) if k in spots
    ]
    return Panel(title, _shrink(image), tuple(labels), "" if instances else "none")


def _name(item: Instance, classes: ClassSet, bad: bool) -> str:
    score = "" if item.score is None else f" {item.score:.2f}"
    return classes.names[item.label] + score + (f" {CROSS}" if bad else "")


def _tint(color: tuple[int, int, int], number: int) -> np.ndarray:
    base = np.array(color, dtype=np.float32)
    change = (0.0, 0.16, -0.12)[number % 3]
    return base + (255 - base) * change if change > 0 else base * (1 + change)


def _coloured(colors: np.ndarray, seen: View) -> np.ndarray:
    """float32 [H, W, 3]: colours of the points that are seen, shaded; white where there is nothing."""
    image = colors.astype(np.float32)[seen.point] * seen.shade[..., None]
    image[seen.point < 0] = NOTHING
    return image


def _edges(who: np.ndarray) -> np.ndarray:
    """Pixels of an instance next to something else."""
    edge = np.zeros(who.shape, dtype=bool)
    across, down = who[:, 1:] != who[:, :-1], who[1:] != who[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge & (who >= 0)


def _shrink(image: np.ndarray) -> Image.Image:
    height, width = image.shape[0] // FINE, image.shape[1] // FINE
    size = max(1, width), max(1, height)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8)).resize(size, Image.Resampling.BOX)


def _spots(who: np.ndarray, count: int) -> dict[int, tuple[int, int, int]]:
    """Where the name of an instance points to, x and y, and its visible pixels; none if too little is seen of it."""
    y, x = np.nonzero(who >= 0)
    owner = who[y, x]
    pixels = np.bincount(owner, minlength=count)
    middle_x, middle_y = (np.bincount(owner, v, count) / np.maximum(pixels, 1) for v in (x, y))
    # The middle may lie outside a bent shape; the nearest pixel of the shape does not.
    order = np.lexsort(((x - middle_x[owner]) ** 2 + (y - middle_y[owner]) ** 2, owner))
    starts = np.searchsorted(owner[order], np.arange(count))
    return {
        k: (int(x[order[starts[k]]]), int(y[order[starts[k]]]), int(pixels[k]))
        for k in range(count)
        if pixels[k] >= LABELLED
    }


def _check(
    coords: np.ndarray,
    colors: np.ndarray,
    labels: np.ndarray,
    truth: np.ndarray,
    predictions: Predictions,
    classes: ClassSet,
) -> None:
    count = len(coords)
    if not count or coords.shape != (count, 3) or not np.isfinite(coords).all():
        raise ValueError(f"coords: [N, 3] finite numbers with N > 0, not {coords.shape}")
    for name, array, shape in (
        ("colors", colors, (count, 3)),
        ("labels", labels, (count,)),
        ("truth", truth, (count,)),
    ):
        if array.shape != shape:
            raise ValueError(f"{name}: shape {shape}, not {array.shape}")
    if not len(predictions.mask) == len(predictions.label) == len(predictions.score):
        raise ValueError("predictions: mask, label and score differ in length")
    if len(predictions.mask) and not 0 <= predictions.mask.min() <= predictions.mask.max() < len(predictions.masks):
        raise ValueError(f"predictions: mask must lie in 0..{len(predictions.masks) - 1}")
    for what, values in (("labels", labels), ("predictions: label", predictions.label)):
        if len(values) and values.max() >= len(classes.names):
            raise ValueError(f"{what}: class positions up to {len(classes.names) - 1}")
    for k, mask in enumerate(predictions.masks):
        if len(mask) and not 0 <= np.min(mask) <= np.max(mask) < count:
            raise ValueError(f"predictions: mask {k} has points outside 0..{count - 1}")
