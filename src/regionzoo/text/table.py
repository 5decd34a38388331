"""Text tables: every string that a training or an evaluation needs, encoded once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from regionzoo.artifacts import write_safetensors
from regionzoo.errors import UserError
from regionzoo.integrity import require_sealed

if TYPE_CHECKING:
    from regionzoo.text.encoders import TextEncoder

FORMAT_VERSION = "1"
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class TextTable:
    """S unique strings and their unit vectors.

    strings: sorted. vectors: float32 [S, D], rows of length 1. facts: what made them (``encoder``, ``weights_sha256``,
    ...), all strings.
    """

    strings: tuple[str, ...]
    vectors: np.ndarray
    facts: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.strings)

    @property
    def dimension(self) -> int:
        """D."""
        return self.vectors.shape[1]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {string: position for position, string in enumerate(self.strings)}

    def lookup(self, strings: Sequence[str]) -> np.ndarray:
        """int64 [len(strings)]: rows of the strings; :class:`UserError` naming one that the table lacks."""
        try:
            return np.fromiter((self._positions[string] for string in strings), np.int64, len(strings))
        except KeyError as error:
            raise UserError(
                f"text table: no vector for {error.args[0]!r} among {len(self)} strings; the table was made for other "
                "classes or captions: run the text rule again"
            ) from None


def build_table(strings: Iterable[str], encoder: TextEncoder) -> TextTable:
    """Encode the unique strings, sorted, so that equal sets of strings give equal tables."""
    unique = tuple(sorted(set(strings)))
    facts = encoder.facts | {"truncated": str(encoder.count_truncated(unique))}
    return TextTable(unique, encoder.encode(unique), facts)


def save_table(path: str | Path, table: TextTable) -> None:
    """Write a table atomically."""
    blob = json.dumps(table.strings, ensure_ascii=False).encode()
    tensors = {"strings": np.frombuffer(blob, np.uint8), "vectors": table.vectors.astype(np.float32)}
    metadata = {
        "format": FORMAT_VERSION,
        "dimension": str(table.dimension),
        "facts": json.dumps(table.facts, sort_keys=True),
    }
    write_safetensors(path, tensors, metadata)


def load_table(path: str | Path) -> TextTable:
    """Read a table; :class:`UserError` if it is absent or damaged, or if its vectors are not one unit row a string."""
    path = Path(path)
    if path.exists():
        require_sealed(path)
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT_VERSION:
                found = metadata.get("format")
                raise UserError(
                    f"{path}: text table format {found}, expected {FORMAT_VERSION}; run the text rule again"
                )
            strings, vectors = file.get_tensor("strings"), file.get_tensor("vectors")
    except FileNotFoundError:
        raise UserError(f"{path}: no such text table; run the text rule") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged ({error}); delete it and run the text rule again") from None
    table = TextTable(tuple(json.loads(strings.tobytes())), vectors, json.loads(metadata["facts"]))
    problem = _problem(table)
    if problem:
        raise UserError(f"{path}: {problem}; delete it and run the text rule again")
    return table


def _problem(table: TextTable) -> str | None:
    if table.vectors.ndim != 2 or len(table.vectors) != len(table):
        return f"{len(table)} strings but vectors of shape {list(table.vectors.shape)}"
    if list(table.strings) != sorted(set(table.strings)):
        return "strings are not sorted and unique"
    lengths = np.linalg.norm(table.vectors.astype(np.float64), axis=1)
    # Written this way round, NaN fails too.
    if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():
        return "vectors are not of length 1"
    return None
