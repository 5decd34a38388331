"""The published files as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regionzoo.released.lock import read_lock
from regionzoo.released.manifest import UNKNOWN, artifacts


def lines(lock: Path) -> Iterator[str]:
    """A line a file: name, kind, rows, digest, page. lock: digests of the files that were fetched here."""
    here = read_lock(lock)
    for entry in artifacts().values():
        if entry.sha256:
            digest = f"sha256 {entry.sha256[:12]}..."
        elif entry.name in here:
            digest = f"sha256 {here[entry.name].sha256[:12]}... (first taken here)"
        else:
            digest = f"sha256 {UNKNOWN}"
        yield f"{entry.kind:<10} {entry.name}: {', '.join(entry.rows)}; {digest}; {entry.page or 'no address known'}"
