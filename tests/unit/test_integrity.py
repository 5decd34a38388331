"""Damage is seen: folders against their manifest, files against their own seal, and one writer at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regionzoo.artifacts import sealed_content, tree_hashes, write_manifest, write_safetensors
from regionzoo.errors import UserError
from regionzoo.integrity import manifest_of, only_one, require_content, require_sealed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scenes"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.bin").write_bytes(name.encode() * 10)
    write_manifest(manifest_of(folder), tree_hashes(folder), {})
    return folder


def test_a_whole_folder_passes(folder: Path) -> None:
    require_content(folder)
    (folder / ".snakemake_timestamp").touch()
    require_content(folder)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda f: (f / "b.bin").write_bytes(b"bbbbbbbbbx"), r"b\.bin: differs from what scenes\.manifest\.json says"),
        (lambda f: (f / "b.bin").unlink(), r"b\.bin: is missing"),
        (lambda f: (f / "d.bin").touch(), r"d\.bin: is not in scenes\.manifest\.json"),
        (lambda f: [(f / f"{name}.bin").write_bytes(b"") for name in "abc"], r"a\.bin: differs .* \(and 2 more\)"),
        (lambda f: manifest_of(f).unlink(), r"scenes\.manifest\.json: no such file"),
        (lambda f: manifest_of(f).write_text("{"), r"scenes\.manifest\.json: not valid JSON"),
        (lambda f: manifest_of(f).write_text("[]"), r"scenes\.manifest\.json: not a content manifest"),
    ],
)
def test_damage_to_a_folder_is_named_in_one_line(folder: Path, harm, told: str) -> None:
    harm(folder)
    with pytest.raises(UserError, match=told) as caught:
        require_content(folder)
    assert "\n" not in str(caught.value)


def test_the_way_out_names_both_tools(folder: Path) -> None:
    (folder / "b.bin").unlink()
    with pytest.raises(UserError) as caught:
        require_content(folder)
    assert f"dvc checkout {folder}" in str(caught.value) and f"--force -- {manifest_of(folder)}" in str(caught.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_breaks_the_seal(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {"a": np.arange(5, dtype=np.float32), "b": np.zeros((2, 3), np.int64), "c": np.float64(3)}
    write_safetensors(path, tensors, {"row": "r", "note": "é"})
    whole = path.read_bytes()
    require_sealed(path)
    place = data.draw(st.integers(0, 8 * len(whole) - 1))
    harmed = bytearray(whole)
    harmed[place // 8] ^= 1 << (place % 8)
    path.write_bytes(harmed)
    assert not sealed_content(path)
    with pytest.raises(UserError, match="damaged, its content is not what was written"):
        require_sealed(path)


@pytest.mark.parametrize("keep", [0, 4, 8, 20, 200])
def test_a_truncated_file_breaks_the_seal(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"a": np.arange(500)})
    path.write_bytes(path.read_bytes()[:keep])
    assert not sealed_content(path)


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; make it with 'snakemake"):
        require_sealed(tmp_path / "x.safetensors")


def test_one_at_a_time(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom regionzoo.integrity import only_one\n"
        "with only_one(pathlib.Path(sys.argv[1]), 'training'):\n    pass\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "row")]
    with only_one(tmp_path / "row", "training"):
        second = subprocess.run(command, capture_output=True, text=True)
        assert second.returncode == 1 and "another training is at work here (process " in second.stderr
    assert subprocess.run(command).returncode == 0
