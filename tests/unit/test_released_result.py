"""A released checkpoint as a row's result and back: what prediction reads, where it came from, nothing on a refusal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from released_files import Bomb, in_layout, row_settings, write
from safetensors.torch import load_file
from tiny_rooms import TinyRow, annotation_free, make_tiny_row
from tiny_training import CPU, predict_paths, same, trained, with_recipe

from regionzoo.artifacts import read_json, sha256_file, write_json
from regionzoo.errors import UserError
from regionzoo.released.checkpoint_file import Checkpoint
from regionzoo.released.convert import convert, network_like
from regionzoo.released.export import default_name, export_checkpoint
from regionzoo.released.layouts import LAYOUTS
from regionzoo.released.reader import read
from regionzoo.released.result import import_checkpoint, provenance_of, write_result
from regionzoo.settings.train import PredictSettings
from regionzoo.stages import predict
from regionzoo.text.table import load_table
from regionzoo.training.checkpoint import TEXT_MATRIX, stored_text


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRow:
    return make_tiny_row(tmp_path_factory.mktemp("tiny"), train=2, val=2)


@pytest.fixture(scope="module")
def result(tiny: TinyRow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a row that was trained for an epoch."""
    folder = tmp_path_factory.mktemp("result")
    trained(tiny, folder, epochs=1)
    return folder


def read_here(file: Path) -> Checkpoint:
    """A checkpoint read in this process."""
    state, facts = read(file)
    return Checkpoint(file, sha256_file(file), file.stat().st_size, facts, state)


def predicted(tiny: TinyRow, result: Path, out: Path) -> dict[str, str]:
    """Hashes of the predictions of a result."""
    paths = predict_paths(tiny, result, out)
    predict.run(PredictSettings(row="tiny", classes=tiny.settings.classes), paths, CPU)
    return json.loads(paths.manifest.read_text())["files"]


def test_there_and_back_predicts_the_same(tiny: TinyRow, result: Path, tmp_path: Path) -> None:
    """The one round trip through the reading process; the file is in the layout of spconv 1."""
    settings, table = with_recipe(tiny, epochs=1).settings, load_table(tiny.text)
    exported = export_checkpoint(result, tmp_path / default_name(1), layout="kkkio")
    report = import_checkpoint(exported.path, settings, table, tmp_path / "back")
    assert same(load_file(report.weights), load_file(result / "model.safetensors"))
    assert report.weights_sha256 == sha256_file(report.weights)
    assert provenance_of(tmp_path / "back") == report.provenance and provenance_of(result) is None
    assert report.provenance["file"] == "checkpoint_ep1.pth" and report.provenance["sha256"] == exported.sha256
    told = {key: report.provenance[key] for key in ("epoch", "iteration", "layout", "layout_told_by", "form", "remap")}
    assert told == {
        "epoch": 1, "iteration": 1, "layout": "kkkio", "layout_told_by": "shapes", "form": "legacy", "remap": None,
    }  # fmt: skip
    assert (report.provenance["text_classes"], report.provenance["text_least_cosine"]) == (20, 1.0)
    before, after = predicted(tiny, result, tmp_path / "a"), predicted(tiny, tmp_path / "back", tmp_path / "b")
    assert before == after and len(before) == 2
    # What was imported goes out as it came in.
    again = export_checkpoint(tmp_path / "back", tmp_path / "again_ep1.pth")
    state, facts = read(again.path)
    assert facts.version == read(exported.path)[1].version and facts.iteration == 1
    assert same(state, load_file(result / "model.safetensors"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_exports_in_every_layout(tiny: TinyRow, result: Path, tmp_path: Path, layout: str) -> None:
    report = export_checkpoint(result, tmp_path / "x_ep1.pth", layout)
    raw = report.path.read_bytes()
    assert not raw.startswith(b"PK")
    state, facts = read(report.path)
    network = network_like(tiny.settings, 24)
    assert list(state) == list(network.state_dict())
    ours = load_file(result / "model.safetensors")
    assert same(state, in_layout(ours, layout))
    assert same(convert(report.path, state, network).state, ours)
    assert (facts.form, facts.epoch, facts.iteration, report.tensors) == ("legacy", 1, 1, len(state))
    content = torch.load(report.path, weights_only=True)
    assert sorted(content) == ["best_epoch", "best_metric", "epoch", "it", "model_state", "version"]


def test_the_own_text_matrix_stays(tiny: TinyRow, result: Path, tmp_path: Path) -> None:
    matrix = torch.randn(7, 24)
    state = dict(load_file(result / "model.safetensors")) | {TEXT_MATRIX: matrix}
    file = write(tmp_path / "own.pth", state)
    report = write_result(read_here(file), tiny.settings, load_table(tiny.text), tmp_path / "out")
    np.testing.assert_array_equal(stored_text(tmp_path / "out" / "model.safetensors"), matrix.numpy())
    assert (report.provenance["text_classes"], report.provenance["text_least_cosine"]) == (7, None)
    assert predicted(tiny, tmp_path / "out", tmp_path) == predicted(tiny, result, tmp_path / "trained")
    # The path does not matter, the name and the content do.
    assert str(tmp_path) not in report.config.read_text()


def test_a_refused_file_leaves_nothing(tiny: TinyRow, result: Path, tmp_path: Path) -> None:
    sentinel, out = tmp_path / "ran", tmp_path / "out"
    state: dict[str, object] = dict(load_file(result / "model.safetensors"))
    write(tmp_path / "hostile.pth", state, best_metric=Bomb(Path.touch, sentinel))
    del state["adapter.adapter.0.bias"]
    write(tmp_path / "incomplete.pth", state)
    table = load_table(tiny.text)
    with pytest.raises(UserError, match=r"asks for .*getattr"):
        import_checkpoint(tmp_path / "hostile.pth", tiny.settings, table, out)
    with pytest.raises(UserError, match=r"missing: adapter\.adapter\.0\.bias"):
        write_result(read_here(tmp_path / "incomplete.pth"), tiny.settings, table, out)
    assert not sentinel.exists() and not out.exists()


def test_spoilt_results_are_not_exported(result: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_bytes((result / name).read_bytes())
    config = read_json(result / "config.json")
    out = tmp_path / "out_ep1.pth"
    write_json(tmp_path / "config.json", config | {"weights_sha256": "0" * 64}, seal=True)
    with pytest.raises(UserError, match="not the weights that"):
        export_checkpoint(tmp_path, out)
    other = config["settings"] | {"network": config["settings"]["network"] | {"widths": [4, 6]}}
    write_json(tmp_path / "config.json", config | {"settings": other}, seal=True)
    with pytest.raises(UserError, match=r"more tensors are not of the row's network"):
        export_checkpoint(tmp_path, out)
    raw = bytearray((result / "model.safetensors").read_bytes())
    raw[-5] ^= 1
    (tmp_path / "model.safetensors").write_bytes(bytes(raw))
    with pytest.raises(UserError, match="damaged"):
        export_checkpoint(tmp_path, out)
    assert not out.exists()


def test_names_that_switch_the_originals_instances_off(result: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_bytes((result / name).read_bytes())
    config = read_json(result / "config.json")
    heads = row_settings("scannet_inst_b13n4").instances.model_dump(mode="json")
    changed = config | {"settings": config["settings"] | {"instances": heads}}
    write_json(tmp_path / "config.json", changed, seal=True)
    for name in ("scannet_inst_b13.pth", "best.pth", "checkpoint_ep32.pth"):
        with pytest.raises(UserError, match="takes the last number in a checkpoint's name for its epoch"):
            export_checkpoint(tmp_path, tmp_path / name)
    # A better name gets further, to the head that these weights lack.
    with pytest.raises(UserError, match=r"inst_head.* more tensors are not of"):
        export_checkpoint(tmp_path, tmp_path / "checkpoint_ep33.pth")


def test_rows_that_distil_say_whose_features(tiny: TinyRow, tmp_path: Path) -> None:
    settings = annotation_free(tiny.settings, distill=1.0)
    shapes = network_like(settings, 24).state_dict()
    state = {key: torch.ones(value.shape, dtype=value.dtype) for key, value in shapes.items()}
    file = write(tmp_path / "distilled.pth", state)
    report = write_result(read_here(file), settings, load_table(tiny.text), tmp_path / "out")
    config = json.loads(report.config.read_text())
    assert config["features"] == {"provider": "openscene"} and config["cost"] == {"steps": 19_200}
    assert config["parameters"] == sum(value.numel() for key, value in state.items() if parameter(key))


def parameter(key: str) -> bool:
    return not key.endswith(("running_mean", "running_var", "num_batches_tracked", "global_step"))
