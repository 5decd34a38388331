"""From patches to a scanned mesh: vertices where a camera of the walk saw the surface, noise, superpoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.synthetic.geometry import DISC, TRIANGLE, Patches
from regionzoo.scenes.synthetic.render import Camera, render
from regionzoo.scenes.synthetic.surfaces import surface_colors

DEPTH_CAMERA = Camera(640, 480, 571.623718, 571.623718, 319.5, 239.5)
SCAN_CAMERA = DEPTH_CAMERA.scaled(4)
RANGE = (0.3, 5.5)
"""Nearest and farthest reading of the depth sensor, metres."""

TILE = 0.7
"""Large faces are cut into superpoints of about this size, metres."""

MIN_SUPERPOINT = 12
"""Superpoints with fewer vertices join another one of their object."""


@dataclass(frozen=True)
class Mesh:
    """A scanned mesh of N vertices and M triangles.

    coords: float32 [N, 3]. colors: uint8 [N, 3]. faces: int32 [M, 3]. object: int64 [N], position in the room's
    object list. superpoint: int32 [N]: index of one of the superpoint's own vertices.
    """

    coords: np.ndarray
    colors: np.ndarray
    faces: np.ndarray
    object: np.ndarray
    superpoint: np.ndarray


@dataclass(frozen=True)
class _Samples:
    patch: np.ndarray
    s: np.ndarray
    t: np.ndarray
    quads: np.ndarray


def scan(
    patches: Patches, poses: list[np.ndarray], spacing: float, light: np.ndarray, rng: np.random.Generator
) -> Mesh:
    """Sample the patches every ``spacing`` metres and keep what the poses saw."""
    samples = _sample(patches, spacing, rng)
    p, s, t = samples.patch, samples.s, samples.t
    points = patches.origin[p] + s[:, None] * patches.u[p] + t[:, None] * patches.v[p]
    distance = _seen_from(patches, p, points, poses)
    seen = np.isfinite(distance)
    quads = samples.quads[seen[samples.quads].all(axis=1)]
    # A scan has no loose vertices: each belongs to a triangle.
    used = np.zeros(len(p), bool)
    used[quads] = True
    order = _scan_order(patches, p, used)
    renumber = np.full(len(p), -1, np.int64)
    renumber[order] = np.arange(len(order))

    p, s, t, points, distance = p[order], s[order], t[order], points[order], distance[order]
    normal = patches.normals()[p]
    noise = rng.normal(0, 1, len(p)) * (0.001 + 0.0015 * distance)
    coords = points + normal * noise[:, None]
    colors = surface_colors(patches, p, s, t, light) * rng.normal(1, 0.015, (len(p), 1)) + rng.normal(
        0, 2.5, (len(p), 3)
    )
    quads = renumber[quads]
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    faces = faces[np.argsort(faces.min(axis=1), kind="stable")]
    key = _tile_keys(patches, p, s, t)
    return Mesh(
        coords=coords.astype(np.float32),
        colors=np.clip(np.round(colors), 0, 255).astype(np.uint8),
        faces=faces.astype(np.int32),
        object=patches.object[p],
        superpoint=_superpoints(key, patches.object[p], coords, rng),
    )


def _sample(patches: Patches, spacing: float, rng: np.random.Generator) -> _Samples:
    """A jittered grid on every patch and its quads (4 vertex indices, counter-clockwise from outside)."""
    long_u, long_v = np.linalg.norm(patches.u, axis=1), np.linalg.norm(patches.v, axis=1)
    kept = np.flatnonzero(np.minimum(long_u, long_v) > 0.3 * spacing)
    nu = np.maximum(1, np.round(long_u[kept] / spacing)).astype(np.int64)
    nv = np.maximum(1, np.round(long_v[kept] / spacing)).astype(np.int64)
    per_patch = (nu + 1) * (nv + 1)
    starts = np.cumsum(per_patch) - per_patch
    which = np.repeat(np.arange(len(kept)), per_patch)
    local = np.arange(per_patch.sum()) - starts[which]
    i, j = local // (nv[which] + 1), local % (nv[which] + 1)
    jitter = rng.uniform(-0.22, 0.22, (2, len(which)))
    # Vertices keep off the patch's edge by 4 mm, or the surface behind the edge would hide half of them.
    inset_u, inset_v = np.minimum(0.004 / long_u[kept], 0.25)[which], np.minimum(0.004 / long_v[kept], 0.25)[which]
    s = np.clip((i + jitter[0]) / nu[which], inset_u, 1 - inset_u)
    t = np.clip((j + jitter[1]) / nv[which], inset_v, 1 - inset_v)
    quad = (i < nu[which]) & (j < nv[which])
    first = np.flatnonzero(quad)
    stride = nv[which[first]] + 1
    quads = np.stack([first, first + stride, first + stride + 1, first + 1], axis=1)

    p = kept[which]
    shape = patches.shape[p]
    outside = (shape == TRIANGLE) & (s + t > 1.0)
    # Fold the far half of a triangle's grid onto its edge so that thin triangles keep enough vertices.
    over = np.where(outside, s + t, 1.0)
    near_edge = outside & (over < 1.0 + 1.1 / np.minimum(nu, nv)[which])
    s, t = np.where(near_edge, s / over * 0.995, s), np.where(near_edge, t / over * 0.995, t)
    outside &= ~near_edge
    outside |= (shape == DISC) & ((s - 0.5) ** 2 + (t - 0.5) ** 2 > 0.25)
    # A quad folded to nothing at the triangle's edge would be a degenerate face.
    flat = near_edge[quads].sum(axis=1) >= 3
    quads = quads[~outside[quads].any(axis=1) & ~flat]
    return _Samples(p, s, t, quads)


def _seen_from(patches: Patches, p: np.ndarray, points: np.ndarray, poses: list[np.ndarray]) -> np.ndarray:
    """float64 [M]: smallest distance from which a camera saw each point; inf for never."""
    best = np.full(len(points), np.inf)
    normals, two_sided = patches.normals(), patches.two_sided
    for pose in poses:
        view = render(patches, SCAN_CAMERA, pose)
        u, v, z = SCAN_CAMERA.project(points, pose)
        col, row = np.floor(u + 0.5), np.floor(v + 0.5)
        inside = (z > RANGE[0]) & (z < RANGE[1]) & (col >= 0) & (row >= 0)
        inside &= (col < SCAN_CAMERA.width) & (row < SCAN_CAMERA.height)
        at = np.flatnonzero(inside & (z < best))
        pixel = row[at].astype(np.int64) * SCAN_CAMERA.width + col[at].astype(np.int64)
        ray = (pose[:3, 3] - points[at]) / np.maximum(z[at], 1e-6)[:, None]
        cosine = np.einsum("ni,ni->n", ray, normals[p[at]])
        cosine = np.where(two_sided[p[at]], np.abs(cosine), cosine)
        cover = view.patch.reshape(-1)[pixel]
        # The covering plane at the point's own sub-pixel position: a rug 15 mm above the floor still hides it.
        plane = view.planes[np.maximum(cover, 0), 2]
        inverse = plane[:, 0] * u[at] + plane[:, 1] * v[at] + plane[:, 2]
        visible = (cosine > 0.15) & ((cover < 0) | (inverse * (z[at] - 0.003) < 1.0))
        best[at[visible]] = z[at[visible]]
    return best


def _scan_order(patches: Patches, p: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Used vertices, patch by patch, the patches in an order that says nothing about the objects."""
    rank = (np.arange(len(patches)) * 7919 + 13) % (len(patches) * 104729 + 1)
    rank = np.argsort(np.argsort((rank * 2654435761) % 4294967291, kind="stable"), kind="stable")
    at = np.flatnonzero(used)
    return at[np.argsort(rank[p[at]], kind="stable")]


def _tile_keys(patches: Patches, p: np.ndarray, s: np.ndarray, t: np.ndarray) -> np.ndarray:
    """int64 [N]: superpoint of a vertex: the patch's face key and, on large faces, the tile."""
    tiles_u = np.maximum(1, np.round(np.linalg.norm(patches.u, axis=1) / TILE)).astype(np.int64)
    tiles_v = np.maximum(1, np.round(np.linalg.norm(patches.v, axis=1) / TILE)).astype(np.int64)
    a = np.minimum((s * tiles_u[p]).astype(np.int64), tiles_u[p] - 1)
    b = np.minimum((t * tiles_v[p]).astype(np.int64), tiles_v[p] - 1)
    return (patches.face[p] * 4096 + a * 64 + b).astype(np.int64)


def _superpoints(key: np.ndarray, owner: np.ndarray, coords: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Merge tiny superpoints into the nearest of their object and name each by one of its own vertices."""
    if not len(key):
        return np.zeros(0, np.int32)
    _, label, count = np.unique(key, return_inverse=True, return_counts=True)
    label = label.reshape(-1)
    groups = len(count)
    centre = np.stack([np.bincount(label, coords[:, axis], groups) for axis in range(3)], axis=1) / count[:, None]
    first = np.unique(label, return_index=True)[1]
    group_owner = owner[first]
    target = np.arange(groups)
    for group in np.flatnonzero(count < MIN_SUPERPOINT):
        others = np.flatnonzero((group_owner == group_owner[group]) & (count >= MIN_SUPERPOINT))
        if not len(others):
            # Nothing large in the object: all of it becomes one.
            others = np.flatnonzero(group_owner == group_owner[group])[:1]
        target[group] = others[np.argmin(np.linalg.norm(centre[others] - centre[group], axis=1))]
    label = target[label]
    # The root of a union-find is an arbitrary member.
    order = rng.permutation(len(label))
    root = np.zeros(groups, np.int32)
    root[label[order]] = order
    return root[label]
