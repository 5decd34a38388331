"""Posed images of a scan: ``scannet_frames_25k/<S>/`` or a folder of the same form exported from ``.sens``.

A frame's name is its number in the recording: the 25k set has every 100th frame, the original's 125k set every 20th.
Quirks, each handled here: numbers are zero-padded (25k) or not (.sens export), so the order is by number; the pose of a
frame whose tracking was lost is -inf, such frames are passed over and counted; intrinsics files have a plural ``s`` in
the 25k download, a singular name (also in a sub-folder ``intrinsic/``) in exports; depth 0 means no reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.raw_layout import FRAME_FOLDERS, IMAGE_FOLDERS

DEPTH_SHAPE = (480, 640)
MILLIMETRES = 1000.0

_NEEDED = ("color", "depth", "pose")


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole matrices, float64 [4, 4]: of the depth image (480 x 640) and of the colour image (968 x 1296)."""

    depth: np.ndarray
    color: np.ndarray


@dataclass(frozen=True)
class Frame:
    """One posed frame; images are read when asked for and not kept.

    name: file stem. pose: float64 [4, 4], camera to world, finite. Every ``load_*`` raises :class:`SceneError` naming
    scene and file if the image is absent, cannot be decoded, or has another type or size than the format says.
    """

    scene_id: str
    name: str
    folder: Path
    pose: np.ndarray
    intrinsics: Intrinsics

    def path(self, kind: str) -> Path:
        """File of ``kind``: color, depth, pose, label or instance."""
        return self.folder / kind / f"{self.name}{IMAGE_FOLDERS[kind]}"

    @cached_property
    def color_size(self) -> tuple[int, int]:
        """(height, width) of the colour image, from its header alone."""
        with self._open("color") as image:
            return image.height, image.width

    def load_color(self) -> np.ndarray:
        """uint8 [H, W, 3], RGB."""
        with self._open("color") as image:
            if image.mode != "RGB":
                raise self._error("color", f"image mode {image.mode}, expected RGB")
            return self._pixels("color", image)

    def load_depth(self) -> np.ndarray:
        """float32 [480, 640], metres along the optical axis, 0 = no reading (stored: uint16 millimetres)."""
        with self._open("depth") as image:
            if not image.mode.startswith("I;16"):
                raise self._error("depth", f"image mode {image.mode}, expected 16-bit grey (millimetres)")
            if (image.height, image.width) != DEPTH_SHAPE:
                raise self._error("depth", f"size {image.width}x{image.height}, expected 640x480")
            # Rounded once to float32: the same bits as by way of float64, in half the time.
            return np.divide(self._pixels("depth", image), MILLIMETRES, dtype=np.float32)

    def load_label(self) -> np.ndarray:
        """uint8 [H, W], NYU40 id of each colour pixel, 0 = none."""
        return self._annotation("label", ("L", "P"), "8-bit grey").astype(np.uint8)

    def load_instance(self) -> np.ndarray:
        """uint16 [H, W]: nyu40 * 1000 + n, n from 1 within each class (walls and floors are numbered too), 0 = none."""
        return self._annotation("instance", ("I;16", "I;16B", "L"), "16-bit grey").astype(np.uint16)

    def _annotation(self, kind: str, modes: tuple[str, ...], told: str) -> np.ndarray:
        with self._open(kind) as image:
            if image.mode not in modes:
                raise self._error(kind, f"image mode {image.mode}, expected {told}")
            height, width = self.color_size
            if (image.height, image.width) != (height, width):
                raise self._error(kind, f"size {image.width}x{image.height}, but the colour image has {width}x{height}")
            return self._pixels(kind, image)

    def _open(self, kind: str) -> Image.Image:
        try:
            return Image.open(self.path(kind))
        except FileNotFoundError:
            raise self._error(kind, "missing") from None
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise self._error(kind, f"not a readable image ({type(error).__name__}); copy it again") from None

    def _pixels(self, kind: str, image: Image.Image) -> np.ndarray:
        try:
            return np.array(image)
        except (OSError, ValueError, SyntaxError, EOFError) as error:  # Pillow's ways to say truncated or corrupt
            raise self._error(kind, f"damaged image ({' '.join(str(error).split())}); copy it again") from None

    def _error(self, kind: str, reason: str) -> SceneError:
        return SceneError(self.scene_id, self.path(kind), reason)


@dataclass(frozen=True)
class FrameSet:
    """Frames of one scan: the usable ones in temporal order, and the names of those whose tracking was lost.

    skipped: how many more are stored, with numbers that are no multiple of the interval. All three are empty only if
    the scan has no frame at all.
    """

    frames: tuple[Frame, ...]
    lost: tuple[str, ...]
    skipped: int = 0


def frame_folder(root: str | Path, scene_id: str) -> Path:
    """``<root>/scannet_frames_25k/<S>`` or the same below ``tasks/``; :class:`SceneError` if there is neither."""
    for name in FRAME_FOLDERS:
        if (folder := Path(root) / name / scene_id).is_dir():
            return folder
    raise SceneError(scene_id, Path(root) / FRAME_FOLDERS[0] / scene_id, "no such folder, nor one below tasks/")


def _matrix(path: Path, scene_id: str) -> np.ndarray:
    try:
        rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
        matrix = np.array([[float(cell) for cell in row] for row in rows], dtype=np.float64)
    except FileNotFoundError:
        raise SceneError(scene_id, path, "missing") from None
    except (OSError, ValueError):
        matrix = np.zeros(0)
    if matrix.shape != (4, 4):
        raise SceneError(scene_id, path, "must hold 4 lines of 4 numbers")
    return matrix


def _intrinsics(folder: Path, scene_id: str, kind: str) -> np.ndarray:
    names = (f"intrinsics_{kind}.txt", f"intrinsic_{kind}.txt", f"intrinsic/intrinsic_{kind}.txt")
    path = next((folder / name for name in names if (folder / name).is_file()), folder / names[0])
    matrix = _matrix(path, scene_id)
    if not np.isfinite(matrix).all() or not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise SceneError(scene_id, path, "focal lengths must be positive, numbers finite")
    return matrix


def _number(name: str, folder: Path, scene_id: str) -> int:
    if not (name.isascii() and name.isdecimal()):
        raise SceneError(scene_id, folder / f"*/{name}.*", "the name is no frame number; expected names like 000100")
    return int(name)


def read_frames(root: str | Path, scene_id: str, interval: int = 1) -> FrameSet:
    """The frames of a scan whose number is a multiple of ``interval``, without those whose tracking was lost.

    The number is that of the file name, not a count of files, so that the 25k set and the same scan exported frame by
    frame agree. Poses and intrinsics are read here, images later. :class:`SceneError` if the folder, the intrinsics or
    a colour, depth or pose file is missing (label and instance images are optional), a name is no number, or a matrix
    is not 4 x 4.
    """
    if interval < 1:
        raise UserError(f"frame_interval is {interval}, expected 1 or more")
    folder = frame_folder(root, scene_id)
    intrinsics = Intrinsics(_intrinsics(folder, scene_id, "depth"), _intrinsics(folder, scene_id, "color"))
    stems = {
        kind: {path.stem for path in (folder / kind).glob(f"*{IMAGE_FOLDERS[kind]}") if path.name[0] != "."}
        for kind in _NEEDED
    }
    names = sorted((_number(name, folder, scene_id), name) for name in set().union(*stems.values()))
    for kind in _NEEDED:
        if absent := next((name for _, name in names if name not in stems[kind]), None):
            raise SceneError(scene_id, folder / kind / f"{absent}{IMAGE_FOLDERS[kind]}", "missing")
    chosen = [name for number, name in names if number % interval == 0]
    frames, lost = [], []
    for name in chosen:
        pose = _matrix(folder / "pose" / f"{name}.txt", scene_id)
        if np.isfinite(pose).all():
            frames.append(Frame(scene_id, name, folder, pose, intrinsics))
        else:
            lost.append(name)
    return FrameSet(tuple(frames), tuple(lost), len(names) - len(chosen))


def list_frames(root: str | Path, scene_id: str, interval: int = 1) -> list[Frame]:
    """The usable frames of :func:`read_frames`."""
    return list(read_frames(root, scene_id, interval).frames)


def require_frames(raw_root: Path, scenes: int, with_frames: int, off_interval: int, interval: int, what: str) -> None:
    """:class:`UserError` if no scene has a usable frame; it says whether the interval is the reason.

    scenes: how many were looked at, of which with_frames have frames to use and off_interval have others alone.
    """
    if not scenes or with_frames:
        return
    if off_interval:
        raise UserError(
            f"{raw_root}: {off_interval} of the {scenes} training scenes have frames, but none has a frame whose "
            f"number is a multiple of frame_interval {interval}; lower frame_interval (the 25k download holds every "
            "100th frame)"
        )
    raise UserError(
        f"{raw_root}: none of the {scenes} training scenes has a frame with a pose below scannet_frames_25k/; "
        f"{what} need them: download the frames"
    )
