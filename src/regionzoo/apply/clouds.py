"""Point clouds as their owners have them: coordinates in metres and colours, from files of several formats."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from plyfile import PlyData, PlyParseError

from regionzoo.errors import UserError

GREY = 128
"""Colour 0..255 of scans that have none: almost the middle of what networks see."""
SCAN_SUFFIX = "_vh_clean_2"

_AXES = ("x", "y", "z")
_PLY_COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_NPZ_COORDS = ("coords", "coord", "xyz", "points")
_NPZ_COLORS = ("colors", "color", "rgb")


@dataclass(frozen=True)
class Cloud:
    """N points in the order of the file.

    coords: float32 or float64 [N, 3], metres, z up; not all of them need be finite. colors: uint8 [N, 3], or float32
    [N, 3], both 0..255. notices: what had to be assumed, a line each.
    """

    name: str
    coords: np.ndarray
    colors: np.ndarray
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.coords)


def read_cloud(path: str | Path) -> Cloud:
    """Read a scan by the ending of its name.

    ``.ply``: vertices with x, y, z and, unless it has no colours, red, green, blue. ``.npz``: arrays ``coords`` [N, 3]
    and ``colors`` [N, 3]. ``.npy``: [N, 3] or [N, 6]. ``.pts``, ``.xyz``, ``.txt``: a line a point, 3 columns, 4 (with
    intensity, which is left out), 6 (with colours) or 7 (with both, intensity first); a first line with the number of
    points is passed over. Colours of 8 bits, 16 bits, 0..1 and -1..1 are told by their type and range. Raises
    :class:`UserError` of one line.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], tuple[np.ndarray, np.ndarray | None]]] = {
        ".ply": _read_ply,
        ".npz": _read_npz,
        ".npy": _read_npy,
        ".pts": _read_text,
        ".xyz": _read_text,
        ".txt": _read_text,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: unknown kind of scan '{path.suffix}'; expected {', '.join(readers)}")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    coords, colors = reader(path)
    if not len(coords):
        raise UserError(f"{path}: holds no points")
    notices: list[str] = []
    if colors is None:
        notices.append("no colours: grey is assumed; networks that were trained with colours label grey scans poorly")
        colors = np.full((len(coords), 3), GREY, np.uint8)
    else:
        colors = _colors(colors, path, notices)
    name = path.name.removesuffix(path.suffix).removesuffix(SCAN_SUFFIX)
    return Cloud(name, coords, colors, tuple(notices))


def _colors(values: np.ndarray, path: Path, notices: list[str]) -> np.ndarray:
    """uint8 or float32 [N, 3] in 0..255 from colours of any type and range."""
    if values.dtype == np.uint8:
        return values
    if not np.isfinite(values).all():
        raise UserError(f"{path}: some colours are not finite; expected 0..255, or 0..1 as floating-point numbers")
    low, high = values.min(), values.max()
    if np.issubdtype(values.dtype, np.integer):
        if low < 0 or high > 65535:
            raise UserError(f"{path}: colours from {low} to {high}; expected 0..255")
        if high <= 255:
            return values.astype(np.uint8)
        notices.append("colours above 255: taken as 16 bits")
        return values.astype(np.float32) / np.float32(257)
    if low < -1 or high > 255 or (low < 0 and high > 1):
        raise UserError(f"{path}: colours from {low:g} to {high:g}; expected 0..255, or 0..1")
    values = values.astype(np.float32)
    if low < 0:
        notices.append("colours below 0: taken as -1..1")
        return (values + 1) * np.float32(127.5)
    if high <= 1:
        notices.append("colours are floating-point numbers up to 1: taken as 0..1")
        return values * np.float32(255)
    return values


def _read_ply(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    vertices = _vertices(path)
    names = vertices.dtype.names or ()
    missing = [axis for axis in _AXES if axis not in names]
    if missing:
        raise UserError(f"{path}: its vertices have no property {missing[0]}; expected x, y, z in metres")
    coords = _side_by_side([vertices[axis] for axis in _AXES], _float_type([vertices.dtype[axis] for axis in _AXES]))
    for channels in _PLY_COLORS:
        if all(channel in names for channel in channels):
            kind = np.result_type(*(vertices.dtype[channel].newbyteorder("=") for channel in channels))
            return coords, _side_by_side([vertices[channel] for channel in channels], kind)
    return coords, None


def _vertices(path: Path) -> np.ndarray:
    """Vertex records of a PLY file, mapped where its encoding allows it."""
    # Faces are not used. That they are triangles is a guess which spares walking through them one by one.
    guess = {"face": dict.fromkeys(("vertex_indices", "vertex_index"), 3)}
    try:
        try:
            ply = PlyData.read(str(path), known_list_len=guess)
        except PlyParseError as error:
            if "list length" not in str(error):
                raise
            ply = PlyData.read(str(path))
    except PlyParseError as error:
        raise UserError(f"{path}: not a whole PLY file ({_one_line(error)}); copy or export it again") from None
    except (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError) as error:
        raise UserError(f"{path}: cannot be read as PLY ({_one_line(error)}); copy or export it again") from None
    if "vertex" not in ply:
        raise UserError(f"{path}: holds no element 'vertex'")
    return ply["vertex"].data


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        with np.load(path) as file:
            found = {key: file[key] for key in (*_NPZ_COORDS, *_NPZ_COLORS) if key in file}
            there = ", ".join(file) or "none"
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: cannot be read as npz ({_one_line(error)}); save plain arrays with np.savez"
        ) from None
    coords = next((found[key] for key in _NPZ_COORDS if key in found), None)
    if coords is None:
        raise UserError(f"{path}: no array 'coords' (there are: {there}); expected coords [N, 3] and colors [N, 3]")
    colors = next((found[key] for key in _NPZ_COLORS if key in found), None)
    if coords.ndim != 2 or coords.shape[1] != 3:
        raise UserError(f"{path}: coords of shape {list(coords.shape)}; expected [N, 3]")
    if colors is not None and colors.shape != coords.shape:
        raise UserError(f"{path}: colors of shape {list(colors.shape)} for coords of shape {list(coords.shape)}")
    return _numbers(coords, path), None if colors is None else _plain(colors, path)


def _read_npy(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        values = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read as npy ({_one_line(error)}); save a plain array") from None
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.shape[1] not in (3, 6):
        told = list(values.shape) if isinstance(values, np.ndarray) else "several arrays"
        raise UserError(f"{path}: an array of shape {told}; expected [N, 3] (x y z) or [N, 6] (x y z red green blue)")
    return _numbers(values[:, :3], path), _plain(values[:, 3:], path) if values.shape[1] == 6 else None


def _read_text(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        with path.open(encoding="utf-8") as file:
            counted = len(file.readline().split()) == 1
        values = np.loadtxt(path, dtype=np.float64, ndmin=2, skiprows=int(counted), encoding="utf-8")
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a line of numbers a point ({_one_line(error)})") from None
    columns = values.shape[1]
    if columns not in (3, 4, 6, 7):
        raise UserError(f"{path}: {columns} columns; expected x y z, and then intensity, red green blue, or both")
    colors = values[:, -3:] if columns >= 6 else None
    return values[:, :3], None if colors is None else _whole_if_whole(colors)


def _whole_if_whole(colors: np.ndarray) -> np.ndarray:
    """Text does not tell whole numbers from others: colours that are all whole, and not all 0 or 1, are integers."""
    if np.isfinite(colors).all() and colors.max() > 1 and (colors == np.floor(colors)).all():
        return colors.astype(np.int64)
    return colors


def _side_by_side(columns: Sequence[np.ndarray], kind: np.dtype[Any]) -> np.ndarray:
    """[N, len(columns)], filled column by column: no second copy of a large cloud."""
    made = np.empty((len(columns[0]), len(columns)), kind)
    for k, column in enumerate(columns):
        made[:, k] = column
    return made


def _float_type(kinds: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """float64 where a coordinate has more digits than float32 keeps, else float32."""
    wide = any(np.issubdtype(kind, np.integer) or kind.itemsize > 4 for kind in kinds)
    return np.dtype(np.float64 if wide else np.float32)


def _numbers(values: np.ndarray, path: Path) -> np.ndarray:
    values = _plain(values, path)
    return np.ascontiguousarray(values, dtype=_float_type([values.dtype]))


def _plain(values: np.ndarray, path: Path) -> np.ndarray:
    if not (np.issubdtype(values.dtype, np.integer) or np.issubdtype(values.dtype, np.floating)):
        raise UserError(f"{path}: holds values of type {values.dtype}; expected real numbers")
    return values


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
