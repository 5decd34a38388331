"""Images of the street: a ray for each pixel of a small image, enlarged to the camera's size."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from regionzoo.scenes.nuscenes_layout import IMAGE_SIZE
from regionzoo.scenes.poses import inverse, pose_matrix
from regionzoo.scenes.streets.cast import GROUND, NOTHING, Hits, cast
from regionzoo.scenes.streets.ego import Ride
from regionzoo.scenes.streets.paint import SKY, ground_color, sky_color, solid_color
from regionzoo.scenes.streets.rays import Pixels
from regionzoo.scenes.streets.rig import Mounting
from regionzoo.scenes.streets.road import Road
from regionzoo.scenes.streets.shapes import Shapes
from regionzoo.scenes.streets.things import Stock
from regionzoo.scenes.streets.windows import image_windows

SHRINK = 4
"""The image is cast with one ray for this many pixels along each side."""
REACH = 150.0
HAZE = 260.0
"""Metres to the farthest thing that is drawn, and over which the air takes two thirds of a colour."""
QUALITY = 85
SUN = np.array([0.35, 0.45, 0.82], np.float32)


@dataclass(frozen=True)
class View:
    """What a camera sees, in the small image [h, w]: the hits, which shapes they hit, and the rays."""

    hits: Hits
    shapes: Shapes
    pixels: Pixels


def small_matrix(matrix: np.ndarray) -> np.ndarray:
    """Intrinsics of the small image: whole numbers are pixel centres in both."""
    small = np.array(matrix, float)
    small[:2] /= SHRINK
    small[:2, 2] = (np.asarray(matrix)[:2, 2] + 0.5) / SHRINK - 0.5
    return small


def look(road: Road, stock: Stock, ride: Ride, camera: Mounting, seconds: float) -> View:
    """Cast the small image that a camera takes at ``seconds`` of the ride."""
    mounted = pose_matrix(camera.rotation, camera.translation)
    pose = np.einsum("ij,jk->ik", ride.matrix(road, np.array(seconds)), mounted)
    matrix = small_matrix(np.array(camera.matrix))
    height, width = size = (IMAGE_SIZE[0] // SHRINK, IMAGE_SIZE[1] // SHRINK)
    pixels = Pixels(
        place=pose[:3, 3],
        frame=pose[:3, :3],
        u=((np.arange(width) - matrix[0, 2]) / matrix[0, 0]).astype(np.float32),
        v=((np.arange(height) - matrix[1, 2]) / matrix[1, 1]).astype(np.float32),
    )
    _, rotation, translation = stock.place(road, np.full(len(stock), seconds))
    shapes = stock.shapes.placed(rotation, translation)
    windows = image_windows(shapes, inverse(pose), matrix, size, REACH)
    return View(cast(road, shapes, pixels, windows), shapes, pixels)


def picture(road: Road, stock: Stock, ride: Ride, camera: Mounting, seconds: float) -> bytes:
    """The JPEG file of what a camera sees at ``seconds`` of the ride."""
    view = look(road, stock, ride, camera, seconds)
    shape, t = view.hits.shape.reshape(-1), view.hits.t.reshape(-1)
    _, axes = view.pixels.flat()
    rays = np.stack([axis.reshape(-1) for axis in axes], axis=1)
    color = np.empty((len(shape), 3), np.float32)

    sky, ground, solid = (np.flatnonzero(which) for which in (shape == NOTHING, shape == GROUND, shape >= 0))
    color[sky] = sky_color(rays[sky])
    s, d, face = (part.reshape(-1)[ground] for part in (view.hits.s, view.hits.d, view.hits.face))
    lit = np.where(face, 0.72, 0.55 + 0.45 * SUN[2]).astype(np.float32)
    color[ground] = ground_color(road, s, d, t[ground]) * lit[:, None]
    points = view.pixels.place.astype(np.float32) + rays[solid] * t[solid, None]
    normals = view.shapes.normals(shape[solid], points)
    lit = 0.55 + 0.45 * np.clip(normals[:, 0] * SUN[0] + normals[:, 1] * SUN[1] + normals[:, 2] * SUN[2], 0, 1)
    color[solid] = solid_color(stock, view.shapes, shape[solid], points, normals) * lit[:, None]
    seen = np.concatenate([ground, solid])
    clear = np.exp(-t[seen] / HAZE)[:, None]
    color[seen] = color[seen] * clear + np.array(SKY, np.float32) * (1 - clear)

    height, width = view.pixels.size
    small = Image.fromarray(np.clip(color, 0, 255).astype(np.uint8).reshape(height, width, 3))
    file = io.BytesIO()
    small.resize(IMAGE_SIZE[::-1], Image.Resampling.BILINEAR).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
