"""Put the records of all drives together to the tables of the data set."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from PIL import Image

from regionzoo.artifacts import read_json, sha256_file, write_json
from regionzoo.errors import UserError
from regionzoo.scenes.nuscenes_layout import TABLES
from regionzoo.scenes.streets.records import constant_tables, fragment, token
from regionzoo.scenes.streets.settings import VERSION

MADE = "tables.json"


def write_tables(root: Path, keep: Path, drives: Callable[[], Iterator[dict]]) -> list[str]:
    """Write the tables and the map of ``drives``, their stored content, one at a time; notices of damaged ones.

    keep: the folder of what the generator remembers. Files that hold what they should are left alone.
    """
    fresh = keep / ".tables.tmp"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        logs = _stream(fresh, drives())
        maps = f"maps/{token('map')}.png"
        record = {"category": "semantic_prior", "token": token("map"), "filename": maps, "log_tokens": logs}
        (fresh / "map.json").write_text(f"[\n{fragment([record])}\n]\n")
        (fresh / "map.png").write_bytes(_map_image())
        files = {f"{VERSION}/{table}.json": fresh / f"{table}.json" for table in TABLES} | {maps: fresh / "map.png"}
        return _take(root, keep / MADE, files)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _stream(fresh: Path, drives: Iterator[dict]) -> list[str]:
    """Write all tables but the map's below ``fresh``; returns the tokens of the logs."""
    constant = constant_tables()
    logs: list[str] = []
    with ExitStack() as stack:
        tables = {table: stack.enter_context((fresh / f"{table}.json").open("w")) for table in TABLES if table != "map"}
        for table, file in tables.items():
            file.write("[\n" + fragment(constant.get(table, [])))
        for drive in drives:
            logs.append(drive["log"])
            for table, text in drive["tables"].items():
                empty = tables[table].tell() <= 2
                tables[table].write(text if empty or not text else ",\n" + text)
        for file in tables.values():
            file.write("\n]\n")
    return logs


def _map_image() -> bytes:
    """A small black picture: the official tools want the file of a map to be there and look no further."""
    file = io.BytesIO()
    Image.new("L", (16, 16)).save(file, "PNG")
    return file.getvalue()


def _take(root: Path, made: Path, files: dict[str, Path]) -> list[str]:
    """Move files to their places unless the same is there; notices of those that were changed since they were made."""
    try:
        before = dict(read_json(made)["files"])
    except (UserError, KeyError, TypeError, ValueError):
        before = {}
    hashes = {name: sha256_file(path) for name, path in files.items()}
    notices = []
    for name, path in files.items():
        target = root / name
        present = sha256_file(target) if target.is_file() else ""
        if name in before and present not in (before[name], hashes[name]):
            notices.append(f"{VERSION}: {target} is not as it was generated; it is made again")
        if present != hashes[name]:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    if before != hashes:
        write_json(made, {"files": hashes}, seal=True)
    return notices
