"""Hashes of a raw tree's files: computed in parallel, and again only for files that look touched.

What a file looked like when it was hashed (size, times) is kept in ``data/<dataset>/raw.stat``, a cache of this
machine. ``data/<dataset>/raw.state.json`` says in a few lines what the tree holds; it is an input of the rule ``raw``
in both Snakemake and DVC, and that is how an edit of a raw file reaches them (:mod:`regionzoo.scenes.raw_look`).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from regionzoo.artifacts import sha256_bytes, sha256_file, write_json, write_text
from regionzoo.errors import UserError
from regionzoo.scenes.nuscenes_layout import is_nuscenes_input
from regionzoo.scenes.processed_layout import FOLDERS, is_processed_folder, is_processed_input
from regionzoo.scenes.raw_layout import FRAME_FOLDERS, IMAGE_FOLDERS, LABEL_TABLE_FILE, SCAN_FOLDERS, is_raw_input

LINK, MANIFEST, STATE, CACHE = "raw", "raw.manifest.json", "raw.state.json", "raw.stat"
INDEX = "raw.index"
"""nuScenes' tables by drive, made by whoever needs them first; a cache of this machine."""
NOTHING_BUILT: dict[str, Any] = {"facts": {}, "files": 0, "sha256": ""}
"""The state file as shipped: DVC wants a dependency to exist before anything was built."""

RACY = 2_000_000_000
"""Nanoseconds. A file written less than this before it was hashed may change again within the same tick of its time
stamps, so its stamps prove nothing (ticks: 4 ms on ext4, 1 s on old file systems, 2 s on FAT)."""

_FRAME_PARTS = frozenset({*IMAGE_FOLDERS, "intrinsic"})
_FORMAT = 2
_BATCH = 64
_TRIES = 3

Stat = tuple[int, int, int]
"""Size in bytes, mtime and ctime in nanoseconds; ctime also tells an edit whose mtime was set back."""
Progress = Callable[[int, int], None]
"""Called with (files hashed, files to hash)."""


@dataclass(frozen=True)
class Inputs:
    """The files of a raw tree that count: of listed ``scenes`` (ScanNet), of whole ``folders`` (nuScenes, whose scenes
    share them; processed scenes), and ``top``, paths below the root."""

    scenes: frozenset[str]
    top: frozenset[str]
    folders: frozenset[str] = frozenset()

    @classmethod
    def listed(cls, scenes: Iterable[str], lists: Iterable[str]) -> Inputs:
        """Of listed scenes; lists that lie elsewhere (absolute paths) decide the scenes and are no part of the tree."""
        return cls(frozenset(scenes), frozenset({LABEL_TABLE_FILE, *_inside(lists)}))

    @classmethod
    def whole(cls, folders: Iterable[str], lists: Iterable[str]) -> Inputs:
        """Of whole folders, with the lists if there are any."""
        return cls(frozenset(), frozenset(_inside(lists)), frozenset(folders))

    @classmethod
    def of_manifest(cls, files: Iterable[str]) -> Inputs:
        """What a manifest knows; files of other scenes do not count."""
        scenes, top, folders = set(), set(), set()
        for name in files:
            base = next((base for base in (*SCAN_FOLDERS, *FRAME_FOLDERS) if name.startswith(f"{base}/")), None)
            if base is not None:
                scenes.add(name[len(base) + 1 :].split("/")[0])
            elif "/" in name and is_nuscenes_input(name):
                folders.add(name.rpartition("/")[0])
            elif is_processed_input(name):
                folders.update(FOLDERS)
            else:
                top.add(name)
        return cls(frozenset(scenes), frozenset(top), frozenset(folders))


def _inside(lists: Iterable[str]) -> set[str]:
    return {name for name in lists if not os.path.isabs(name) and ".." not in name.split("/")}


@dataclass
class RawTree:
    """What is known about the tree at ``root``, kept in the file ``cache``.

    files: path below root -> [size, mtime, ctime, sha256]. lists: split -> list, as the rule was told, folders: of
    :class:`Inputs`. manifest: hash
    of the manifest that this tree belongs to, the last one that was made from it or was equal to it. state, changes:
    the result of the last comparison with that manifest.
    """

    cache: Path
    root: Path
    files: dict[str, list[Any]] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    manifest: str | None = None
    state: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def load(cls, cache: Path, root: Path) -> RawTree:
        """From the cache; empty if there is none, if it is damaged, or if it is about another folder."""
        root = root.resolve()
        try:
            seal, _, body = cache.read_text().partition("\n")
            held = json.loads(body) if seal == sha256_bytes(body.encode()) else {}
        except (OSError, ValueError):
            held = {}
        if held.pop("format", None) != _FORMAT or held.pop("root") != str(root):
            return cls(cache, root)
        return cls(cache, root, **held)

    def save(self) -> None:
        """Write the cache. It only saves time, so a folder that cannot be written to is no error."""
        names = ("files", "lists", "folders", "manifest", "state", "changes")
        held = {"format": _FORMAT, "root": str(self.root), **{name: getattr(self, name) for name in names}}
        body = json.dumps(held, separators=(",", ":"))
        with suppress(OSError):
            write_text(self.cache, f"{sha256_bytes(body.encode())}\n{body}")

    def looks_the_same(self, found: dict[str, Stat]) -> bool:
        """Whether ``found`` are just the known files, none of them touched."""
        return len(found) == len(self.files) and not self._touched(found)

    def update(self, found: dict[str, Stat], workers: int, progress: Progress | None = None) -> dict[str, str]:
        """Hash what is new or touched; returns path -> sha256 of all of ``found``, sorted by path.

        An interrupted call keeps what it has hashed. :class:`UserError` if a file cannot be read or is being written.
        """
        touched = self._touched(found)
        again = set(touched)
        self.files = {name: self.files[name] for name in found if name not in again}
        done = 0
        batches = [touched[i : i + _BATCH] for i in range(0, len(touched), _BATCH)]
        pool = ThreadPoolExecutor(max(1, workers))
        try:
            # Hashing releases the interpreter lock, so threads use the cores.
            for entries in pool.map(partial(_hash_batch, self.root), batches):
                self.files.update(entries)
                done += len(entries)
                if progress is not None:
                    progress(done, len(touched))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            self.save()
            raise
        pool.shutdown()
        return {name: self.files[name][3] for name in sorted(self.files)}

    def _touched(self, found: dict[str, Stat]) -> list[str]:
        known, nothing = self.files, [None]
        return [name for name, seen in found.items() if tuple(known.get(name, nothing)[:3]) != seen]


def find_inputs(root: Path, inputs: Inputs, workers: int) -> dict[str, Stat]:
    """``{posix path below root: (size, mtime, ctime)}`` of the inputs that are there; hidden ones are left out.

    Threads help where a look-up is a round trip (network file systems). :class:`UserError` if a folder cannot be read.
    """
    bases = [base for base in (*SCAN_FOLDERS, *FRAME_FOLDERS) if (root / base).is_dir()]
    folders = [f"{base}/{scene}" for base in bases for scene in sorted(inputs.scenes)]
    batches = [folders[i : i + _BATCH] for i in range(0, len(folders), _BATCH)]
    found: dict[str, Stat] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for part in pool.map(partial(_find_batch, str(root)), batches):
            found.update(part)
        flat = [name for folder in sorted(inputs.folders) for name in (folder, *_scene_folders(str(root), folder))]
        for part in pool.map(partial(_find_flat, str(root)), flat):
            found.update(part)
    for name in inputs.top:
        with suppress(FileNotFoundError, NotADirectoryError):
            seen = os.stat(root / name)
            if stat.S_ISREG(seen.st_mode):
                found[name] = _stat(seen)
    return found


def _find_batch(root: str, folders: list[str]) -> dict[str, Stat]:
    return {name: seen for folder in folders for name, seen in _find(root, folder, _FRAME_PARTS)}


def _scene_folders(root: str, folder: str) -> list[str]:
    """Of processed scenes those that are folders."""
    if folder not in FOLDERS:
        return []
    with suppress(OSError), os.scandir(f"{root}/{folder}") as entries:
        return sorted(f"{folder}/{entry.name}" for entry in entries if entry.is_dir())
    return []


def _find_flat(root: str, folder: str) -> dict[str, Stat]:
    return dict(
        _find(root, folder, frozenset(), is_processed_input if is_processed_folder(folder) else is_nuscenes_input)
    )


def _find(
    root: str, folder: str, parts: frozenset[str], wanted: Callable[[str], bool] = is_raw_input
) -> Iterator[tuple[str, Stat]]:
    try:
        with os.scandir(f"{root}/{folder}") as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}"
                if wanted(name):
                    with suppress(FileNotFoundError):  # a link to nowhere, or just removed
                        seen = entry.stat()
                        if stat.S_ISREG(seen.st_mode):
                            yield name, _stat(seen)
                # No other folder is looked into: exports put thousands of files beside a scan.
                elif entry.name in parts and entry.is_dir():
                    yield from _find(root, name, frozenset())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UserError(f"{root}/{folder}: cannot be read ({error.strerror}); raw files must be readable") from None


def _stat(seen: os.stat_result) -> Stat:
    return seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def _hash_batch(root: Path, names: list[str]) -> dict[str, list[Any]]:
    entries = ((name, _hash(root / name)) for name in names)
    return {name: entry for name, entry in entries if entry is not None}


def _hash(path: Path) -> list[Any] | None:
    """[size, mtime, ctime, sha256]; times of 0, which match nothing, if the file is too fresh; None if it is gone."""
    for _ in range(_TRIES):
        begin = time.time_ns()
        try:
            before = _stat(os.stat(path))
            digest = sha256_file(path)
            after = _stat(os.stat(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); raw files must be readable") from None
        if before == after:
            fresh = max(after[1:]) > begin - RACY
            return [after[0], *((0, 0) if fresh else after[1:]), digest]
    raise UserError(f"{path}: changes while it is read; wait until it is written, then run the same command again")


def state_of(facts: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
    """Content of the state file: what the tree is (rooms: generator, seed, sizes) and the digest of what it holds."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name]}\n".encode())
    return {"facts": facts, "files": len(files), "sha256": digest.hexdigest()}


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write the state file if it says something else; :class:`UserError` if that is not possible."""
    with suppress(OSError, ValueError):
        if json.loads(path.read_text()) == state:
            return
    try:
        write_json(path, state)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); free the disk or the permissions") from None
