"""Files that are either whole or absent, and the content manifests that stand for folders in the DAG."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regionzoo.errors import UserError

CHUNK = 1 << 20
SEAL = "seal_sha256"
UNSEALED = "0" * 64


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success sync it and rename it over ``path``.

    If the block raises, the temporary file is removed and ``path`` keeps what it held.
    """
    path = Path(path)
    try:
        with _renamed_at_the_end(path) as temporary:
            yield temporary
    except Exception as error:
        if not no_room(error):
            raise
        raise UserError(
            f"{path}: not written, the disk is full ({error}); free some space and run the same command again, what is "
            "finished is kept"
        ) from None


def no_room(error: BaseException) -> bool:
    """Whether an error says that a disk, a quota or a limit of file sizes is full (safetensors says it in its text)."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return getattr(error, "errno", None) in full or any(f"(os error {number})" in str(error) for number in full)


@contextmanager
def _renamed_at_the_end(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=f".tmp{path.suffix}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes 0600 files; artifacts get what the user's umask gives any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(target: str | Path) -> Path:
    """Where :func:`replaced_folder` keeps the folder until it is whole."""
    return Path(target).with_name(f".{Path(target).name}.tmp")


@contextmanager
def replaced_folder(target: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target`` that takes its place if the block succeeds and vanishes if not.

    Names are fixed, so that what a killed run left behind is cleared by the next; two runs never write the same
    artifact at once.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = unfinished(target), target.with_name(f".{target.name}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` atomically."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any, seal: bool = False) -> None:
    """Write ``value`` as indented JSON with sorted keys, NaN refused, atomically.

    seal: with a digest of its content (``value`` must be a dict), which :func:`read_json` checks and takes out.
    """
    if seal:
        value = value | {SEAL: _json_digest(value)}
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _json_digest(value: dict[str, Any]) -> str:
    """Digest of what a file of ``value`` is read as, whatever its layout."""
    read = json.loads(json.dumps(value))
    return sha256_bytes(json.dumps(read, sort_keys=True).encode())


def write_safetensors(path: str | Path, tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Write NumPy arrays or torch tensors (one kind per call) as a safetensors file, atomically, with a seal.

    The seal is a digest of the whole file in its metadata: :func:`sealed_content` tells whether the file is as written.
    """
    metadata = {**(metadata or {}), SEAL: UNSEALED}
    if any(hasattr(value, "detach") for value in tensors.values()):
        from safetensors.torch import save_file

        tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    else:
        import numpy as np
        from safetensors.numpy import save_file

        # ascontiguousarray would turn a scalar into a vector; safetensors writes raw memory, so order matters.
        tensors = {key: np.asarray(value, order="C") for key, value in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
        _sort_and_seal(temporary)


def _sort_and_seal(path: Path) -> None:
    """Write a safetensors header again with its keys in order, and the seal in it.

    The library orders them by a hash that differs from process to process, and equal content must be an equal file.
    """
    with path.open("rb+") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        digest = hashlib.sha256(_header_bytes(header, size))
        while chunk := file.read(CHUNK):
            digest.update(chunk)
        header["__metadata__"][SEAL] = digest.hexdigest()
        file.seek(8)
        file.write(_header_bytes(header, size))


def _header_bytes(header: dict[str, Any], size: int) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)


def sealed_content(path: str | Path) -> bool:
    """Whether a file of :func:`write_safetensors` is whole and as it was written; false without a seal."""
    with Path(path).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(min(size, CHUNK * 100)))
            seal = header["__metadata__"][SEAL]
        except (ValueError, KeyError, TypeError):
            return False
        header["__metadata__"][SEAL] = UNSEALED
        digest = hashlib.sha256(_header_bytes(header, size))
        while chunk := file.read(CHUNK):
            digest.update(chunk)
        return seal == digest.hexdigest()


def mapped_arrays(path: str | Path) -> dict[str, Any]:
    """The arrays of a whole safetensors file, read-only, as parts of the mapped file.

    All processes that look at it share one copy, and nothing is read before it is looked at. A file of this package is
    replaced and never changed, so what was mapped stays as it was. Nothing is checked here; open it with the library
    first.
    """
    import numpy as np

    kinds = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "U8": "u1", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}
    with Path(path).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            kind, count = np.dtype(kinds[entry["dtype"]]), math.prod(entry["shape"])
            begin = 8 + size + entry["data_offsets"][0]
            arrays[name] = np.frombuffer(content, kind, count, begin if count else 0).reshape(entry["shape"])
    return arrays


def stable_int(text: str) -> int:
    """64 bits that depend on the text alone, for seeds (``hash`` differs between processes)."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def sha256_bytes(content: bytes) -> str:
    """Hex SHA-256 of a byte string."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's content, read in chunks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def tree_hashes(
    root: str | Path,
    keep: Callable[[str], bool] = lambda relative: True,
    workers: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """SHA-256 of every regular file below ``root`` for which ``keep(relative path)``; hidden files are left out.

    Returns ``{posix path relative to root: hex digest}`` sorted by path. Hashing releases the interpreter
    lock, so threads use the cores. ``progress`` is called with (files hashed, files in all).
    """
    root = Path(root)
    names = []
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            relative = Path(folder, name).relative_to(root).as_posix()
            if not name.startswith(".") and keep(relative):
                names.append(relative)
    names.sort()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        hashes = {}
        for name, digest in zip(names, pool.map(lambda name: sha256_file(root / name), names), strict=True):
            hashes[name] = digest
            if progress:
                progress(len(hashes), len(names))
        return hashes


def write_manifest(path: str | Path, files: dict[str, str], facts: dict[str, Any]) -> None:
    """Write a content manifest: ``{"facts": {...}, "files": {relative path: sha256}}``.

    It holds nothing that differs between two runs with the same content (no time, host or absolute path), because
    it is the edge between two jobs of the DAG: equal content must mean an equal file.
    """
    write_json(path, {"facts": facts, "files": files}, seal=True)


def read_json(path: str | Path) -> Any:
    """Read a JSON file; :class:`UserError` with the file and the reason if it is absent, broken or not as sealed."""
    path = Path(path)
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
    # A file without a seal (its key damaged, or written by hand) says what it says; whoever needs more checks it.
    seal = content.pop(SEAL, None) if isinstance(content, dict) else None
    if seal is not None and seal != _json_digest(content):
        raise UserError(f"{path}: damaged, its content is not what was written")
    return content


def manifest_hash(path: str | Path) -> str:
    """SHA-256 of a manifest file: the identity of the data set that it describes."""
    return sha256_file(path)
