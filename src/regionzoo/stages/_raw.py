"""Raw trees of all formats. Apart from `_folders`, so that a change of a reader concerns its own stages alone."""

from __future__ import annotations

from pathlib import Path

from regionzoo.scenes.raw_source import DriveSource, ProcessedSource, RoomSource
from regionzoo.scenes.raw_tree import INDEX
from regionzoo.settings.data import PreprocessSettings, RawSettings


def open_raw(
    settings: RawSettings | PreprocessSettings,
    raw: Path,
    exclude: tuple[str, ...] = (),
    expected: dict[str, str] | None = None,
    index: Path | None = None,
) -> RoomSource | ProcessedSource | DriveSource:
    """The raw tree of a data set in its own format.

    exclude: scenes to leave out. expected: path below root -> sha256, what nuScenes' tables must be. index: where the
    tables' index is kept, beside the link ``raw`` unless told.
    """
    lists = {"train": settings.train_list, "val": settings.val_list}
    if settings.format != "raw":
        return ProcessedSource.open(raw, settings.format, settings.dataset, lists, exclude)
    if settings.version == "v2":
        named = {split: name for split, name in lists.items() if name is not None}
        return RoomSource.open(raw, settings.dataset, named, exclude)
    kept = index or raw.parent / INDEX
    return DriveSource.open(raw, settings.version, settings.dataset, lists, exclude, kept, expected)
