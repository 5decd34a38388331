"""Digests of the code are kept between calls, and only as long as no file of the package changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from regionzoo.codehash import KEPT, _read, code_digests, stage_digest, stage_names


@pytest.fixture
def source(repository: Path, tmp_path: Path) -> Path:
    shutil.copytree(repository / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return tmp_path / "src"


def digested(source: Path) -> dict[str, str]:
    """Digests made from nothing that is kept."""
    _read.cache_clear()
    return {name: stage_digest(source, name) for name in stage_names(source)}


def test_kept_digests_are_those_of_the_files(source: Path) -> None:
    first = code_digests(source)
    kept = source / KEPT
    assert first == digested(source) == json.loads(kept.read_text())["digests"]
    # That they are read: a mark in the file comes back.
    text = kept.read_text()
    kept.write_text(text.replace(first["train"], "0" * 16))
    assert code_digests(source)["train"] == "0" * 16
    for damaged in (text[: len(text) // 2], "[]", "{}", ""):
        kept.write_text(damaged)
        assert code_digests(source) == first


def test_an_edit_a_new_file_and_a_table_are_seen(source: Path) -> None:
    package = source / "regionzoo"
    seen = [code_digests(source)]
    for file, old, new in (
        ("training/loop.py", "steps * recipe.epochs", "steps * recipe.epochs + 0"),
        ("data/protocols.yaml", "absent: zero", "absent: nan"),
    ):
        path = package / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        _read.cache_clear()
        seen.append(code_digests(source))
        assert seen[-1] == digested(source) != seen[-2]
    (package / "stages" / "another.py").write_text("A = 1\n")
    assert "another" in code_digests(source)


def test_digests_where_nothing_may_be_written(source: Path) -> None:
    # A file in the folder's place: root may write anywhere else.
    shutil.rmtree(source / "regionzoo" / "__pycache__", ignore_errors=True)
    (source / "regionzoo" / "__pycache__").write_text("")
    assert code_digests(source) == digested(source)
