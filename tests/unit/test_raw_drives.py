"""A nuScenes tree in the stages raw and preprocess: what is watched, what an edit does, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from raw_scene import flip_byte
from tiny_nuscenes import TinyNuScenes, write_tiny_nuscenes

from regionzoo.artifacts import read_json
from regionzoo.errors import UserError
from regionzoo.scenes.drives import load_drive
from regionzoo.scenes.raw_look import look, note_changes
from regionzoo.scenes.raw_tree import MANIFEST, STATE
from regionzoo.settings.data import PreprocessSettings, RawSettings
from regionzoo.stages import preprocess as preprocess_stage
from regionzoo.stages import raw as stage


def link(root: Path, folder: Path, **changes: str | None) -> None:
    """``data/nuscenes`` over a tree."""
    chosen = {
        "dataset": "nuscenes", "version": "v1.0-trainval", "root": str(root), "train_list": None, "val_list": None,
        "synthetic": None,
    }  # fmt: skip
    stage.run(RawSettings.model_validate(chosen | changes), folder / "raw", folder / MANIFEST, 1)


def store(folder: Path, exclude: tuple[str, ...] = ()) -> Path:
    """The scene store of ``folder``."""
    chosen = PreprocessSettings(
        dataset="nuscenes", version="v1.0-trainval", source="nuscenes", train_list=None, val_list=None, exclude=exclude
    )
    out = folder / "scenes"
    preprocess_stage.run(chosen, folder / "raw", out, folder / "scenes.manifest.json", folder / "work", 2)
    return out


@pytest.fixture
def tree(tmp_path: Path) -> TinyNuScenes:
    return write_tiny_nuscenes(tmp_path / "user" / "v1.0-trainval", images=False)


def test_the_manifest_holds_what_is_read(tree: TinyNuScenes, tmp_path: Path) -> None:
    image = tree.root / tree.data(tree.samples(tree.scenes[0])[0], "CAM_BACK")["filename"]
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(b"an image")
    # The folder above holds the version's name twice; radar, sweeps between keyframes and maps are not read.
    link(tree.root.parent, tmp_path / "data")
    assert (tmp_path / "data" / "raw").resolve() == tree.root.resolve()
    manifest = read_json(tmp_path / "data" / MANIFEST)
    lidar = [tree.data(sample, "LIDAR_TOP") for scene in tree.scenes for sample in tree.samples(scene)]
    sweeps = {record["filename"] for record in lidar}
    labels = {f"lidarseg/v1.0-trainval/{record['token']}_lidarseg.bin" for record in lidar}
    files = set(manifest["files"])
    tables = {name for name in files if name.startswith("v1.0-trainval/")}
    assert len(tables) == 10 and "v1.0-trainval/sample_data.json" in tables and "v1.0-trainval/map.json" not in tables
    assert files == sweeps | labels | tables | {image.relative_to(tree.root).as_posix()}
    assert manifest["facts"]["source"] == "nuscenes"
    assert sum(manifest["facts"]["scenes"].values()) == len(tree.scenes)


def test_edits_are_seen_and_refused(tree: TinyNuScenes, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    link(tree.root, folder)
    state = (folder / STATE).read_bytes()
    assert not look(folder) and note_changes(folder) == []
    label = next((tree.root / "lidarseg" / "v1.0-trainval").iterdir())
    sweep = next((tree.root / "samples" / "LIDAR_TOP").iterdir())
    for path in (label, sweep, tree.table("ego_pose")):
        flip_byte(path, -2)
        assert look(folder).changed == (path.relative_to(tree.root).as_posix(),)
        assert (folder / STATE).read_bytes() != state
        with pytest.raises(UserError, match=r"not what raw\.manifest\.json says: 1 changed"):
            store(folder)
        flip_byte(path, -2)
    assert not look(folder) and (folder / STATE).read_bytes() == state
    (sweep.parent / "new__LIDAR_TOP__1.pcd.bin").write_bytes(b"")
    (sweep.parent / ".hidden.pcd.bin").write_bytes(b"")
    (tree.root / "maps" / "new.png").write_bytes(b"")
    assert look(folder).new == ("samples/LIDAR_TOP/new__LIDAR_TOP__1.pcd.bin",) and not look(folder).changed


def test_drives_are_stored_and_a_broken_one_does_not_cost_the_others(tree: TinyNuScenes, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    broken = tree.scenes[0]
    label = tree.label_file(tree.data(tree.samples(broken)[0], "LIDAR_TOP")["token"])
    whole = label.read_bytes()
    label.write_bytes(whole[:-1])
    link(tree.root, folder)
    with pytest.raises(UserError, match=rf"{broken}: .*lidarseg.*\n.*data\.nuscenes\.exclude"):
        store(folder)
    (work,) = (folder / "work").iterdir()
    kept = {path.name: path.stat().st_mtime_ns for path in work.iterdir()}
    assert set(kept) == {f"{scene}.safetensors" for scene in tree.scenes[1:]} and not (folder / "scenes").exists()
    label.write_bytes(whole)
    link(tree.root, folder)
    out = store(folder)
    splits = read_json(out / "splits.json")
    assert sorted(splits["train"] + splits["val"]) == sorted(tree.scenes)
    for name, time in kept.items():
        assert (out / name).stat().st_mtime_ns == time
    facts = read_json(folder / "scenes.manifest.json")["facts"]
    points = 0
    for split, scenes in splits.items():
        counts = np.zeros(16, int)
        for scene in scenes:
            drive = load_drive(out / f"{scene}.safetensors")
            assert (drive.split, drive.source) == (split, "nuscenes")
            labels = drive.labels["nuscenes16"]
            counts += np.array([(labels == c).sum() for c in range(16)])
            points += len(drive)
        assert facts["class_points"][split] == {"nuscenes16": counts.tolist()}
    assert sum(facts["points"].values()) == points == sum(map(len, tree.sweeps.values()))


def test_bad_roots_are_told_in_one_line(tree: TinyNuScenes, tmp_path: Path) -> None:
    for root, told in ((tmp_path / "none", "no such folder"), (tree.root / "samples", r"v1\.0-trainval")):
        with pytest.raises(UserError, match=told) as caught:
            link(root, tmp_path / "data")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "data" / MANIFEST).exists()
    with pytest.raises(UserError, match=r"v1\.0-mini"):
        link(tree.root, tmp_path / "data", version="v1.0-mini")
