"""Instance rows in the tables and figures: their metrics, their marks, and the scores beside the published ones."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from table_results import INSTANCE, REAL, ZOO, write_instance_result, write_result, zoo_settings

from regionzoo.artifacts import tree_hashes, write_manifest
from regionzoo.errors import UserError
from regionzoo.report import html, latex, markdown
from regionzoo.report.check import check_files
from regionzoo.report.comparison_figures import draw_comparison
from regionzoo.report.figures import BARS, copy_pictures, draw_result, history_figure, per_class_figure, save
from regionzoo.report.lines import Line, build_lines
from regionzoo.report.tables import make_frame, make_sheet, result_text

SCORES: dict[str, float | None] = {
    "hAP50": 30.5,
    "AP50_base": 42.25,
    "AP50_novel": 23.9,
    "AP": 18.0,
    "AP50": 33.1,
    "AP25": 51.0,
    "AP_base": 22.0,
    "AP_novel": None,
}
ROWS = tuple(row for row, entry in ZOO.items() if entry[0] == "instance")


def lines_of(results: Path) -> list[Line]:
    return build_lines(zoo_settings(available=ROWS), results, print)["instance"]


@pytest.fixture
def lines(tmp_path: Path) -> list[Line]:
    """A synthetic row, one of real scans with two seeds, and a missing one."""
    write_instance_result(tmp_path, "scannet_inst_b13n4", SCORES)
    for tag, seed, novel in (("", 0, 32.0), ("+s1", 1, 34.0)):
        scores = SCORES | {"hAP50": 41.0, "AP50_base": 54.0, "AP50_novel": novel}
        more: dict[str, Any] = {"seed": seed, "overrides": {"seed": 1} if tag else {}, "data": REAL}
        write_instance_result(tmp_path, f"scannet_inst_b10n7{tag}", scores, **more)
    return lines_of(tmp_path)


def table(text: str, number: int) -> list[str]:
    """Lines of the n-th table of a Markdown file, without padding and rule."""
    found = [part for part in text.split("\n\n") if part.startswith("|")][number]
    plain = [" | ".join(cell.strip() for cell in line.strip("|").split("|")) for line in found.splitlines()]
    return [plain[0], *plain[2:]]


def test_lines(lines: list[Line]) -> None:
    assert [line.row for line in lines] == list(ROWS)
    synthetic, real, missing = lines
    assert result_text(synthetic) == "not comparable: synthetic data, scale small, simulated captioner"
    assert synthetic.difference("hAP50") is None and synthetic.apart("hAP50").text() == "30.50"  # type: ignore[union-attr]
    assert (real.difference("hAP50"), real.difference("AP50_base"), real.difference("AP50_novel")) == (0.4, 0.1, 0.5)
    assert result_text(real) == "inside" and missing.state == "missing"


def test_markdown(lines: list[Line]) -> None:
    text = markdown.render(make_sheet("instance", lines))
    scores, details = table(text, 0), table(text, 1)
    assert scores[0] == "Dataset | Setting | Scores | hAP50 | mAP50(B) | mAP50(N) | Tolerance | Protocol | Result"
    assert scores[1].startswith("ScanNet | B13/N4 | published | 58.2 | 59.2 | 57.2 | ±1.0 | regionplc-instance/1")
    assert scores[2].split(" | ")[3:6] == ["30.50 (synthetic)", "42.25 (synthetic)", "23.90 (synthetic)"]
    assert scores[4].split(" | ")[2:6] == ["rebuilt", "41.00 ± 0.00", "54.00 ± 0.00", "33.00 ± 1.41"]
    assert "Further scores of the rebuilt rows:" in text
    assert details == [
        "Row | Protocol | Classes | AP | AP50 | AP25",
        f"scannet_inst_b13n4 | {INSTANCE} | all | 18.00 (synthetic) | 33.10 (synthetic) | 51.00 (synthetic)",
        " |  | base | 22.00 (synthetic) | 42.25 (synthetic) | -",
        " |  | novel | - | 23.90 (synthetic) | -",
        " |  | harmonic | - | 30.50 (synthetic) | -",
        "scannet_inst_b13n4 | scannet-instance/1 | all | 16.50 (synthetic) | 31.60 (synthetic) | 49.50 (synthetic)",
        " |  | base | 20.50 (synthetic) | 40.75 (synthetic) | -",
        " |  | novel | - | 22.40 (synthetic) | -",
        " |  | harmonic | - | 29.00 (synthetic) | -",
        f"scannet_inst_b10n7 | {INSTANCE} | all | 18.00 ± 0.00 | 33.10 ± 0.00 | 51.00 ± 0.00",
        " |  | base | 22.00 ± 0.00 | 54.00 ± 0.00 | -",
        " |  | novel | - | 33.00 ± 1.41 | -",
        " |  | harmonic | - | 41.00 ± 0.00 | -",
        "scannet_inst_b10n7 | scannet-instance/1 | all | 16.50 ± 0.00 | 31.60 ± 0.00 | 49.50 ± 0.00",
        " |  | base | 20.50 ± 0.00 | 52.50 ± 0.00 | -",
        " |  | novel | - | 31.50 ± 1.41 | -",
        " |  | harmonic | - | 39.50 ± 0.00 | -",
    ]


def test_every_number_of_a_marked_row_is_marked_in_every_format(lines: list[Line]) -> None:
    sheet = make_sheet("instance", lines[:1])
    for text in (markdown.render(sheet), html.render(sheet), latex.render(sheet)):
        for number in ("30.50", "29.00", "33.10", "49.50"):
            assert text.count(number) == text.count(f"{number} (synthetic)") > 0
    assert sheet.details is not None
    numbers = [cell for line in sheet.details.lines for cell in line[3:] if cell.text != "-"]
    assert numbers and {cell.kind for cell in numbers} == {"apart"}
    assert latex.render(sheet).count(r"\begin{tabular}") == 3


def test_csv(lines: list[Line]) -> None:
    text = make_frame("instance", lines).to_csv(index=False)
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(text))}
    synthetic, real = rows["scannet_inst_b13n4"], rows["scannet_inst_b10n7"]
    assert (synthetic["synthetic_hAP50"], synthetic["rebuilt_hAP50"]) == ("30.5", "")
    assert (real["rebuilt_AP50_novel"], real["rebuilt_sd_AP50_novel"], real["inside"]) == ("33.0", "1.41", "yes")
    assert real["harmonic_check"] == "agrees within rounding" and synthetic["harmonic_check"] == "agrees"


def test_tables_without_details_have_none(lines: list[Line], tmp_path: Path) -> None:
    assert make_sheet("instance", []).details is None and make_sheet("instance", lines[2:]).details is None
    write_result(tmp_path, "scannet_b15n4", {"hIoU": 1.0, "mIoU_base": 1.0, "mIoU_novel": 1.0})
    semantic = build_lines(zoo_settings(), tmp_path, print)["semantic-base"]
    assert make_sheet("semantic-base", semantic).details is None


def test_only_the_official_protocol(tmp_path: Path) -> None:
    """A row that was not scored under the published protocol has details and no scores."""
    other = {"protocol": {"id": "scannet-instance/1"}, "protocols": {"scannet-instance/1": SCORES}}
    write_instance_result(tmp_path, "scannet_inst_b8n9", SCORES, **other)
    line = lines_of(tmp_path)[2]
    sheet = make_sheet("instance", [line])
    assert line.scores == {} and "not scored under regionplc-instance/1" in result_text(line)
    assert sheet.details is not None and sheet.details.lines[0][1].text == "scannet-instance/1"


def test_figures(tmp_path: Path, lines: list[Line]) -> None:
    folder = tmp_path / "scannet_inst_b13n4"
    assert [path.name for path in draw_result(folder)] == ["history.png", "per_class.png"]
    axes = per_class_figure(pd.read_csv(folder / "per_class.csv"), "title", BARS["instance"]).axes[0]
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert axes.get_ylabel() == "AP50, %" and len(names) == 17 and not {"wall", "floor", "otherfurniture"} & {*names}
    assert sorted(bar.get_height() for bar in axes.patches) == [3.0 * k for k in range(2, 19)]
    picture = save(draw_comparison("instance", lines), tmp_path / "bars.png")
    amber = np.array([0xC4, 0x7F, 0x17])
    assert (np.abs(np.asarray(Image.open(picture).convert("RGB")).astype(int) - amber).max(axis=2) < 8).any()


def test_losses_begin_where_their_heads_join_in(tmp_path: Path) -> None:
    folder = write_instance_result(tmp_path, "scannet_inst_b13n4", SCORES)
    axes = history_figure(pd.read_csv(folder / "history.csv"), "title").axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert set(drawn) == {"loss", "seg", "offset", "mask", "iou"}
    assert math.isnan(drawn["mask"][0]) and drawn["mask"][1:] == [0.6, 0.5] and drawn["offset"] == [1.0, 0.7, 0.5]


def test_an_instance_row_needs_its_own_columns(tmp_path: Path) -> None:
    folder = write_result(tmp_path, "scannet_inst_b13n4", SCORES, task="instance")
    with pytest.raises(UserError, match="no column ap50, instances"):
        draw_result(folder)


def test_pictures_are_copied(tmp_path: Path) -> None:
    folder, out = tmp_path / "row", tmp_path / "out"
    assert copy_pictures(folder, out, "row_") == []
    (folder / "instances").mkdir(parents=True)
    for name in ("scene2", "scene1"):
        Image.new("RGB", (4, 3)).save(folder / "instances" / f"{name}.png")
    (folder / "instances" / "notes.txt").write_text("x")
    made = copy_pictures(folder, out, "row_")
    assert [path.name for path in made] == ["row_instances_scene1.png", "row_instances_scene2.png"]
    assert made[0].read_bytes() == (folder / "instances" / "scene1.png").read_bytes()
    write_manifest(folder / "instances.manifest.json", tree_hashes(folder / "instances"), {})
    assert copy_pictures(folder, out, "row_") == made
    (folder / "instances" / "scene2.png").unlink()
    with pytest.raises(UserError, match=r"scene2\.png: is missing; get it back with 'git checkout -- \S+/instances'"):
        copy_pictures(folder, out, "row_")
    (folder / "instances.manifest.json").unlink()
    (folder / "instances" / "scene1.png").write_bytes(b"<svg>")
    with pytest.raises(UserError, match=r"scene1\.png: not a PNG file"):
        copy_pictures(folder, out, "row_")


def test_an_undefined_score_is_outside_its_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_instance_result(tmp_path, "scannet_inst_b13n4", SCORES)
    promise = {"source": "synthetic-rooms", "scale": "small", "metrics": {"hAP50": [25, 60], "AP_novel": [0, 100]}}
    (tmp_path / "expected.yaml").write_text(yaml.safe_dump({"scannet_inst_b13n4": promise}))
    assert not check_files([folder / "metrics.json"], tmp_path / "expected.yaml")
    assert "not defined" in " ".join(capsys.readouterr().out.split())
    promise["metrics"] = {"hAP50": [25, 60]}
    (tmp_path / "expected.yaml").write_text(yaml.safe_dump({"scannet_inst_b13n4": promise}))
    assert check_files([folder / "metrics.json"], tmp_path / "expected.yaml")
