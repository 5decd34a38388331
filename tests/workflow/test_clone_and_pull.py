"""A clone is a copy of the instrument: with the artifacts pulled, or without any, both engines have nothing to do."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from project import KEPT, Project

MODEL = "results/scannet_b15n4/model.safetensors"
WRITABLE = ("data/scannet/scenes/splits.json", MODEL)
"""A file of a folder and a file of its own, both in DVC's cache."""


@pytest.fixture(scope="module")
def remote(recorded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A remote that all artifacts were pushed to."""
    project = recorded.project.copy(tmp_path_factory.mktemp("pushing") / "regionzoo")
    folder = tmp_path_factory.mktemp("remote")
    project.dvc("remote", "add", "--local", "--default", "storage", str(folder))
    project.dvc("push")
    return folder


def pull(project: Project, remote: Path) -> None:
    project.dvc("remote", "add", "--local", "--default", "storage", str(remote))
    project.dvc("pull")


def cached(project: Project) -> dict[str, str]:
    """MD5 of every object in the cache, by the name that says what it should be."""
    folder = project.folder / ".dvc" / "cache" / "files" / "md5"
    return {
        path.parent.name + path.name.removesuffix(".dir"): hashlib.md5(path.read_bytes()).hexdigest()
        for path in folder.glob("??/*")
    }


def whole(project: Project) -> bool:
    objects = cached(project)
    assert len(objects) > 30
    return all(name == found for name, found in objects.items())


@pytest.mark.parametrize("kind", ["copy", "hardlink", "symlink"])
def test_a_pulled_clone_has_nothing_to_do(recorded, remote: Path, tmp_path: Path, kind: str) -> None:
    clone = recorded.project.clone(tmp_path / "regionzoo")
    clone.dvc("config", "--local", "cache.type", kind)
    pull(clone, remote)
    model = clone.folder / MODEL
    assert (model.is_symlink(), model.stat().st_nlink > 1) == {
        "copy": (False, False),
        "hardlink": (False, True),
        "symlink": (True, False),
    }[kind]
    clone.require_content_engines("tables")
    done = clone.dvc("repro")
    assert done.stages == [] and done.executed == []
    assert clone.changes == ""


def test_a_clone_without_artifacts_has_nothing_to_do(recorded, tmp_path: Path) -> None:
    clone = recorded.project.clone(tmp_path / "regionzoo")
    assert not (clone.folder / MODEL).exists() and not (clone.folder / "data" / "scannet" / "scenes").exists()
    assert clone.snakemake("-n").nothing
    done = clone.dvc("repro", "--allow-missing")
    assert done.stages == [] and done.executed == []
    # The numbers are in git.
    shown = json.loads(clone.dvc("metrics", "show", "--json").out)[""]["data"]
    assert {Path(name).parent.name for name in shown} == set(KEPT)
    assert clone.changes == ""
    # And all that the tables are made of, pictures included.
    clone.set("published.scannet_b15n4.scores.hIoU", 1.0)
    assert clone.snakemake("-n").jobs == {"tables": 1}


def test_one_row_of_a_partly_pulled_clone_is_built_alone(recorded, remote: Path, tmp_path: Path) -> None:
    clone = recorded.project.clone(tmp_path / "regionzoo")
    clone.dvc("remote", "add", "--local", "--default", "storage", str(remote))
    clone.set("rows.scannet_b15n4.evaluate.also", [])
    done = clone.dvc("repro", "--pull", "--allow-missing", "evaluate@scannet_b15n4")
    assert done.executed == ["evaluate"] and done.stages == ["evaluate@scannet_b15n4"]
    assert not (clone.folder / "results" / "scannet200_b170n30" / "model.safetensors").exists()
    assert "all-20/1" not in json.loads((clone.folder / "results/scannet_b15n4/metrics.json").read_text())["protocols"]


def test_what_the_shipped_cache_holds_cannot_be_written_through(recorded, remote: Path, tmp_path: Path) -> None:
    # As a user whom no permission stops: in a container that is root. Both a workspace that DVC filled from the cache
    # and one whose files it took over when it recorded them.
    clone = recorded.project.clone(tmp_path / "clone")
    pull(clone, remote)
    first = recorded.project.copy(tmp_path / "first")
    for project in (clone, first):
        assert project.dvc("config", "cache.type").out.strip() == "reflink,copy"
        assert whole(project)
        for name in WRITABLE:
            path = project.folder / name
            assert not path.is_symlink() and path.stat().st_nlink == 1
            with path.open("ab") as file:
                file.write(b"x")
        assert whole(project)
        status = project.dvc("status").text
        assert "preprocess@scannet" in status and "train@scannet_b15n4" in status
    clone.dvc("checkout", "--force")
    clone.require_content_engines()


def test_a_hard_link_can_be_written_through_by_root(recorded, tmp_path: Path) -> None:
    # What the shipped type guards against, and that the test above would see it.
    if os.geteuid() != 0:
        pytest.skip("not root: the links of DVC are read-only")
    project = recorded.project.copy(tmp_path / "regionzoo")
    project.dvc("config", "--local", "cache.type", "hardlink")
    shutil.rmtree(project.folder / "data" / "scannet" / "scenes")
    (project.folder / MODEL).unlink()
    project.dvc("checkout")
    with (project.folder / MODEL).open("ab") as file:
        file.write(b"x")
    assert not whole(project)
