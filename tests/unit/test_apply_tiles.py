"""Large scans tile by tile: nothing is lost, nothing twice, and with enough context nothing changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from apply_cases import Points, room, tiny_result
from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.apply import rows as rows_module
from regionzoo.apply.clouds import Cloud
from regionzoo.apply.grid import Voxels, make_voxels
from regionzoo.apply.npz import Streamed, write_npz
from regionzoo.apply.predict import Wish, predict
from regionzoo.apply.question import Asked, make_question
from regionzoo.apply.rows import Rows, require_room, scratch
from regionzoo.apply.run import Runtime
from regionzoo.apply.score import Reader, Scored, run_network
from regionzoo.apply.tiles import tiles
from regionzoo.apply.weights import Weights
from regionzoo.errors import UserError

WANTED = frozenset({"logits", "features", "binary"})
# Two levels with one block each: 1 + 2 voxels, 2 * 2 of the coarser level twice over, its strides, and 2 more.
REACH = 16


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return tiny_result(tmp_path_factory.mktemp("tiles"))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 999),
    count=st.integers(1, 300),
    size=st.tuples(*[st.integers(1, 40)] * 3),
    most=st.integers(1, 200),
    margin=st.integers(0, 6),
)
def test_every_voxel_is_inside_one_tile_with_its_neighbourhood(
    seed: int, count: int, size: tuple[int, int, int], most: int, margin: int
) -> None:
    rng = np.random.default_rng(seed)
    coords = np.unique((rng.random((count, 3)) * size).astype(np.int32), axis=0)
    inside = np.zeros(len(coords), int)
    for tile in tiles(coords, most, margin):
        assert (np.diff(tile.rows) > 0).all()
        mine = tile.rows[tile.inner]
        inside[mine] += 1
        # Whoever is within the margin of an inner voxel, along every axis, is there too.
        distance = np.abs(coords[:, None] - coords[mine][None]).max(2).min(1)
        assert set(np.flatnonzero(distance <= margin)) <= set(tile.rows)
        low, high = coords[mine].min(0), coords[mine].max(0)
        assert len(tile.rows) <= most or (high - low + 1).max() <= margin or len(mine) == 1
    assert (inside == 1).all()


def corridor(count: int = 4000) -> Points:
    return room(count, (9.1, 1.3, 0.5), seed=11)


def scored(weights: Weights, voxels: Voxels, most: int, margin: int, folder: Path) -> Scored:
    question = make_question(Asked(), weights)
    reader = Reader(question, weights.dimension, WANTED, False, torch.device("cpu"))
    network = weights.network("native")
    parts = tiles(voxels.coords.numpy(), most, margin)
    return run_network(network, voxels, parts, reader.columns, reader, folder, "test", torch.device("cpu"))


def voxels_of(points: Points) -> Voxels:
    return make_voxels(Cloud("scan", points.coords, points.colors), 0.02)


def test_tiles_with_a_margin_beyond_the_reach_say_what_one_pass_says(weights: Weights, tmp_path: Path) -> None:
    voxels = voxels_of(corridor())
    count = len(voxels.v2p)
    whole = scored(weights, voxels, len(voxels), REACH, tmp_path)
    parts = scored(weights, voxels, 1000, REACH, tmp_path)
    bare = scored(weights, voxels, 1000, 0, tmp_path)
    assert whole.passes == 1 and parts.passes > 4
    for name in WANTED:
        one, other = (values.of_points(name, 0, count, np.nan) for values in (whole, parts))
        np.testing.assert_allclose(other, one, atol=1e-5)
    labels = [values.of_points("label", 0, count, -1) for values in (whole, parts, bare)]
    np.testing.assert_array_equal(labels[1], labels[0])
    assert (labels[2] != labels[0]).any()  # the margin matters


def test_the_grid_of_tiles_is_the_whole_scans(weights: Weights, tmp_path: Path) -> None:
    # Odd extents: the last plane has no parent at the coarser level, wherever the tiles are cut.
    points = corridor()
    voxels = voxels_of(points)
    assert any(size % 2 for size in voxels.extent)
    for most in (700, 1300):
        parts = scored(weights, voxels, most, REACH, tmp_path)
        whole = scored(weights, voxels, len(voxels), REACH, tmp_path)
        last = voxels.coords[voxels.v2p][:, 0].numpy() == voxels.extent[0] - 1
        assert last.any()
        one, other = (values.of_points("logits", 0, len(last), np.nan)[last] for values in (whole, parts))
        np.testing.assert_allclose(other, one, atol=1e-5)


def test_values_on_the_disk_are_those_in_memory(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = corridor(2500)
    source, found = points.ply(tmp_path / "scan.ply"), {}
    wish = frozenset({"logits", "features", "probabilities"})
    for name, limit in (("memory", 1 << 30), ("disk", 0)):
        monkeypatch.setattr(rows_module, "IN_MEMORY", limit)
        monkeypatch.setattr(rows_module, "TOUCHED", 1 << 20)
        out = tmp_path / name / "out.npz"
        out.parent.mkdir()
        predict(weights, Asked(), source, Wish((out,), wish, half=True), Runtime("cpu", voxels=900, margin=0.32))
        found[name] = out.read_bytes()
        assert [path.name for path in out.parent.iterdir()] == ["out.npz"]  # no scratch is left
    assert found["disk"] == found["memory"]
    with np.load(tmp_path / "disk" / "out.npz") as file:
        assert file["features"].dtype == np.float16 and file["features"].shape == (2500, 24)


def test_rows_come_back_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)
    order = np.random.default_rng(1).integers(0, 1000, 5000)
    for limit in (0, 1 << 20):
        monkeypatch.setattr(rows_module, "IN_MEMORY", limit)
        monkeypatch.setattr(rows_module, "TOUCHED", 1 << 17)
        made = Rows(tmp_path, "values", 1000, 3, np.float32)
        for part in np.array_split(values, 7):
            made.append(part)
        made.finish()
        np.testing.assert_array_equal(made.take(order), values[order])
    assert (tmp_path / "values.rows").stat().st_size == values.nbytes


def test_missing_rows_are_no_result(tmp_path: Path) -> None:
    made = Rows(tmp_path, "values", 10, 0, np.int32)
    made.append(np.arange(9))
    with pytest.raises(ValueError, match="9 rows of 10"):
        made.finish()


def test_scratch_of_a_killed_run_is_cleared(tmp_path: Path) -> None:
    with scratch(tmp_path / "new" / "out.npz") as folder:
        (folder / "left").write_text("over")
        left = folder
    assert not left.exists()
    left.mkdir()
    (left / "left").write_text("by a killed run")
    with scratch(tmp_path / "new" / "out.npz") as folder:
        assert list(folder.iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    require_room(tmp_path / "not" / "there", 1)
    with pytest.raises(UserError, match="GB are needed"):
        require_room(tmp_path, 1 << 62)


def test_streamed_archives_equal_numpys(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((300_000, 2)).astype(np.float16)
    names = np.array(["sofa", "çay table"])
    whole = Streamed(values.shape, values.dtype, lambda a, b: values[a:b])
    write_npz(tmp_path / "out.npz", {"values": whole, "names": names, "none": np.zeros((0, 3), np.int64)})
    with np.load(tmp_path / "out.npz") as file:
        assert list(file) == ["values", "names", "none"]
        np.testing.assert_array_equal(file["values"], values)
        assert file["names"].tolist() == names.tolist() and file["none"].shape == (0, 3)
    broken = Streamed((10, 2), np.dtype(np.float16), lambda a, b: values[a : b - 1])
    with pytest.raises(ValueError, match="rows of shape"):
        write_npz(tmp_path / "broken.npz", {"values": broken})
    assert not (tmp_path / "broken.npz").exists()
