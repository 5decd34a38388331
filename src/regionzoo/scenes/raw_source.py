"""The raw formats behind one interface, :class:`regionzoo.scenes.preprocess.RawSource`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from regionzoo.artifacts import sha256_file
from regionzoo.classes import INDOOR_SETS
from regionzoo.errors import UserError
from regionzoo.scenes.drives import Drive, load_drive, save_drive
from regionzoo.scenes.nuscenes import NuScenesRoot
from regionzoo.scenes.nuscenes_layout import READ_TABLES, NuScenesVersion
from regionzoo.scenes.pointcept import PointceptRoot
from regionzoo.scenes.pointgroup import PointGroupRoot
from regionzoo.scenes.processed import Lists, ProcessedRoot
from regionzoo.scenes.raw_layout import LABEL_TABLE_FILE, SCAN_SUFFIXES
from regionzoo.scenes.scannet import ScanNetRoot, read_scene
from regionzoo.scenes.store import Scene, load_scene, save_scene

Root = TypeVar("Root", ScanNetRoot, NuScenesRoot, ProcessedRoot)


@dataclass(frozen=True)
class _Opened(Generic[Root]):
    """What all formats answer alike. dataset: its section below ``data`` in params.yaml."""

    opened: Root
    dataset: str

    @property
    def root(self) -> Path:
        """The raw folder."""
        return self.opened.root

    @property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """Split -> sorted scene names."""
        return self.opened.splits

    @property
    def notices(self) -> tuple[str, ...]:
        """Oddities of the tables and lists."""
        return self.opened.notices


class _Rooms:
    """Where rooms are written, whatever they were read from."""

    def save(self, path: Path, scene: Scene) -> None:
        """Write a scene."""
        save_scene(path, scene)

    def load(self, path: Path) -> Scene:
        """Read it back."""
        return load_scene(path)


@dataclass(frozen=True)
class RoomSource(_Opened[ScanNetRoot], _Rooms):
    """ScanNet's scans, one stored scene each."""

    class_sets: tuple[str, ...] = INDOOR_SETS

    @classmethod
    def open(cls, root: Path, dataset: str, lists: dict[str, str], exclude: tuple[str, ...] = ()) -> RoomSource:
        """The scans of the split lists (files below ``root``)."""
        return cls(ScanNetRoot.open(root, lists, exclude), dataset)

    def read(self, scene_id: str, split: str, source: str, notices: list[str]) -> Scene:
        """One scan."""
        return read_scene(self.opened, scene_id, split, source, notices)

    def raw_sha256(self, scene_id: str) -> dict[str, str]:
        """Hashes by file name."""
        return self.opened.raw_sha256(scene_id)

    def raw_paths(self, scene_id: str) -> dict[str, str]:
        """File name -> path below the root."""
        folder = self.opened.folder(scene_id).relative_to(self.root).as_posix()
        files = {f"{scene_id}{suffix}": f"{folder}/{scene_id}{suffix}" for suffix in SCAN_SUFFIXES}
        return {LABEL_TABLE_FILE: LABEL_TABLE_FILE} | files


@dataclass(frozen=True)
class ProcessedSource(_Opened[ProcessedRoot], _Rooms):
    """ScanNet's scans as others have processed them, one stored scene each."""

    @classmethod
    def open(
        cls,
        root: Path,
        form: Literal["pointgroup", "pointcept"],
        dataset: str,
        lists: Lists,
        exclude: tuple[str, ...] = (),
    ) -> ProcessedSource:
        """The scenes of the splits. lists: split -> file, or None for all scenes of the split's folder."""
        kind = PointGroupRoot if form == "pointgroup" else PointceptRoot
        return cls(kind.open(root, lists, exclude, dataset), dataset)

    @property
    def class_sets(self) -> tuple[str, ...]:
        """Those that its files hold labels of."""
        return self.opened.class_sets

    def read(self, scene_id: str, split: str, source: str, notices: list[str]) -> Scene:
        """One scan; there is nothing odd that would be tolerated."""
        return self.opened.read_scene(scene_id, split, source)

    def raw_sha256(self, scene_id: str) -> dict[str, str]:
        """Hashes by file name."""
        return self.opened.raw_sha256(scene_id)

    def raw_paths(self, scene_id: str) -> dict[str, str]:
        """File name -> path below the root."""
        return self.opened.raw_paths(scene_id)


@dataclass(frozen=True)
class DriveSource(_Opened[NuScenesRoot]):
    """nuScenes' scenes, one stored drive each."""

    class_sets: tuple[str, ...] = ("nuscenes16",)

    @classmethod
    def open(
        cls,
        root: Path,
        version: NuScenesVersion,
        dataset: str,
        lists: dict[str, str | None],
        exclude: tuple[str, ...],
        index: Path,
        expected: dict[str, str] | None = None,
    ) -> DriveSource:
        """The scenes of the version's official split, or of lists. index: where the tables' index is kept.

        expected: path below root -> sha256; :class:`UserError` if a table is another one.
        """
        opened = NuScenesRoot.open(root, version, lists, exclude, index)
        for name in READ_TABLES if expected is not None else ():
            table = f"{version}/{name}.json"
            if sha256_file(opened.root / table) != expected.get(table):
                told = (
                    "is not what raw.manifest.json says (edited since?); run the same command again, it begins with raw"
                )
                raise UserError(f"{opened.root / table}: {told}")
        return cls(opened, dataset)

    def read(self, scene_id: str, split: str, source: str, notices: list[str]) -> Drive:
        """One drive."""
        return self.opened.read_drive(scene_id, split, source, notices)

    def raw_sha256(self, scene_id: str) -> dict[str, str]:
        """Hashes by path, and the digest of the drive's own records as "tables"."""
        return self.opened.raw_sha256(scene_id)

    def raw_paths(self, scene_id: str) -> dict[str, str]:
        """The sweeps and label files; the tables are checked as a whole when they are opened."""
        return {name: name for name in self.opened.raw_files(scene_id)}

    def save(self, path: Path, scene: Drive) -> None:
        """Write a drive."""
        save_drive(path, scene)

    def load(self, path: Path) -> Drive:
        """Read it back."""
        return load_drive(path)
