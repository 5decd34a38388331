"""The whole job on a folder of results: which files, what happens to damaged ones, equal bytes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from table_results import REAL, metrics_value, write_instance_result, write_plots_data, write_result, zoo_settings

from regionzoo.report.comparison_figures import draw_comparison
from regionzoo.report.figures import save
from regionzoo.report.lines import build_lines
from regionzoo.stages import tables

NAMES = ("semantic_base_annotated", "semantic_annotation_free", "instance")
FREE = {"mIoU": 58.7, "mAcc": 77.0}


def fill(folder: Path) -> Path:
    """A synthetic row and a comparable one."""
    write_result(folder, "scannet_b15n4", {"hIoU": 45.92, "mIoU_base": 43.4, "mIoU_novel": 48.7})
    write_result(folder, "scannet_zs_unet32", FREE, data=REAL)
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return fill(tmp_path / "results")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results, also of a row that shares another's weights, and their tables."""
    folder = tmp_path_factory.mktemp("built")
    results = fill(folder / "results")
    shared = metrics_value("scannet200_zs_unet32", FREE, data=REAL, trained_row="scannet_zs_unet32")
    (results / "scannet200_zs_unet32").mkdir()
    (results / "scannet200_zs_unet32" / "metrics.json").write_text(json.dumps(shared))
    write_plots_data(results / "scannet200_zs_unet32", "scannet200", annotated=False, history=False)
    tables.run(zoo_settings(), results, folder / "tables")
    return folder


class Sources(HTMLParser):
    """Addresses in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for key, value in attrs if key in ("src", "href")]


def test_all_files_and_an_index_of_them(built: Path) -> None:
    out = built / "tables"
    plots = {
        "scannet_b15n4_per_class.png",
        "scannet_b15n4_history.png",
        "scannet_zs_unet32_per_class.png",
        "scannet_zs_unet32_history.png",
        "scannet200_zs_unet32_per_class.png",
    }
    kinds = ("md", "csv", "tex", "html", "png")
    expected = {f"{name}.{kind}" for name in NAMES for kind in kinds} | {"index.html"} | plots
    assert {path.name for path in out.iterdir()} == expected
    assert set(Sources((out / "index.html").read_text()).found) == expected - {"index.html"}
    index = (out / "index.html").read_text()
    assert "its weights are another row&#x27;s" in index and "45.92 (synthetic)" in index
    assert "0.143 training of scannet_zs_unet32" in (out / "semantic_annotation_free.md").read_text()


def test_equal_inputs_equal_bytes(built: Path, tmp_path: Path) -> None:
    tables.run(zoo_settings(), built / "results", tmp_path / "again")
    one, two = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (built / "tables", tmp_path / "again")
    )
    assert one == two


def test_no_results_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables.run(zoo_settings(), tmp_path / "nothing", tmp_path / "tables")
    text = (tmp_path / "tables" / "semantic_base_annotated.md").read_text()
    assert text.count("not built yet: snakemake --cores all results/") == 5 and "rebuilt" not in text.split("Notes")[0]
    assert capsys.readouterr().err == ""


def test_damaged_files_stop_nothing(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results / "scannet_b15n4" / "metrics.json").write_text('{"row": "scannet_b15n4", "metr')
    (results / "scannet_zs_unet32" / "per_class.csv").write_text("class,role\nwall,base,1,2\n")
    out = tmp_path / "tables"
    tables.run(zoo_settings(), results, out)
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and all(line.startswith("tables: ") for line in errors)
    assert "scannet_b15n4/metrics.json" in errors[0] and "scannet_zs_unet32/per_class.csv" in errors[1]
    assert "damaged: results/scannet_b15n4/metrics.json" in (out / "semantic_base_annotated.md").read_text()
    index = (out / "index.html").read_text()
    assert "scannet_zs_unet32: no plots (" in index and "scannet_zs_unet32_per_class.png" not in index
    assert "58.70" in (out / "semantic_annotation_free.md").read_text()


def test_texts_of_a_file_reach_no_format_raw(results: Path, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> \\input{x} | $1$ \ud800\u202e\n\x00 a_b"
    value = metrics_value("scannet_b15n4", {"hIoU": 1.0, "mIoU_base": 1.0, "mIoU_novel": 1.0}, device=evil)
    value["data"] |= {"source": evil, "scale": evil, "captions": {"on": True, "captioners": [evil]}}
    (results / "scannet_b15n4" / "metrics.json").write_text(json.dumps(value | {"overrides": {evil: 1}}))
    out = tmp_path / "tables"
    tables.run(zoo_settings(), results, out)
    for path in out.iterdir():
        if path.suffix == ".html":
            assert "<script" not in path.read_text()
        if path.suffix == ".md":
            assert not re.search(r"(?<!\\)<script", path.read_text())
        if path.suffix == ".tex":
            assert r"\input{" not in path.read_text()


def test_plots_of_rows_that_are_gone_go(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "tables"
    out.mkdir()
    gone = ("scannet_b12n7_history.png", "scannet_b12n7_per_class.png", "mine_history.png", "mine.png")
    for name in gone:
        (out / name).write_bytes(b"x")
    tables.run(zoo_settings(), results, out)
    assert [(out / name).exists() for name in gone] == [False, False, True, True]
    assert (out / "scannet_b15n4_history.png").exists()


def test_synthetic_bars_stand_apart(results: Path, tmp_path: Path) -> None:
    """The figure grows by a panel of its own when a synthetic row is there, in a colour that is nowhere else."""
    amber = np.array([0xC4, 0x7F, 0x17])

    def look() -> tuple[int, bool]:
        lines = build_lines(zoo_settings(), results, print)["semantic-base"]
        path = save(draw_comparison("semantic-base", lines), tmp_path / "bars.png")
        pixels = np.asarray(Image.open(path).convert("RGB"))
        return pixels.shape[0], bool((np.abs(pixels.astype(int) - amber).max(axis=2) < 8).any())

    height, found = look()
    assert found
    write_result(results, "scannet_b15n4", {"hIoU": 45.92, "mIoU_base": 43.4, "mIoU_novel": 48.7}, data=REAL)
    lower, found = look()
    assert lower < height and not found


def test_pictures_of_scenes_are_in_the_index(tmp_path: Path) -> None:
    folder, out = tmp_path / "results" / "scannet_inst_b13n4", tmp_path / "tables"
    write_instance_result(tmp_path / "results", folder.name, {"hAP50": 30.5, "AP50_base": 42.0, "AP50_novel": 24.0})
    (folder / "instances").mkdir()
    for scene in ("scene5000_00", "scene5001_00"):
        Image.new("RGB", (4, 3)).save(folder / "instances" / f"{scene}.png")
    settings = zoo_settings(available=(folder.name,))
    tables.run(settings, tmp_path / "results", out)
    names = [f"{folder.name}_instances_{scene}.png" for scene in ("scene5000_00", "scene5001_00")]
    assert [(out / name).exists() for name in names] == [True, True]
    index = (out / "index.html").read_text()
    caption = "ScanNet B13/N4: scene5000_00, annotated and predicted instances (synthetic)"
    assert f'<img src="{names[0]}" alt="{caption}"' in index
    (folder / "instances" / "scene5000_00.png").unlink()
    tables.run(settings, tmp_path / "results", out)
    assert [(out / name).exists() for name in names] == [False, True]
    assert names[0] not in (out / "index.html").read_text()
