"""A comment reruns nothing, a change of what is computed reruns what depends on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from regionzoo.codehash import _read, closure, code_digests, stage_names


@pytest.fixture
def source(repository: Path, tmp_path: Path) -> Path:
    shutil.copytree(repository / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return tmp_path / "src"


def edited(source: Path, file: str, old: str, new: str) -> set[str]:
    """Stages whose digest an edit changes."""
    before = code_digests(source)
    path = source / "regionzoo" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    _read.cache_clear()
    after = code_digests(source)
    return {stage for stage in before if before[stage] != after[stage]}


def test_comment_docstring_and_layout_change_nothing(source: Path) -> None:
    assert edited(source, "training/augment.py", '"""Augmentation of', '"""Another text about') == set()
    assert (
        edited(source, "training/augment.py", "    matrix = np.eye(3)", "    # why\n\n    matrix = np.eye(3)") == set()
    )


def test_progress_and_errors_change_nothing(source: Path) -> None:
    assert edited(source, "progress.py", "LINE_EVERY = 10.0", "LINE_EVERY = 20.0") == set()


def test_a_change_reaches_the_stages_that_import_it(source: Path) -> None:
    assert edited(source, "training/loop.py", "steps * recipe.epochs", "steps * recipe.epochs + 0") == {"train"}
    assert edited(source, "evaluation/semantic.py", "hit / (truth + 1e-10)", "hit / (truth + 1e-9)") == {"evaluate"}
    assert edited(source, "captions/fuse.py", "1e-6", "1e-5") >= {"fuse"}
    assert "train" not in edited(source, "captions/associate.py", "0.2", "0.3")
    assert edited(source, "models/unet.py", "super().__init__()", "super().__init__(); int()") >= {"train", "predict"}


def test_a_table_of_facts_counts_with_its_module(source: Path) -> None:
    assert "train" in edited(source, "data/scannet20.csv", "showercurtain", "shower-curtain")
    assert edited(source, "data/protocols.yaml", "absent: zero", "absent: nan") == {"evaluate"}
    found = edited(source, "data/instance_protocols.yaml", "min_points: 50", "min_points: 60")
    assert found == {"evaluate", "pictures"}


def test_every_stage_has_a_digest_and_lazy_imports_are_seen(repository: Path) -> None:
    stages = stage_names(repository / "src")
    data = {"raw", "preprocess", "regions", "fuse", "text", "features"}
    assert data | {"train", "predict", "evaluate", "pictures", "tables", "released"} == set(stages)
    seen = closure(repository / "src", "regionzoo.stages.train")
    assert {"regionzoo.training.loop", "regionzoo.models.network", "regionzoo.sparse.native"} <= set(seen)
    assert "regionzoo.cli" not in seen and "regionzoo.config" not in seen
