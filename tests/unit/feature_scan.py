"""A small posed scan with depth images, and the visibility of its vertices worked out one vertex at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from regionzoo.scenes.store import Scene, save_scene

HEIGHT, WIDTH = 480, 640
FOCAL, CENTRE_U, CENTRE_V = 300.0, 319.5, 239.5
COLOR_SHAPE = (121, 162)


def save_vertices(scenes: Path, scene_id: str, coords: np.ndarray) -> Scene:
    """A stored scene without labels."""
    n = len(coords)
    nothing = np.full(n, -100, np.int16)
    labels = {"scannet20": nothing, "scannet200": nothing}
    colors, superpoint = np.zeros((n, 3), np.uint8), np.zeros(n, np.int32)
    scene = Scene(
        scene_id, "train", "scannet", coords.astype(np.float32), colors, superpoint, nothing.astype(np.int32), labels
    )
    save_scene(scenes / f"{scene_id}.safetensors", scene)
    return scene


def write_matrix(path: Path, matrix: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(" ".join(f"{value:.9f}" for value in row) for row in matrix) + "\n")


def write_intrinsics(folder: Path) -> None:
    camera = np.array([[FOCAL, 0, CENTRE_U, 0], [0, FOCAL, CENTRE_V, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    for kind in ("depth", "color"):
        write_matrix(folder / f"intrinsics_{kind}.txt", camera)


def write_frame(folder: Path, name: str, pose: np.ndarray, depth: np.ndarray, label=None, instance=None) -> None:
    """depth: float [480, 640] metres. label and instance: images of ``COLOR_SHAPE``, zeros if not given."""
    nothing = np.zeros(COLOR_SHAPE, np.uint8)
    images = {
        "color": np.full((*COLOR_SHAPE, 3), 90, np.uint8),
        "depth": np.round(depth * 1000).astype(np.uint16),
        "label": nothing if label is None else label.astype(np.uint8),
        "instance": nothing.astype(np.uint16) if instance is None else instance.astype(np.uint16),
    }
    for kind, image in images.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / kind / f"{name}{'.jpg' if kind == 'color' else '.png'}")
    write_matrix(folder / "pose" / f"{name}.txt", pose)


def blocky_depth(rng: np.random.Generator) -> np.ndarray:
    """Blocks of 40 x 40 pixels, some near, some far, some without a reading."""
    blocks = rng.choice([0.0, 1.2, 2.0, 2.6, 3.5], (HEIGHT // 40, WIDTH // 40))
    return blocks.repeat(40, 0).repeat(40, 1)


def turned(angle: float, shift: tuple[float, float, float]) -> np.ndarray:
    """A pose: turned about the vertical axis of the camera and moved."""
    pose = np.eye(4)
    pose[0, 0] = pose[2, 2] = np.cos(angle)
    pose[0, 2], pose[2, 0] = np.sin(angle), -np.sin(angle)
    pose[:3, 3] = shift
    return pose


def pixel_of(point: np.ndarray, pose: np.ndarray, depth: np.ndarray) -> tuple[int, int] | None:
    """(column, row) of the depth image at which a vertex is seen, or None."""
    x, y, z = pose[:3, :3].T @ (point.astype(np.float64) - pose[:3, 3])
    if z <= 0:
        return None
    u, v = int(np.trunc(x * FOCAL / z + CENTRE_U + 0.5)), int(np.trunc(y * FOCAL / z + CENTRE_V + 0.5))
    if not (0 <= u < WIDTH and 0 <= v < HEIGHT):
        return None
    measured = float(np.float32(depth[v, u]))
    return (u, v) if measured != 0 and abs(measured - z) <= 0.2 * measured else None
