"""Write a whole synthetic data set in ScanNet's raw layout."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from regionzoo.artifacts import tree_hashes, write_text
from regionzoo.scenes.shards import make_all
from regionzoo.scenes.synthetic.geometry import Patches, collect
from regionzoo.scenes.synthetic.plans import PLANS
from regionzoo.scenes.synthetic.rooms import Room, furnish
from regionzoo.scenes.synthetic.scan import Mesh, scan
from regionzoo.scenes.synthetic.settings import GENERATOR_VERSION, VAL_SPACE, RoomSettings
from regionzoo.scenes.synthetic.surfaces import patch_light
from regionzoo.scenes.synthetic.table import nyu40_ids, table_text
from regionzoo.scenes.synthetic.trajectory import Walk
from regionzoo.scenes.synthetic.write import (
    NYU40_COLORS,
    write_aggregation,
    write_mesh,
    write_scene_text,
    write_segments,
)

KEY_FILE = ".generator.json"
SCANS, FRAMES = "scans", "scannet_frames_25k"
TRAIN, VAL = 0, 1
# Streams of random numbers: each draw belongs to (seed, split, number, stream).
_DEAL, _ROOM, _WALK, _SCAN, _FRAMES, _LIST = range(6)


@dataclass(frozen=True)
class Job:
    """One scan to write: ``space`` is the room within its split, ``rescan`` how often it was scanned before."""

    split: int
    space: int
    rescan: int
    settings: RoomSettings

    @property
    def scene_id(self) -> str:
        """sceneSSSS_RR."""
        return f"scene{self.space + VAL_SPACE * self.split:04d}_{self.rescan:02d}"

    @property
    def frames(self) -> int:
        """Only training scans have images: captions are made for nothing else."""
        return self.settings.frames if self.split == TRAIN else 0

    def rng(self, stream: int, rescan: bool = True) -> np.random.Generator:
        """The generator of one stream; ``rescan=False`` for what all scans of the room share."""
        where = [self.split, self.space, self.rescan if rescan else 0, stream]
        return np.random.default_rng([self.settings.seed, *where])

    def key(self) -> dict[str, Any]:
        """What decides the bytes of the scan folder."""
        return {
            "generator": GENERATOR_VERSION,
            "seed": self.settings.seed,
            "vertex_spacing": self.settings.vertex_spacing,
        }


@dataclass(frozen=True)
class Placed:
    """A room in the frame of one scan of it."""

    room: Room
    patches: Patches
    light: np.ndarray
    alignment: np.ndarray
    walk: Walk


def scene_ids(settings: RoomSettings) -> tuple[list[str], list[str]]:
    """Names of the training and validation scans, in order of their number."""
    train, val = ([job.scene_id for job in _jobs(settings, split)] for split in (TRAIN, VAL))
    return train, val


def generate(
    root: Path, settings: RoomSettings, workers: int, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Write the data set below ``root``; scans that are already there, whole and with the same key, are kept.

    Layout: ``scans/``, ``scannet_frames_25k/`` (training scans, if ``settings.frames``), the label table and the two
    split lists. Scans that an earlier run wrote and that do not belong to ``settings`` are removed. ``progress``
    gets (done, total) after each scan. The result depends neither on ``workers`` nor, scan by scan, on their number.
    Returns a line for each folder that was not what was once written there (edited, damaged) and was made again.
    """
    root = Path(root)
    jobs = [*_jobs(settings, TRAIN), *_jobs(settings, VAL)]
    for folder in (SCANS, FRAMES):
        _clean(root / folder, {job.scene_id for job in jobs if folder == SCANS or job.frames})
    (root / SCANS).mkdir(parents=True, exist_ok=True)
    notices = make_all(partial(write_scan, root), jobs, workers, progress)
    write_text(root / "scannetv2-labels.combined.tsv", table_text())
    for split, name in ((TRAIN, "train"), (VAL, "val")):
        names = [job.scene_id for job in _jobs(settings, split)]
        order = np.random.default_rng([settings.seed, split, _LIST]).permutation(len(names))
        write_text(root / f"scannetv2_{name}.txt", "".join(f"{names[k]}\n" for k in order))
    return notices


def write_scan(root: Path, job: Job) -> list[str]:
    """Write the folders of one scan unless they are there, whole and with the same key; notices of damaged ones."""
    scans, frames = root / SCANS / job.scene_id, root / FRAMES / job.scene_id
    key, frames_key = job.key(), job.key() | {"frames": job.frames}
    notices: list[str] = []
    has_scan = _has(scans, key, notices)
    has_frames = not job.frames or _has(frames, frames_key, notices)
    if has_scan and has_frames:
        return notices
    placed = place(job)
    mesh = scan(placed.patches, placed.walk.scan_poses(), job.settings.vertex_spacing, placed.light, job.rng(_SCAN))
    seen = np.unique(mesh.object)
    objects = [index for index in seen.tolist() if placed.room.solids[index].category is not None]
    if not has_scan:
        with _Folder(scans, key) as folder:
            _write_files(folder, job, placed, mesh, objects)
    if not has_frames:
        from regionzoo.scenes.synthetic.frames import write_frames

        nyu40, instance = _image_ids(placed.room, objects)
        rng = job.rng(_FRAMES)
        lost = int(rng.integers(job.frames)) if job.frames > 1 and rng.random() < 0.1 else None
        poses = placed.walk.frame_poses(job.frames)
        with _Folder(frames, frames_key) as folder:
            write_frames(folder, placed.patches, placed.light, poses, lost, nyu40, instance, rng)
    return notices


def place(job: Job) -> Placed:
    """Build the room of a job and move it to the scan's own frame: turned about z and shifted."""
    deal = np.random.default_rng([job.settings.seed, job.split, job.space // len(PLANS), _DEAL])
    room = furnish(job.space, job.rng(_ROOM, rescan=False), deal)
    rng = job.rng(_WALK)
    angle = rng.uniform(-math.pi, math.pi)
    to_scan = np.eye(4)
    to_scan[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    to_scan[:3, 3] = (*rng.uniform(1.5, 4.5, 2), rng.uniform(-0.1, 0.1))
    patches = collect(room.solids).moved(to_scan)
    light = patch_light(patches.normals(), rng.uniform(0, 2 * math.pi)) * rng.uniform(0.92, 1.06)
    walk = Walk(room.zones, rng, to_scan)
    return Placed(room, patches, light, np.linalg.inv(to_scan), walk)


def _jobs(settings: RoomSettings, split: int) -> Iterator[Job]:
    """Every tenth scan is a second scan of the room before, as the official set has rescans."""
    count = settings.train_scenes if split == TRAIN else settings.val_scenes
    for index in range(count):
        block, within = divmod(index, 10)
        yield Job(split, block * 9 + min(within, 8), int(within == 9), settings)


def _write_files(folder: Path, job: Job, placed: Placed, mesh: Mesh, objects: list[int]) -> None:
    scene = job.scene_id
    ids = nyu40_ids()
    groups: list[tuple[str, list[int]]] = []
    labels = np.zeros(len(mesh.object), np.uint16)
    for index in objects:
        category = placed.room.solids[index].category or ""
        mine = mesh.object == index
        groups.append((category, np.unique(mesh.superpoint[mine]).tolist()))
        labels[mine] = ids[category]
    write_mesh(folder / f"{scene}_vh_clean_2.ply", mesh, mesh.colors)
    write_mesh(folder / f"{scene}_vh_clean_2.labels.ply", mesh, NYU40_COLORS[labels], labels)
    write_segments(folder / f"{scene}_vh_clean_2.0.010000.segs.json", scene, mesh.superpoint)
    write_aggregation(folder / f"{scene}.aggregation.json", scene, groups)
    poses = len(placed.walk.scan_poses())
    write_scene_text(folder / f"{scene}.txt", placed.alignment, placed.room.scene_type, 30 * poses)


def _image_ids(room: Room, objects: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """NYU40 id and instance id of every object; numbers run within a label in the order of the objectIds."""
    ids = nyu40_ids()
    nyu40, instance = np.zeros(len(room.solids), np.uint8), np.zeros(len(room.solids), np.uint16)
    used: dict[int, int] = {}
    for index in objects:
        label = ids[room.solids[index].category or ""]
        used[label] = used.get(label, 0) + 1
        nyu40[index], instance[index] = label, label * 1000 + used[label]
    return nyu40, instance


class _Folder:
    """A folder that appears under its name, with its key and the files' hashes, only when its content is whole."""

    def __init__(self, path: Path, key: dict[str, Any]) -> None:
        self._path, self._key = path, key
        self._temporary = path.with_name(f".{path.name}.tmp")

    def __enter__(self) -> Path:
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        return self._temporary

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if kind is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            return
        content = self._key | {"files": tree_hashes(self._temporary, workers=1)}
        (self._temporary / KEY_FILE).write_text(json.dumps(content, sort_keys=True))
        if self._path.exists():
            shutil.rmtree(self._path)
        self._temporary.rename(self._path)


def _has(folder: Path, key: dict[str, Any], notices: list[str]) -> bool:
    """Whether a folder was written with ``key`` and still holds, byte by byte, what was written."""
    try:
        content = json.loads((folder / KEY_FILE).read_text())
        files = dict(content.pop("files"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    if content != key:
        return False
    present = tree_hashes(folder, workers=1)
    other = sorted(name for name in files.keys() | present.keys() if files.get(name) != present.get(name))
    if other:
        notices.append(f"{folder.name}: {folder / other[0]} is not as it was generated; the folder is made again")
    return not other


def _clean(folder: Path, wanted: set[str]) -> None:
    """Remove what an earlier run wrote and this one does not want; folders without a key are not ours."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        unfinished = path.name.startswith(".scene") and path.name.endswith(".tmp")
        if unfinished or (path.name not in wanted and (path / KEY_FILE).is_file()):
            shutil.rmtree(path)
