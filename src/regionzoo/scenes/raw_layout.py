"""Where ScanNet's raw files lie, and which of them the pipeline reads. Imports nothing heavy."""

from __future__ import annotations

import re

LABEL_TABLE_FILE = "scannetv2-labels.combined.tsv"
SCAN_FOLDERS = ("scans", "scans_test")
SCAN_SUFFIXES = (
    "_vh_clean_2.ply",
    "_vh_clean_2.labels.ply",
    "_vh_clean_2.0.010000.segs.json",
    ".aggregation.json",
    ".txt",
)
FRAME_FOLDERS = ("scannet_frames_25k", "tasks/scannet_frames_25k")
IMAGE_FOLDERS = {"color": ".jpg", "depth": ".png", "pose": ".txt", "label": ".png", "instance": ".png"}

_SCAN_FILE = re.compile(
    rf"(?:{'|'.join(SCAN_FOLDERS)})/(?P<scene>[^/]+)/(?P=scene)(?:{'|'.join(map(re.escape, SCAN_SUFFIXES))})"
)
_FRAME_FILE = re.compile(
    rf"(?:{'|'.join(FRAME_FOLDERS)})/[^/]+/"
    rf"(?:(?:{'|'.join(f'{kind}/[^/]+[.]{suffix[1:]}' for kind, suffix in IMAGE_FOLDERS.items())})"
    r"|intrinsics?_(?:color|depth)\.txt|intrinsic/intrinsic_(?:color|depth)\.txt)"
)


def is_raw_input(relative: str) -> bool:
    """Whether the pipeline reads this file of a raw tree (posix path below the root), for hashing into a manifest.

    True for the five low-resolution scan files, the frames' images, poses and intrinsics, the label table and text
    files at the root (split lists, whatever their names). False for ``.sens``, zips, the high-resolution mesh and its
    segments, hidden and any other files.
    """
    if relative.startswith(".") or "/." in relative:
        return False
    if "/" not in relative:
        return relative == LABEL_TABLE_FILE or relative.endswith(".txt")
    return bool(_SCAN_FILE.fullmatch(relative) or _FRAME_FILE.fullmatch(relative))
