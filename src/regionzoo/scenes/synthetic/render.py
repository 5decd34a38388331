"""Depth and visibility: a rasteriser for planar patches in plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.synthetic.geometry import DISC, TRIANGLE, Patches

NEAR = 0.05
LARGE = 3000
"""Patches whose bounding box has more pixels are drawn one by one, the others all at once."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: pixel (u, v) = (fx x/z + cx, fy y/z + cy), integer at pixel centres; x right, y down."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def scaled(self, factor: int) -> Camera:
        """The same view with ``factor`` times fewer pixels along each side."""
        return Camera(
            self.width // factor,
            self.height // factor,
            self.fx / factor,
            self.fy / factor,
            (self.cx + 0.5) / factor - 0.5,
            (self.cy + 0.5) / factor - 0.5,
        )

    def project(self, points: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(u, v, z) of world points [M, 3]; z in metres along the view direction (u, v are junk where z <= 0)."""
        # Not a matrix product: BLAS rounds by machine and thread count, and equal settings must give equal bytes.
        x, y, z = np.einsum("nj,ji->in", points - pose[:3, 3], pose[:3, :3])
        safe = np.where(np.abs(z) < 1e-6, 1e-6, z)
        return self.fx * x / safe + self.cx, self.fy * y / safe + self.cy, z


@dataclass(frozen=True)
class View:
    """What a camera sees: inverse_depth float32 [H, W] (0 = nothing), patch int32 [H, W] (-1), and the planes.

    planes: float64 [P, 3, 3]; row r of patch p gives s/z, t/z and 1/z as a linear function of (u, v, 1).
    """

    inverse_depth: np.ndarray
    patch: np.ndarray
    planes: np.ndarray

    def surface(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(flat pixel, patch, s, t) of every pixel that shows something, each [M]."""
        flat = np.flatnonzero(self.patch >= 0)
        patch = self.patch.reshape(-1)[flat]
        width = self.patch.shape[1]
        u, v = (flat % width).astype(float), (flat // width).astype(float)
        s_z, t_z, i_z = (
            self.planes[patch, r, 0] * u + self.planes[patch, r, 1] * v + self.planes[patch, r, 2] for r in range(3)
        )
        return flat, patch, np.clip(s_z / i_z, 0, 1), np.clip(t_z / i_z, 0, 1)


def render(patches: Patches, camera: Camera, pose: np.ndarray, far: float = 20.0) -> View:
    """Draw the nearest patch at every pixel centre; ``pose`` is camera-to-world 4x4."""
    origin = (patches.origin - pose[:3, 3]) @ pose[:3, :3]
    u, v = patches.u @ pose[:3, :3], patches.v @ pose[:3, :3]
    planes, facing = _planes(origin, u, v, camera)
    box, inside = _boxes(origin, u, v, camera)
    area = np.where(inside & (facing | patches.two_sided), (box[:, 1] - box[:, 0]) * (box[:, 3] - box[:, 2]), 0)

    depth = np.full((camera.height, camera.width), 1.0 / far, np.float32)
    shown = np.full((camera.height, camera.width), -1, np.int32)
    planes32 = planes.astype(np.float32)
    for p in np.flatnonzero(area > LARGE):
        _draw_one(int(p), planes32[p], int(patches.shape[p]), box[p], depth, shown)
    _draw_small(np.flatnonzero((area > 0) & (area <= LARGE)), planes32, patches.shape, box, depth, shown)
    return View(np.where(shown >= 0, depth, 0).astype(np.float32), shown, planes)


def _planes(origin: np.ndarray, u: np.ndarray, v: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of [u v origin] applied to the pixel's ray, and whether the outside of the patch faces the camera."""
    normal = np.cross(u, v)
    determinant = np.einsum("pi,pi->p", normal, origin)
    safe = np.where(np.abs(determinant) < 1e-9, 1e-9, determinant)
    rows = np.stack([np.cross(v, origin), np.cross(origin, u), normal], axis=1) / safe[:, None, None]
    a, b = rows[:, :, 0] / camera.fx, rows[:, :, 1] / camera.fy
    return np.stack([a, b, rows[:, :, 2] - a * camera.cx - b * camera.cy], axis=2), determinant < 0


def _boxes(origin: np.ndarray, u: np.ndarray, v: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Pixel bounds (u0, u1, v0, v1), half open, of each patch clipped at the near plane; False if none is in view."""
    corner = np.stack([origin, origin + u, origin + u + v, origin + v], axis=1)
    following = np.roll(corner, -1, axis=1)
    z0, z1 = corner[:, :, 2], following[:, :, 2]
    crossing = (z0 > NEAR) != (z1 > NEAR)
    share = np.where(crossing, (NEAR - z0) / np.where(crossing, z1 - z0, 1.0), 0.0)
    cut = corner + share[:, :, None] * (following - corner)
    points = np.concatenate([corner, cut], axis=1)
    valid = np.concatenate([z0 > NEAR, crossing], axis=1)
    z = np.where(valid, np.maximum(points[:, :, 2], NEAR), 1.0)
    x = points[:, :, 0] / z * camera.fx + camera.cx
    y = points[:, :, 1] / z * camera.fy + camera.cy
    u0 = np.clip(np.ceil(np.where(valid, x, np.inf).min(axis=1)), 0, camera.width)
    u1 = np.clip(np.floor(np.where(valid, x, -np.inf).max(axis=1)) + 1, 0, camera.width)
    v0 = np.clip(np.ceil(np.where(valid, y, np.inf).min(axis=1)), 0, camera.height)
    v1 = np.clip(np.floor(np.where(valid, y, -np.inf).max(axis=1)) + 1, 0, camera.height)
    box = np.stack([u0, u1, v0, v1], axis=1).astype(np.int64)
    return box, valid.any(axis=1) & (u1 > u0) & (v1 > v0)


def _draw_one(p: int, plane: np.ndarray, shape: int, box: np.ndarray, depth: np.ndarray, shown: np.ndarray) -> None:
    u0, u1, v0, v1 = (int(x) for x in box)
    u = np.arange(u0, u1, dtype=np.float32)[None, :]
    v = np.arange(v0, v1, dtype=np.float32)[:, None]
    s, t, w = ((row[0] * u + row[2]) + row[1] * v for row in plane)
    hit = w > depth[v0:v1, u0:u1]
    hit &= _inside(s, t, w, shape)
    depth[v0:v1, u0:u1][hit] = w[hit]
    shown[v0:v1, u0:u1][hit] = p


def _inside(s: np.ndarray, t: np.ndarray, w: np.ndarray, shape: int) -> np.ndarray:
    if shape == DISC:
        return (s - 0.5 * w) ** 2 + (t - 0.5 * w) ** 2 <= 0.25 * w * w
    hit = (s >= 0) & (t >= 0)
    return hit & (s + t <= w) if shape == TRIANGLE else hit & (s <= w) & (t <= w)


def _draw_small(
    which: np.ndarray, planes: np.ndarray, shapes: np.ndarray, box: np.ndarray, depth: np.ndarray, shown: np.ndarray
) -> None:
    if not len(which):
        return
    wide, high = box[which, 1] - box[which, 0], box[which, 3] - box[which, 2]
    # One row of a bounding box at a time keeps the integer arithmetic small: rows first, then their pixels.
    row_patch = np.repeat(np.arange(len(which)), high)
    row_v = np.arange(len(row_patch)) - np.repeat(np.cumsum(high) - high, high) + box[which, 2][row_patch]
    length = wide[row_patch]
    p = np.repeat(which[row_patch].astype(np.int32), length)
    starts = np.cumsum(length) - length
    u = (np.arange(len(p)) + np.repeat(box[which, 0][row_patch] - starts, length)).astype(np.float32)
    base = planes[which[row_patch]][:, :, 1] * row_v[:, None].astype(np.float32) + planes[which[row_patch]][:, :, 2]
    slope = planes[which[row_patch]][:, :, 0]
    flat = np.repeat(row_v * depth.shape[1], length) + u.astype(np.int64)

    w = np.repeat(slope[:, 2], length) * u + np.repeat(base[:, 2], length)
    keep = np.flatnonzero(w > depth.reshape(-1)[flat])
    row = np.repeat(np.arange(len(row_patch), dtype=np.int32), length)[keep]
    w, p, u, flat = w[keep], p[keep], u[keep], flat[keep]
    s = slope[row, 0] * u + base[row, 0]
    t = slope[row, 1] * u + base[row, 1]
    shape = shapes[p]
    hit = (s >= 0) & (t >= 0) & (s <= w) & (t <= w)
    for kind in (TRIANGLE, DISC):
        at = np.flatnonzero(hit & (shape == kind))
        hit[at] = _inside(s[at], t[at], w[at], kind)
    hit = np.flatnonzero(hit)
    # The last write wins, so the nearest goes last.
    order = hit[np.argsort(w[hit], kind="stable")]
    depth.reshape(-1)[flat[order]] = w[order]
    shown.reshape(-1)[flat[order]] = p[order]
