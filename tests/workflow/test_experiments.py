"""Experiments of DVC and commits of git carry Snakemake's records along: each state is whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from project import KEPT, ROW, Done, Project

LR = "rows.scannet_b15n4.train.lr"
ALSO = "rows.scannet_b15n4.evaluate.also"
AGAIN = ["train", "predict", "evaluate", "tables"]


def settings(project: Project) -> dict[str, Any]:
    """The row's part of params.yaml."""
    return yaml.safe_load((project.folder / "params.yaml").read_text())["rows"]["scannet_b15n4"]


def offline(project: Project, *arguments: str) -> Done:
    """Run DVC without any network where that is permitted; it must succeed."""
    alone = ("unshare", "--net") if shutil.which("unshare") else ()
    if alone and project.run(*alone, "true").code != 0:
        alone = ()
    done = project.run(*alone, "dvc", *arguments)
    assert done.code == 0, done.text
    return done


def flat(tree: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Dotted keys and values, as DVC names them."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{path}.{key}" if path else key
        found |= flat(value, name) if isinstance(value, dict) else {name: value}
    return found


def require_true_numbers(project: Project) -> None:
    """What DVC says of parameters and metrics is what stands in the files, now and in the last commit."""
    params = json.loads(offline(project, "params", "diff", "--json").out)
    assert list(params) == ["params.yaml"] and list(params["params.yaml"]) == [LR]
    assert (params["params.yaml"][LR]["old"], params["params.yaml"][LR]["new"]) == (0.004, 0.002)
    shown = json.loads(offline(project, "metrics", "show", "--json").out)[""]["data"]
    assert {Path(name).parent.name for name in shown} == set(KEPT)
    for name, entry in shown.items():
        assert entry["data"] == json.loads((project.folder / name).read_text())
    found = json.loads(offline(project, "metrics", "diff", "--json").out)
    # Only the row that was trained again.
    assert found and {Path(name).parent.name for name in found} == {"scannet_b15n4"}
    for name, told in found.items():
        old = flat(json.loads(project.run("git", "show", f"HEAD:{name}").out))
        new = flat(json.loads((project.folder / name).read_text()))
        numbers = {key for key in new if isinstance(new[key], int | float) and not isinstance(new[key], bool)}
        changed = {key for key in numbers if new[key] != old.get(key)}
        assert changed and changed <= set(told)
        assert all((told[key]["old"], told[key]["new"]) == (old[key], new[key]) for key in changed)


def test_experiments_here_and_elsewhere_and_commits_back_and_forth(recorded_copy: Project) -> None:
    project = recorded_copy

    # In the workspace.
    done = project.dvc("exp", "run", "-S", f"{LR}=0.002", "--name", "slow")
    assert done.executed == AGAIN
    assert settings(project)["train"]["lr"] == 0.002
    project.require_content_engines()
    require_true_numbers(project)
    project.commit("a slower row")

    # An earlier commit and back: no engine believes that the row of the other commit is its own.
    metrics = (project.folder / ROW).read_bytes()
    for commit, value in (("HEAD~1", 0.004), ("-", 0.002)):
        assert project.run("git", "checkout", "-q", commit).code == 0
        project.dvc("checkout")
        assert settings(project)["train"]["lr"] == value
        project.require_content_engines()
        assert project.changes == ""
    assert (project.folder / ROW).read_bytes() == metrics

    # Elsewhere: this folder stays what it is, until the experiment is applied.
    model = project.folder / "results" / "scannet_b15n4" / "model.safetensors"
    before = model.read_bytes()
    done = project.dvc("exp", "run", "--temp", "-S", f"{ALSO}=[]", "--name", "scored")
    assert done.executed == ["evaluate", "tables"]
    assert project.changes == "" and model.read_bytes() == before and (project.folder / ROW).read_bytes() == metrics
    project.dvc("exp", "apply", "scored")
    assert settings(project)["evaluate"]["also"] == [] and (project.folder / ROW).read_bytes() != metrics
    assert model.read_bytes() == before and settings(project)["train"]["lr"] == 0.002
    project.require_content_engines()
    told = {Path(line[3:]).parts[0] for line in project.changes.splitlines()}
    assert told <= {".snakemake", "dvc.lock", "params.yaml", "results"}
