"""Coloured point clouds with a value or two a point, as binary PLY."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from regionzoo.apply.clouds import Cloud
from regionzoo.artifacts import atomic_path

BLOCK = 1 << 18
_NAMES = {"f4": "float", "f8": "double", "u1": "uchar", "i4": "int"}

Read = Callable[[int, int], np.ndarray]


def write_ply(path: Path, cloud: Cloud, colors: Read, extra: Mapping[str, tuple[str, Read]], comment: str) -> None:
    """Write the points of a cloud, in their order and with the coordinates of the input, atomically.

    colors: uint8 [n, 3] of the points ``start:stop``. extra: further vertex properties by name, each with its NumPy
    type ("f4" or "i4") and values [n]. comment: one line in the file's header.
    """
    wide = cloud.coords.dtype == np.float64
    fields = [(axis, "<f8" if wide else "<f4") for axis in "xyz"]
    fields += [(channel, "u1") for channel in ("red", "green", "blue")]
    fields += [(name, f"<{kind}") for name, (kind, _) in extra.items()]
    header = ["ply", "format binary_little_endian 1.0", f"comment {comment}", f"element vertex {len(cloud)}"]
    header += [f"property {_NAMES[kind[-2:]]} {name}" for name, kind in fields]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write("\n".join([*header, "end_header", ""]).encode("ascii", "replace"))
        for start in range(0, len(cloud), BLOCK):
            stop = min(start + BLOCK, len(cloud))
            block = np.zeros(stop - start, fields)
            for k, axis in enumerate("xyz"):
                block[axis] = cloud.coords[start:stop, k]
            shown = colors(start, stop)
            for k, channel in enumerate(("red", "green", "blue")):
                block[channel] = shown[:, k]
            for name, (_, read) in extra.items():
                block[name] = read(start, stop)
            file.write(block.data)
