"""Oriented boxes, and which points lie in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.store import NO_INSTANCE


@dataclass(frozen=True)
class Boxes:
    """B boxes in one frame, all float64.

    centers: [B, 3], metres. sizes: [B, 3], metres, in nuScenes' order: width, length, height. rotations: [B, 3, 3],
    box to frame; the box' x axis is its length, y its width, z its height.
    """

    centers: np.ndarray
    sizes: np.ndarray
    rotations: np.ndarray

    def __len__(self) -> int:
        return len(self.centers)

    def moved(self, pose: np.ndarray) -> Boxes:
        """The same boxes in another frame; pose: float64 [4, 4], rigid, from this frame to that."""
        rotation, shift = pose[:3, :3], pose[:3, 3]
        return Boxes(self.centers @ rotation.T + shift, self.sizes, rotation @ self.rotations)


def points_in_boxes(points: np.ndarray, boxes: Boxes) -> list[np.ndarray]:
    """For each box the positions (int64, ascending) of the points [n, 3] that lie in it or on its surface."""
    by_x = np.argsort(points[:, 0])
    ordered = points[by_x].astype(np.float64)
    half = boxes.sizes[:, [1, 0, 2]] / 2
    # No point of a box is farther from its center along an axis of the frame than this; a little more for rounding.
    reach = np.einsum("bij,bj->bi", np.abs(boxes.rotations), np.abs(half)) * (1 + 1e-9) + 1e-9
    starts = np.searchsorted(ordered[:, 0], boxes.centers[:, 0] - reach[:, 0], side="left")
    stops = np.searchsorted(ordered[:, 0], boxes.centers[:, 0] + reach[:, 0], side="right")
    inside = []
    for b in range(len(boxes)):
        slab = ordered[starts[b] : stops[b]]
        near = np.flatnonzero(np.abs(slab[:, 1] - boxes.centers[b, 1]) <= reach[b, 1])
        local = (slab[near] - boxes.centers[b]) @ boxes.rotations[b]
        within = near[(np.abs(local) <= half[b]).all(axis=1)]
        inside.append(np.sort(by_x[starts[b] + within]))
    return inside


def only_box(points: np.ndarray, boxes: Boxes) -> np.ndarray:
    """int32 [n]: the one box that holds each point [n, 3]; -100 for points of no box, or of several."""
    inside = points_in_boxes(points, boxes)
    holders = np.zeros(len(points), np.int32)
    box = np.full(len(points), NO_INSTANCE, np.int32)
    for b, ids in enumerate(inside):
        holders[ids] += 1
        box[ids] = b
    box[holders > 1] = NO_INSTANCE
    return box
