"""The walk of the person who scans the room."""

from __future__ import annotations

import math

import numpy as np

from regionzoo.scenes.synthetic.shell import Zone

POSES_PER_SQUARE_METRE = 1.4
TURNS = 1.8
"""How often the walk goes round a zone."""
FRAMES_UNTIL = 0.65
"""Share of the walk from which the stored frames come: looks across the room show most of it."""
GLANCES = (0.0, 0.5, -0.5, 1.0, -1.0, 1.6, -1.6)
"""Turns of the head, radians, to avoid a wall in the face."""


class Walk:
    """A closed path through each zone; time runs from 0 to 1 over the whole room.

    Positions are free floor: nothing that reaches the camera's height stands there. ``to_scan`` (4x4) moves room
    coordinates to the scan's frame, in which the poses are.
    """

    def __init__(self, zones: list[Zone], rng: np.random.Generator, to_scan: np.ndarray) -> None:
        self._zones, self._to_scan = zones, to_scan
        areas = np.array([(z.rect[2] - z.rect[0]) * (z.rect[3] - z.rect[1]) for z in zones])
        # Small zones need more views for their size: half of what they hold is out of sight from any one place.
        self.counts = [max(13, round(POSES_PER_SQUARE_METRE * float(area))) for area in areas]
        self._phase = rng.uniform(0, 2 * math.pi, (len(zones), 4))
        self._turns = rng.choice([-1.0, 1.0], len(zones))

    def scan_poses(self) -> list[np.ndarray]:
        """Camera-to-world 4x4 poses (x right, y down, z forward) that cover the room."""
        return [self._pose(zone, k / count) for zone, count in enumerate(self.counts) for k in range(count)]

    def frame_poses(self, count: int) -> list[np.ndarray]:
        """``count`` poses along the same walk, in its order."""
        shares = np.array(self.counts) / sum(self.counts)
        per_zone = np.floor(shares * count).astype(int)
        for zone in np.argsort(-(shares * count - per_zone), kind="stable")[: count - per_zone.sum()]:
            per_zone[zone] += 1
        return [self._pose(zone, FRAMES_UNTIL * (k + 0.5) / n) for zone, n in enumerate(per_zone) for k in range(n)]

    def _pose(self, index: int, time: float) -> np.ndarray:
        zone, phase = self._zones[index], self._phase[index]
        angle = phase[0] + self._turns[index] * TURNS * 2 * math.pi * time
        height = 1.5 + 0.12 * math.sin(3 * angle + phase[1])
        # First along the walls with a look across the room, then near the middle with a look outwards and down.
        outer = time < 0.5
        x, y = _free_place(zone, angle, height, (0.36, 0.3, 0.22, 0.14) if outer else (0.14, 0.06, 0.22))
        look = angle + (math.pi if outer else 0.0) + 0.5 * math.sin(2 * angle + phase[2])
        look += max(GLANCES, key=lambda turn: min(_sight(zone, x, y, look + turn), 2.4) - 0.1 * abs(turn))
        pitch = math.radians((-25 if outer else -36) + 11 * math.sin(5 * angle + phase[3]))
        forward = np.array([math.cos(look) * math.cos(pitch), math.sin(look) * math.cos(pitch), math.sin(pitch)])
        right = np.array([math.sin(look), -math.cos(look), 0.0])
        roll = math.radians(2.5) * math.sin(7 * angle)
        down = np.cross(forward, right)
        right, down = math.cos(roll) * right + math.sin(roll) * down, math.cos(roll) * down - math.sin(roll) * right
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, down, forward], axis=1)
        pose[:3, 3] = (x, y, height)
        return self._to_scan @ pose


def _sight(zone: Zone, x: float, y: float, look: float) -> float:
    """How far one sees at head height before a wall or tall furniture, metres."""
    x0, y0, x1, y1 = zone.rect
    far = 0.0
    while far < 3.0:
        far += 0.15
        a, b = x + far * math.cos(look), y + far * math.sin(look)
        if not (x0 < a < x1 and y0 < b < y1):
            break
        if not zone.fits_flat((a - 0.02, b - 0.02, 1.2, a + 0.02, b + 0.02, 1.6)):
            break
    return far


def _free_place(zone: Zone, angle: float, height: float, shares: tuple[float, ...]) -> tuple[float, float]:
    x0, y0, x1, y1 = zone.rect
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    for share in (*shares, 0.0, -0.1, -0.2, -0.3):
        x = cx + share * (x1 - x0) * math.cos(angle)
        y = cy + share * (y1 - y0) * math.sin(angle)
        body = (x - 0.18, y - 0.18, height - 0.4, x + 0.18, y + 0.18, height + 0.2)
        if zone.fits_flat(body):
            return x, y
    return cx, cy
