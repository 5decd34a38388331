"""Every single value of the shipped params.yaml concerns the same jobs for both engines.

Snakemake compares the settings that a job is given, DVC the keys that a stage declares. A key that DVC lacks would let
`dvc status` call a repository clean that Snakemake wants to build anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from parity import Stage, dvc_stages
from project import Project, set_value

from regionzoo.config import Params
from regionzoo.errors import UserError

# DVC's keys do not depend on values: it also names stages for values that the scale replaces, and Snakemake then has
# nothing to do. So both scales are asked. A store of no features needs no settings, but is one of the features' stages.
WIDER = dict.fromkeys(
    ("features@none", "features@nuscenes-none"), ("scale", "scales.small.features", "scales.small.text", "seed")
)


def settings(params: Params) -> dict[str, str]:
    """What Snakemake compares, by the name of the stage."""
    told = {"tables": params.tables().canonical()}
    for name in params.data:
        told |= {f"raw@{name}": params.raw(name).canonical(), f"preprocess@{name}": params.preprocess(name).canonical()}
    told |= {f"regions@{name}": params.regions(name).canonical() for name in params.region_sources}
    told |= {f"fuse@{name}": entry.canonical() for name, entry in params.caption_sets.items()}
    told |= {f"text@{name}": params.text_table(name).canonical() for name in params.text}
    told |= {f"features@{name}": params.features(name).canonical() for name in params.feature_sources}
    told |= {f"train@{name}": params.train(name).canonical() for name in params.rows}
    told |= {f"pictures@{name}": name for name in params.instance_rows}
    for kind, rows in (("", params.rows), ("_shared", params.shared_rows)):
        told |= {f"predict{kind}@{name}": params.predict(name).canonical() for name in rows}
        told |= {f"evaluate{kind}@{name}": params.evaluate(name).canonical() for name in rows}
    return told


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; a list is one value, as for DVC."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def others(value: Any) -> list[Any]:
    """Other values to try in a value's place."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, value * 2]
    if isinstance(value, float):
        return [value / 2, value * 2, 0.5] if value else [0.5, 1.0]
    if isinstance(value, list):
        return [value[:-1], value[1:], [*value, "x"], [*value, *(value[-1:] or ["toilet"])]]
    if value is None:
        return ["/another/folder", 1]
    texts = ["paper", "small", "val.txt", "another", "minilm", "lseg", "identity", "name", "grounded", "mean", "native"]
    return [*texts, "pointcept"]


def concerned(stages: list[Stage], key: str) -> set[str]:
    """Stages that declare a key, a part of it or the whole that it is part of."""

    def meets(declared: str) -> bool:
        return f"{declared}.".startswith(f"{key}.") or f"{key}.".startswith(f"{declared}.")

    return {stage.name for stage in stages if any(meets(declared) for declared in stage.params.get("params.yaml", ()))}


def changed_jobs(tree: dict[str, Any], before: dict[str, str], key: str, value: Any) -> set[str] | None:
    """Jobs whose settings change with a value; None if it can be nothing else."""
    for other in others(value):
        changed = deepcopy(tree)
        set_value(changed, key, other)
        if other == value:
            continue
        try:
            after = settings(Params.check(changed, "params.yaml"))
        except UserError:
            continue
        return {name for name in before if before[name] != after[name]}
    return None


def test_every_value_concerns_the_same_jobs_for_both(tmp_path: Path) -> None:
    project = Project.new(tmp_path / "regionzoo", lambda tree: None)
    stages = dvc_stages(project)
    small = yaml.safe_load((project.folder / "params.yaml").read_text())
    instance_rows = [row for row, entry in small["rows"].items() if entry["train"]["instances"] != "none"]
    # Other formats than "raw" are for a user's data alone.
    rooms = small["data"]["scannet"] | {"root": "/processed", "format": "pointgroup"}
    processed = small | {"data": small["data"] | {"scannet": rooms}}
    trees = (small, small | {"scale": "paper"}, processed)
    told = [(tree, settings(Params.check(tree, "params.yaml"))) for tree in trees]
    assert all({stage.name for stage in stages} == set(before) for _, before in told)
    tried, missed, wider = {}, {}, {}
    for key, value in leaves(small):
        asked = told if key == "data.scannet.format" else told[:2]
        found = [changed_jobs(tree, before, key, value) for tree, before in asked]
        known = [jobs for jobs in found if jobs is not None]
        if not known:
            continue
        ours, theirs = set().union(*known), concerned(stages, key)
        tried[key] = ours
        if ours - theirs:
            missed[key] = ours - theirs
        if more := {name for name in theirs - ours if not key.startswith(WIDER.get(name, ("-",)))}:
            wider[key] = more
    assert missed == {}
    assert wider == {}
    # The rest are names of tables, refused where nothing has the other name.
    assert len(tried) > 300
    heads = {key: jobs for key, jobs in tried.items() if "instance_heads.softgroup." in key}
    assert len(heads) == 19
    assert all(jobs == {f"train@{row}" for row in instance_rows} for jobs in heads.values())
