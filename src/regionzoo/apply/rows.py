"""Values of voxels, written in the order of the tiles and read in the order of the points; on the disk if large."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from regionzoo.errors import UserError

IN_MEMORY = 1 << 29
"""Bytes up to which an array of values is kept in memory."""
TOUCHED = 1 << 29
"""Bytes of a file that may be mapped at once; reading a row brings its neighbourhood of :data:`AROUND` bytes along."""
AROUND = 1 << 16


class Rows:
    """An array [V, width] (or [V], width 0) that is appended to in blocks and then read row by row in any order.

    folder: where it is kept if it is larger than ``IN_MEMORY``; the file vanishes with the folder.
    """

    def __init__(self, folder: Path, name: str, count: int, width: int, kind: type[np.generic]) -> None:
        self.shape = (count, width) if width else (count,)
        self.dtype = np.dtype(kind)
        self._done = 0
        self._array: np.ndarray | None = None
        self._path = folder / f"{name}.rows"
        if self.nbytes <= IN_MEMORY:
            self._array = np.empty(self.shape, self.dtype)
        else:
            self._file = self._path.open("wb")

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def append(self, values: np.ndarray) -> None:
        """Add the next rows."""
        if values.shape[1:] != self.shape[1:]:
            raise ValueError(f"rows of shape {values.shape[1:]}; expected {self.shape[1:]}")
        values = np.ascontiguousarray(values, self.dtype)
        if self._array is not None:
            self._array[self._done : self._done + len(values)] = values
        else:
            self._file.write(values.data)
        self._done += len(values)

    def finish(self) -> None:
        """No more rows come; ``ValueError`` if some are missing."""
        if self._done != self.shape[0]:
            raise ValueError(f"{self._done} rows of {self.shape[0]}")
        if self._array is None:
            self._file.close()

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Copies of these rows, in their order."""
        if self._array is not None:
            return self._array[rows]
        taken = np.empty((len(rows), *self.shape[1:]), self.dtype)
        step = max(1, TOUCHED // max(AROUND, self.dtype.itemsize * int(np.prod(self.shape[1:]))))
        for start in range(0, len(rows), step):
            # Mapped anew each time: what was read before would stay resident.
            mapped = np.memmap(self._path, self.dtype, "r", shape=self.shape)
            taken[start : start + step] = mapped[rows[start : start + step]]
        return taken


@contextmanager
def scratch(output: Path) -> Iterator[Path]:
    """A hidden folder beside ``output``, for arrays that memory should not hold. It vanishes at the end.

    Its name is fixed, so that what a killed run left behind is cleared by the next.
    """
    folder = output.with_name(f".{output.name}.scratch")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_room(folder: Path, needed: int) -> None:
    """:class:`UserError` unless the disk of ``folder`` has this many bytes left."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise UserError(
            f"{folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; save less, or elsewhere"
        )
