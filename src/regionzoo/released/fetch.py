"""A published file onto this disk, the same one each time: downloaded or brought by hand, and verified."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from regionzoo.artifacts import atomic_path, sha256_file
from regionzoo.errors import UserError
from regionzoo.released.download import download
from regionzoo.released.lock import Locked, forget, held, read_lock, record
from regionzoo.released.manifest import Artifact
from regionzoo.released.opcodes import is_web_page

FOLDER = Path("data/released")
LOCK = Path("data/released.lock.csv")
BY_HAND = "local file"


@dataclass(frozen=True)
class Fetched:
    """A verified file. address: where it came from, "local file" for one that a person brought. first: whether this
    was the first time, so that its digest was taken down and not compared."""

    path: Path
    sha256: str
    size: int
    address: str
    first: bool


def fetch(
    artifact: Artifact,
    folder: Path = FOLDER,
    lock: Path = LOCK,
    source: str | Path | None = None,
    tries: int = 5,
    pause: float = 2.0,
) -> Fetched:
    """``folder/<artifact.file>``, as it is there, from ``source``, or from the first address that has it.

    source: a path, or an http, https or file address, instead of the published ones. The file must have the digest in
    the manifest, else the one in ``lock``, else its digest is added to ``lock``: later files must be the same.
    :class:`UserError` of one line, and nothing is left in place, if no address gives that file.
    """
    target = folder / artifact.file
    with held(folder / f".{artifact.file}.guard"):
        expected, told_by = _expected(artifact, lock)
        if source is None and target.is_file():
            digest = _verified(target, artifact, expected, told_by, f"delete {target} to fetch it again")
            return _taken_down(artifact, target, digest, expected, BY_HAND, lock)
        reasons = []
        for address in [str(source)] if source else [entry for entry in (artifact.primary, artifact.mirror) if entry]:
            part = folder / f".{artifact.file}.part"
            try:
                origin = _obtain(address, part, artifact, tries, pause)
                digest = _verified(part, artifact, expected, told_by, "")
            except UserError as error:
                reasons.append(f"{address}: {error}")
                continue
            part.replace(target)
            return _taken_down(artifact, target, digest, expected, origin, lock)
    by_hand = f"; or save {artifact.page} with a browser as {target}" if artifact.page else ""
    by_hand += f"; or bring a copy: regionzoo fetch {artifact.name} --from FILE"
    raise UserError(f"{artifact.name}: not fetched; {'; '.join(reasons) or 'no address of the file is known'}{by_hand}")


def _expected(artifact: Artifact, lock: Path) -> tuple[str, str]:
    """The digest that the file must have, "" for any, and who says so."""
    locked = read_lock(lock).get(artifact.name)
    if locked and artifact.sha256 and locked.sha256 != artifact.sha256:
        raise UserError(
            f"{lock}: {artifact.name} has another sha256 there than in the manifest of published files; delete its "
            "line to go by the manifest"
        )
    return (artifact.sha256, "the manifest") if artifact.sha256 else (locked.sha256 if locked else "", str(lock))


def _obtain(address: str, part: Path, artifact: Artifact, tries: int, pause: float) -> str:
    """Bring the file to ``part``; returns what to note as its origin."""
    parts = urlsplit(address)
    if parts.scheme in ("http", "https"):
        download(address, part, artifact.page, artifact.size, tries, pause)
        return address
    if parts.scheme and parts.scheme != "file":
        raise UserError("only http, https and file addresses are fetched")
    if parts.scheme and parts.netloc not in ("", "localhost"):
        raise UserError("a file address names a path on this machine: file:///path")
    path = Path(unquote(parts.path)) if parts.scheme else Path(address)
    if not path.is_file():
        raise UserError("no such file")
    with atomic_path(part) as temporary:
        shutil.copyfile(path, temporary)
    return BY_HAND


def _verified(path: Path, artifact: Artifact, expected: str, told_by: str, way_out: str) -> str:
    """The digest of ``path``; :class:`UserError` if it is another file than the one that is wanted.

    A file without ``way_out`` is a download of ours, synced to the disk if it is right and removed if it is not.
    """
    with path.open("rb") as file:
        start = file.read(512)
    size, digest = path.stat().st_size, sha256_file(path)
    if is_web_page(start):
        reason = "holds a web page, not the file: the link wanted a login, or had expired"
    elif artifact.size is not None and size != artifact.size:
        reason = f"has {size} bytes, expected {artifact.size}"
    elif expected and digest != expected:
        replaced = "" if artifact.sha256 else "; if its authors have replaced it, delete its line there"
        reason = f"its sha256 is {digest[:12]}..., expected {expected[:12]}... by {told_by}{replaced}"
    elif way_out:
        return digest
    else:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        return digest
    if way_out:
        raise UserError(f"{path}: {reason}; {way_out}")
    path.unlink()
    raise UserError(reason)


def _taken_down(artifact: Artifact, target: Path, digest: str, expected: str, origin: str, lock: Path) -> Fetched:
    size = target.stat().st_size
    if not expected:
        record(lock, Locked(artifact.name, digest, size, origin), _guard(target))
    return Fetched(target, digest, size, origin, not expected)


def give_up(found: Fetched, artifact: Artifact, lock: Path = LOCK) -> None:
    """Neither keep nor remember a file that cannot be used, if it was taken for the published one a moment ago."""
    if found.first:
        forget(lock, artifact.name, _guard(found.path))
        found.path.unlink()


def _guard(target: Path) -> Path:
    return target.with_name(".lock.guard")
