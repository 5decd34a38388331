"""Write a whole synthetic data set in nuScenes' raw layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from regionzoo.artifacts import no_room, read_json, sha256_bytes, sha256_file, write_json
from regionzoo.errors import UserError
from regionzoo.scenes.nuscenes_layout import LIDARSEG, SAMPLES
from regionzoo.scenes.shards import make_all
from regionzoo.scenes.streets.assemble import MADE, write_tables
from regionzoo.scenes.streets.drive import make_drive
from regionzoo.scenes.streets.jobs import Job, jobs
from regionzoo.scenes.streets.records import fragment
from regionzoo.scenes.streets.settings import StreetSettings

KEEP = ".drives"
"""Folder below the root with a file for each drive: its key, its records, and the hashes of its files."""


def generate(
    root: Path, settings: StreetSettings, workers: int, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Write the data set below ``root``; drives that are already there, whole and with the same key, are kept.

    Layout: ``samples/``, ``lidarseg/``, ``maps/`` and ``v1.0-trainval/``; no radar, and no sweeps between keyframes.
    Drives that an earlier run wrote and that do not belong to ``settings`` are removed; files that no run wrote are
    left alone. ``progress`` gets (done, total) after each drive. The result depends neither on ``workers`` nor, drive
    by drive, on their number. Returns a line for each drive or table that was not what was once written there (edited,
    damaged) and was made again.
    """
    root = Path(root)
    wanted = list(jobs(settings))
    _clean(root, {job.scene for job in wanted})
    (root / KEEP).mkdir(parents=True, exist_ok=True)
    notices = make_all(partial(write_drive, root), wanted, workers, progress)

    def stored() -> Iterator[dict[str, Any]]:
        return (read_json(_drive_file(root, job.scene)) for job in wanted)

    return notices + write_tables(root, root / KEEP, stored)


def write_drive(root: Path, job: Job) -> list[str]:
    """Write the files of one drive unless they are there, whole and with the same key; a notice of damage."""
    notices: list[str] = []
    file = _drive_file(root, job.scene)
    if _has(root, file, job, notices):
        return notices
    _remove(root, file)
    fresh = root / KEEP / f".{job.scene}.tmp"
    shutil.rmtree(fresh, ignore_errors=True)
    hashes: dict[str, str] = {}

    def write(path: str, content: bytes) -> None:
        (fresh / path).parent.mkdir(parents=True, exist_ok=True)
        (fresh / path).write_bytes(content)
        hashes[path] = sha256_bytes(content)

    try:
        records = make_drive(job, write)
        content = {
            "key": job.key(),
            "files": hashes,
            "log": records.log_token,
            "tables": {table: fragment(rows) for table, rows in records.tables.items()},
        }
        # First the list of the files, so that a run that is killed while they move leaves nothing that no run knows.
        write_json(file, content | {"whole": False}, seal=True)
        for path in hashes:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (fresh / path).replace(root / path)
        write_json(file, content | {"whole": True}, seal=True)
    except OSError as error:
        if not no_room(error):
            raise
        raise UserError(
            f"{root}: {job.scene} not written, the disk is full ({error}); free some space and run the same command "
            "again, what is finished is kept"
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return notices


def _drive_file(root: Path, scene: str) -> Path:
    return root / KEEP / f"{scene}.json"


def _read(file: Path) -> dict[str, Any] | None:
    """What a run remembers of a drive; None if there is nothing that can be believed."""
    try:
        content = read_json(file)
    except (UserError, OSError):
        return None
    needed = {"key", "files", "log", "tables", "whole"}
    return content if isinstance(content, dict) and needed <= content.keys() else None


def _has(root: Path, file: Path, job: Job, notices: list[str]) -> bool:
    """Whether a drive was written with the key of ``job`` and is still, byte by byte, what was written."""
    content = _read(file)
    if content is None or content["key"] != job.key() or not content["whole"]:
        return False
    for path, digest in sorted(content["files"].items()):
        if not (root / path).is_file() or sha256_file(root / path) != digest:
            notices.append(f"{job.scene}: {root / path} is not as it was generated; the drive is made again")
            return False
    return True


def _remove(root: Path, file: Path) -> None:
    """Remove the files of a drive and what is remembered of it."""
    for path in (_read(file) or {"files": {}})["files"]:
        if path.split("/")[0] in (SAMPLES, LIDARSEG) and ".." not in path:
            (root / path).unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def _clean(root: Path, wanted: set[str]) -> None:
    """Remove what an earlier run wrote and this one does not want."""
    if not (root / KEEP).is_dir():
        return
    for path in sorted((root / KEEP).iterdir()):
        if path.is_dir() and path.name.startswith(".") and path.name.endswith(".tmp"):
            shutil.rmtree(path)
        elif path.suffix == ".json" and path.name != MADE and path.stem not in wanted:
            _remove(root, path)
