"""Solid shapes and where rays meet them.

A shape is a unit solid (cube, ball or frustum within [-1, 1] on each axis), stretched by ``half``, turned and shifted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

BOX, BALL, FRUSTUM = 0, 1, 2
"""Kinds of unit solids. A frustum stands along z; its radius is 1 at z = -1 and 1 - taper at z = 1."""

TINY = 1e-20
"""Keeps divisors from being 0 without being seen otherwise."""

Vector = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Shapes:
    """P shapes in one frame.

    kind: int8 [P]. centre: float64 [P, 3]. rotation: float64 [P, 3, 3], columns are the shape's axes. half: float64
    [P, 3], metres. taper: float64 [P], of frustums. thing: int32 [P], the object that each is a part of.
    """

    kind: np.ndarray
    centre: np.ndarray
    rotation: np.ndarray
    half: np.ndarray
    taper: np.ndarray
    thing: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    def placed(self, rotation: np.ndarray, translation: np.ndarray) -> Shapes:
        """Each shape moved with its thing: poses of the things, float64 [T, 3, 3] and [T, 3]."""
        # einsum, not @: BLAS rounds by machine and thread count, and equal settings must give equal bytes.
        turn = rotation[self.thing]
        centre = np.einsum("pij,pj->pi", turn, self.centre) + translation[self.thing]
        return replace(self, centre=centre, rotation=np.einsum("pij,pjk->pik", turn, self.rotation))

    def reach(self) -> np.ndarray:
        """Half extents along the axes of the frame, float64 [P, 3] (exact for boxes, an upper bound for others)."""
        return np.einsum("pij,pj->pi", np.abs(self.rotation), self.half)

    def normals(self, shape: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Outward unit normals [M, 3] at points [M, 3] on the surfaces of shapes [M], as precise as the points."""
        exact = points.dtype
        turn, half = self.rotation.astype(exact)[shape], self.half.astype(exact)[shape]
        unit = np.einsum("mij,mi->mj", turn, points - self.centre.astype(exact)[shape]) / half
        kind = self.kind[shape]
        # The gradient of the unit solid's surface: of a ball the point itself.
        normal = unit.copy()
        at = np.flatnonzero(kind == BOX)
        side = np.abs(unit[at])
        normal[at] = np.sign(unit[at]) * (side >= side.max(axis=1, keepdims=True, initial=0))
        at = np.flatnonzero(kind == FRUSTUM)
        x, y, z = unit[at].T
        taper = self.taper.astype(exact)[shape[at]]
        across = np.hypot(x, y)
        # A lid is nearer than the wall.
        lid = np.abs(1 - np.abs(z)) < np.abs(1 - taper * (z + 1) / 2 - across)
        normal[at] = np.stack([x * ~lid, y * ~lid, np.where(lid, np.sign(z), across * taper / 2)], axis=1)
        normal = np.einsum("mij,mj->mi", turn, normal / half)
        return normal / np.sqrt(np.maximum((normal * normal).sum(axis=1, keepdims=True), 1e-20))


def hit_unit(kind: int, taper: float, origin: Vector, direction: Vector) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter and leave a unit solid: two ray parameters; the first is inf where they miss it.

    A solid behind the origin, or around it, is missed. The second is junk where the first is inf.
    origin, direction: three arrays each, which broadcast against each other. The directions need no unit length.
    """
    if kind == BOX:
        near, far = _box(origin, direction)
    elif kind == BALL:
        near, far = _ball(origin, direction)
    else:
        near, far = _frustum(taper, origin, direction)
    near[(near > far) | (near <= 0)] = np.inf
    return near, far


def _slab(origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ray parameters at which one coordinate is in [-1, 1]."""
    # A ray along the slab has infinite ends, on the right side each.
    back = 1 / (direction + TINY)
    middle, reach = -origin * back, np.abs(back)
    return middle - reach, middle + reach


def _box(origin: Vector, direction: Vector) -> tuple[np.ndarray, np.ndarray]:
    near, far = _slab(origin[0], direction[0])
    for o, d in zip(origin[1:], direction[1:], strict=True):
        enter, leave = _slab(o, d)
        np.maximum(near, enter, out=near)
        np.minimum(far, leave, out=far)
    return near, far


def _ball(origin: Vector, direction: Vector) -> tuple[np.ndarray, np.ndarray]:
    a = direction[0] * direction[0] + direction[1] * direction[1] + direction[2] * direction[2]
    b = origin[0] * direction[0] + origin[1] * direction[1] + origin[2] * direction[2]
    c = origin[0] * origin[0] + origin[1] * origin[1] + origin[2] * origin[2] - 1
    near, far, missed = _roots(a, b, c)
    near[missed] = np.inf
    return near, far


def _roots(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both solutions of a t^2 + 2 b t + c = 0, the smaller first if a > 0, and where there is none."""
    a = a + TINY
    inside = b * b - a * c
    root = np.sqrt(np.maximum(inside, 0))
    back = 1 / a
    return (-b - root) * back, (root - b) * back, inside < 0


def _frustum(taper: float, origin: Vector, direction: Vector) -> tuple[np.ndarray, np.ndarray]:
    # The radius along the ray is width - t * narrow.
    slope = taper / 2
    width, narrow = 1 - slope - slope * origin[2], slope * direction[2]
    a = direction[0] * direction[0] + direction[1] * direction[1] - narrow * narrow
    b = origin[0] * direction[0] + origin[1] * direction[1] + narrow * width
    c = origin[0] * origin[0] + origin[1] * origin[1] - width * width
    first, second, missed = _roots(a, b, c)
    near, far = _slab(origin[2], direction[2])
    if taper:
        # A ray steeper than the wall enters or leaves through it once; its other root lies on the cone's mirror image.
        steep, rising = a < 0, narrow > 0
        first = np.where(steep & rising, -np.inf, first)
        second = np.where(steep & ~rising, np.inf, second)
        missed &= ~steep
    near, far = np.maximum(near, first), np.minimum(far, second)
    near[missed] = np.inf
    return near, far
