"""A table as it is shown, before it is written in a format: plain texts, each with what kind of text it is."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

Kind = Literal["plain", "published", "rebuilt", "apart", "difference", "inside", "outside", "pending"]


@dataclass(frozen=True)
class Cell:
    """A text and its kind. "apart": a number that may not be compared with published ones."""

    text: str
    kind: Kind = "plain"


@dataclass(frozen=True)
class Grid:
    """Columns, lines of cells, the columns that hold long texts, and the lines before which a new group begins."""

    columns: tuple[str, ...]
    lines: tuple[tuple[Cell, ...], ...]
    wide: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if any(len(line) != len(self.columns) for line in self.lines):
            raise ValueError(f"every line needs {len(self.columns)} cells")


@dataclass(frozen=True)
class Sheet:
    """One table: scores, where the rebuilt numbers come from (None if nothing is built), and notes below.

    details: rebuilt scores that the published table has no columns for; None if there are none.
    """

    name: str
    title: str
    scores: Grid
    origins: Grid | None
    notes: tuple[str, ...]
    details: Grid | None = None

    @property
    def parts(self) -> tuple[tuple[str, str, Grid], ...]:
        """Short name, heading and content of what follows the scores."""
        parts = (
            ("details", "Further scores of the rebuilt rows", self.details),
            ("origins", "Where the rebuilt numbers come from", self.origins),
        )
        return tuple((name, heading, grid) for name, heading, grid in parts if grid is not None)


def one_line(text: str) -> str:
    """The text without control characters and line breaks; runs of white space become one space."""
    return " ".join("".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text).split())
