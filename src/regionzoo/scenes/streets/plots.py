"""Where things may stand: a street's cross-section, and the ground that is taken already."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from regionzoo.scenes.streets.road import Road
from regionzoo.scenes.streets.things import Part, Path, Thing

AHEAD, AWAY = 0.0, np.pi


@dataclass(frozen=True)
class Strip:
    """A strip along the street: from ``inner`` to ``outer`` metres beside the centre line, on side +1 or -1 of it.

    forward: whether traffic on it goes the way of s.
    """

    side: int
    inner: float
    outer: float
    forward: bool = True

    @property
    def middle(self) -> float:
        """d of the middle of the strip."""
        return self.side * (self.inner + self.outer) / 2

    @property
    def width(self) -> float:
        """Metres."""
        return self.outer - self.inner

    @property
    def yaw(self) -> float:
        """Heading of its traffic against the street's."""
        return AHEAD if self.forward else AWAY

    def at(self, share: float) -> float:
        """d at a share of the width, 0 = inner edge."""
        return self.side * (self.inner + share * self.width)


@dataclass(frozen=True)
class Plan:
    """A street's cross-section and the stretch that is seen.

    road: its ground. mine: side (+1 or -1 of the centre line) on which the recording car drives. lanes: of moving
    traffic, the recording car's first. parking: strips for standing cars, at most one a side. walks: the two sidewalks,
    the recording car's side first. behind: strips behind them. start, stop: s of the first and last thing. seconds: how
    long the ride is. travel: metres that the recording car goes in it. speed: m/s.
    """

    road: Road
    mine: int
    lanes: tuple[Strip, ...]
    parking: tuple[Strip, ...]
    walks: tuple[Strip, Strip]
    behind: tuple[Strip, Strip]
    start: float
    stop: float
    seconds: float
    travel: float
    speed: float


@dataclass
class Ground:
    """The things of a street while it is laid out, and the rectangles of (s, d) that they take."""

    things: list[Thing] = field(default_factory=list)
    _taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def free(self, s0: float, s1: float, d0: float, d1: float) -> bool:
        """Whether nothing stands in a rectangle."""
        return not any(s0 < b and s1 > a and d0 < d and d1 > c for a, b, c, d in self._taken)

    def take(self, s0: float, s1: float, d0: float, d1: float) -> None:
        """Keep a rectangle from others."""
        self._taken.append((s0, s1, d0, d1))

    def put(
        self,
        category: str,
        parts: tuple[Part, ...],
        path: Path,
        attribute: str = "",
        seconds: float = 0.0,
        margin: float = 0.15,
    ) -> bool:
        """Add a thing if its ground is free, for the ``seconds`` of the ride if it moves; says whether it was added."""
        half = _outline(parts)
        c, s = abs(np.cos(path.yaw)), abs(np.sin(path.yaw))
        along, across = c * half[0] + s * half[1] + margin, s * half[0] + c * half[1] + margin
        s_range = sorted((path.s, path.s + path.along * seconds))
        d_range = sorted((path.d, path.d + path.across * seconds))
        place = (s_range[0] - along, s_range[1] + along, d_range[0] - across, d_range[1] + across)
        if not self.free(*place):
            return False
        self.take(*place)
        self.things.append(Thing(category, parts, path, attribute))
        return True

    def lay(self, category: str, parts: tuple[Part, ...], path: Path) -> None:
        """Add a thing wherever it is: what overhangs, or lies in the ground."""
        self.things.append(Thing(category, parts, path))


def _outline(parts: tuple[Part, ...]) -> tuple[float, float]:
    """Half length and half width around a thing's origin, of what is lower than 2.6 m."""
    length = width = 0.05
    for part in parts:
        turn, half = np.array(part.rotation), np.array(part.half)
        reach = np.abs(turn) * half
        if part.centre[2] - reach[2].sum() > 2.6:
            continue
        length = max(length, abs(part.centre[0]) + float(reach[0].sum()))
        width = max(width, abs(part.centre[1]) + float(reach[1].sum()))
    return length, width
