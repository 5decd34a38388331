"""`snakemake tables`: what is shared, what is built, and what a failed row leaves standing."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

from project import KEPT, PARTS, REPOSITORY, Done, Project

FORMATS = ("md", "csv", "tex", "html")
NAMES = ("semantic_base_annotated", "semantic_annotation_free", "instance")


def test_the_shipped_rows_share_their_inputs() -> None:
    # Nothing is built in a dry run, so the repository itself can be asked.
    project = Project(REPOSITORY)
    done = project.run("snakemake", "-n", "--forceall", "--nolock", "tables")
    assert done.code == 0, done.text[-2000:]
    assert done.jobs == {
        "raw": 2, "preprocess": 2, "regions": 9, "fuse": 8, "features": 3, "text": 9, "train": 14, "predict": 16,
        "evaluate": 16, "pictures": 3, "tables": 1,
    }  # fmt: skip
    assert "params.yaml" in PARTS


def results(done: Done) -> dict[str, str]:
    """State of each line of a table by row id."""
    return {line["row"]: line["state"] for line in csv.DictReader(done.out.splitlines())}


def test_a_failed_row_takes_nothing_from_the_others(recorded_copy: Project) -> None:
    copy = recorded_copy
    # Two rows are not built yet: one that will fail, and one that will not.
    for row in ("scannet200_b170n30", "scannet200_zs_openscene_unet32"):
        shutil.rmtree(copy.folder / "results" / row)
    # The first update makes every weight infinite, the second step sees it.
    copy.set("rows.scannet200_b170n30.train.lr", 1.0e30)
    done = copy.snakemake("--keep-going", "tables")
    assert done.code != 0 and "the loss is not a number" in done.text
    folder = copy.folder / "results"
    built = [row for row in KEPT if (folder / row / "metrics.json").exists()]
    assert set(KEPT) - set(built) <= {"scannet200_b170n30", "scannet_b15n4_nocaption"}
    assert (folder / "scannet200_zs_openscene_unet32" / "metrics.json").exists()
    for name in NAMES:
        for kind in FORMATS:
            assert (folder / "tables" / f"{name}.{kind}").stat().st_size > 100
    base = (folder / "tables" / "semantic_base_annotated.md").read_text()
    assert "(synthetic)" in base and "results/scannet200_b170n30/metrics.json" in base
    with open(folder / "tables" / "semantic_base_annotated.csv") as file:
        lines = {line["row"]: line for line in csv.DictReader(file)}
    assert len(lines) == 7
    assert lines["scannet_b15n4"]["synthetic_hIoU"] and not lines["scannet_b15n4"]["rebuilt_hIoU"]
    assert not lines["scannet_b15n4"]["difference_hIoU"] and not lines["scannet200_b170n30"]["synthetic_hIoU"]
    # Mended, the same command builds what is missing and nothing else.
    copy.set("rows.scannet200_b170n30.train.lr", 0.004)
    again = copy.snakemake("tables")
    assert again.code == 0, again.text[-3000:]
    assert again.jobs == {"train": 1, "predict": 1, "evaluate": 1, "tables": 1}
    assert copy.snakemake("-n", "tables").nothing
    index = (folder / "tables" / "index.html").read_text()
    for picture in re.findall(r'src="([^"]+)"', index):
        assert (folder / "tables" / picture).is_file()
    score_without_the_model(copy)


def score_without_the_model(project: Project) -> None:
    """Saved predictions are scored again when the weights are gone, and give the recorded numbers."""
    from regionzoo.artifacts import read_json

    row = project.folder / "results" / "scannet200_zs_openscene_unet32"
    weights = project.folder / "results" / "scannet_zs_openscene_unet32" / "model.safetensors"
    weights.unlink()
    done = project.run("regionzoo", "score", str(row / "predictions"), "--out", "scores.json")
    assert done.code == 0, done.text[-2000:]
    scores = read_json(project.folder / "scores.json")["protocols"]
    recorded = read_json(row / "metrics.json")["protocols"]
    assert set(recorded) == {"regionplc-free-wrapped/1", "regionplc-free/1", "all-200/1", "foreground-197/1"}
    assert {name: scores[name] for name in recorded} == recorded
    refused = project.run("regionzoo", "score", str(row / "predictions"), "--protocol", "all-20/1")
    assert refused.code == 2 and len(refused.err.strip().splitlines()) == 1


def test_tables_without_any_result(copy: Project, tmp_path: Path) -> None:
    done = copy.run("regionzoo", "tables", "--results", str(tmp_path / "none"), "--out", str(tmp_path / "tables"))
    assert done.code == 0, done.text
    text = (tmp_path / "tables" / "semantic_base_annotated.md").read_text()
    assert "not built yet" in text and "not part of this version" in text and "synthetic)" not in text
