"""Where the files of processed scenes lie, PointGroup's and Pointcept's. Imports nothing heavy."""

from __future__ import annotations

SPLITS = ("train", "val", "test")
SECOND = "scannet200"
"""Folder (or link) below the root: PointGroup's files of the same scenes with ScanNet200 labels."""
FOLDERS = (*SPLITS, *(f"{SECOND}/{split}" for split in SPLITS))
"""Folders below the root that may hold scenes."""

TUPLE_SUFFIXES = (".pth", "_inst_nostuff.pth")
"""Ends of PointGroup's file names: the original's, and those of PointGroup's own script."""
COORD, COLOR, INSTANCE = "coord.npy", "color.npy", "instance.npy"
SEGMENTS = {"scannet20": "segment20.npy", "scannet200": "segment200.npy"}
"""Pointcept's files, one array each."""

_ARRAYS = frozenset({COORD, COLOR, INSTANCE, *SEGMENTS.values()})


def is_processed_folder(relative: str) -> bool:
    """Whether this is one of the :data:`FOLDERS`, or a scene's folder in one."""
    return relative in FOLDERS or relative.rpartition("/")[0] in FOLDERS


def is_processed_input(relative: str) -> bool:
    """Whether the pipeline reads this file of a processed tree (posix path below the root).

    Files of all scenes of the splits' folders count, whichever the lists name.
    """
    if relative.startswith(".") or "/." in relative:
        return False
    folder, _, name = relative.rpartition("/")
    if folder in FOLDERS:
        return name.endswith(".pth")
    return folder.rpartition("/")[0] in SPLITS and name in _ARRAYS
