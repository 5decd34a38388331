"""How surfaces look: colours of images and what the ground reflects of the lidar's light."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.streets.road import OTHER_FLAT, ROAD, SIDEWALK, TERRAIN, Road
from regionzoo.scenes.streets.shapes import Shapes
from regionzoo.scenes.streets.things import BRICKS, LEAVES, PLAIN, STRIPES, WINDOWS, Stock

SKY = (196, 210, 224)
LINE_WIDTH = 0.14
RAIL = 0.72
"""Metres from the middle of a track to each of its rails."""
_ZENITH = (104, 150, 208)
_COLORS = {ROAD: (104, 104, 108), OTHER_FLAT: (146, 132, 120), SIDEWALK: (184, 178, 168), TERRAIN: (98, 124, 62)}
_REFLECTANCE = {ROAD: 0.06, OTHER_FLAT: 0.09, SIDEWALK: 0.11, TERRAIN: 0.14}
_PAINTED, _PAINTED_REFLECTANCE = (236, 236, 228), 0.35
_PANE = np.array((58, 70, 84), np.float32)
_WHITE = np.array((236, 234, 228), np.float32)


def painted(road: Road, s: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Whether the carriageway is painted white at (s, d) [M]."""
    marked = np.zeros(s.shape, bool)
    open_road = ~road.in_crossing(s)
    dash = s % 9.0 < 4.0
    for line, dashed in road.lines:
        on = (np.abs(d - line) < LINE_WIDTH / 2) & open_road
        marked |= on & dash if dashed else on
    for start in road.zebras:
        within = (s > start) & (s < start + road.zebra_width) & (d < road.left.edge) & (d > -road.right.edge)
        marked |= within & (d % 1.1 < 0.55)
    return marked


def ground_reflectance(road: Road, kind: np.ndarray, s: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Reflectance [M] of the ground of fine class ``kind`` [M] at (s, d)."""
    values = np.zeros(256)
    for fine, reflectance in _REFLECTANCE.items():
        values[fine] = reflectance
    found = values[kind]
    found[(kind == ROAD) & painted(road, s, d)] = _PAINTED_REFLECTANCE
    return found


def ground_color(road: Road, s: np.ndarray, d: np.ndarray, far: np.ndarray) -> np.ndarray:
    """RGB 0..255, float32 [M, 3], of the ground at (s, d), seen from ``far`` metres."""
    kind = road.ground_class(s, d)
    values = np.zeros((256, 3), np.float32)
    for fine, rgb in _COLORS.items():
        values[fine] = rgb
    color = values[kind]
    # Stains and blades, finer ones near by only: what is finer than a pixel would flicker.
    fine = _speckle(s, d, 0.12) * np.exp(-far / 12) + 0.6 * _speckle(s, d, 1.4) * np.exp(-far / 60)
    color *= (1 + np.where(kind == TERRAIN, 0.28, 0.09) * fine)[:, None]
    near = far < 25
    tiles = (kind == SIDEWALK) & near & ((s % 1.2 < 0.04) | (d % 1.2 < 0.04))
    color[tiles] *= 0.82
    if road.rails:
        across = np.abs(np.abs(d - road.rails[0]) - (RAIL if road.rails[1] < 4 else road.rails[1] / 4))
        color[(kind == OTHER_FLAT) & (across < 0.06)] = (74, 72, 72)
    color[(kind == ROAD) & painted(road, s, d)] = _PAINTED
    return color


def solid_color(stock: Stock, shapes: Shapes, shape: np.ndarray, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """RGB 0..255, float32 [M, 3], of points float32 [M, 3] on shapes [M] with unit normals [M, 3]."""
    color = stock.color.astype(np.float32)[shape]
    pattern = stock.pattern[shape]
    at = np.flatnonzero(pattern != PLAIN)
    which, pattern = shape[at], pattern[at]
    turn = shapes.rotation[which].astype(np.float32)
    local = np.einsum("mij,mi->mj", turn, points[at] - shapes.centre[which].astype(np.float32))
    facing = np.abs(np.einsum("mij,mi->mj", turn, normals[at]))
    half = shapes.half[which].astype(np.float32)
    along, up = np.where(facing[:, 0] > facing[:, 1], local[:, 1], local[:, 0]), local[:, 2] + half[:, 2]
    upright = facing[:, 2] < 0.5

    pane = (pattern == WINDOWS) & upright & (up % 3.1 > 1.0) & (up % 3.1 < 2.4) & (np.abs(along % 2.6 - 1.3) < 0.6)
    lit = (1 + 0.35 * _speckle(np.floor(along / 2.6), np.floor(up / 3.1) + which, 1.0))[:, None]
    color[at[pane]] = (_PANE * lit)[pane]
    bricks = (pattern == BRICKS) & upright & (up % 0.3 < 0.05)
    color[at[bricks]] *= 0.88
    leaves = pattern == LEAVES
    color[at[leaves]] *= (1 + 0.3 * _speckle(local[:, 0] + local[:, 2], local[:, 1] - local[:, 2], 0.22))[leaves, None]
    white = (pattern == STRIPES) & ((local[:, 1] + local[:, 2]) % 0.5 < 0.25)
    color[at[white]] = _WHITE
    return color


def sky_color(rays: np.ndarray) -> np.ndarray:
    """RGB 0..255, float32 [M, 3], of rays float32 [M, 3] that hit nothing."""
    length = np.sqrt((rays * rays).sum(axis=1))
    share = np.clip(rays[:, 2] / length / 0.5, 0, 1)[:, None]
    return np.array(SKY, np.float32) * (1 - share) + np.array(_ZENITH, np.float32) * share


def _speckle(x: np.ndarray, y: np.ndarray, size: float) -> np.ndarray:
    """A number in -1..1 for each cell of ``size``, the same wherever it is looked at from."""
    column, row = np.floor(x / size).astype(np.int32).astype(np.uint32), np.floor(y / size).astype(np.int32)
    mixed = column * np.uint32(0x9E3779B1) ^ row.astype(np.uint32) * np.uint32(0x85EBCA77)
    mixed = (mixed ^ mixed >> np.uint32(15)) * np.uint32(0xC2B2AE3D)
    return (mixed >> np.uint32(9)).astype(np.float32) * np.float32(2.0**-22) - np.float32(1)
