"""The files of an imported region source: paths, or published files that are fetched."""

from __future__ import annotations

import difflib
from pathlib import Path

from regionzoo.artifacts import sha256_bytes, sha256_file, tree_hashes
from regionzoo.errors import UserError
from regionzoo.released.fetch import fetch
from regionzoo.released.manifest import Kind, artifacts
from regionzoo.settings.captioners import ImportedSource


def imported_files(source: ImportedSource, where: str) -> tuple[Path, Path]:
    """Captions and index of a source on this disk.

    where: key of the source in params.yaml, for messages. :class:`UserError` if a file is neither here nor published,
    or cannot be fetched.
    """
    return _file(source.captions, "captions", f"{where}.captions"), _file(source.index, "index", f"{where}.index")


def _file(told: str, kind: Kind, where: str) -> Path:
    published = artifacts().get(told)
    if published is not None:
        if published.kind != kind:
            raise UserError(f"{where}: the published file '{told}' is of the kind {published.kind}, expected {kind}")
        return fetch(published).path
    path = Path(told).expanduser()
    if not path.exists():
        names = [name for name, entry in artifacts().items() if entry.kind == kind]
        near = difflib.get_close_matches(told, names, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "data/released.csv of the package lists the published ones"
        raise UserError(f"{where}: '{told}' is neither a file here nor a published one; {hint}")
    return path


def content_digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's."""
    if path.is_file():
        return sha256_file(path)
    return sha256_bytes("".join(f"{digest} {name}\n" for name, digest in tree_hashes(path).items()).encode())
