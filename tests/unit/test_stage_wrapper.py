"""When the wrapper between DVC and Snakemake forces a rule."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from dvc.utils.serialize import dump_yaml

from regionzoo.artifacts import tree_hashes, write_manifest, write_safetensors


@pytest.fixture
def stage(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("stage", repository / "workflow" / "scripts" / "stage.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    return module


def lock(file: Path, folder_md5: str = "a.dir") -> None:
    """A lock of one stage that made a folder and one that read it, the rules and two parameters."""
    content = {
        "stages": {
            "make": {"cmd": "m", "outs": [{"path": "folder", "md5": "a.dir"}]},
            "read@x": {
                "cmd": "r",
                "deps": [
                    {"path": "folder", "md5": folder_md5},
                    {"path": file.name, "md5": hashlib.md5(file.read_bytes()).hexdigest()},
                ],
                "params": {"params.yaml": {"rows.x.lr": 1.0e-5, "seed": 0}},
            },
        }
    }
    # As DVC itself writes it.
    dump_yaml("dvc.lock", content)


def test_forced_only_if_deps_and_params_are_as_locked(stage: ModuleType, tmp_path: Path) -> None:
    rules = tmp_path / "row.smk"
    rules.write_text("a rule")
    params = tmp_path / "params.yaml"
    params.write_text("seed: 0\nrows: {x: {lr: 1.0e-5}}\n")

    def locked(name: str = "read@x") -> bool:
        return stage.as_locked(stage.load("dvc.lock")["stages"], name)

    lock(rules)
    # DVC writes 1e-05, in which PyYAML sees a word.
    assert "1e-05" in (tmp_path / "dvc.lock").read_text()
    assert locked() and not locked("read@y") and not locked("")
    params.write_text("seed: 1\nrows: {x: {lr: 1.0e-5}}\n")
    assert not locked()
    params.write_text("seed: 0\nrows: {}\n")
    assert not locked()
    params.write_text("seed: 0\nrows: {x: {lr: 1.0e-5}}\n")
    rules.write_text("another rule")
    assert not locked()
    rules.unlink()
    assert not locked()
    rules.write_text("a rule")
    assert locked()
    lock(rules, folder_md5="b.dir")
    assert not locked()


def test_a_target_that_is_not_what_was_written_is_damaged(stage: ModuleType, tmp_path: Path) -> None:
    folder, manifest = tmp_path / "scenes", tmp_path / "scenes.manifest.json"
    folder.mkdir()
    (folder / "a").write_bytes(b"abc")
    write_manifest(manifest, tree_hashes(folder), {})
    model = tmp_path / "model.safetensors"
    write_safetensors(model, {"a": np.arange(3.0)})
    targets = ("scenes.manifest.json", "model.safetensors", "metrics.json", "absent.safetensors")
    assert [stage.damaged(target) for target in targets] == [False] * 4
    (folder / "a").write_bytes(b"abd")
    model.write_bytes(model.read_bytes() + b"x")
    assert [stage.damaged(target) for target in targets] == [True, True, False, False]
    manifest.write_text("half")
    model.write_bytes(b"")
    assert [stage.damaged(target) for target in targets] == [True, True, False, False]
    # Snakemake sees by itself what is not there; a raw tree is a link and no artifact.
    manifest.unlink()
    assert not stage.damaged("scenes.manifest.json")
    (tmp_path / "raw").symlink_to(folder)
    (tmp_path / "raw.manifest.json").write_text("{}")
    assert not stage.damaged("raw.manifest.json")
