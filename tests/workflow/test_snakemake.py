"""`snakemake` builds a row from nothing, once, and reruns exactly what a change concerns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from project import REPOSITORY, ROW, Project

from regionzoo.artifacts import read_json
from regionzoo.scenes.raw_tree import NOTHING_BUILT

ROW_JOBS = {"train": 1, "predict": 1, "evaluate": 1}


def test_one_target_builds_exactly_what_the_row_needs(built) -> None:
    assert built.first.jobs == {
        "raw": 1, "preprocess": 1, "regions": 2, "fuse": 1, "features": 1, "text": 1, "train": 1, "predict": 1,
        "evaluate": 1,
    }  # fmt: skip
    folder = built.project.folder
    assert sorted(path.name for path in (folder / "results").iterdir()) == ["scannet_b15n4"]
    metrics = read_json(folder / ROW)
    assert metrics["data"]["source"] == "synthetic-rooms" and "not comparable" in metrics["data"]["note"]
    assert metrics["data"]["scenes"] == 2 and metrics["protocol"]["id"] == "regionplc-base/1"
    assert set(metrics["metrics"]) >= {"hIoU", "mIoU_base", "mIoU_novel", "binary_allAcc"}
    assert metrics["data"]["captions"]["captioners"] == ["simulated (template)", "simulated (grounded)"]
    assert len(metrics["per_class"]) == 20 and metrics["weights_sha256"]
    assert not (folder / "runs" / "scannet_b15n4").exists()


def test_a_second_call_does_nothing(built) -> None:
    assert built.project.snakemake(ROW).nothing
    assert built.project.snakemake("-n", ROW).nothing


def test_new_times_and_a_clone_change_nothing(built, tmp_path: Path) -> None:
    # A plain copy gives every file a new time, in random order.
    fresh = tmp_path / "clone"
    shutil.copytree(built.project.folder, fresh, symlinks=True, copy_function=shutil.copyfile)
    assert Project(fresh).snakemake("-n", ROW).nothing


def test_the_second_row_shares_the_data(copy: Project) -> None:
    done = copy.snakemake("-n", "results/scannet_b15n4_nocaption/metrics.json")
    assert done.jobs == ROW_JOBS


@pytest.mark.parametrize(
    ("key", "value", "jobs"),
    [
        ("rows.scannet_b15n4.train.caption.ratio", 0.3, ROW_JOBS),
        ("recipes.onecycle.weight_decay", 0.002, ROW_JOBS),
        ("rows.scannet_b15n4.evaluate.also", [], {"evaluate": 1}),
        ("published.scannet_b15n4.scores.hIoU", 70.0, {}),
        ("region_sources.kosmos.miss_rate", 0.5, {"regions": 1, "fuse": 1, "text": 1, **ROW_JOBS}),
        ("caption_sets: iou_high", None, None),
    ],
)  # fmt: skip
def test_a_change_reruns_what_it_concerns(copy: Project, key: str, value: object, jobs: dict[str, int] | None) -> None:
    if jobs is None:
        text = (copy.folder / "params.yaml").read_text()
        (copy.folder / "params.yaml").write_text(text.replace("iou_high: 0.2", "iou_high: 0.3"))
        jobs = {"fuse": 1, "text": 1, **ROW_JOBS}
    else:
        copy.set(key, value)
    done = copy.snakemake("-n", ROW)
    assert done.code == 0 and done.jobs == jobs
    assert done.nothing == (not jobs)


def test_reordered_keys_change_nothing_and_swapped_values_do(copy: Project) -> None:
    import yaml

    path = copy.folder / "params.yaml"
    tree = yaml.safe_load(path.read_text())
    recipe = tree["recipes"]["onecycle"]
    tree["recipes"]["onecycle"] = dict(reversed(recipe.items()))
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    assert copy.snakemake("-n", ROW).nothing
    copy.set("recipes.onecycle.pct_start", recipe["weight_decay"])
    copy.set("recipes.onecycle.weight_decay", recipe["pct_start"])
    assert copy.snakemake("-n", ROW).jobs == ROW_JOBS


def test_comments_in_the_code_change_nothing_and_code_does(copy: Project) -> None:
    semantic = copy.folder / "src" / "regionzoo" / "evaluation" / "semantic.py"
    semantic.write_text("# A remark.\n" + semantic.read_text())
    assert copy.snakemake("-n", ROW).nothing
    semantic.write_text(semantic.read_text().replace("hit / (truth + 1e-10)", "hit / (truth + 2e-10)"))
    assert copy.snakemake("-n", ROW).jobs == {"evaluate": 1}


def test_a_real_tree_elsewhere_runs_through_the_same_rules(copy: Project, tmp_path: Path) -> None:
    root = tmp_path / "archive" / "ScanNet-v2"
    shutil.copytree(copy.folder / "data" / "scannet" / "synthetic", root)
    rename_scenes(root)
    copy.set("data.scannet.root", str(root))
    copy.set("scale", "small")
    done = copy.snakemake(ROW)
    assert done.code == 0, done.text[-3000:]
    assert done.jobs == {
        "raw": 1, "preprocess": 1, "regions": 2, "fuse": 1, "features": 1, "text": 1, "train": 1, "predict": 1,
        "evaluate": 1,
    }  # fmt: skip
    metrics = read_json(copy.folder / ROW)
    assert metrics["data"]["source"] == "scannet" and metrics["data"]["note"] == ""
    assert (copy.folder / "data" / "scannet" / "raw").resolve() == root.resolve()
    names = read_json(copy.folder / "data" / "scannet" / "scenes" / "splits.json")["train"]
    assert all(2000 <= int(name[5:9]) < 5000 for name in names)
    assert str(root) not in (copy.folder / "data" / "scannet" / "raw.manifest.json").read_text()
    # The user's tree is only read.
    copy.set("data.scannet.root", None)
    assert copy.snakemake("data/scannet/raw.manifest.json").executed == ["raw"] and (root / "scans").is_dir()


def renamed(scene_id: str) -> str:
    """Another space, the same rescan."""
    return f"scene{int(scene_id[5:9]) + 2000:04}{scene_id[9:]}"


def rename_scenes(root: Path) -> None:
    """Give every scene of a raw tree another name, in folders, files, their content and the lists."""
    for folder in (root / "scans", root / "scannet_frames_25k"):
        for scene in list(folder.iterdir()):
            target = folder / renamed(scene.name)
            scene.rename(target)
            (target / ".generator.json").unlink(missing_ok=True)
            for file in list(target.iterdir()):
                if file.name.startswith(scene.name):
                    file.rename(target / file.name.replace(scene.name, target.name))
    for path in root.glob("scans/*/*.aggregation.json"):
        content = json.loads(path.read_text())
        name = path.parent.name
        path.write_text(json.dumps(content | {"sceneId": f"scannet.{name}"}))
    for path in root.glob("scannetv2_*.txt"):
        path.write_text("".join(f"{renamed(line)}\n" for line in path.read_text().split()))


def test_one_run_with_another_setting_is_kept_apart_and_recorded(copy: Project) -> None:
    before = (copy.folder / ROW).read_bytes()
    done = copy.run("regionzoo", "run", "scannet_b15n4", "--tag", "slow", "--set", "lr=1e-3", "--set", "seed=5")
    assert done.code == 0, done.text[-3000:]
    metrics = read_json(copy.folder / "results" / "scannet_b15n4+slow" / "metrics.json")
    assert metrics["row"] == "scannet_b15n4+slow" and metrics["seed"] == 5
    assert metrics["overrides"] == {"lr": 0.001, "seed": 5}
    assert (copy.folder / ROW).read_bytes() == before and copy.snakemake("-n", ROW).nothing


def test_the_repository_holds_no_built_result() -> None:
    import subprocess

    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    built = ("dvc.lock", ".snakemake/", "results/scannet", "results/nuscenes", "data/", "workflow/codehash.json")
    # DVC wants the state of the raw tree to be there before anything is built; as shipped it says that nothing was.
    states = [f"data/{dataset}/raw.state.json" for dataset in ("nuscenes", "scannet")]
    assert [name for name in tracked.stdout.splitlines() if name.startswith(built)] == states
    for state in states:
        shipped = subprocess.run(["git", "show", f"HEAD:{state}"], cwd=REPOSITORY, capture_output=True, text=True)
        assert json.loads(shipped.stdout) == NOTHING_BUILT
