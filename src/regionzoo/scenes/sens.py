"""ScanNet's recordings, ``<scene>.sens`` version 4: header, then frame after frame, read one at a time.

Layout, little-endian: version u32; length u64 and name of the sensor; four float32 4x4 matrices, row by row
(intrinsics and extrinsics of colour, then of depth); compression of colour and of depth i32; width and height of colour
and of depth u32; depth_shift float32 (units a metre); number of frames u64. A frame: float32 4x4 camera to world (-inf
throughout where tracking was lost); times of colour and depth u64, microseconds; sizes of colour and depth u64; then
both. Behind the frames is what the motion sensor measured, which is not read.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from regionzoo.errors import SceneError

VERSION = 4
COLOR_FORMS = {-1: "unknown", 0: "raw", 1: "PNG", 2: "JPEG"}
DEPTH_FORMS = {-1: "unknown", 0: "raw", 1: "zlib", 2: "OCCI"}
JPEG, ZLIB = 2, 1

_MATRIX = 64  # bytes
_FRAME = struct.Struct("<64s4Q")
_MAX_NAME, _MAX_SIDE = 1 << 10, 1 << 14


@dataclass(frozen=True)
class SensHeader:
    """What a recording says of itself.

    Matrices: float64 [4, 4]. Sizes: (height, width). depth_shift: depth units a metre. frames: how many follow.
    """

    sensor: str
    color_intrinsics: np.ndarray
    color_extrinsics: np.ndarray
    depth_intrinsics: np.ndarray
    depth_extrinsics: np.ndarray
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_shift: float
    frames: int


@dataclass(frozen=True)
class SensFrame:
    """One frame. number: position in the recording, from 0. pose: float64 [4, 4], camera to world, -inf if it was lost.

    color_time, depth_time: microseconds, may be 0. color: the bytes of a JPEG file. depth: uint16 [H, W], 0 = no
    reading.
    """

    number: int
    pose: np.ndarray
    color_time: int
    depth_time: int
    color: bytes
    depth: np.ndarray


class SensFile:
    """An open recording; a context manager. Every problem is a :class:`SceneError` with scene, file and frame."""

    def __init__(self, path: str | Path, scene_id: str | None = None) -> None:
        """scene_id: for messages; the file's name without it.

        Raises :class:`SceneError` if the file is absent, is no recording of version 4, or if its colour is anything
        but JPEG or its depth anything but zlib (ScanNet has no others).
        """
        self.path = Path(path)
        self.scene_id = scene_id if scene_id is not None else self.path.stem
        try:
            self._file: BinaryIO = self.path.open("rb")
        except FileNotFoundError:
            raise self._error("missing") from None
        except OSError as error:
            raise self._error(f"cannot be read ({error.strerror})") from None
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self.header = self._read_header()
            self._start = self._file.tell()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> SensFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def frames(self, interval: int = 1) -> Iterator[SensFrame]:
        """Frames 0, interval, 2 * interval, ...; the others are passed over without being read."""
        self._file.seek(self._start)
        for number in range(self.header.frames):
            where = f"frame {number}: "
            pose, color_time, depth_time, color_size, depth_size = _FRAME.unpack(self._bytes(_FRAME.size, where))
            if self._file.tell() + color_size + depth_size > self._size:
                raise self._error(f"{where}{self._cut(color_size + depth_size)}")
            if color_size > _most(self.header.color_size, 3) or depth_size > _most(self.header.depth_size, 2):
                raise self._error(f"{where}damaged: {color_size} bytes of colour and {depth_size} of depth")
            if number % interval:
                self._file.seek(color_size + depth_size, os.SEEK_CUR)
                continue
            color, depth = self._bytes(color_size, where), self._bytes(depth_size, where)
            self._check_color(color, where)
            yield SensFrame(number, _matrix(pose), color_time, depth_time, color, self._depth(depth, where))

    def _read_header(self) -> SensHeader:
        (version,) = self._unpack("<I")
        if version != VERSION:
            raise self._error(f"version {version} of the format, expected {VERSION}; is this a .sens file?")
        (length,) = self._unpack("<Q")
        if length > _MAX_NAME:
            raise self._error(f"damaged: a sensor's name of {length} bytes")
        sensor = self._bytes(length).decode("utf-8", "replace")
        matrices = [_matrix(self._bytes(_MATRIX)) for _ in range(4)]
        color_form, depth_form = self._unpack("<2i")
        if color_form != JPEG:
            told = COLOR_FORMS.get(color_form, color_form)
            raise self._error(f"colour is {told}, expected JPEG; export the frames with another tool")
        if depth_form != ZLIB:
            told = DEPTH_FORMS.get(depth_form, depth_form)
            raise self._error(f"depth is {told}, expected zlib; export the frames with another tool")
        color_width, color_height, depth_width, depth_height = sides = self._unpack("<4I")
        if not all(0 < side <= _MAX_SIDE for side in sides):
            raise self._error(
                f"damaged: images of {color_width}x{color_height} and {depth_width}x{depth_height} pixels"
            )
        depth_shift, frames = self._unpack("<fQ")
        if not (np.isfinite(depth_shift) and depth_shift > 0):
            raise self._error(f"damaged: depth_shift {depth_shift}")
        if frames * _FRAME.size > self._size:
            raise self._error(
                f"{frames} frames are announced, more than its {self._size} bytes can hold; copy it again"
            )
        return SensHeader(
            sensor,
            *matrices,
            color_size=(color_height, color_width),
            depth_size=(depth_height, depth_width),
            depth_shift=depth_shift,
            frames=frames,
        )

    def _check_color(self, content: bytes, where: str) -> None:
        height, width = self.header.color_size
        try:
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
                found = image.width, image.height
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise self._error(f"{where}its colour is no JPEG image; copy the file again") from None
        if found != (width, height):
            raise self._error(f"{where}colour of {found[0]}x{found[1]} pixels, expected {width}x{height}")

    def _depth(self, content: bytes, where: str) -> np.ndarray:
        height, width = self.header.depth_size
        size = height * width * 2
        unpacker = zlib.decompressobj()
        try:
            # One byte more than there may be: a bomb is never unpacked.
            raw = unpacker.decompress(content, size + 1)
        except zlib.error:
            raise self._error(f"{where}damaged depth; copy the file again") from None
        if len(raw) != size or not unpacker.eof:
            raise self._error(f"{where}depth is not {width}x{height} pixels; copy the file again")
        return np.frombuffer(raw, "<u2").reshape(height, width)

    def _bytes(self, count: int, where: str = "") -> bytes:
        if self._file.tell() + count > self._size:
            raise self._error(where + self._cut(count))
        try:
            content = self._file.read(count)
        except OSError as error:
            raise self._error(f"{where}cannot be read ({error.strerror})") from None
        if len(content) != count:
            raise self._error(where + self._cut(count))
        return content

    def _unpack(self, form: str) -> tuple:
        code = struct.Struct(form)
        return code.unpack(self._bytes(code.size))

    def _cut(self, count: int) -> str:
        return f"cut short: {count} bytes are due at byte {self._file.tell()} of {self._size}; copy it again"

    def _error(self, reason: str) -> SceneError:
        return SceneError(self.scene_id, self.path, reason)


def _most(size: tuple[int, int], bytes_per_pixel: int) -> int:
    """More bytes than any compressed image of this size has."""
    return 2 * size[0] * size[1] * bytes_per_pixel + (1 << 16)


def _matrix(content: bytes) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # any bytes are some number, or none
        return np.frombuffer(content, "<f4").reshape(4, 4).astype(np.float64)
