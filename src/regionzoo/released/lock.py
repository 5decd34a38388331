"""Which files were taken for the published ones at first: a table in the user's repository, under version control."""

from __future__ import annotations

import csv
import fcntl
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from regionzoo.artifacts import write_text
from regionzoo.errors import UserError


@dataclass(frozen=True)
class Locked:
    """A file as it was when it first came. address: where from; "local file" if a person brought it."""

    artifact: str
    sha256: str
    size: int
    address: str


COLUMNS = tuple(field.name for field in fields(Locked))


def read_lock(path: Path) -> dict[str, Locked]:
    """The table by artifact; empty if there is none yet; :class:`UserError` if it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path}: cannot be read; get it back with 'git checkout {path}'") from None
    lines = csv.DictReader(io.StringIO(text))
    made = {}
    for line in lines:
        sound = tuple(line) == COLUMNS and re.fullmatch(r"[0-9a-f]{64}", line["sha256"] or "")
        if not sound or not (line["size"] or "").isdigit() or line["artifact"] in made:
            raise UserError(f"{path}: line {lines.line_num} is damaged; get it back with 'git checkout {path}'")
        made[line["artifact"]] = Locked(line["artifact"], line["sha256"], int(line["size"]), line["address"] or "")
    return made


def record(path: Path, entry: Locked, guard: Path) -> None:
    """Add a file to the table, sorted by name. guard: a file that processes which write the same table lock."""
    with held(guard):
        _write(path, read_lock(path) | {entry.artifact: entry})


def forget(path: Path, artifact: str, guard: Path) -> None:
    """Take a file out of the table again; a table that is empty then goes too."""
    with held(guard):
        lines = read_lock(path)
        lines.pop(artifact, None)
        if lines:
            _write(path, lines)
        else:
            path.unlink(missing_ok=True)


def _write(path: Path, lines: dict[str, Locked]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(lines[name]) for name in sorted(lines))
    write_text(path, text.getvalue())


@contextmanager
def held(guard: Path) -> Iterator[None]:
    """Hold ``guard`` for this process, waiting while another does; its end, however it comes, lets go."""
    guard.parent.mkdir(parents=True, exist_ok=True)
    with guard.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
