"""Colour of a surface point: texture, lighting and noise as a pure function of the point, so all views agree."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.synthetic.geometry import CARPET, GLASS, PATTERN, SPINES, STRIPES, TILES, WOOD, Patches

_SPINE_COLORS = np.array(
    [(150, 45, 40), (40, 70, 130), (45, 105, 65), (200, 180, 130), (60, 55, 60), (195, 120, 45), (225, 222, 212)], float
)


def surface_colors(patches: Patches, index: np.ndarray, s: np.ndarray, t: np.ndarray, light: np.ndarray) -> np.ndarray:
    """float64 [M, 3], 0..255: colour at (s, t) of patch ``index``; ``light`` is :func:`patch_light`, [P]."""
    along = s * np.linalg.norm(patches.u, axis=1)[index]
    across = t * np.linalg.norm(patches.v, axis=1)[index]
    texture = patches.texture[index]
    grain = _noise(patches.face[index], along / 0.03, across / 0.03)
    factor = 1.0 + 0.05 * (grain - 0.5)
    color = patches.color[index]

    at = np.flatnonzero(texture == WOOD)
    factor[at] += 0.16 * (_noise(index[at], across[at] / 0.05, along[at] / 0.6) - 0.5)
    at = np.flatnonzero(texture == TILES)
    joint = (np.mod(along[at], 0.3) < 0.025) | (np.mod(across[at], 0.3) < 0.025)
    factor[at] -= 0.22 * joint
    at = np.flatnonzero(texture == STRIPES)
    factor[at] -= 0.22 * (np.mod(across[at], 0.1) < 0.05)
    at = np.flatnonzero(texture == CARPET)
    factor[at] += 0.22 * (_noise(index[at], along[at] / 0.02, across[at] / 0.02) - 0.5)
    at = np.flatnonzero(texture == PATTERN)
    factor[at] += 0.6 * (_noise(patches.object[index[at]], along[at] / 0.16, across[at] / 0.16) - 0.5)
    at = np.flatnonzero(texture == GLASS)
    factor[at] += 0.12 * (_noise(index[at], (along[at] + across[at]) / 0.5, along[at] * 0) - 0.5)
    at = np.flatnonzero(texture == SPINES)
    spine = _noise(index[at], along[at] / 0.045, along[at] * 0)
    color[at] = _SPINE_COLORS[(spine * len(_SPINE_COLORS)).astype(np.int64)]
    return np.clip(color * (factor * light[index])[:, None], 0, 255)


def patch_light(normals: np.ndarray, azimuth: float) -> np.ndarray:
    """float64 [P]: brightness by normal: lamps above, a window's light from direction ``azimuth`` (radians)."""
    side = normals[:, 0] * np.cos(azimuth) + normals[:, 1] * np.sin(azimuth)
    return 0.86 + 0.12 * normals[:, 2] + 0.08 * side


def _noise(key: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Uniform [0, 1) value of an integer cell: a fixed hash, so a point looks the same in every view."""
    h = key.astype(np.uint32) * np.uint32(0x9E3779B1)
    h ^= np.floor(a).astype(np.int32).astype(np.uint32) * np.uint32(0x85EBCA77)
    h ^= np.floor(b).astype(np.int32).astype(np.uint32) * np.uint32(0xC2B2AE3D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return h.astype(np.float64) / 2.0**32
