"""NumPy archives written array by array and block by block: no array need fit into memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regionzoo.artifacts import atomic_path

BLOCK = 1 << 17
"""Rows that are made at a time."""


@dataclass(frozen=True)
class Streamed:
    """An array whose rows are made when they are written.

    shape: the first axis counts the rows. read: rows ``start:stop``.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[int, int], np.ndarray]


def write_npz(path: Path, arrays: Mapping[str, np.ndarray | Streamed]) -> None:
    """Write an uncompressed ``.npz``, atomically; ``np.load`` reads it."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # The date of such an entry is 1980, not now: equal content is an equal file.
            entry = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(entry, "w", force_zip64=True) as file:
                if isinstance(array, np.ndarray):
                    content = io.BytesIO()
                    np.lib.format.write_array(content, array, allow_pickle=False)
                    file.write(content.getbuffer())
                    continue
                facts = {
                    "descr": np.lib.format.dtype_to_descr(array.dtype),
                    "fortran_order": False,
                    "shape": array.shape,
                }
                np.lib.format.write_array_header_1_0(file, facts)
                for start in range(0, array.shape[0], BLOCK):
                    stop = min(start + BLOCK, array.shape[0])
                    part = np.ascontiguousarray(array.read(start, stop), array.dtype)
                    if part.shape != (stop - start, *array.shape[1:]):
                        raise ValueError(f"{name}: rows of shape {part.shape[1:]}; expected {array.shape[1:]}")
                    file.write(part.data)
