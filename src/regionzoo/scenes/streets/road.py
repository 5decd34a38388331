"""The ground of a street: where the carriageway, sidewalks and grass lie, and where a ray meets them.

A street runs along an arc of constant curvature. Its coordinates are s (metres along the centre line) and d (metres to
its left); x, y, z of the street frame start at s = 0 with x along the street and z up. The ground has two levels: 0 on
the carriageway and ``kerb`` metres on everything beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

ROAD, OTHER_FLAT, SIDEWALK, TERRAIN = 24, 25, 26, 27
"""lidarseg's fine classes of the ground."""

BISECTIONS = 24


@dataclass(frozen=True)
class Side:
    """One side of the street, from the carriageway outwards.

    edge: |d| of the kerb. verge, sidewalk: widths of the grass strip and of the sidewalk behind it. cuts: ascending s
    where what lies behind the sidewalk changes. behind: its fine class, one more entry than ``cuts``.
    """

    edge: float
    verge: float
    sidewalk: float
    cuts: np.ndarray
    behind: np.ndarray

    @property
    def back(self) -> float:
        """|d| of the far edge of the sidewalk."""
        return self.edge + self.verge + self.sidewalk


@dataclass(frozen=True)
class Road:
    """Geometry of a street.

    curvature: 1/m, positive to the left. kerb: height in metres. left, right: d > 0 and d < 0. crossings: s of the
    centre lines of crossing streets, all ``crossing_width`` wide. rails: (d, width) of tracks in the carriageway, or
    None. lines: (d, dashed) of painted lines. zebras: s where a pedestrian crossing starts, each ``zebra_width`` long.
    """

    curvature: float
    kerb: float
    left: Side
    right: Side
    crossings: tuple[float, ...] = ()
    crossing_width: float = 9.0
    rails: tuple[float, float] | None = None
    lines: tuple[tuple[float, bool], ...] = ()
    zebras: tuple[float, ...] = ()
    zebra_width: float = field(default=3.5)

    def to_xy(self, s: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Street coordinates -> x, y."""
        if self.curvature == 0:
            return np.asarray(s, float), np.asarray(d, float)
        radius = 1 / self.curvature
        angle = np.asarray(s) * self.curvature
        return (radius - d) * np.sin(angle), radius - (radius - d) * np.cos(angle)

    def to_sd(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x, y -> street coordinates (on this side of the arc's centre)."""
        k = self.curvature
        if k == 0:
            return x, y
        ahead, across = k * x, 1 - k * y
        return np.arctan2(ahead, across) / k, (1 - np.sqrt(ahead * ahead + across * across)) / k

    def heading(self, s: np.ndarray) -> np.ndarray:
        """Angle of the street at s, radians from the x axis."""
        return np.asarray(s) * self.curvature

    def in_crossing(self, s: np.ndarray) -> np.ndarray:
        """Whether s lies in a crossing street."""
        inside = np.zeros(np.shape(s), bool)
        for centre in self.crossings:
            inside |= np.abs(s - centre) < self.crossing_width / 2
        return inside

    def raised(self, s: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Whether the ground at (s, d) lies at kerb height."""
        beside = (d > self.left.edge) | (d < -self.right.edge)
        return beside & ~self.in_crossing(s) if self.crossings else beside

    def level(self, s: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Height of the ground in metres."""
        return np.where(self.raised(s, d), self.kerb, 0.0)

    def ground_class(self, s: np.ndarray, d: np.ndarray) -> np.ndarray:
        """uint8 fine class of the ground."""
        found = np.full(np.shape(s), ROAD, np.uint8)
        if self.rails:
            found[np.abs(d - self.rails[0]) < self.rails[1] / 2] = OTHER_FLAT
        up = self.raised(s, d)
        for side, sign in ((self.left, 1), (self.right, -1)):
            beside = np.flatnonzero(up & (sign * d > side.edge))
            out = np.abs(d.flat[beside]) - side.edge
            kind = side.behind[np.searchsorted(side.cuts, s.flat[beside])]
            kind = np.where(out < side.verge + side.sidewalk, SIDEWALK, kind)
            found.flat[beside] = np.where(out < side.verge, TERRAIN, kind)
        return found

    def hit(
        self, origin: tuple[np.ndarray, ...], direction: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Where rays [M] from above the ground meet it.

        Returns the ray parameter (inf if the ray does not go down), s, d, and whether the vertical face of a kerb is
        met, all [M]; s and d are what the ground belongs to that is met, so of a kerb's face a point just behind it.
        """
        down = direction[2] < -1e-6
        slope = np.where(down, direction[2], -1.0)
        top, bottom = (self.kerb - origin[2]) / slope, -origin[2] / slope
        s_top, d_top = self._at(origin, direction, top)
        s, d = self._at(origin, direction, bottom)
        on_top = self.raised(s_top, d_top)
        t = np.where(on_top, top, bottom)
        s, d = np.where(on_top, s_top, s), np.where(on_top, d_top, d)
        face = down & ~on_top & self.raised(s, d)
        at = np.flatnonzero(face)
        if len(at):
            t[at], s[at], d[at] = self._face(
                tuple(part[at] for part in origin), tuple(part[at] for part in direction), top[at], bottom[at]
            )
        return np.where(down, t, np.inf), s, d, face

    def _at(
        self, origin: tuple[np.ndarray, ...], direction: tuple[np.ndarray, ...], t: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.to_sd(origin[0] + t * direction[0], origin[1] + t * direction[1])

    def _face(
        self,
        origin: tuple[np.ndarray, ...],
        direction: tuple[np.ndarray, ...],
        before: np.ndarray,
        behind: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Halve the interval in which rays pass from above the carriageway into the raised ground."""
        for _ in range(BISECTIONS):
            middle = (before + behind) / 2
            inside = self.raised(*self._at(origin, direction, middle))
            behind, before = np.where(inside, middle, behind), np.where(inside, before, middle)
        s, d = self._at(origin, direction, behind)
        return behind, s, d
