"""Figures of one result, for every kind of row, and the rows on the terminal."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image
from table_results import REAL, metrics_value, write_plots_data, write_result

from regionzoo.config import load_params
from regionzoo.errors import UserError
from regionzoo.report.figures import draw_result, history_figure, per_class_figure, title_of
from regionzoo.report.results import Metrics
from regionzoo.report.rows import classes_text, print_rows, published_text
from regionzoo.settings.train import Classes

SCORES = {"mIoU": 41.0, "mAcc": 60.0}


def labels(figure: Figure) -> list[str]:
    return [tick.get_text() for axes in figure.axes for tick in (*axes.get_xticklabels(), *axes.get_yticklabels())]


def curves(folder: Path) -> Figure:
    return history_figure(pd.read_csv(folder / "history.csv"), "title")


def bars(folder: Path) -> Figure:
    return per_class_figure(pd.read_csv(folder / "per_class.csv"), "title")


def legend(axes: plt.Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_base_annotated(tmp_path: Path) -> None:
    folder = write_result(tmp_path, "scannet_b15n4", SCORES)
    assert [path.name for path in draw_result(folder)] == ["history.png", "per_class.png"]
    assert legend(curves(folder).axes[0]) == ["loss", "seg", "caption"]
    assert legend(bars(folder).axes[0]) == ["base", "novel"]
    with Image.open(folder / "history.png") as picture:
        # Only the resolution: no version and no time.
        assert set(picture.info) == {"dpi"} and picture.size == (960, 540)
    first = (folder / "per_class.png").read_bytes()
    draw_result(folder)
    assert (folder / "per_class.png").read_bytes() == first


def test_titles_say_what_is_not_comparable() -> None:
    changes = {"data": REAL}
    synthetic, real = (Metrics.model_validate(metrics_value("row", SCORES, **more)) for more in ({}, changes))
    first, second = title_of(synthetic).split("\n")
    assert first == "row on synthetic-rooms (small), protocol regionplc-base/1"
    assert second.startswith("not comparable with published scores: synthetic data")
    assert title_of(real) == "row on scannet (paper), protocol regionplc-base/1"


def test_classes_are_sorted_and_those_without_points_left_out(tmp_path: Path) -> None:
    folder = write_result(tmp_path, "row", SCORES)
    table = pd.read_csv(folder / "per_class.csv")
    table.loc[table["class"] == "wall", "points"] = 0
    figure = per_class_figure(table, "title")
    axes = figure.axes[0]
    order = [text.get_text() for text in axes.get_xticklabels()]
    roles = table.set_index("class")["role"]
    assert set(order) == set(table["class"]) - {"wall", "otherfurniture"}
    base = [name for name in order if roles[name] == "base"]
    assert base == order[: len(base)]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights[: len(base)] == sorted(heights[: len(base)], reverse=True)
    assert figure.get_supxlabel() == "left out: 1 classes without ground-truth points"


def test_two_hundred_classes_are_legible(tmp_path: Path) -> None:
    folder = write_result(tmp_path, "row", SCORES, data=REAL)
    write_plots_data(folder, "scannet200", annotated=False)
    figure = bars(folder)
    assert len(figure.axes) == 4 and all(axes.get_legend() is None for axes in figure.axes)
    names = set(pd.read_csv(folder / "per_class.csv")["class"])
    assert len(set(labels(figure)) & names) == 199
    # Bars do not overlap and each has room for its name: 7 point text on at least 10 points of height.
    figure.canvas.draw()
    for axes in figure.axes:
        points = axes.get_window_extent().height / figure.dpi * 72
        assert points / 50 >= 10


def test_distilled_annotation_free(tmp_path: Path) -> None:
    folder = write_result(tmp_path, "row", SCORES)
    write_plots_data(folder, "scannet20", annotated=False)
    history = pd.read_csv(folder / "history.csv").assign(seg=0.0, distill=[0.3, 0.2, 0.1])
    assert legend(history_figure(history, "title").axes[0]) == ["loss", "caption", "distill"]
    assert bars(folder).axes[0].get_legend() is None


def test_shared_weights_have_no_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_result(tmp_path, "row", SCORES)
    (folder / "history.csv").unlink()
    assert [path.name for path in draw_result(folder)] == ["per_class.png"]
    assert capsys.readouterr().err.startswith("note: row: no training curves")


@pytest.mark.parametrize("text", ["epoch,steps,lr,skipped_steps,loss,seg\n", "epoch\n"])
def test_no_epoch_no_curves(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_result(tmp_path, "row", SCORES)
    (folder / "history.csv").write_text(text)
    assert [path.name for path in draw_result(folder)] == ["per_class.png"]
    assert "trained for no epoch" in capsys.readouterr().err


def test_no_class_has_points(tmp_path: Path) -> None:
    folder = write_result(tmp_path, "row", SCORES)
    pd.read_csv(folder / "per_class.csv").assign(points=0, iou=np.nan).to_csv(folder / "per_class.csv", index=False)
    assert len(draw_result(folder)) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no such file; build the row first"),
        ("", "cannot be read"),
        ("class,role,iou\nwall,base,1\n", "no column points"),
        ("class,role,iou,points\nwall,base,much,1\n", "column iou holds something else than numbers"),
    ],
)
def test_damaged_classes_are_one_line(tmp_path: Path, text: str | None, reason: str) -> None:
    folder = write_result(tmp_path, "row", SCORES)
    (folder / "per_class.csv").unlink()
    if text is not None:
        (folder / "per_class.csv").write_text(text)
    with pytest.raises(UserError, match=reason) as caught:
        draw_result(folder)
    assert "per_class.csv" in str(caught.value) and "\n" not in str(caught.value)


# -- the rows on the terminal ---------------------------------------------------------------------------------------


def test_rows(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(repository / "params.yaml")
    text = capsys.readouterr().out
    lines = {line.split()[1]: " ".join(line.split()) for line in text.splitlines() if line.startswith("│ ")}
    assert "novel: sofa, bookshelf, desk, toilet │ 69.4 / 68.2 / 70.7 │ results/" in lines["scannet_b15n4"]
    assert "30 novel, 170 base of scannet200 │ 16.9 / 21.6 / 13.9" in lines["scannet200_b170n30"]
    assert "annotation-free, 17 of scannet20 │ 56.9 (75.6)" in lines["scannet_zs_unet16"]
    inst = "novel: sofa, bookshelf, desk, toilet │ 58.2 / 59.2 / 57.2 │ results/scannet_inst_b13n4/metrics.json"
    assert inst in lines["scannet_inst_b13n4"]
    assert "│ 46.8 / 62.5 / 37.4 │ results/scannet_inst_b8n9/metrics.json" in lines["scannet_inst_b8n9"]
    assert "novel: motorcycle, pedestrian, traffic_cone │ 64.4 / 75.8 / 56.0 │ results/" in lines["nuscenes_b12n3"]
    assert " - │ results/scannet_b15n4_nocaption/metrics.json" in lines["scannet_b15n4_nocaption"]
    params = load_params(repository / "params.yaml")
    assert {*params.rows, *params.shared_rows, *params.published} <= set(lines)


def test_a_published_row_that_cannot_be_built_is_told(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = yaml.safe_load((repository / "params.yaml").read_text())
    del plain["rows"]["nuscenes_b10n5"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
    print_rows(tmp_path / "params.yaml")
    line = next(line for line in capsys.readouterr().out.splitlines() if "nuscenes_b10n5" in line)
    assert "nuScenes │ B10/N5 │ 49.0 / 75.8 / 36.3 │ not part of this version" in " ".join(line.split())


def test_texts_of_rows() -> None:
    assert published_text(None) == "-"
    free = Classes(set="scannet20", ignore=("wall",), annotated=False)
    assert classes_text(free) == "annotation-free, 19 of scannet20"
    names = ("bed", "chair", "table", "bookshelf", "picture")
    assert classes_text(Classes(set="scannet20", novel=names)) == "novel: bed, chair, table, bookshelf, picture"
    assert classes_text(Classes(set="scannet20", novel=(*names, "sink"))) == "6 novel, 14 base of scannet20"
    assert classes_text(Classes(set="scannet20")) == "novel: none"
