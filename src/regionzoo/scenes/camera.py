"""Lidar points in a camera's image."""

from __future__ import annotations

import numpy as np

from regionzoo.scenes.nuscenes_layout import IMAGE_SIZE

NEAREST = 1.0
"""Metres; points that are not farther than this in front of the camera are not seen."""


def project(
    coords: np.ndarray,
    lidar_to_camera: np.ndarray,
    intrinsics: np.ndarray,
    image_size: tuple[int, int] = IMAGE_SIZE,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The points that fall into an image, by the rule of nuScenes' devkit; nothing hides a point behind another.

    coords: float32 [n, 3], metres, lidar frame. lidar_to_camera: float64 [4, 4]. intrinsics: float64 [3, 3].
    image_size: (height, width) in pixels. A point is in the image if it is more than 1 m in front of the camera and
    its pixel is strictly inside a margin of one pixel: 1 < u < width - 1, 1 < v < height - 1.
    Returns their positions (int64 [m], ascending), u and v (pixels) and depth (metres along the optical axis), each
    float64 [m].
    """
    # float64: the way goes through the global frame, whose coordinates are too large for hundredths of a pixel.
    rotation, shift = lidar_to_camera[:3, :3], lidar_to_camera[:3, 3]
    depth = coords.astype(np.float64) @ rotation[2] + shift[2]
    ids = np.flatnonzero(depth > NEAREST)
    in_front = coords[ids].astype(np.float64) @ rotation.T + shift
    image = in_front @ intrinsics.T
    u, v = image[:, 0] / image[:, 2], image[:, 1] / image[:, 2]
    height, width = image_size
    kept = (u > 1) & (u < width - 1) & (v > 1) & (v < height - 1)
    return ids[kept], u[kept], v[kept], depth[ids[kept]]
