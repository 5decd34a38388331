"""A synthetic room is planar patches: a solid has those of one object, a piece the solids of one place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

RECT, TRIANGLE, DISC = 0, 1, 2
"""Shape of a patch inside its parallelogram: all of it, the half with s + t <= 1, the inscribed ellipse."""

PLAIN, WOOD, TILES, SPINES, PATTERN, STRIPES, CARPET, GLASS = range(8)
"""Surface textures, see :mod:`regionzoo.scenes.synthetic.surfaces`."""

LARGE_PART = 0.45
"""Parts (and objects) below this extent, metres, are one superpoint; the faces of larger ones are several."""

Color = tuple[float, float, float]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Patches:
    """P patches as arrays. Point of a patch: ``origin + s u + t v`` with s, t in 0..1; ``u x v`` points outwards.

    origin, u, v: float64 [P, 3], metres. color: float64 [P, 3], 0..255. texture, shape: int8 [P].
    face: int64 [P], superpoint key before tiling. object: int64 [P], position in the scene's object list.
    two_sided: bool [P].
    """

    origin: np.ndarray
    u: np.ndarray
    v: np.ndarray
    color: np.ndarray
    texture: np.ndarray
    shape: np.ndarray
    face: np.ndarray
    object: np.ndarray
    two_sided: np.ndarray

    def __len__(self) -> int:
        return len(self.origin)

    def moved(self, matrix: np.ndarray) -> Patches:
        """The patches under a rigid 4x4 transform."""
        rotation = matrix[:3, :3]
        return replace(
            self,
            origin=self.origin @ rotation.T + matrix[:3, 3],
            u=self.u @ rotation.T,
            v=self.v @ rotation.T,
        )

    def normals(self) -> np.ndarray:
        """float64 [P, 3]: outward unit normals."""
        normal = np.cross(self.u, self.v)
        return normal / np.linalg.norm(normal, axis=1, keepdims=True)


@dataclass
class Solid:
    """One object under construction, in the frame of its piece; ``category`` None means unannotated."""

    category: str | None
    rows: list[tuple[Vector, Vector, Vector, Color, int, int, int, bool]] = field(default_factory=list)
    parts: int = 0

    def quad(
        self,
        origin: Vector,
        u: Vector,
        v: Vector,
        color: Color,
        texture: int = PLAIN,
        shape: int = RECT,
        two_sided: bool = True,
        part: int | None = None,
    ) -> Solid:
        """Add one patch; with ``part`` None it is a part of its own."""
        if part is None:
            part, self.parts = self.parts, self.parts + 1
        self.rows.append((origin, u, v, color, texture, shape, part, two_sided))
        return self

    def box(
        self,
        lo: Vector,
        hi: Vector,
        color: Color,
        texture: int = PLAIN,
        bottom: bool = False,
        lean: tuple[float, float] = (0.0, 0.0),
        top: bool = True,
    ) -> Solid:
        """Add a box without its underside (unless ``bottom``); ``lean`` shifts its top sideways, in metres."""
        (x0, y0, z0), (x1, y1, z1), (a, b) = lo, hi, lean
        dx, dy, dz = x1 - x0, y1 - y0, z1 - z0
        part, self.parts = self.parts, self.parts + 1
        up = (a, b, dz)
        faces: list[tuple[Vector, Vector, Vector]] = [
            ((x0 + a, y0 + b, z1), (dx, 0.0, 0.0), (0.0, dy, 0.0)),
            ((x0, y0, z0), (dx, 0.0, 0.0), up),
            ((x1, y1, z0), (-dx, 0.0, 0.0), up),
            ((x1, y0, z0), (0.0, dy, 0.0), up),
            ((x0, y1, z0), (0.0, -dy, 0.0), up),
        ]
        if not top:
            faces.pop(0)
        if bottom:
            faces.append(((x0, y1, z0), (dx, 0.0, 0.0), (0.0, -dy, 0.0)))
        for origin, u, v in faces:
            self.rows.append((origin, u, v, color, texture, RECT, part, False))
        return self

    def prism(
        self,
        center: tuple[float, float],
        z0: float,
        z1: float,
        radius: float | tuple[float, float],
        color: Color,
        sides: int = 8,
        squash: float = 1.0,
        cap: bool = True,
        texture: int = PLAIN,
        hollow: bool = False,
    ) -> Solid:
        """Add an upright prism; a pair of radii (bottom, top) makes it conical, ``squash`` scales it along y."""
        r0, r1 = radius if isinstance(radius, tuple) else (radius, radius)
        part, self.parts = self.parts, self.parts + 1
        cx, cy = center
        angles = [2 * math.pi * k / sides for k in range(sides + 1)]

        def ring(r: float, z: float) -> list[Vector]:
            return [(cx + r * math.cos(a), cy + squash * r * math.sin(a), z) for a in angles]

        low, high = ring(r0, z0), ring(r1, z1)
        for k in range(sides):
            a, b, c, d = low[k], low[k + 1], high[k + 1], high[k]
            if r0 == r1:
                self.rows.append((a, _minus(b, a), _minus(d, a), color, texture, RECT, part, hollow))
                continue
            if r0 > 1e-6:
                self.rows.append((a, _minus(b, a), _minus(d, a), color, texture, TRIANGLE, part, hollow))
            if r1 > 1e-6:
                self.rows.append((c, _minus(d, c), _minus(b, c), color, texture, TRIANGLE, part, hollow))
        if cap and r1 > 1e-6:
            self.disc((cx, cy, z1), r1, color, squash, part)
        return self

    def disc(self, center: Vector, radius: float, color: Color, squash: float = 1.0, part: int | None = None) -> Solid:
        """Add a horizontal disc that faces up."""
        x, y, z = center
        b = radius * squash
        return self.quad(
            (x - radius, y - b, z), (2 * radius, 0, 0), (0, 2 * b, 0), color, PLAIN, DISC, two_sided=False, part=part
        )

    def legs(self, w: tuple[float, float], d: tuple[float, float], z1: float, thick: float, color: Color) -> Solid:
        """Add four square legs below the rectangle ``w`` x ``d`` (each lo, hi)."""
        for x in (w[0], w[1] - thick):
            for y in (d[0], d[1] - thick):
                self.box((x, y, 0.0), (x + thick, y + thick, z1), color)
        return self

    def absorb(self, other: Solid) -> None:
        """Take over the patches of another solid: the two are one object."""
        self.rows.extend((*row[:6], row[6] + self.parts, row[7]) for row in other.rows)
        self.parts += other.parts

    def moved(self, x: float, y: float, z: float, angle: float) -> Solid:
        """A copy turned about z by ``angle`` (radians), then shifted."""
        c, s = math.cos(angle), math.sin(angle)

        def turn(p: Vector) -> Vector:
            return (c * p[0] - s * p[1], s * p[0] + c * p[1], p[2])

        rows = []
        for origin, u, v, *rest in self.rows:
            ox, oy, oz = turn(origin)
            rows.append(((ox + x, oy + y, oz + z), turn(u), turn(v), *rest))
        return Solid(self.category, rows, self.parts)


@dataclass
class Piece:
    """Solids that are placed together. Its frame: x in -width/2..width/2 along the wall, y from 0 (the wall side) to
    ``depth`` (the front), z up from the floor."""

    width: float
    depth: float
    height: float
    solids: list[Solid] = field(default_factory=list)

    def new(self, category: str | None) -> Solid:
        """Start an object of the piece."""
        self.solids.append(Solid(category))
        return self.solids[-1]

    def put(self, other: Piece, x: float, y: float, z: float = 0.0, angle: float = 0.0) -> None:
        """Add the solids of another piece with its wall-side centre at (x, y, z), turned by ``angle``."""
        self.solids.extend(solid.moved(x, y, z, angle) for solid in other.solids)


def collect(solids: list[Solid]) -> Patches:
    """Join solids into one set of patches; ``object`` is the position in the list."""
    rows = [(*row, index) for index, solid in enumerate(solids) for row in solid.rows]
    origin, u, v, color, texture, shape, part, two_sided, index = zip(*rows, strict=True)
    corners = _corners(np.array(origin, float), np.array(u, float), np.array(v, float))
    return Patches(
        origin=np.array(origin, float),
        u=np.array(u, float),
        v=np.array(v, float),
        color=np.array(color, float),
        texture=np.array(texture, np.int8),
        shape=np.array(shape, np.int8),
        face=_faces(corners, np.array(index), np.array(part)),
        object=np.array(index, np.int64),
        two_sided=np.array(two_sided, bool),
    )


def _corners(origin: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.stack([origin, origin + u, origin + u + v, origin + v], axis=1)


def _faces(corners: np.ndarray, index: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Superpoint keys: one for a small object, one for each small part, one for each patch of a large part."""
    count = len(corners)
    part_key = np.unique(np.stack([index, part], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    small_object = _extent(corners, index)[index] < LARGE_PART
    small_part = _extent(corners, part_key)[part_key] < LARGE_PART
    key = np.where(small_part, count + part_key, 2 * count + np.arange(count))
    return np.where(small_object, index, key).astype(np.int64)


def _extent(corners: np.ndarray, key: np.ndarray) -> np.ndarray:
    lo = np.full((key.max() + 1, 3), np.inf)
    hi = np.full((key.max() + 1, 3), -np.inf)
    np.minimum.at(lo, key, corners.min(axis=1))
    np.maximum.at(hi, key, corners.max(axis=1))
    return (hi - lo).max(axis=1)


def _minus(a: Vector, b: Vector) -> Vector:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])
