"""Small clouds and slow oracles for the tests of the instance head; they share no code with the modules."""

from __future__ import annotations

import numpy as np
import torch

from regionzoo.models.instance_types import InstanceSettings, Proposals


def search(points: np.ndarray, groups: np.ndarray, radius: float, cap: int) -> list[int]:
    """Label of each point by the text: neighbour lists in index order, breadth-first search from seeds in order."""
    limit = np.float32(radius) * np.float32(radius)
    lists: list[list[int]] = []
    for i in range(len(points)):
        near = []
        for j in range(len(points)):
            x, y, z = points[i] - points[j]
            if groups[i] == groups[j] and np.float32(np.float32(x * x + y * y) + z * z) < limit:
                near.append(j)
        lists.append(near[:cap])
    labels = [-1] * len(points)
    for seed in range(len(points)):
        queue = [seed] if labels[seed] < 0 else []
        while queue:
            here = queue.pop(0)
            labels[here] = seed
            queue += [j for j in lists[here] if labels[j] < 0 and j not in queue]
    return labels


def dense_search(points: np.ndarray, radius: float, cap: int) -> tuple[list[int], np.ndarray]:
    """The same of one group by a full matrix, and the number of near points of each."""
    x, y, z = (axis[:, None] - axis[None, :] for axis in points.T)
    near = x * x + y * y + z * z < np.float32(radius) * np.float32(radius)
    listed = near & (np.cumsum(near, 1) <= cap)
    labels = np.full(len(points), -1)
    for seed in range(len(points)):
        reached = np.zeros(len(points), bool)
        reached[seed] = labels[seed] < 0
        while reached.any():
            labels[reached] = seed
            reached = listed[reached].any(0) & (labels < 0)
    return labels.tolist(), near.sum(1)


def propose(
    scores: np.ndarray, class_ids: range, points: np.ndarray, scenes: np.ndarray, settings: InstanceSettings
) -> list[list[int]]:
    """Proposals by the text, as lists of points."""
    found: list[list[int]] = []
    for column, c in enumerate(class_ids):
        candidates = [i for i in range(len(points)) if scores[i, column] > np.float32(settings.score_threshold)]
        if c < settings.shift or len(candidates) < settings.min_candidates:
            continue
        labels = search(points[candidates], scenes[candidates], settings.radius, settings.max_neighbours)
        parts = [[candidates[i] for i in range(len(labels)) if labels[i] == root] for root in sorted(set(labels))]
        found += [part for part in parts if len(part) >= settings.min_points]
    return found


def as_lists(proposals: Proposals) -> list[list[int]]:
    """Points of each proposal."""
    return [part.tolist() for part in torch.split(proposals.point_ids.cpu(), proposals.sizes.tolist())]


def make_proposals(parts: list[list[int]], scenes: list[int] | None = None) -> Proposals:
    """Proposals with these points."""
    sizes = torch.tensor([0] + [len(part) for part in parts])
    ids = torch.tensor([point for part in parts for point in part], dtype=torch.int64)
    return Proposals(sizes.cumsum(0), ids, torch.tensor(scenes or [0] * len(parts), dtype=torch.int64))


def clusters(count: int, rng: np.random.Generator, spread: float = 0.03, centres: int = 4) -> np.ndarray:
    """float32 [count, 3]: points around a few centres half a metre apart."""
    middle = rng.uniform(-1, 1, (centres, 3))[rng.integers(0, centres, count)]
    return (middle + rng.normal(0, spread, (count, 3))).astype(np.float32)
