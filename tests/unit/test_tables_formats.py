"""One small table in every format, letter by letter, and LaTeX that compiles."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from table_results import REAL, write_result, zoo_settings

from regionzoo.report import html, latex, markdown
from regionzoo.report.lines import Line, build_lines
from regionzoo.report.sheet import Cell, Grid, Sheet
from regionzoo.report.tables import make_frame, make_sheet

NASTY = r"a\b {c} $x_1^2$ 50% & #1 ~ <b>&amp;</b> | `q` ''--,, [1] *2* é 中 ± ~~s~~ ![i](j) _k_ https://x.y/z"


@pytest.fixture
def lines(tmp_path: Path) -> list[Line]:
    """One line of each kind: synthetic, comparable over two seeds, damaged, missing, unavailable."""
    write_result(tmp_path, "scannet_b15n4", {"hIoU": 45.92, "mIoU_base": 43.4, "mIoU_novel": 48.7})
    real = {"hIoU": 67.0, "mIoU_base": 69.9, "mIoU_novel": 66.6}
    write_result(tmp_path, "scannet_b12n7", real, data=REAL)
    write_result(tmp_path, "scannet_b12n7+s1", real | {"hIoU": 66.0}, data=REAL, seed=1, overrides={"seed": 1})
    (tmp_path / "scannet_b10n9").mkdir()
    (tmp_path / "scannet_b10n9" / "metrics.json").write_text("{")
    found = build_lines(zoo_settings(), tmp_path, lambda message: None)["semantic-base"]
    keep = ("scannet_b15n4", "scannet_b12n7", "scannet_b10n9", "nuscenes_b10n5", "scannet200_b170n30")
    return [line for line in found if line.row in keep]


def test_markdown(lines: list[Line], tmp_path: Path) -> None:
    text = markdown.render(make_sheet("semantic-base", lines))
    scores, origins, notes = text.split("\n\n")[1], text.split("\n\n")[3], text.split("\n\n")[5]
    plain = [
        " | ".join(cell.strip() for cell in line[1:-1].split("|")).removesuffix(" ") for line in scores.splitlines()
    ]
    reason = "not comparable: synthetic data, scale small, simulated captioner"
    assert plain[0] == "Dataset | Setting | Scores | hIoU | mIoU(B) | mIoU(N) | Tolerance | Protocol | Result"
    assert plain[2:] == [
        "ScanNet | B15/N4 | published | 69.4 | 68.2 | 70.7 | ±1.0 | regionplc-base/1 |",
        f" |  | synthetic | 45.92 (synthetic) | 43.40 (synthetic) | 48.70 (synthetic) |  |  | {reason}",
        "ScanNet | B12/N7 | published | 68.2 | 69.9 | 66.6 | ±1.0 | regionplc-base/1 |",
        " |  | rebuilt | 66.50 ± 0.71 | 69.90 ± 0.00 | 66.60 ± 0.00 |  |  |",
        " |  | difference | -1.70 | +0.00 | +0.00 |  |  | **outside: hIoU**",
        "ScanNet | B10/N9 | published | 64.3 | 76.3 | 55.6 | ±1.0 | regionplc-base/1 | "
        "damaged: results/scannet_b10n9/metrics.json",
        "nuScenes | B10/N5 | published | 49.0 | 75.8 | 36.3 | ±1.0 | regionplc-base/1 | not part of this version",
        "ScanNet200 | B170/N30 | published | 16.9 | 21.6 | 13.9 | ±1.0 | regionplc-base/1 | "
        "not built yet: snakemake --cores all results/scannet200_b170n30/metrics.json",
    ]
    hours, device = "0.143 training + 0.004 prediction", "cpu (x86_64)"
    synthetic, real = ([cell.strip() for cell in line.strip("|").split("|")] for line in origins.splitlines()[2:])
    assert synthetic[:3] == ["scannet_b15n4", "regionplc-base/1", "synthetic-rooms, small, 20 scenes"]
    assert synthetic[3:] == ["simulated (template)", "minilm", "0", hours, device]
    assert real[:4] == ["scannet_b12n7", "regionplc-base/1", "scannet, paper, 20 scenes", "kosmos-2, detic"]
    assert real[4:] == ["open_clip:ViT-B-16/openai", "0, 1", hours, device]
    assert "- a ± b: mean and sample standard deviation" in notes
    assert "- Numbers with (synthetic) are of generated scenes." in notes
    assert "- nuScenes B10/N5: hIoU is printed as 49.0, while" in notes
    assert f"- ScanNet B10/N9: {tmp_path}/scannet_b10n9/metrics.json: not valid JSON" in notes.replace("\\", "")
    assert len(notes.splitlines()) == 5


def test_csv(lines: list[Line]) -> None:
    text = make_frame("semantic-base", lines).to_csv(index=False, lineterminator="\n")
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(text))}
    synthetic, real = rows["scannet_b15n4"], rows["scannet_b12n7"]
    assert (synthetic["published_hIoU"], synthetic["synthetic_hIoU"]) == ("69.4", "45.92")
    for column in ("rebuilt_hIoU", "difference_hIoU", "not_comparable_hIoU", "inside", "synthetic_sd_hIoU"):
        assert synthetic[column] == ""
    assert (real["rebuilt_hIoU"], real["rebuilt_sd_hIoU"], real["difference_hIoU"]) == ("66.5", "0.71", "-1.7")
    assert real["synthetic_hIoU"] == "" and real["inside"] == "no" and real["seeds"] == "0 1"
    assert real["tolerance"] == "1.0" and real["protocol"] == "regionplc-base/1"
    odd = rows["nuscenes_b10n5"]
    assert [odd[f"harmonic_{name}"] for name in ("recomputed", "low", "high", "check")] == [
        "49.0908",
        "49.0346",
        "49.147",
        "agrees within rounding",
    ]
    assert odd["state"] == "not part of this version" and odd["protocol"] == "" and odd["device"] == ""
    assert rows["scannet_b10n9"]["state"].startswith("damaged: results/scannet_b10n9/metrics.json")
    assert "not valid JSON" in rows["scannet_b10n9"]["reason"]


def test_real_numbers_of_another_make_have_their_own_columns(tmp_path: Path) -> None:
    small = REAL | {"scale": "small"}
    write_result(tmp_path, "scannet_zs_unet16", {"mIoU": 31.25, "mAcc": 44.0}, data=small)
    lines = build_lines(zoo_settings(), tmp_path, print)["semantic-free"]
    row = make_frame("semantic-free", lines).iloc[0]
    assert (row["not_comparable_mIoU"], row["synthetic_mIoU"], row["rebuilt_mIoU"]) == (31.25, "", "")
    assert row["difference_mIoU"] == "" and row["reason"] == "not comparable: scale small"
    assert "31.25 (not comparable)" in markdown.render(make_sheet("semantic-free", lines))


def test_empty_tables_are_tables() -> None:
    for table in ("semantic-base", "semantic-free", "instance"):
        sheet = make_sheet(table, [])
        assert markdown.render(sheet) and latex.render(sheet) and html.render(sheet)
        assert make_frame(table, []).to_csv(index=False).startswith("row,dataset,setting,")


def test_latex_lines(lines: list[Line]) -> None:
    text = latex.render(make_sheet("semantic-base", lines))
    assert r"\textit{45.92 (synthetic)} & \textit{43.40 (synthetic)} & \textit{48.70 (synthetic)}" in text
    assert r"rebuilt & 66.50 $\pm$ 0.71 & " in text
    assert r"snakemake -{}-cores all results/\allowbreak{}scannet200\_b170n30/\allowbreak{}metrics.json" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == text.count(r"\toprule") == 2


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(lines: list[Line], tmp_path: Path) -> None:
    cell = Cell(NASTY)
    grid = Grid(("x_y", "z"), ((cell, cell), (Cell("[1pt]"), Cell("*")), (Cell("-1"), cell)), frozenset({1}))
    bodies = [latex.render(make_sheet("semantic-base", lines)), latex.render(Sheet("x_y", NASTY, grid, grid, (NASTY,)))]
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + "\n".join(bodies) + r"\end{document}"
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


class Page(HTMLParser):
    """Texts of cells by class, and all that a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[tuple[str, str]] = []
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loads += [value or "" for key, value in attrs if key in ("src", "href", "data", "srcset")]
        assert tag not in ("script", "link", "iframe", "object", "base")
        if tag == "td":
            self.cells.append((found.get("class") or "", ""))
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            kind, text = self.cells[-1]
            self.cells[-1] = (kind, text + data)


def test_html(lines: list[Line]) -> None:
    text = html.render(make_sheet("semantic-base", lines))
    page = Page()
    page.feed(text)
    assert page.open == [] and page.loads == [] and "url(" not in text and "@import" not in text
    assert ("apart", "45.92 (synthetic)") in page.cells and ("difference", "-1.70") in page.cells
    assert ("outside wide", "outside: hIoU") in page.cells
    assert [kind for kind, text in page.cells if "synthetic)" in text] == ["apart"] * 3


def test_html_shows_nasty_texts_as_they_are() -> None:
    grid = Grid(("a", "b"), ((Cell(NASTY), Cell(NASTY)),), frozenset({1}))
    page = Page()
    page.feed(html.render(Sheet("x", NASTY, grid, None, (NASTY,))))
    assert page.open == [] and [text for _, text in page.cells] == [NASTY, NASTY]
