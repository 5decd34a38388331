"""Whether files are what was written: folders against the manifest beside them, single files against their own seal.

Snakemake looks at no output's content, and a flipped byte in a label or a weight breaks nothing that one would notice.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regionzoo.artifacts import read_json, sealed_content, tree_hashes
from regionzoo.errors import UserError


def manifest_of(folder: Path) -> Path:
    """The manifest that stands beside an artifact folder."""
    return folder.with_name(f"{folder.name}.manifest.json")


def read_made(path: Path) -> Any:
    """A JSON file that a job made; :class:`UserError` with the way out if it is absent, broken or not as sealed."""
    try:
        return read_json(path)
    except UserError as error:
        raise UserError(
            f"{error}; get it back with 'git checkout {path}', or make it again with "
            f"'snakemake --cores all --force -- {path}'"
        ) from None


def require_content(*folders: Path, back: str = "dvc checkout") -> None:
    """:class:`UserError` unless each folder holds exactly the files of its manifest, to the byte.

    One line: the first file that differs, how many more do, and how to get them back. back: command for what is kept.
    """
    for folder in folders:
        manifest = manifest_of(folder)
        content = read_made(manifest)
        if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
            raise UserError(f"{manifest}: not a content manifest; {_way_out(folder, back)}")
        told: dict[str, str] = content["files"]
        found = tree_hashes(folder, workers=os.cpu_count() or 1)
        if found == told:
            continue
        wrong = sorted(name for name in told.keys() | found.keys() if told.get(name) != found.get(name))
        name = wrong[0]
        if name not in found:
            what = "is missing"
        elif name not in told:
            what = f"is not in {manifest.name}"
        else:
            what = f"differs from what {manifest.name} says (damaged, or changed by hand)"
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise UserError(f"{folder / name}: {what}{more}; {_way_out(folder, back)}")


def _way_out(folder: Path, back: str) -> str:
    return (
        f"get it back with '{back} {folder}', or make it again with "
        f"'snakemake --cores all --force -- {manifest_of(folder)}'"
    )


def require_sealed(path: Path) -> None:
    """:class:`UserError` unless the safetensors file ``path`` is whole and as it was written."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; make it with 'snakemake --cores all -- {path}'")
    if not sealed_content(path):
        raise UserError(
            f"{path}: damaged, its content is not what was written; get it back with 'dvc checkout {path}', or make it "
            f"again with 'snakemake --cores all --force -- {path}'"
        )


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Hold ``folder`` for this process; :class:`UserError` if another one does. Its end, however it comes, lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            who = file.read()
            raise UserError(f"{folder}: another {what} is at work here ({who}); wait for it, or end it") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
