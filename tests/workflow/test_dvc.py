"""DVC and Snakemake are one instrument: one graph, one record, no job run twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from parity import dvc_jobs, snakemake_jobs, stale_rules_snakemake, stale_stages_dvc
from project import KEPT, REPOSITORY, ROW, Project

from regionzoo.config import load_params

SMALL_NETS = ("scannet_b15n4", "scannet_b15n4_nocaption")


@pytest.fixture(scope="module")
def recorded(built, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One row built by Snakemake, then `dvc repro` for everything."""
    project = built.project.copy(tmp_path_factory.mktemp("recorded") / "regionzoo")
    done = project.run("dvc", "repro")
    assert done.code == 0, done.text[-4000:]
    (project.folder / "repro.log").write_text(done.text)
    return project


def test_the_two_graphs_are_equal_job_by_job(recorded: Project) -> None:
    ours, theirs = snakemake_jobs(recorded), dvc_jobs(recorded)
    assert len(ours) == 28
    assert ours - theirs == set() and theirs - ours == set()


def test_repro_after_snakemake_only_records(recorded: Project) -> None:
    text = (recorded.folder / "repro.log").read_text()
    # The ten jobs of the built row; the others are built now.
    assert text.count("Nothing to be done") == 10
    trained = [line for line in text.splitlines() if line.strip() in ("rule train:", "localrule train:")]
    assert len(trained) == 3
    for row in KEPT:
        assert (recorded.folder / "results" / row / "metrics.json").exists()


def test_afterwards_both_are_content(recorded: Project) -> None:
    assert recorded.snakemake("-n").nothing
    assert "up to date" in recorded.run("dvc", "status").text
    again = recorded.run("dvc", "repro")
    assert again.code == 0 and "Running stage" not in again.text


def test_metrics_are_shown_without_network(recorded: Project) -> None:
    shown = recorded.run("dvc", "metrics", "show", "--json")
    files = json.loads(shown.out)[""]["data"]
    assert set(files) == {f"results/{row}/metrics.json" for row in KEPT}
    assert all({"hIoU", "mIoU"} & set(entry["data"]["metrics"]) for entry in files.values())


@pytest.mark.parametrize(
    ("key", "value", "stages", "outputs"),
    [
        (
            "rows.scannet_b15n4.train.caption.ratio",
            0.5,
            {"train@scannet_b15n4"},
            {"results/scannet_b15n4/model.safetensors"},
        ),
        ("published.scannet_b15n4.scores.hIoU", 1.0, {"tables"}, {"results/tables"}),
        (
            "scales.small.models.sparseunet16.widths",
            [4, 8],
            {f"train@{row}" for row in SMALL_NETS},
            {f"results/{row}/model.safetensors" for row in SMALL_NETS},
        ),
        (
            "rows.scannet_zs_openscene_unet32.train.lr",
            0.001,
            {"train@scannet_zs_openscene_unet32"},
            {"results/scannet_zs_openscene_unet32/model.safetensors"},
        ),
        (
            "shared_rows.scannet200_zs_openscene_unet32.evaluate.also",
            [],
            {"evaluate_shared@scannet200_zs_openscene_unet32"},
            {"results/scannet200_zs_openscene_unet32/metrics.json"},
        ),
        (
            "scales.small.features.noise",
            0.5,
            {"features@openscene-lseg", "features@none"},
            {"data/scannet/features/openscene-lseg.manifest.json"},
        ),
        (
            "region_sources.kosmos.miss_rate",
            0.7,
            {"regions@kosmos"},
            {"data/scannet/captions/kosmos.manifest.json"},
        ),
    ],
)  # fmt: skip
def test_both_name_the_same_roots(
    recorded: Project, tmp_path: Path, key: str, value: object, stages: set[str], outputs: set[str]
) -> None:
    project = recorded.copy(tmp_path / "regionzoo")
    project.set(key, value)
    assert set(stale_stages_dvc(project)) == stages
    stale = stale_rules_snakemake(project)
    assert outputs <= stale
    made = {path for path in stale if path.endswith(("model.safetensors", ".manifest.json", "metrics.json", "tables"))}
    assert made == outputs


def test_repro_builds_the_row_from_nothing(tmp_path: Path) -> None:
    project = Project.new(tmp_path / "regionzoo")
    done = project.run("dvc", "repro", "evaluate@scannet_b15n4")
    assert done.code == 0, done.text[-4000:]
    assert (project.folder / ROW).exists() and (project.folder / "dvc.lock").exists()
    assert not (project.folder / "results" / "scannet_b15n4_nocaption").exists()
    assert project.snakemake("-n", ROW).nothing


def test_a_spoilt_result_is_made_again(recorded: Project, tmp_path: Path) -> None:
    project = recorded.copy(tmp_path / "regionzoo")
    model = project.folder / "results" / "scannet_b15n4" / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole + b"x")
    # Snakemake looks at no output's content; DVC does, and its stage forces the rule.
    assert set(stale_stages_dvc(project)) == {"train@scannet_b15n4", "predict@scannet_b15n4"}
    # All of it: history.csv holds seconds, so the tables are made again too.
    done = project.run("dvc", "repro")
    assert done.code == 0, done.text[-3000:]
    assert model.read_bytes() == whole
    assert "up to date" in project.run("dvc", "status").text


def test_one_rows_learning_rate_concerns_that_row_and_the_tables(recorded: Project, tmp_path: Path) -> None:
    project = recorded.copy(tmp_path / "regionzoo")
    project.set("rows.scannet_b15n4.train.lr", 0.002)
    done = project.snakemake("-n", "tables")
    assert done.jobs == {"train": 1, "predict": 1, "evaluate": 1, "tables": 1}
    concerned = {
        line.split("results/")[1].split("/")[0] for line in done.out.splitlines() if "output: results/" in line
    }
    assert concerned == {"scannet_b15n4", "tables"}
    assert set(stale_stages_dvc(project)) == {"train@scannet_b15n4"}


def test_the_list_of_rows_in_dvc_yaml_is_that_of_the_parameters() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    graph = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    files = {f"results/{row}/{name}" for row in params.zoo_rows for name in ("metrics.json", "per_class.csv")}
    files |= {f"results/{row}/history.csv" for row in params.zoo_rows if row in params.rows}
    assert set(graph["tables"]["deps"]) == files | {"workflow/rules/tables.smk"}
