"""DVC and Snakemake are one instrument: one graph, one record, no job run twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from parity import between_jobs, dvc_jobs, roots, snakemake_jobs, stale_stages
from project import INSTANCE_ROW, KEPT, REPOSITORY, Project

from regionzoo.config import load_params

SMALL_NETS = ("scannet_b15n4", "scannet_b15n4_nocaption", INSTANCE_ROW)
PICTURES = f"pictures@{INSTANCE_ROW}"


def test_the_two_graphs_are_equal_job_by_job(recorded) -> None:
    ours, theirs = snakemake_jobs(recorded.project), dvc_jobs(recorded.project)
    assert len(ours) == 42
    ours, theirs = between_jobs(ours), between_jobs(theirs)
    assert ours - theirs == set() and theirs - ours == set()
    assert sum(len(job.inputs) for job in ours) > 100


def test_repro_after_snakemake_only_records(recorded) -> None:
    # The jobs of the first row were there when the others were built.
    # The one raw tree that was not is that of the streets.
    assert recorded.rest.executed.count("train") == 5 and recorded.rest.executed.count("raw") == 1
    assert recorded.record.text.count("Nothing to be done") == 42 and recorded.record.executed == []
    assert len(recorded.record.stages) == 43
    for row in KEPT:
        assert (recorded.project.folder / "results" / row / "metrics.json").exists()


def test_afterwards_both_are_content(recorded) -> None:
    recorded.project.require_content_engines()
    assert recorded.project.dvc("repro").stages == []
    assert recorded.project.changes == ""


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        # Places that do not meet: each engine names the stage of each and nothing else.
        (
            {
                "published.scannet_b15n4.scores.hIoU": 1.0,
                "rows.scannet_zs_openscene_unet32.train.lr": 0.001,
                "shared_rows.scannet200_zs_openscene_unet32.evaluate.also": [],
                "region_sources.kosmos.miss_rate": 0.7,
                "scales.small.instance_heads.softgroup.min_points": 3,
            },
            {
                "tables",
                "train@scannet_zs_openscene_unet32",
                "evaluate_shared@scannet200_zs_openscene_unet32",
                "regions@kosmos",
                f"train@{INSTANCE_ROW}",
            },
        ),
        # Settings that several jobs share.
        (
            {
                "scales.small.models.sparseunet16.widths": [4, 8],
                "data.scannet.exclude": ["scene0000_00"],
            },
            {"preprocess@scannet", *(f"train@{row}" for row in SMALL_NETS)},
        ),
    ],
    ids=["single jobs", "shared settings"],
)  # fmt: skip
def test_both_name_the_same_roots(
    recorded, recorded_copy: Project, changes: dict[str, object], stages: set[str]
) -> None:
    for key, value in changes.items():
        recorded_copy.set(key, value)
    assert roots(recorded_copy, recorded.owners) == (stages, stages)


def test_one_rows_learning_rate_concerns_that_row_and_the_tables(recorded, recorded_copy: Project) -> None:
    recorded_copy.set("rows.scannet_b15n4.train.lr", 0.002)
    done = recorded_copy.snakemake("-n", "tables")
    assert done.jobs == {"train": 1, "predict": 1, "evaluate": 1, "tables": 1}
    concerned = {
        line.split("results/")[1].split("/")[0] for line in done.out.splitlines() if "output: results/" in line
    }
    assert concerned == {"scannet_b15n4", "tables"}
    assert roots(recorded_copy, recorded.owners) == ({"train@scannet_b15n4"}, {"train@scannet_b15n4"})


def test_order_of_keys_is_nothing_and_swapped_values_are_a_change(recorded, recorded_copy: Project) -> None:
    def reorder(tree: dict[str, Any]) -> None:
        row = tree["rows"]["scannet_b15n4"]
        row["train"] = dict(reversed(row["train"].items()))
        tree["rows"] = dict(reversed(tree["rows"].items()))
        tree["data"]["scannet"] = dict(reversed(tree["data"]["scannet"].items()))

    recorded_copy.edit(reorder)
    recorded_copy.require_content_engines()

    def swap(tree: dict[str, Any]) -> None:
        caption = tree["rows"]["scannet_b15n4"]["train"]["caption"]
        caption["ratio"], caption["weight"] = caption["weight"], caption["ratio"]

    recorded_copy.edit(swap)
    assert roots(recorded_copy, recorded.owners) == ({"train@scannet_b15n4"}, {"train@scannet_b15n4"})


def test_a_docstring_retrains_nothing_and_code_exactly_what_imports_it(recorded, recorded_copy: Project) -> None:
    source = recorded_copy.folder / "src" / "regionzoo"
    edit(source / "models" / "unet.py", '"""', '"""Another text about it. ')
    with (source / "training" / "loop.py").open("a") as file:
        file.write("\n\n# A remark at the end.\n")
    assert roots(recorded_copy, recorded.owners) == (set(), {"codehash"})
    done = recorded_copy.dvc("repro")
    assert done.stages == ["codehash"] and done.executed == []
    # What only pictures of instances are drawn by.
    picture, copied = (
        sorted((recorded_copy.folder / "results" / folder).glob(name))[0]
        for folder, name in ((f"{INSTANCE_ROW}/instances", "*.png"), ("tables", f"{INSTANCE_ROW}_instances_*.png"))
    )
    before = picture.read_bytes()
    edit(source / "report" / "picture_page.py", "(168, 92, 0)", "(0, 92, 168)")
    done = recorded_copy.dvc("repro")
    assert done.stages == ["codehash", PICTURES, "tables"] and done.executed == ["pictures", "tables"]
    assert picture.read_bytes() == copied.read_bytes() != before
    # What only the training computes.
    edit(source / "training" / "loop.py", "steps * recipe.epochs", "steps * recipe.epochs + 0")
    recorded_copy.dvc("repro", "codehash")
    trainings = {name for name in recorded.owners.values() if name.startswith("train@")}
    assert len(trainings) == 6
    assert roots(recorded_copy, recorded.owners) == (trainings, trainings)
    # The network, which predictions run as well.
    edit(source / "models" / "unet.py", "super().__init__()", "super().__init__(); int()")
    recorded_copy.dvc("repro", "codehash")
    networks = {name for name in recorded.owners.values() if name.startswith(("train@", "predict"))}
    assert len(networks) == 13
    assert roots(recorded_copy, recorded.owners) == (networks, networks)
    jobs = {"train": 6, "predict": 7, "evaluate": 7, "pictures": 1, "tables": 1}
    assert recorded_copy.snakemake("-n").jobs == jobs


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_numbers_that_yaml_readers_take_for_words_are_refused(recorded_copy: Project) -> None:
    path = recorded_copy.folder / "params.yaml"
    whole = path.read_text()
    before, row = whole.split("\nrows:", 1)
    path.write_text(f"{before}\nrows:{row.replace('lr: 0.004', 'lr: 1e-3', 1)}")
    done = recorded_copy.snakemake("-n")
    assert done.code != 0 and "Traceback" not in done.text
    assert any("rows.scannet_b15n4.train.lr" in line for line in done.text.splitlines()), done.text
    path.write_text(whole)
    # On the command line numbers of a nested table become words, and DVC would never hear of them.
    override = 'rows={"scannet_b15n4": {"train": {"lr": 0.9}}}'
    done = recorded_copy.snakemake("-n", "--config", override)
    assert done.code != 0 and "Traceback" not in done.text
    assert any("rows.scannet_b15n4.train.lr" in line for line in done.text.splitlines()), done.text
    done = recorded_copy.snakemake("-n", "--config", "seed=3")
    assert done.code != 0 and "Traceback" not in done.text and "edit params.yaml, or use: dvc exp run" in done.text


def test_repro_builds_from_nothing_what_it_is_asked_for(tmp_path: Path) -> None:
    project = Project.new(tmp_path / "regionzoo")
    wanted = "fuse@detic-template_and_kosmos_iou20"
    done = project.dvc("repro", wanted)
    assert sorted(done.executed) == ["fuse", "preprocess", "raw", "regions", "regions"]
    assert done.stages[0] == "codehash" and done.stages[-1] == wanted and len(done.stages) == 6
    captions = project.folder / "data" / "scannet" / "captions"
    assert sorted(path.name for path in captions.iterdir() if path.is_dir()) == [
        "detic-template", "detic-template_and_kosmos_iou20", "kosmos",
    ]  # fmt: skip
    assert project.snakemake("-n", str(captions.relative_to(project.folder) / f"{wanted[5:]}.manifest.json")).nothing
    assert set(load_lock(project)) == set(done.stages)


def load_lock(project: Project) -> dict[str, object]:
    """Stages that dvc.lock knows."""
    return yaml.safe_load((project.folder / "dvc.lock").read_text())["stages"]


def test_damaged_artifacts_are_made_again_alone(recorded_copy: Project) -> None:
    folder = recorded_copy.folder
    model = folder / "results" / "scannet_b15n4" / "model.safetensors"
    scene = sorted((folder / "data" / "scannet" / "scenes").glob("scene*.safetensors"))[0]
    picture = sorted((folder / "results" / INSTANCE_ROW / "instances").glob("*.png"))[-1]
    whole = {path: path.read_bytes() for path in (model, scene, picture)}
    # A flipped bit in a shared folder. Snakemake looks at no output's content; DVC does, and its stage forces the rule,
    # also where the remark in the rules could be all that changed.
    for path in (scene, picture):
        path.write_bytes(whole[path][:-1] + bytes([whole[path][-1] ^ 1]))
    with (folder / "workflow" / "rules" / "data.smk").open("a") as file:
        file.write("\n# A remark.\n")
    assert recorded_copy.snakemake("-n").nothing
    assert {"preprocess@scannet", PICTURES} <= stale_stages(recorded_copy)
    done = recorded_copy.dvc("repro")
    assert done.executed == ["preprocess", "pictures"]
    looked = {f"{rule}@{dataset}" for rule in ("raw", "preprocess") for dataset in ("scannet", "nuscenes")}
    assert set(done.stages) == {*looked, PICTURES} and len(done.stages) == 5
    assert scene.read_bytes() == whole[scene] and picture.read_bytes() == whole[picture]
    # A byte more in a row's weights.
    model.write_bytes(whole[model] + b"x")
    assert stale_stages(recorded_copy) == {"train@scannet_b15n4", "predict@scannet_b15n4"}
    done = recorded_copy.dvc("repro")
    assert model.read_bytes() == whole[model]
    # That training alone; its history.csv holds seconds, which the tables show.
    assert done.executed in (["train"], ["train", "tables"])
    assert {name for name in done.stages if "@" in name} == {"train@scannet_b15n4"}
    recorded_copy.require_content_engines()


def test_the_lists_of_rows_in_dvc_yaml_are_those_of_the_parameters() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    graph = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    files = {f"results/{row}/{name}" for row in params.zoo_rows for name in ("metrics.json", "per_class.csv")}
    files |= {f"results/{row}/history.csv" for row in params.zoo_rows if row in params.rows}
    files |= {f"results/{row}/instances{end}" for row in params.instance_rows for end in ("", ".manifest.json")}
    assert set(graph["tables"]["deps"]) == files | {"workflow/rules/tables.smk"}
    rows = {row: {"dataset": params.rows[row].dataset} for row in params.instance_rows}
    assert len(rows) == 3 and graph["pictures"]["foreach"] == rows
