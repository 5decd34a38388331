"""Posed images of a scan: colour, depth, label and instance, all from one rendering."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from regionzoo.scenes.synthetic.geometry import GLASS, Patches
from regionzoo.scenes.synthetic.render import View, render
from regionzoo.scenes.synthetic.scan import DEPTH_CAMERA, RANGE
from regionzoo.scenes.synthetic.surfaces import surface_colors
from regionzoo.scenes.synthetic.write import (
    COLOR_CX,
    COLOR_CY,
    COLOR_FX,
    COLOR_SIZE,
    DEPTH_CX,
    DEPTH_CY,
    DEPTH_FX,
    intrinsics,
    write_matrix,
)

FRAME_STEP = 100
"""Frame numbers of the 25k set are multiples of this."""


def write_frames(
    folder: Path,
    patches: Patches,
    light: np.ndarray,
    poses: list[np.ndarray],
    lost: int | None,
    nyu40: np.ndarray,
    instance: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Write the frames of a scan below ``folder``.

    nyu40: uint8 [O] label of each object (0 = none). instance: uint16 [O], nyu40 * 1000 + number within the label,
    or 0. lost: position of the frame whose tracking failed (pose -inf), or None.
    """
    for name in ("color", "depth", "pose", "label", "instance"):
        (folder / name).mkdir(parents=True)
    write_matrix(folder / "intrinsics_color.txt", intrinsics(COLOR_FX, COLOR_CX, COLOR_CY))
    write_matrix(folder / "intrinsics_depth.txt", intrinsics(DEPTH_FX, DEPTH_CX, DEPTH_CY))
    for number, pose in enumerate(poses):
        name = f"{number * FRAME_STEP:06d}"
        view = render(patches, DEPTH_CAMERA, pose)
        flat, patch, s, t = view.surface()
        color = np.zeros((DEPTH_CAMERA.height, DEPTH_CAMERA.width, 3), np.uint8)
        color.reshape(-1, 3)[flat] = np.clip(surface_colors(patches, patch, s, t, light), 0, 255)
        image = Image.fromarray(color).resize(COLOR_SIZE, Image.Resampling.BILINEAR)
        image.save(folder / "color" / f"{name}.jpg", quality=90)
        Image.fromarray(_depth_image(view, patches, rng)).save(folder / "depth" / f"{name}.png", compress_level=1)
        write_matrix(folder / "pose" / f"{name}.txt", np.full((4, 4), -np.inf) if number == lost else pose)
        owner = np.where(view.patch >= 0, patches.object[np.maximum(view.patch, 0)], -1)
        owner = _enlarge(owner)
        label = np.append(nyu40, 0).astype(np.uint8)[owner]
        Image.fromarray(label).save(folder / "label" / f"{name}.png", compress_level=1)
        ids = np.append(instance, 0).astype(np.uint16)[owner]
        Image.fromarray(ids).save(folder / "instance" / f"{name}.png", compress_level=1)


def _enlarge(image: np.ndarray) -> np.ndarray:
    """Nearest look-up of the depth-sized image at the colour camera's pixels: u_depth = u_color * 640 / 1296."""
    columns = np.minimum(
        (np.arange(COLOR_SIZE[0]) * image.shape[1] / COLOR_SIZE[0] + 0.5).astype(int), image.shape[1] - 1
    )
    rows = np.minimum((np.arange(COLOR_SIZE[1]) * image.shape[0] / COLOR_SIZE[1] + 0.5).astype(int), image.shape[0] - 1)
    return image[rows[:, None], columns[None, :]]


def _depth_image(view: View, patches: Patches, rng: np.random.Generator) -> np.ndarray:
    """uint16 [H, W] millimetres: sensor noise; 0 out of range, at depth edges and in places on glass."""
    valid = view.patch >= 0
    depth = np.where(valid, 1.0 / np.maximum(view.inverse_depth, 1e-6), 0.0)
    depth += rng.standard_normal(depth.shape, np.float32) * (0.0005 + 0.0012 * depth * depth) * valid
    valid &= (depth > RANGE[0]) & (depth < RANGE[1] + 0.5)
    jump = np.zeros(valid.shape, bool)
    jump[:, 1:] |= np.abs(np.diff(depth, axis=1)) > 0.15
    jump[1:, :] |= np.abs(np.diff(depth, axis=0)) > 0.15
    glass = valid & (patches.texture[np.maximum(view.patch, 0)] == GLASS)
    blob = rng.random((valid.shape[0] // 16, valid.shape[1] // 16)).repeat(16, 0).repeat(16, 1)
    speckle = rng.random(valid.shape, np.float32)
    valid &= ~(jump & (speckle < 0.5)) & ~(glass & (blob < 0.5)) & (speckle > 0.002) & (blob > 0.004)
    return np.where(valid, np.round(depth * 1000), 0).astype(np.uint16)
