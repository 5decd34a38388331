"""Grids of rays: the pixels of a camera, the beams of a turning lidar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from regionzoo.scenes.streets.shapes import Shapes, Vector


class Window(NamedTuple):
    """The part of a grid that a shape can be in: rows and columns, half open."""

    shape: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def part(self) -> tuple[slice, slice]:
        """The window as an index."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


class Rays(Protocol):
    """A grid [A, B] of rays in the frame of a street."""

    @property
    def size(self) -> tuple[int, int]:
        """A and B."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Precision of all that is computed of them."""
        ...

    def flat(self) -> tuple[Vector, Vector]:
        """Origins (arrays that broadcast to [A, B]) and directions [A, B]."""
        ...

    def aim(self, shapes: Shapes) -> Aim:
        """Prepare to look at each of some shapes."""
        ...


class Aim(Protocol):
    """Rays in the frames of shapes, in which each shape is a unit solid."""

    def window(self, window: Window) -> tuple[Vector, Vector]:
        """Origins and directions of the rays of a window in the frame of its shape; they broadcast to its size."""
        ...


def unit_frames(shapes: Shapes) -> np.ndarray:
    """float64 [P, 3, 3] that turn and shrink street vectors into the frames in which shapes are unit solids."""
    return np.swapaxes(shapes.rotation, 1, 2) / shapes.half[:, :, None]


@dataclass(frozen=True)
class Pixels:
    """Rays of a pinhole camera from ``place`` float64 [3] through (u, v, 1): frame float64 [3, 3] @ (u, v, 1).

    u: float32 [B], v: float32 [A]. The ray parameter is the depth along the optical axis if ``frame`` is a rotation.
    """

    place: np.ndarray
    frame: np.ndarray
    u: np.ndarray
    v: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return len(self.v), len(self.u)

    @property
    def dtype(self) -> np.dtype:
        """Images are coarse enough for single precision."""
        return np.dtype(np.float32)

    def flat(self) -> tuple[Vector, Vector]:
        """See :class:`Rays`."""
        frame, place = self.frame.astype(np.float32), self.place.astype(np.float32).reshape(3, 1, 1)
        x, y, z = (row[1] * self.v[:, None] + (row[0] * self.u + row[2]) for row in frame)
        return (place[0], place[1], place[2]), (x, y, z)

    def aim(self, shapes: Shapes) -> PixelAim:
        """See :class:`Rays`."""
        unit = unit_frames(shapes)
        start = np.einsum("pij,pj->pi", unit, self.place - shapes.centre)
        slope = np.einsum("pij,jk->pik", unit, self.frame)
        return PixelAim(start.astype(np.float32), slope.astype(np.float32), self.u, self.v)


@dataclass(frozen=True)
class PixelAim:
    """:class:`Pixels` in the frames of P shapes: start float32 [P, 3], slope float32 [P, 3, 3] by (u, v, 1)."""

    start: np.ndarray
    slope: np.ndarray
    u: np.ndarray
    v: np.ndarray

    def window(self, window: Window) -> tuple[Vector, Vector]:
        """See :class:`Aim`."""
        start, slope = self.start[window.shape], self.slope[window.shape]
        u, v = self.u[window.left : window.right], self.v[window.top : window.bottom, None]
        # Linear in both: a row and a column of numbers are all that has to be multiplied.
        x, y, z = (row[1] * v + (row[0] * u + row[2]) for row in slope)
        return (start[0], start[1], start[2]), (x, y, z)


@dataclass(frozen=True)
class Beams:
    """Rays of a turning lidar: path float64 [A, 3], where each column starts; directions float64 [A, B, 3]."""

    path: np.ndarray
    directions: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Columns of the sweep and beams of a column."""
        return self.directions.shape[0], self.directions.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Points are written to a tenth of a millimetre and counted in boxes."""
        return np.dtype(np.float64)

    def flat(self) -> tuple[Vector, Vector]:
        """See :class:`Rays`."""
        x, y, z = (np.ascontiguousarray(self.directions[..., axis]) for axis in range(3))
        return (self.path[:, 0, None], self.path[:, 1, None], self.path[:, 2, None]), (x, y, z)

    def aim(self, shapes: Shapes) -> BeamAim:
        """See :class:`Rays`."""
        return BeamAim(unit_frames(shapes), shapes.centre, *self.flat())


@dataclass(frozen=True)
class BeamAim:
    """:class:`Beams` before P shapes: their unit frames [P, 3, 3] and centres [P, 3]."""

    unit: np.ndarray
    centre: np.ndarray
    origin: Vector
    direction: Vector

    def window(self, window: Window) -> tuple[Vector, Vector]:
        """See :class:`Aim`."""
        rows, columns = window.part
        unit, centre = self.unit[window.shape].tolist(), self.centre[window.shape].tolist()
        a, b, c = (axis[rows] - middle for axis, middle in zip(self.origin, centre, strict=True))
        x, y, z = (axis[rows, columns] for axis in self.direction)
        start = [row[0] * a + row[1] * b + row[2] * c for row in unit]
        ray = [row[0] * x + row[1] * y + row[2] * z for row in unit]
        return (start[0], start[1], start[2]), (ray[0], ray[1], ray[2])
