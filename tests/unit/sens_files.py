"""Writes small ``.sens`` recordings field by field (independent of the reader under test)."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

COLOR_SHAPE = (24, 32)
DEPTH_SHAPE = (480, 640)


@dataclass
class Shot:
    """One frame; ``color`` and ``depth`` are the stored bytes."""

    pose: np.ndarray
    color: bytes
    depth: bytes
    image: np.ndarray
    color_time: int = 0
    depth_time: int = 0


@dataclass
class Recording:
    """A recording whose every field may be edited before it is written."""

    shots: list[Shot]
    matrices: list[np.ndarray]
    version: int = 4
    sensor: bytes = b"StructureSensor"
    color_form: int = 2
    depth_form: int = 1
    sides: tuple[int, int, int, int] = (*COLOR_SHAPE[::-1], *DEPTH_SHAPE[::-1])
    shift: float = 1000.0
    announced: int | None = None
    tail: bytes = field(default=struct.pack("<Q", 1) + bytes(128))

    def head(self) -> bytes:
        parts = [struct.pack("<I", self.version), struct.pack("<Q", len(self.sensor)), self.sensor]
        parts += [matrix.astype("<f4").tobytes() for matrix in self.matrices]
        parts.append(struct.pack("<ii", self.color_form, self.depth_form))
        parts.append(struct.pack("<IIII", *self.sides))
        count = len(self.shots) if self.announced is None else self.announced
        parts += [struct.pack("<f", self.shift), struct.pack("<Q", count)]
        return b"".join(parts)

    def content(self) -> bytes:
        parts = [self.head()]
        for shot in self.shots:
            parts.append(shot.pose.astype("<f4").tobytes())
            parts.append(struct.pack("<QQQQ", shot.color_time, shot.depth_time, len(shot.color), len(shot.depth)))
            parts += [shot.color, shot.depth]
        return b"".join([*parts, self.tail])


def jpeg(shape: tuple[int, int], shade: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((*shape, 3), shade, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def recording(frames: int, lost: tuple[int, ...] = (), seed: int = 0) -> Recording:
    """Random poses and depth; colours small to save time. ``lost``: numbers of frames without a pose."""
    rng = np.random.default_rng([3, seed])
    shots = []
    for number in range(frames):
        pose = np.full((4, 4), -np.inf) if number in lost else rng.normal(size=(4, 4))
        depth = rng.integers(0, 60000, (48, 64)).astype("<u2").repeat(10, 0).repeat(10, 1)
        packed = zlib.compress(depth.tobytes(), 1)
        shots.append(Shot(pose, jpeg(COLOR_SHAPE, 10 * number % 250), packed, depth, 1000 * number, 1000 * number + 7))
    focal = [
        np.array([[f, 0, 319.5, 0], [0, f, 239.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) for f in (1170.187988, 577.870605)
    ]
    return Recording(shots, [focal[0], np.eye(4), focal[1], np.eye(4) * 2])
