"""Which of a detector's boxes become regions: no doubles, nothing tiny, small ones enlarged on request."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MIN_AREA = 3000.0
"""Pixels of the smallest box (original; multiplied by the ratio where boxes are enlarged)."""

ENLARGED_BELOW = 8000.0
"""Pixels of the boxes that are enlarged (original)."""


class Detections(NamedTuple):
    """What a detector found in one image: boxes float64 [n, 4] (x_min, y_min, x_max, y_max, pixels), names int [n]
    (positions in the vocabulary), scores float64 [n]."""

    boxes: np.ndarray
    names: np.ndarray
    scores: np.ndarray

    def pick(self, chosen: np.ndarray) -> Detections:
        """Those at positions, or where a mask is true."""
        return Detections(self.boxes[chosen], self.names[chosen], self.scores[chosen])


def suppress(found: Detections, iou: float) -> Detections:
    """The best of boxes of the same name that overlap by more than ``iou``, by descending score (ties: as given)."""
    import torch
    from torchvision.ops import batched_nms

    ranked = found.pick(np.argsort(-found.scores, kind="stable"))
    tensors = (torch.from_numpy(np.ascontiguousarray(values)) for values in (ranked.boxes, ranked.scores, ranked.names))
    kept = batched_nms(*tensors, iou).numpy()
    return ranked.pick(np.sort(kept))


def enlarge(boxes: np.ndarray, ratio: float, height: int, width: int) -> np.ndarray:
    """Boxes [n, 4] with those below 8000 pixels ``ratio`` times as high and as wide around their centre, cut off at
    the image."""
    small = area(boxes) < ENLARGED_BELOW
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * ratio
    larger = clip(np.concatenate([centre - half, centre + half], axis=1), height, width)
    return np.where(small[:, None], larger, boxes)


def clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes [n, 4] cut off at the image."""
    return np.clip(boxes, 0.0, [width, height, width, height])


def area(boxes: np.ndarray) -> np.ndarray:
    """float64 [n], pixels."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def chosen_boxes(found: Detections, iou: float, ratio: float, min_area: float, height: int, width: int) -> Detections:
    """The detections of an image that become regions, best first.

    iou: see :func:`suppress`. ratio: 1 leaves boxes as they are. min_area: in pixels, for ratio 1; 0 keeps all
    that have an area.
    """
    found = suppress(found._replace(boxes=clip(found.boxes, height, width)), iou)
    if ratio > 1:
        found = found._replace(boxes=enlarge(found.boxes, ratio, height, width))
    pixels = area(found.boxes)
    return found.pick((pixels >= min_area * ratio) & (pixels > 0))
