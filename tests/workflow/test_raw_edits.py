"""An edit of one raw file is seen by both engines, names what depends on it and nothing else, and can be taken back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from parity import stale_stages
from project import Project

STATE = "data/scannet/raw.state.json"
SCAN = "scans/scene0000_00/scene0000_00_vh_clean_2.ply"


def flip(path: Path) -> None:
    """Invert one byte (twice gives the file back)."""
    content = bytearray(path.read_bytes())
    content[-3] ^= 0xFF
    path.write_bytes(bytes(content))


def status(told: str) -> str:
    """What `regionzoo raw-status` prints if it is the same of all data sets."""
    return "".join(f"data/{dataset}/raw: {told}\n" for dataset in ("nuscenes", "scannet"))


def test_an_edited_room_is_named_by_both_and_mended(recorded_copy: Project) -> None:
    project = recorded_copy
    tree = project.folder / "data" / "scannet" / "synthetic"
    for path in tree.rglob("*.*"):
        path.touch()
    project.require_content_engines()

    whole = (tree / SCAN).read_bytes()
    flip(tree / SCAN)
    dry = project.snakemake("-n")
    forced = project.snakemake("-n", "--forcerun", "data/scannet/raw.manifest.json")
    assert dry.jobs == forced.jobs and dry.jobs["raw"] == 1
    assert f"Updated input files: {STATE}" in dry.text
    assert f"1 changed ({SCAN})" in dry.err and "snakemake --cores all --until raw" in dry.err
    assert stale_stages(project) == {"raw@scannet"}
    assert project.changes == f" M {STATE}\n"

    # Taken back by hand: nothing was lost by looking. `dvc status` needs a look to be taken before.
    flip(tree / SCAN)
    assert project.run("regionzoo", "raw-status").out == status("as in raw.manifest.json")
    project.require_content_engines()
    assert project.changes == ""

    # Mended by the rule: the same bytes come back, and nothing else runs.
    flip(tree / SCAN)
    assert f"  changed: {SCAN}" in project.run("regionzoo", "raw-status").out
    repro = project.dvc("repro")
    assert repro.stages == ["raw@scannet"] and repro.executed == ["raw"]
    assert "notice: scene0000_00: " in repro.text and "is not as it was generated" in repro.text
    assert (tree / SCAN).read_bytes() == whole

    # The same with Snakemake alone, by the command of its message.
    flip(tree / SCAN)
    assert project.snakemake("--until", "raw").executed == ["raw"]
    project.require_content_engines()


@pytest.fixture
def two_sets(recorded_copy: Project, tmp_path: Path) -> tuple[Project, Path]:
    """A second data set, read from a user's tree: its scenes built by Snakemake, recorded by DVC, committed."""
    user = tmp_path / "user"
    shutil.copytree(recorded_copy.folder / "data" / "scannet" / "synthetic", user)

    def add(tree: dict) -> None:
        tree["data"]["other"] = tree["data"]["scannet"] | {"root": str(user)}
        tree["synthetic"]["other"] = tree["synthetic"]["scannet"]

    recorded_copy.edit(add)
    done = recorded_copy.snakemake("data/other/scenes.manifest.json")
    assert done.executed == ["raw", "preprocess"], done.text[-3000:]
    recorded_copy.dvc("repro", "preprocess@other")
    recorded_copy.commit("another data set")
    return recorded_copy, user


def test_an_edited_scan_of_a_users_tree_concerns_its_data_set_alone(two_sets: tuple[Project, Path]) -> None:
    project, user = two_sets
    targets = ("-n", "--", "all", "data/other/scenes.manifest.json")
    before = (project.folder / "data/other/scenes/scene0000_00.safetensors").read_bytes()
    # Files that nothing reads are nobody's business.
    (user / "scans" / "scene0000_00" / "scene0000_00.sens").write_text("frames")
    assert project.snakemake(*targets).nothing and stale_stages(project) == set()

    flip(user / SCAN)
    assert project.snakemake(*targets).jobs == {"raw": 1, "preprocess": 1}
    assert stale_stages(project) == {"raw@other"}
    repro = project.dvc("repro", "preprocess@other")
    assert repro.stages == ["raw@other", "preprocess@other"] and repro.executed == ["raw", "preprocess"]
    assert (project.folder / "data/other/scenes/scene0000_00.safetensors").read_bytes() != before
    assert project.snakemake(*targets).nothing and stale_stages(project) == set()
    assert str(user) not in (project.folder / "data/other/raw.state.json").read_text()


def test_a_clone_without_the_tree_is_content(recorded, tmp_path: Path) -> None:
    clone = recorded.project.clone(tmp_path / "clone")
    assert clone.snakemake("-n").nothing
    assert clone.run("regionzoo", "raw-status").out == status("no raw tree here")
    assert "raw@scannet" not in stale_stages(clone) and clone.changes == ""


def test_a_repository_as_shipped_builds_and_asks_for_the_state_to_be_committed(tmp_path: Path) -> None:
    project = Project.new(tmp_path / "regionzoo")
    assert project.changes == ""
    assert project.dvc("repro", "raw@scannet").executed == ["raw"]
    changes = project.changes.splitlines()
    assert f" M {STATE}" in changes and "?? data/scannet/raw.manifest.json" in changes
    assert not [line for line in changes if "raw.stat" in line and STATE not in line]
    assert project.snakemake("-n", "data/scannet/raw.manifest.json").nothing
    assert "raw@scannet" not in stale_stages(project)
