"""Which scans a path means: one file, or every scan of a folder laid out as ScanNet's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regionzoo.apply.clouds import SCAN_SUFFIX
from regionzoo.errors import UserError
from regionzoo.scenes.raw_layout import SCAN_FOLDERS

MESH = f"{SCAN_SUFFIX}.ply"


@dataclass(frozen=True)
class Scan:
    """A scan that is to be read. name: its file's name without endings."""

    name: str
    path: Path


def find_scans(path: str | Path) -> tuple[Scan, ...]:
    """The scans behind a path, sorted by name.

    A file is one scan. A folder is ScanNet's root (with ``scans/`` or ``scans_test/``), that folder itself or the
    folder of one scan, and its scans are the files ``<name>_vh_clean_2.ply``. :class:`UserError` if there are none.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if not path.is_dir():
        return (Scan(path.name.removesuffix(path.suffix).removesuffix(SCAN_SUFFIX), path),)
    patterns = [f"{folder}/*/*{MESH}" for folder in SCAN_FOLDERS] + [f"*/*{MESH}", f"*{MESH}"]
    found = {file.name.removesuffix(MESH): file for pattern in patterns for file in sorted(path.glob(pattern))}
    if not found:
        raise UserError(f"{path}: no scan in this folder; expected scans/<name>/<name>{MESH}, or name a file")
    return tuple(Scan(name, found[name]) for name in sorted(found))
