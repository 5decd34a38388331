"""benchmarks/RESULTS.md is what its generator makes of the committed figures, and says what has not been measured."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
FILES = sorted(path.name for path in BENCHMARKS.glob("*.json"))
PARAMS = ROOT / "params.yaml"


@pytest.fixture
def results(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("results")


@pytest.fixture
def figures(tmp_path) -> Path:
    for name in FILES:
        shutil.copy(BENCHMARKS / name, tmp_path)
    return tmp_path


def changed(value: Any, key: str = "") -> tuple[Any, bool]:
    """The value with the first median in it one larger, and whether there was one."""
    if isinstance(value, dict | list):
        for k, inner in sorted(value.items()) if isinstance(value, dict) else enumerate(value):
            value[k], done = changed(inner, k if isinstance(value, dict) else key)
            if done:
                return value, True
        return value, False
    found = key.startswith("median") or key in ("scenes_seconds", "seconds")
    return (value + 1, True) if found else (value, False)


def step_entry(mean: float, samples: float) -> dict[str, Any]:
    whole = {"median_ms": mean, "mean_ms": mean, "spread_ms": [mean, mean], "peak_gib": 9.5}
    row = {"whole": whole | {"samples_per_second": samples}, "parts_ms": {"copy": 1.5}}
    return {"facts": {"device": "a GPU", "torch": "2.0"}, "results": {"scannet_b15n4": row}}


def row_of(page: str, start: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_committed_page_is_that_of_the_committed_figures(results):
    assert (BENCHMARKS / "RESULTS.md").read_text() == results.page(BENCHMARKS, PARAMS)


@pytest.mark.parametrize("name", FILES)
def test_another_figure_makes_another_page(results, figures, name):
    before = results.page(figures, PARAMS)
    data, found = changed(json.loads((figures / name).read_text()))
    assert found
    (figures / name).write_text(json.dumps(data))
    assert results.page(figures, PARAMS) != before


def test_a_missing_stage_is_named_with_its_command(results, tmp_path):
    page = results.page(tmp_path, PARAMS)
    for stage in importlib.import_module("result_stages").STAGES:
        assert f"Not measured: `{stage.file}` is missing; `{stage.command}` makes it." in page
    assert row_of(page, "scannet_b15n4 ")[3:] == ["not measured", "-", "-", "-", "-", "96"]


def test_a_row_costs_its_passes_times_the_measured_one(results, tmp_path):
    path = tmp_path / "train_step.json"
    path.write_text(json.dumps({"1 gpu": step_entry(120.0, 40.0)}))
    page = results.page(tmp_path, PARAMS)
    # 4804 samples an epoch in batches of 32 less the last one: 150 updates. 128 epochs of 8 passes each x 0.12 s.
    cells = row_of(page, "scannet_b15n4 ")
    assert cells[1:] == [
        "19,200", "153,600", "120.0 ms", "5.1 h", "> 1.3 h (derived)", "> 0.6 h (derived)", "5.1", "96",
    ]  # fmt: skip
    assert "4 GPUs not measured, 8 GPUs not measured" in page
    assert "(scannet_b15n4, 1 gpu): copy 1.5 ms" in page

    path.write_text(json.dumps({"1 gpu": step_entry(120.0, 40.0), "4 gpu": step_entry(137.0, 140.0)}))
    page = results.page(tmp_path, PARAMS)
    # 3.5 times the samples of one GPU: a share of 3.5 / 4.
    assert row_of(page, "scannet_b15n4 ")[5:7] == ["1.5 h (share 0.88)", "> 0.6 h (derived)"]
    assert "4 GPUs measured, 8 GPUs not measured" in page


def test_figures_of_the_gpu_stand_beside_their_baseline(results, tmp_path):
    case = {"network": "SparseUNet16", "precision": "float32", "batch": "rooms", "voxels": 400000}
    rows = [
        case | {"engine": engine, "median_ms": median, "quartiles_ms": [median - 1, median + 1], "peak_gib": 2.5}
        for engine, median in (("native", 40.0), ("spconv", 80.0))
    ]
    firsts = [{"network": "SparseUNet16", "cold_s": 20.0, "warm_s": 2.0}]
    engine = {"facts": {"device": "a GPU", "spconv": "2.3.8"}, "results": rows, "first_steps": firsts}
    ways = {
        name: {"median_ms": median, "spread_ms": [median, median], "peak_gib": 1.0, "loss_error": 1e-6} | {
            "gradient_error": 2e-6
        }
        for name, median in (("plain", 30.0), ("fused", 5.0))
    }  # fmt: skip
    loss = {
        "facts": {"device": "a GPU"},
        "results": [{"pool": "score", "novel_grad_only": True, "features": "float32", "ways": ways}],
    }
    (tmp_path / "gpu_engine.json").write_text(json.dumps(engine))
    (tmp_path / "region_loss.json").write_text(json.dumps(loss))
    page = results.page(tmp_path, PARAMS)
    assert row_of(page, "SparseUNet16")[1:] == ["native", "40", "39 to 41", "2.5 GiB", "2.00"]
    assert "SparseUNet16: 20.0 s with Triton's cache empty, 2.0 s with it full." in page
    assert "| fused | 5 | 5 to 5 | 1.0 GiB | 6.00 |" in page
    assert "loss 1.0e-06, gradient 2.0e-06" in page
