"""What the page of `dvc plots show` is made of: no address in it, and a chart library out of Snakemake's wheel."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer
from dvc_render.vega_templates import get_template
from matplotlib.colors import to_hex

from regionzoo.errors import UserError
from regionzoo.report import offline
from regionzoo.report.figures import TERMS
from regionzoo.training.loop import HISTORY


def test_the_library_is_made_once_and_mended(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    path = offline.write_library(tmp_path)
    assert path == tmp_path / ".dvc" / "tmp" / "vega.js"
    text = path.read_text()
    # In the order in which each needs the one before it, with the licence that has to go with it.
    places = [
        text.index(start) for start in ("factory(global.vega =", "factory(global.vegaLite =", "global.vegaEmbed =")
    ]
    assert places == sorted(places) and text.count("Redistributions of source code") >= 3
    written = path.stat().st_mtime_ns
    offline.write_library(tmp_path)
    assert path.stat().st_mtime_ns == written
    path.write_text(text[:1000])
    offline.write_library(tmp_path)
    assert path.read_text() == text
    assert [p.name for p in path.parent.iterdir()] == ["vega.js"]


def test_no_dvc_repository_is_made_by_accident(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.dvc: no such folder"):
        offline.write_library(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_snakemake_without_the_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "snakemake").mkdir()
    (tmp_path / "snakemake" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "snakemake", raising=False)
    with pytest.raises(UserError, match=r"vega\.js: no such file in this Snakemake"):
        offline.write_library(tmp_path)


class Loads(HTMLParser):
    """Addresses that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name == "src" or (tag == "link" and name == "href")]


def test_dvc_fills_the_page_and_it_loads_nothing(repository: Path) -> None:
    page = HTML((repository / ".dvc" / "plots.html").read_text())
    page.with_scripts('<script src="https://cdn.example/vega"></script>').with_element("<div id='chart'></div>")
    text = page.embed()
    loads = Loads()
    loads.feed(text)
    assert loads.found == [] and "http" not in text
    assert "<div id='chart'></div>" in text and "{refresh_tag}" not in text
    assert "not comparable with any published score" in text
    assert str(offline.LIBRARY) in text


@pytest.mark.parametrize("name", ["training", "per_class"])
def test_dvc_reads_the_chart_templates(repository: Path, name: str) -> None:
    template = get_template(name, str(repository / ".dvc" / "plots"))
    assert template.has_anchor("data")
    text = json.dumps(template.content)
    assert "synthetic scenes" in text and "data.source in metrics.json" in text
    # Bars and losses are read off from zero.
    assert '"zero": false' not in text


def test_the_charts_draw_the_columns_that_are_written(repository: Path) -> None:
    training = json.loads((repository / ".dvc" / "plots" / "training.json").read_text())
    fold = training["vconcat"][0]["transform"][0]["fold"]
    assert fold == list(TERMS) and set(fold) <= set(HISTORY)
    colors = training["vconcat"][0]["encoding"]["color"]["scale"]
    assert colors["domain"] == fold
    assert [to_hex(color) for color in colors["range"]] == [to_hex(color) for color in TERMS.values()]
    plots = [
        (path, shown)
        for stage in yaml.safe_load((repository / "dvc.yaml").read_text())["stages"].values()
        for plot in stage.get("do", stage).get("plots", [])
        for path, shown in plot.items()
    ]
    assert {(re.sub(r".*/", "", path), shown["template"]) for path, shown in plots} == {
        ("history.csv", "training"),
        ("per_class.csv", "per_class"),
    }
    assert all("${key}" in shown["title"] for _, shown in plots)


SEMANTIC = """class,role,iou,accuracy,points
wall,base,80.0,90.0,10
sofa,novel,20.5,22.2,100
desk,novel,,,30
toilet,novel,0.0,,0
otherfurniture,ignored,70.0,,100
"""
INSTANCE = """class,role,ap,ap50,ap25,instances,predictions,iou
chair,base,0.0,0.0,12.0,4,8,77.0
sofa,novel,11.0,55.5,60.0,1,8,5.8
desk,novel,9.0,,10.0,3,8,6.0
bed,base,,,,0,8,40.0
"""


@pytest.mark.parametrize(
    ("table", "score", "drawn"),
    [(SEMANTIC, "IoU, %", {"wall": 80, "sofa": 20.5}), (INSTANCE, "AP50, %", {"chair": 0, "sofa": 55.5})],
    ids=["semantic", "instance"],
)
def test_each_class_is_drawn_under_the_name_of_its_score(
    repository: Path, tmp_path: Path, table: str, score: str, drawn: dict[str, float]
) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no chromium here")
    stages = yaml.safe_load((repository / "dvc.yaml").read_text())["stages"]
    (plot,) = stages["evaluate"]["do"]["plots"][0].values()
    assert (plot,) == tuple(stages["evaluate_shared"]["do"]["plots"][0].values())
    asked = {key: plot[key] for key in ("template", "x", "y", "x_label", "title")}
    lines = [{**line, "rev": rev} for rev in ("v1", "v2") for line in csv.DictReader(table.splitlines())]
    chart = VegaRenderer(lines, "per_class", template_dir=str(repository / ".dvc" / "plots"), **asked)
    (tmp_path / ".dvc").mkdir()
    library = offline.write_library(tmp_path)
    page = tmp_path / "page.html"
    call = f'vegaEmbed("#chart", {json.dumps(chart.get_filled_template())}, {{renderer: "svg", actions: false}})'
    page.write_text(f'<script src="{library.as_uri()}"></script><p id="chart"></p><script>{call}</script>')
    look = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    shown = subprocess.run([*look, page.as_uri()], capture_output=True, text=True, timeout=120).stdout
    # Vega says of each bar what it stands for.
    bars = [
        dict(part.split(": ", 1) for part in html.unescape(label).split("; "))
        for label in re.findall(r'aria-label="([^"]*class: [^"]*)"', shown)
    ]
    expected = {(rev, name, value) for rev in ("v1", "v2") for name, value in drawn.items()}
    assert {(bar["rev"], bar["class"], float(bar["value"])) for bar in bars} == expected
    assert len(bars) == len(expected) and {bar["score"] for bar in bars} == {score}
    assert f">{score}</text>" in shown and shown.count(", %</text>") == 1
