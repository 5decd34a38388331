"""Texts in, heat maps out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from apply_cases import PARAMS, encoder_spec, load, room, tiny_result
from plyfile import PlyData
from typer.testing import CliRunner

from regionzoo.apply.colors import NOTHING, heat_colors
from regionzoo.apply.predict import Wish, predict
from regionzoo.apply.query import Search, query
from regionzoo.apply.question import Asked
from regionzoo.apply.run import Runtime
from regionzoo.apply.weights import Weights
from regionzoo.cli_apply import own_scans
from regionzoo.errors import UserError
from regionzoo.text.encoders import make_encoder

CPU = Runtime("cpu")
TEXTS = ("something to sit on", "a plant")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return encoder_spec(tmp_path_factory.mktemp("query-clip"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, spec: str) -> Path:
    folder = tmp_path_factory.mktemp("query-row")
    tiny_result(folder, spec)
    return folder


@pytest.fixture(scope="module")
def weights(folder: Path, spec: str) -> Weights:
    return replace(load(folder), encoder=spec)


def similarity(path: Path) -> np.ndarray:
    with np.load(path) as file:
        return file["similarity"]


def test_similarity_is_the_cosine_with_each_text(weights: Weights, spec: str, tmp_path: Path) -> None:
    points = room(500)
    points.coords[3] = np.inf
    source = points.ply(tmp_path / "scan.ply")
    query(weights, Search(TEXTS), source, (tmp_path / "out.npz",), CPU)
    predict(weights, Asked(), source, Wish((tmp_path / "all.npz",), frozenset({"features"})), CPU)
    with np.load(tmp_path / "all.npz") as file:
        features = file["features"].astype(np.float64)
    vectors = make_encoder(spec).encode(TEXTS).astype(np.float64)
    expected = np.zeros((500, 2))
    for n, feature in enumerate(features):
        for k, vector in enumerate(vectors):
            expected[n, k] = feature @ vector / max(np.linalg.norm(feature), 1e-12)
    found = similarity(tmp_path / "out.npz")
    assert np.isnan(found[3]).all()
    np.testing.assert_allclose(np.delete(found, 3, 0), np.delete(expected, 3, 0), atol=1e-5)
    with np.load(tmp_path / "out.npz") as file:
        assert file["texts"].tolist() == list(TEXTS) and json.loads(str(file["made_with"]))["text_encoder"] == spec


def test_a_map_is_coloured_by_similarity(weights: Weights, tmp_path: Path) -> None:
    points = room(500)
    points.coords[3] = np.nan
    outputs = tmp_path / "out.ply", tmp_path / "out.npz"
    query(weights, Search(TEXTS[:1]), points.ply(tmp_path / "scan.ply"), outputs, CPU)
    vertex, legend = PlyData.read(str(outputs[0]))["vertex"], json.loads((tmp_path / "out.legend.json").read_text())
    values = similarity(outputs[1])[:, 0]
    np.testing.assert_array_equal(vertex["similarity"], values)
    low, high = (legend["colors"][k]["similarity"] for k in (0, -1))
    kept = values[np.isfinite(values)]
    assert kept.min() <= low < high <= kept.max() and (kept > high).mean() < 0.01
    shown = np.stack([vertex[c] for c in ("red", "green", "blue")], 1)
    np.testing.assert_array_equal(shown, heat_colors(values, low, high))
    assert tuple(shown[3]) == NOTHING and legend["text"] == TEXTS[0]
    assert (tmp_path / "out.legend.png").is_file()


def test_a_share_of_the_points_is_found(weights: Weights, tmp_path: Path) -> None:
    outputs = tmp_path / "out.ply", tmp_path / "out.npz"
    query(weights, Search(TEXTS, top=0.1), room(500).ply(tmp_path / "scan.ply"), outputs, CPU)
    with np.load(outputs[1]) as file:
        values, found = file["similarity"], file["found"]
    for k, name in enumerate(("out.something-to-sit-on.ply", "out.a-plant.ply")):
        least = values[found[:, k], k].min()
        assert least > values[~found[:, k], k].max()
        # Equal values are found together.
        assert (values[:, k] > least).sum() <= 50 <= found[:, k].sum()
        vertex = PlyData.read(str(tmp_path / name))["vertex"]
        grey = (vertex["red"] == vertex["green"]) & (vertex["green"] == vertex["blue"])
        np.testing.assert_array_equal(~grey, found[:, k])


def test_a_template_frames_the_texts(weights: Weights, spec: str, tmp_path: Path) -> None:
    source = room(200).ply(tmp_path / "scan.ply")
    query(weights, Search(("plant",), template="a {}"), source, (tmp_path / "framed.npz",), CPU)
    query(weights, Search(("a plant",)), source, (tmp_path / "plain.npz",), CPU)
    np.testing.assert_array_equal(similarity(tmp_path / "framed.npz"), similarity(tmp_path / "plain.npz"))


def test_texts_that_look_alike_get_files_of_their_own(weights: Weights, tmp_path: Path) -> None:
    source = room(100).ply(tmp_path / "scan.ply")
    query(weights, Search(("a plant", "A plant!")), source, (tmp_path / "out.ply",), CPU)
    assert sorted(path.name for path in tmp_path.glob("*.ply")) == ["out.a-plant0.ply", "out.a-plant1.ply", "scan.ply"]


def test_searches_that_make_no_sense_are_refused(weights: Weights, tmp_path: Path) -> None:
    source = room(50).ply(tmp_path / "scan.ply")
    for search, told in (
        (Search(("",)), "an empty text"),
        (Search(TEXTS, top=0.0), "--top 0"),
        (Search(TEXTS, top=5.0), "--top 5"),
        (Search(TEXTS, encoder="minilm"), "384 dimensions"),
    ):
        with pytest.raises(UserError, match=told):
            query(weights, search, source, (tmp_path / "out.npz",), CPU)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.ply"]


def test_the_command_line_takes_texts_and_then_the_scan(
    folder: Path, spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = room(200).ply(tmp_path / "lab_vh_clean_2.ply")
    monkeypatch.chdir(tmp_path)
    options = ["--checkpoint", folder, "--params", PARAMS, "--encoder", spec]
    done = CliRunner().invoke(own_scans, [*map(str, ["query", *TEXTS, source, *options])], catch_exceptions=False)
    assert done.exit_code == 0 and "'a plant': " in done.output
    assert {path.name for path in tmp_path.iterdir()} - {source.name} == {
        f"lab.query.{name}"
        for text in ("something-to-sit-on", "a-plant")
        for name in (f"{text}.ply", f"{text}.legend.json", f"{text}.legend.png")
    } | {"lab.query.npz"}
