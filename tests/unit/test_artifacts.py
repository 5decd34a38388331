"""Files are whole or absent; manifests say the content and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from regionzoo import artifacts
from regionzoo.errors import UserError


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    artifacts.write_json(path, {"x": 1})
    with pytest.raises(RuntimeError), artifacts.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"x": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_nan_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        artifacts.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert os.listdir(tmp_path) == []


def test_written_files_obey_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        artifacts.write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_safetensors_keep_shape_and_order(tmp_path: Path) -> None:
    scalar, fortran = np.float32(3.0), np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3))
    artifacts.write_safetensors(tmp_path / "t.safetensors", {"s": np.asarray(scalar), "f": fortran})
    back = load_file(tmp_path / "t.safetensors")
    assert back["s"].shape == () and back["s"] == scalar
    np.testing.assert_array_equal(back["f"], fortran)


def test_tree_hashes(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x").write_text("no")
    (tmp_path / "b" / "two").write_bytes(b"2" * 3_000_000)
    (tmp_path / "one").write_text("1")
    (tmp_path / "skip.log").write_text("s")
    hashes = artifacts.tree_hashes(tmp_path, lambda name: not name.endswith(".log"))
    assert list(hashes) == ["b/two", "one"]
    assert hashes["b/two"] == hashlib.sha256(b"2" * 3_000_000).hexdigest()


def test_manifest_depends_on_content_alone(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("same")
        artifacts.write_manifest(tmp_path / f"{name}.json", artifacts.tree_hashes(tmp_path / name), {"n": 1})
    assert artifacts.manifest_hash(tmp_path / "x.json") == artifacts.manifest_hash(tmp_path / "y.json")
    assert str(tmp_path) not in (tmp_path / "x.json").read_text()


def test_bad_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON") as caught:
        artifacts.read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_metadata_of_zeros_does_not_take_the_seal(tmp_path: Path) -> None:
    path, told = tmp_path / "a.safetensors", {"digest": "0" * 64, "z": "0" * 64}
    artifacts.write_safetensors(path, {"x": np.zeros(3)}, told)
    assert artifacts.sealed_content(path)
    with safe_open(path, "np") as file:
        assert {key: file.metadata()[key] for key in told} == told


def test_mapped_arrays_are_the_library_s_and_read_only(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.safetensors", np.random.default_rng(0)
    kinds = (np.float16, np.float32, np.float64, np.uint8, np.int8, np.int16, np.int32, np.int64)
    arrays = {f"{np.dtype(kind)}": rng.uniform(-100, 100, (5, 3)).astype(kind) for kind in kinds}
    arrays |= {"scalar": np.array(7.5), "empty": np.zeros((0, 3), np.int32), "odd": np.arange(3, dtype=np.uint8)}
    artifacts.write_safetensors(path, arrays, {"some": "facts"})
    mapped = artifacts.mapped_arrays(path)
    assert mapped.keys() == arrays.keys()
    for name, array in load_file(path).items():
        np.testing.assert_array_equal(mapped[name], array)
        assert mapped[name].dtype == array.dtype and mapped[name].shape == array.shape
        assert not mapped[name].flags.writeable or not mapped[name].size
    # The file is replaced, as files of this package are: what was mapped is as it was.
    artifacts.write_safetensors(path, {"odd": np.zeros(3, np.uint8)})
    assert mapped["odd"].tolist() == [0, 1, 2]
