"""A scan as a picture of discs: slanted orthographic view from above into a room, ceiling and front walls cut away."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

ELEVATION = math.radians(52)
"""How far the view looks down: 0 is horizontal, 90 degrees is a map."""
TURN = math.radians(24)
"""Angle between the view and the walls, so that a side wall is seen as well as the back wall."""
TOP = 2.1
"""Metres above the floor from which everything is cut away."""
FRONT, FOOT = 0.4, 0.2
"""Parts of walls less than FRONT metres behind the front edge are cut down to FOOT metres above the floor."""
COLUMN = 0.05
"""Metres: the front edge is known for columns of this width."""
WIDEST = 32.0
"""Pixels of the radius of a disc at most."""
NARROW = 160
"""Pixels of the small views among which the one that shows most is chosen."""
SAMPLE = 20_000
"""Points of a small view."""


@dataclass(frozen=True)
class View:
    """What is seen at each pixel.

    point: int64 [H, W], position of the point that is seen, -1 for nothing. shade: float32 [H, W], 0..1, darker where
    something stands out from its surroundings.
    """

    point: np.ndarray
    shade: np.ndarray


def view(coords: np.ndarray, thin: np.ndarray, instances: np.ndarray, width: int, height: int) -> View:
    """The view of a scan, at most ``width`` pixels wide and ``height`` high, from the side that shows most.

    coords: float [N, 3] in metres, z is up. thin: bool [N], parts of walls, which are cut away at the front.
    instances: int [N], negative for none: of the eight sides, the one is taken that shows most of them.
    """
    coords = np.ascontiguousarray(coords, dtype=np.float64)
    floor, straight = float(np.quantile(coords[:, 2], 0.02)), _walls(coords)
    step = max(1, len(coords) // SAMPLE)
    small, gap = slice(None, None, step), _spacing(coords[::step])
    best, most = straight, -1.0
    for quarter in range(4):
        for turn in (TURN, -TURN):
            yaw = straight + quarter * math.pi / 2 + turn
            seen, _ = _look(coords[small], thin[small], floor, yaw, gap, NARROW, NARROW)
            found = instances[small][seen[seen >= 0]]
            _, pixels = np.unique(found[found >= 0], return_counts=True)
            score = float(np.log1p(pixels).sum())
            if score > most + 1e-9:
                best, most = yaw, score
    point, depth = _look(coords, thin, floor, best, _spacing(coords), width, height)
    return View(point, _shade(depth))


def _look(
    coords: np.ndarray, thin: np.ndarray, floor: float, yaw: float, gap: float, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Point and depth in metres (inf for nothing) of each pixel."""
    across = coords[:, 0] * math.cos(yaw) + coords[:, 1] * math.sin(yaw)
    away = -coords[:, 0] * math.sin(yaw) + coords[:, 1] * math.cos(yaw)
    up = coords[:, 2] - floor
    kept = np.flatnonzero((up < TOP) & ~(thin & (up > FOOT) & (away < _front(across, away) + FRONT)))
    if not len(kept):
        kept = np.arange(len(coords))
    across, away, up = across[kept], away[kept], up[kept]
    rise = away * math.sin(ELEVATION) + up * math.cos(ELEVATION)
    depth = away * math.cos(ELEVATION) - up * math.sin(ELEVATION)
    # Stray points of a real scan must not shrink the room.
    (left, right), (low, high) = (np.quantile(values, (0.002, 0.998)) for values in (across, rise))
    border = 2 * gap + 0.03
    left, right, low, high = left - border, right + border, low - border, high + border
    scale = min(width / (right - left), height / (high - low))
    size = max(1, math.ceil((high - low) * scale)), max(1, math.ceil((right - left) * scale))
    x, y = np.floor((across - left) * scale), np.floor((high - rise) * scale)
    radius = min(0.75 * gap * scale, WIDEST)
    return _splat(kept, x.astype(np.int64), y.astype(np.int64), depth, radius, 0.5 * gap, size)


def _splat(
    number: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    depth: np.ndarray,
    radius: float,
    rim: float,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Discs of ``radius`` pixels, the nearest in front, and at each pixel the depth of its disc's middle.

    The rim of a disc lies ``rim`` behind its middle, so that discs of one surface meet half-way.
    """
    height, width = size
    # Far points first: of several writes to one pixel the last one stays.
    order = np.lexsort((-np.arange(len(depth)), -depth))
    number, x, y, depth = number[order], x[order], y[order], depth[order].astype(np.float32)
    winner, nearest = np.full(height * width, -1, dtype=np.int64), np.full(height * width, np.inf, dtype=np.float32)
    reach = int(radius)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dx * dx + dy * dy > radius * radius:
                continue
            at_x, at_y = x + dx, y + dy
            inside = np.flatnonzero((at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height))
            pixel = at_y[inside] * width + at_x[inside]
            here = depth[inside] + np.float32(rim * (dx * dx + dy * dy) / max(radius * radius, 1.0))
            nearer = here < nearest[pixel]
            inside, pixel = inside[nearer], pixel[nearer]
            winner[pixel], nearest[pixel] = inside, here[nearer]
    seen, middle = winner >= 0, np.full(height * width, np.inf, dtype=np.float32)
    middle[seen] = depth[winner[seen]]
    return np.where(seen, number[winner], -1).reshape(size), middle.reshape(size)


def _shade(depth: np.ndarray) -> np.ndarray:
    """Darker behind the edge of something nearer: without it, discs of one colour are a flat blot."""
    far = np.where(np.isfinite(depth), depth, 1e3)
    hidden = np.zeros(depth.shape, dtype=np.float32)
    for step in (1, 3):
        edge = np.pad(far, step, mode="edge")
        for dy, dx in ((0, step), (0, -step), (step, 0), (-step, 0)):
            rows = slice(step + dy, step + dy + depth.shape[0])
            columns = slice(step + dx, step + dx + depth.shape[1])
            hidden += np.clip(far - edge[rows, columns] - 0.02 * step, 0.0, 0.3).astype(np.float32)
    return np.exp(-1.1 * hidden).astype(np.float32)


def _front(across: np.ndarray, away: np.ndarray) -> np.ndarray:
    """For each point, where the scan begins in its column of the view. Single stray points are no beginning."""
    column = np.floor((across - across.min()) / COLUMN).astype(np.int64)
    row = np.floor((away - away.min()) / COLUMN).astype(np.int64)
    rows = int(row.max()) + 1
    cells, points = np.unique(column * rows + row, return_counts=True)
    cells = cells[points >= min(3, int(points.max()))]
    first = np.full(int(column.max()) + 1, np.inf)
    np.minimum.at(first, cells // rows, away.min() + (cells % rows) * COLUMN)
    known = np.flatnonzero(np.isfinite(first))
    return np.interp(np.arange(len(first)), known, first[known])[column]


def _walls(coords: np.ndarray) -> float:
    """The angle, below 90 degrees, by which most of a scan fits into the smallest rectangle, seen from above."""
    cells = np.unique(np.floor(coords[:, :2] / 0.1), axis=0)
    angles = np.radians(np.arange(90))
    across = cells @ np.stack([np.cos(angles), np.sin(angles)])
    away = cells @ np.stack([-np.sin(angles), np.cos(angles)])
    wide, deep = (np.subtract(*np.quantile(values, (0.99, 0.01), axis=0)) for values in (across, away))
    return float(angles[int(np.argmin(np.round(wide * deep, 6)))])


def _spacing(coords: np.ndarray) -> float:
    """Usual distance of neighbouring points in metres, from up to 2,000 of them. The radius of a disc follows it."""
    if len(coords) < 3:
        return 0.1
    some: Any = coords[:: max(1, len(coords) // 2000)]
    distance, _ = cKDTree(coords).query(some, k=3)
    usual = float(np.quantile(distance[:, 2], 0.75))
    return min(max(usual, 0.005), 0.25)
