"""What the original has published, as a table of facts (``data/released.csv``): names, addresses, hashes, licences."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

from regionzoo.errors import UserError

Kind = Literal["checkpoint", "captions", "index", "text"]
KINDS: tuple[Kind, ...] = get_args(Kind)
UNKNOWN = "unknown yet: recorded at first download"
"""In the place of a digest."""


@dataclass(frozen=True)
class Artifact:
    """One published file.

    rows: that use it. file: what it is called on disk. primary, mirror: addresses of the file, "" for unknown. page:
    where a person finds it with a browser, the primary address unless the table says otherwise; it is opened before the
    file where it is of the same server, which may want its cookie. sha256: "" while unknown, then the first download's
    counts. size: bytes, None while unknown.
    """

    name: str
    kind: Kind
    rows: tuple[str, ...]
    file: str
    primary: str
    mirror: str
    page: str
    sha256: str
    size: int | None
    licence: str


@cache
def artifacts() -> dict[str, Artifact]:
    """All published files by name, in the order of the table."""
    text = files("regionzoo").joinpath("data", "released.csv").read_text(encoding="utf-8")
    return parse(text)


def parse(text: str) -> dict[str, Artifact]:
    """Artifacts from the table's text; ``ValueError`` for a line that is not sound."""
    made: dict[str, Artifact] = {}
    for line in csv.DictReader(text.splitlines()):
        name, kind = line["artifact"], line["kind"]
        if name in made or kind not in KINDS or not re.fullmatch(r"[A-Za-z0-9._-]+", line["file"]):
            raise ValueError(f"{name}: a name twice, an unknown kind or an unfit file name")
        digest = "" if line["sha256"] == UNKNOWN else line["sha256"]
        if not re.fullmatch(r"[0-9a-f]{64}|", digest):
            raise ValueError(f"{name}: sha256 is no digest")
        made[name] = Artifact(
            name=name,
            kind=kind,
            rows=tuple(line["rows"].split()),
            file=line["file"],
            primary=line["primary"],
            mirror=line["mirror"],
            page=line["page"] or line["primary"],
            sha256=digest,
            size=int(line["size"]) if line["size"] else None,
            licence=line["licence"],
        )
    return made


def artifact(name: str) -> Artifact:
    """The published file of this name; :class:`UserError` with the names there are."""
    known = artifacts()
    if name not in known:
        raise UserError(f"no published file '{name}'; there are: {', '.join(known)}")
    return known[name]


def artifact_of(row: str, kind: Kind) -> Artifact:
    """The file of a kind that a row uses; :class:`UserError` if none is published."""
    for entry in artifacts().values():
        if entry.kind == kind and row in entry.rows:
            return entry
    raise UserError(f"row '{row}': no {kind} are published for it; see data/released.csv")
