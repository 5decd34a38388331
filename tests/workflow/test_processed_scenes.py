"""Rooms as PointGroup and Pointcept process them, pointed at by params.yaml, are the scenes that raw scans give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from project import Project

from regionzoo.scenes.instances import instance_ids
from regionzoo.scenes.labels import LabelTable
from regionzoo.scenes.raw_layout import LABEL_TABLE_FILE
from regionzoo.scenes.scannet import pointgroup_instances
from regionzoo.scenes.store import Scene, load_scene

FORMS = ("pointgroup", "pointcept")


def stored(project: Project, dataset: str) -> Iterator[Scene]:
    """The scenes of a data set."""
    for path in sorted((project.folder / "data" / dataset / "scenes").glob("*.safetensors")):
        yield load_scene(path)


def write_pointgroup(root: Path, scene: Scene, table: LabelTable) -> None:
    """The steps of PointGroup's script, once for each class set."""
    colors, instances = scene.colors / 127.5 - 1, pointgroup_instances(scene, table).astype(float)
    coords = scene.coords - scene.coords.mean(0)
    for name, folder in (("scannet20", root), ("scannet200", root / "scannet200")):
        (folder / scene.split).mkdir(parents=True, exist_ok=True)
        labels = scene.labels[name].astype(float)
        torch.save((coords, colors, labels, instances), folder / scene.split / f"{scene.scene_id}.pth")


def write_pointcept(root: Path, scene: Scene) -> None:
    """One array a file."""
    folder = root / scene.split / scene.scene_id
    folder.mkdir(parents=True)
    whole = {"segment20": scene.labels["scannet20"], "segment200": scene.labels["scannet200"], "instance": scene.group}
    for name, values in whole.items():
        np.save(folder / f"{name}.npy", np.where(values < 0, -1, values))
    np.save(folder / "coord.npy", scene.coords)
    np.save(folder / "color.npy", scene.colors)


def test_processed_folders_give_the_scenes_of_the_raw_scans(copy: Project, tmp_path: Path) -> None:
    rooms = list(stored(copy, "scannet"))
    table = LabelTable.read(copy.folder / "data" / "scannet" / "raw" / LABEL_TABLE_FILE)
    for scene in rooms:
        write_pointgroup(tmp_path / "pointgroup", scene, table)
        write_pointcept(tmp_path / "pointcept", scene)

    def add(tree: dict) -> None:
        for form in FORMS:
            lists = {"train_list": None, "val_list": None, "root": str(tmp_path / form), "format": form}
            tree["data"][form] = tree["data"]["scannet"] | lists
            tree["region_sources"][f"kosmos-{form}"] = tree["region_sources"]["kosmos"] | {"dataset": form}

    copy.edit(add)
    targets = [f"data/{form}/scenes.manifest.json" for form in FORMS]
    done = copy.snakemake(*targets)
    assert done.code == 0, done.text[-3000:]
    assert sorted(done.executed) == ["preprocess", "preprocess", "raw", "raw"]
    for form in FORMS:
        for ours, theirs in zip(stored(copy, form), rooms, strict=True):
            assert (ours.scene_id, ours.split, ours.source) == (theirs.scene_id, theirs.split, "scannet")
            # As they are stored: PointGroup's less the mean of the scan.
            coords = theirs.coords - theirs.coords.mean(0) if form == "pointgroup" else theirs.coords
            np.testing.assert_array_equal(ours.coords, coords)
            np.testing.assert_array_equal(ours.colors, theirs.colors)
            assert set(ours.labels) == set(theirs.labels)
            for name, labels in theirs.labels.items():
                np.testing.assert_array_equal(ours.labels[name], labels)
            objects = [instance_ids(scene.labels["scannet20"], scene.group) for scene in (ours, theirs)]
            np.testing.assert_array_equal(objects[0] >= 0, objects[1] >= 0)
            pairs = set(zip(*objects, strict=True))
            assert len(pairs) == len(np.unique(objects[0])) == len(np.unique(objects[1])) > 4
            np.testing.assert_array_equal(ours.superpoint, -1)

    # They come without frames: one line says what to do.
    refused = copy.snakemake("data/pointgroup/captions/kosmos-pointgroup.manifest.json")
    assert refused.code != 0 and "Traceback" not in refused.text
    (line,) = {line for line in refused.text.splitlines() if line.startswith("error:")}
    assert "processed scenes (pointgroup) come without frames; import the released captions (region_sources." in line

    # An edit is seen by the next look and concerns its own data set.
    edited = tmp_path / "pointcept" / "train" / rooms[0].scene_id / "color.npy"
    state = (copy.folder / "data" / "pointcept" / "raw.state.json").read_bytes()
    np.save(edited, np.zeros_like(rooms[0].colors))
    dry = copy.snakemake("-n", *targets)
    assert dry.jobs == {"raw": 1, "preprocess": 1}
    assert f"1 changed (train/{rooms[0].scene_id}/color.npy)" in dry.err
    assert (copy.folder / "data" / "pointcept" / "raw.state.json").read_bytes() != state
