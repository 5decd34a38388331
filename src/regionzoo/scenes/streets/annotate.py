"""The annotated boxes of a keyframe, in the global frame, and the points that they hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.boxes import Boxes, points_in_boxes
from regionzoo.scenes.poses import inverse, rotation_matrix
from regionzoo.scenes.streets.rig import from_angles
from regionzoo.scenes.streets.road import Road
from regionzoo.scenes.streets.things import Stock

MARGIN = 0.05
"""Metres by which boxes are larger than their things, but for the bottom: noise carries points off the surface."""


@dataclass(frozen=True)
class Place:
    """Where a street lies on the map: turned by ``yaw`` (radians), then shifted to ``x``, ``y`` (metres)."""

    yaw: float
    x: float
    y: float

    def to_global(self, points: np.ndarray) -> np.ndarray:
        """Street frame -> global frame, float64 [..., 3]."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        x, y, z = np.moveaxis(points, -1, 0)
        return np.stack([c * x - s * y + self.x, s * x + c * y + self.y, z], axis=-1)


@dataclass(frozen=True)
class Annotated:
    """What annotators say of all T things in one keyframe.

    centre: float64 [T, 3], metres, global frame. size: float64 [T, 3], width, length, height. rotation: float64 [T, 4],
    w, x, y, z. points: int64 [T], points of the sweep in each box, be they of the thing or of the ground below it; 0
    for things without boxes. hit: int64 [T], points on each thing. seen: float64 [T], share of the beams to each thing
    that nothing stops.
    """

    centre: np.ndarray
    size: np.ndarray
    rotation: np.ndarray
    points: np.ndarray
    hit: np.ndarray
    seen: np.ndarray


def annotate(
    road: Road,
    stock: Stock,
    place: Place,
    seconds: np.ndarray,
    sweep_points: np.ndarray,
    lidar_to_global: np.ndarray,
    hit: np.ndarray,
    met: np.ndarray,
) -> Annotated:
    """Box all things and count the points in the boxes.

    seconds: float64 [T], when the beam passed each thing: a box is fitted to the points, so it lies where the thing was
    then. sweep_points: float32 [n, 3], lidar frame. hit, met: int64 [T], beams that ended in each thing, and that would
    have if nothing stood before it. A point on the surface of a box counts as inside, as for the official tools.
    """
    yaw, rotation, translation = stock.place(road, seconds)
    low, high = stock.low - np.array([MARGIN, MARGIN, 0.0]), stock.high + MARGIN
    centre = place.to_global(np.einsum("tij,tj->ti", rotation, (low + high) / 2) + translation)
    size = (high - low)[:, [1, 0, 2]]
    turn = from_angles(yaw + place.yaw, np.zeros_like(yaw), np.zeros_like(yaw))
    at = np.flatnonzero(stock.boxed)
    found = Boxes(centre[at], size[at], rotation_matrix(turn[at])).moved(inverse(lidar_to_global))
    points = np.zeros(len(stock), np.int64)
    points[at] = [len(inside) for inside in points_in_boxes(sweep_points, found)]
    return Annotated(centre, size, turn, points, hit, hit / np.maximum(met, 1))
