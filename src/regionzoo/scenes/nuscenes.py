"""nuScenes v1.0's raw files -> :class:`~regionzoo.scenes.drives.Drive`.

Quirks of the real data, and where each is handled: the order of the tables' records means nothing
(:mod:`regionzoo.scenes.nuscenes_tables`); lidar and cameras of a keyframe are taken up to 50 ms apart, so a point's way
into an image leads through two poses of the car (:func:`lidar_to_camera`); a point in two boxes belongs to neither
(:func:`regionzoo.scenes.boxes.only_box`); the version's name may be there twice, as in ``v1.0-trainval/v1.0-trainval``
(:func:`_require_root`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regionzoo.artifacts import sha256_bytes, sha256_file
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.boxes import only_box
from regionzoo.scenes.drives import Drive
from regionzoo.scenes.lidarseg import fine_to_nuscenes16
from regionzoo.scenes.nuscenes_index import require_index
from regionzoo.scenes.nuscenes_layout import LIDARSEG, SAMPLES, VERSIONS, NuScenesVersion, official_split
from regionzoo.scenes.nuscenes_records import KeyframeRecord, read_drive_record, read_names
from regionzoo.scenes.nuscenes_tables import LABELS_OVER
from regionzoo.scenes.poses import inverse
from regionzoo.scenes.splits import form_splits, read_split_list
from regionzoo.scenes.store import NO_INSTANCE

CLASS_SET = "nuscenes16"
TABLES_KEY = "tables"
"""Among a drive's raw hashes: the digest of its records in the tables."""

_FLOATS = 5  # x, y, z, intensity, ring


@dataclass(frozen=True)
class NuScenesRoot:
    """A validated raw folder: its index of the tables and the sorted drives (scenes) of each split.

    Holds no open file, so that worker processes get copies. notices: tolerated oddities of the lists.
    """

    root: Path
    version: NuScenesVersion
    index: Path
    splits: dict[str, tuple[str, ...]]
    notices: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        root: str | Path,
        version: NuScenesVersion,
        lists: dict[str, str | None],
        exclude: tuple[str, ...] | list[str],
        index: str | Path,
    ) -> NuScenesRoot:
        """Check the folder, make ``index`` from its tables unless it was made from them, and form the splits.

        lists: split -> name of a file of scene names below ``root`` (or an absolute path), or None: the drives of the
        version's official split that the tables have. exclude: scene names to leave out. :class:`UserError` if root is
        not the folder that holds ``<version>/*.json``, a table is missing, broken or contradicts another, label files
        are missing, a list is missing or names a drive that the tables do not have, a split ends up empty, or a drive
        is in two of them.
        """
        root, index = Path(root), Path(index)
        _require_root(root, version)
        require_index(root / version, index)
        names, keyframes = read_names(index)
        _require_label_files(root, version, keyframes)
        notices: list[str] = []

        def listed(split: str, name: str | None) -> tuple[str, str, tuple[str, ...]]:
            if name is None:
                return split, f"{root}: its official split {split}", _official(root, version, split, names, notices)
            return split, str(root / name), _of_list(root, version, name, names, notices)

        splits = form_splits((listed(*item) for item in lists.items()), exclude, "nuscenes", notices)
        return cls(root, version, index, splits, tuple(notices))

    def raw_files(self, scene: str) -> list[str]:
        """The files that :meth:`read_drive` reads besides the tables, as paths below the root, sorted."""
        record = read_drive_record(self.index, scene)
        return sorted(name for keyframe in record.keyframes for name in (keyframe.lidar.filename, keyframe.labels))

    def raw_sha256(self, scene: str) -> dict[str, str]:
        """What :meth:`read_drive` would write into ``Drive.raw_sha256`` now; :class:`SceneError` for an absent file."""
        record = read_drive_record(self.index, scene)
        hashes = {TABLES_KEY: record.sha256}
        for keyframe in record.keyframes:
            for name in (keyframe.lidar.filename, keyframe.labels):
                try:
                    hashes[name] = sha256_file(self.root / name)
                except OSError as error:
                    raise _unreadable(scene, self.root / name, error) from None
        return hashes

    def read_drive(self, scene: str, split: str, source: str = "nuscenes", notices: list[str] | None = None) -> Drive:
        """Read all keyframes of a drive; images are listed and not opened.

        ``notices`` collects oddities that were tolerated. :class:`SceneError`: one line with scene and file, for
        anything missing, cut, or inconsistent.
        """
        record = read_drive_record(self.index, scene)
        hashes = {TABLES_KEY: record.sha256}
        sweeps, labels, groups, categories = [], [], [], []
        for keyframe in record.keyframes:
            sweep_path, label_path = self.root / keyframe.lidar.filename, self.root / keyframe.labels
            sweeps.append(_read_sweep(scene, sweep_path, self._read(scene, keyframe.lidar.filename, hashes)))
            fine = self._read(scene, keyframe.labels, hashes)
            labels.append(_read_labels(scene, label_path, fine, len(sweeps[-1])))
            box = only_box(sweeps[-1][:, :3], keyframe.boxes.moved(inverse(keyframe.lidar.to_map)))
            # Positions count on through the boxes of the earlier keyframes.
            groups.append(np.where(box == NO_INSTANCE, box, box + len(categories)))
            categories += keyframe.categories
        points = np.concatenate(sweeps)
        intensity = points[:, 3].copy()
        if notices is not None and not (intensity.min() >= 0 and intensity.max() <= 255):
            notices.append(f"{scene}: intensities {intensity.min():g}..{intensity.max():g}, expected 0..255")
        return Drive(
            scene_id=scene,
            split=split,
            source=source,
            coords=points[:, :3].copy(),
            intensity=intensity,
            labels={CLASS_SET: np.concatenate(labels)},
            group=np.concatenate(groups).astype(np.int32),
            offsets=np.cumsum([0, *map(len, sweeps)], dtype=np.int64),
            tokens=tuple(keyframe.token for keyframe in record.keyframes),
            categories=tuple(categories),
            images=tuple(tuple(camera.filename for camera in keyframe.cameras) for keyframe in record.keyframes),
            intrinsics=np.array([[camera.intrinsics for camera in keyframe.cameras] for keyframe in record.keyframes]),
            lidar_to_camera=np.stack([lidar_to_camera(keyframe) for keyframe in record.keyframes]),
            raw_sha256=hashes,
        )

    def _read(self, scene: str, name: str, hashes: dict[str, str]) -> bytes:
        """A file below the root, whole; the very bytes that are used are hashed."""
        try:
            content = (self.root / name).read_bytes()
        except OSError as error:
            raise _unreadable(scene, self.root / name, error) from None
        hashes[name] = sha256_bytes(content)
        return content


def lidar_to_camera(keyframe: KeyframeRecord) -> np.ndarray:
    """float64 [6, 4, 4]: lidar frame to each camera's, by way of the map and the car's pose at both sensors' times."""
    to_map = keyframe.lidar.to_map
    return np.stack([inverse(camera.to_map) @ to_map for camera in keyframe.cameras])


def _read_sweep(scene: str, path: Path, content: bytes) -> np.ndarray:
    """float32 [n, 5]: x, y, z (metres), intensity, ring."""
    if not content or len(content) % (4 * _FLOATS):
        told = f"{len(content)} bytes; expected {_FLOATS} float32 a point, {4 * _FLOATS} bytes; copy it again"
        raise SceneError(scene, path, told)
    sweep = np.frombuffer(content, "<f4").reshape(-1, _FLOATS).astype(np.float32, copy=False)
    bad = np.flatnonzero(~np.isfinite(sweep[:, :4]).all(axis=1))
    if len(bad):
        told = f"{len(bad)} of {len(sweep)} points are not finite, first is {bad[0]}; copy it again"
        raise SceneError(scene, path, told)
    return sweep


def _read_labels(scene: str, path: Path, content: bytes, count: int) -> np.ndarray:
    """int16 [count] in nuscenes16."""
    if len(content) != count:
        raise SceneError(scene, path, f"{len(content)} labels, but its sweep has {count} points; copy both again")
    try:
        return fine_to_nuscenes16(np.frombuffer(content, np.uint8))
    except ValueError as error:
        raise SceneError(scene, path, f"{error}; copy it again") from None


def _unreadable(scene: str, path: Path, error: OSError) -> SceneError:
    if isinstance(error, FileNotFoundError):
        return SceneError(scene, path, "missing; unpack the part of the download that has it")
    return SceneError(scene, path, f"cannot be read ({error.strerror})")


def _has_tables(folder: Path) -> bool:
    # isfile, because an unreadable neighbour is no reason to stop.
    return any(os.path.isfile(folder / f"{table}.json") for table in ("scene", "sample_data"))


def _require_root(root: Path, version: NuScenesVersion) -> None:
    """:class:`UserError` unless the tables are in ``root/version``; it names the folder that may be meant."""
    rule = f"data.nuscenes.root must be the folder that holds {version}/, {SAMPLES}/ and {LIDARSEG}/"
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; {rule}")
    if _has_tables(root / version):
        return
    try:
        near = [root.resolve().parent, *(root / name for name in sorted(os.listdir(root)))]
    except OSError as error:
        raise UserError(f"{root}: cannot be read ({error.strerror})") from None
    if meant := next((folder for folder in near if _has_tables(folder / version)), None):
        raise UserError(f"{root}: holds no tables {version}/*.json, but {meant} does; {rule}")
    if other := next((name for name in VERSIONS if name != version and _has_tables(root / name)), None):
        raise UserError(f"{root}: holds {other}, not {version}; set data.nuscenes.version or the root")
    raise UserError(f"{root}: holds no tables {version}/*.json; {rule}")


def _require_label_files(root: Path, version: str, expected: int) -> None:
    """As the devkit: as many label files as records."""
    folder = root / LIDARSEG / version
    try:
        found = sum(path.suffix in (".bin", ".npz") for path in folder.iterdir())
    except OSError:
        raise UserError(f"{folder}: no such folder of label files; {LABELS_OVER}") from None
    if found != expected:
        raise UserError(f"{folder}: {found} label files, but lidarseg.json has {expected} records; {LABELS_OVER}")


def _official(
    root: Path, version: NuScenesVersion, split: str, names: tuple[str, ...], notices: list[str]
) -> tuple[str, ...]:
    official = official_split(version)
    if split not in official:
        raise UserError(f"{root}: {version} has no official split {split}; its splits are {', '.join(official)}")
    present = tuple(scene for scene in official[split] if scene in set(names))
    if not present:
        raise UserError(
            f"{root / version / 'scene.json'}: has none of the {len(official[split])} scenes of the official "
            f"split {split}; name a list of its scenes in data.nuscenes.{split}_list"
        )
    if absent := len(official[split]) - len(present):
        notices.append(
            f"{split}: {absent} of the {len(official[split])} scenes of the official split are not in the tables"
        )
    return present


def _of_list(root: Path, version: str, name: str, names: tuple[str, ...], notices: list[str]) -> tuple[str, ...]:
    listed = read_split_list(root / name, "nuscenes", notices)
    if absent := sorted(set(listed) - set(names)):
        raise UserError(
            f"{root / name}: lists {absent[0]}, which {version}/scene.json does not have ({len(absent)} in all)"
        )
    return listed
