"""Processed scenes in the stages raw and preprocess: what is watched, what an edit does, what they are no source of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from raw_scene import flip_byte
from tiny_rooms import tiny_settings

from regionzoo.artifacts import read_json
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.raw_look import look, note_changes
from regionzoo.scenes.raw_tree import CACHE, MANIFEST, STATE
from regionzoo.scenes.store import load_scene, load_truth
from regionzoo.settings.data import FeatureSettings, FeatureSource, PreprocessSettings, RawSettings
from regionzoo.settings.train import Classes
from regionzoo.stages import features as features_stage
from regionzoo.stages import preprocess as preprocess_stage
from regionzoo.stages import raw as stage
from regionzoo.stages._folders import require_frames_of
from regionzoo.text.table import TextTable
from regionzoo.training.dataset import TrainingScenes

SPLITS = {"scene0000_00": "train", "scene0001_00": "train", "scene0002_00": "val"}
SECOND = "scannet200/"
N = 40


def arrays(seed: int) -> tuple[np.ndarray, ...]:
    """Coordinates, colours, classes of 20, objects."""
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 256, (N, 3)).astype(np.uint8)
    return rng.normal(size=(N, 3)).astype(np.float32), colors, rng.integers(-1, 20, N), rng.integers(-1, 4, N)


def pointcept(root: Path) -> Path:
    """Folders of arrays, with files that are not read."""
    for seed, (scene, split) in enumerate(SPLITS.items()):
        folder = root / split / scene
        folder.mkdir(parents=True)
        coords, colors, labels, objects = arrays(seed)
        kinds = {"coord": coords, "color": colors, "segment20": labels, "instance": objects, "normal": coords}
        for name, values in kinds.items():
            np.save(folder / f"{name}.npy", values)
        (folder / "preview.jpg").write_bytes(b"")
    return root


def pointgroup(root: Path) -> Path:
    """Tuples with both class sets."""
    for seed, (scene, split) in enumerate(SPLITS.items()):
        coords, colors, labels, objects = arrays(seed)
        for folder, scale in ((root / split, 1), (root / "scannet200" / split, 10)):
            folder.mkdir(parents=True, exist_ok=True)
            values = (coords, colors / 127.5 - 1, np.where(labels < 0, -100, labels * scale), objects)
            torch.save(values, folder / f"{scene}.pth")
    return root


WRITERS = {"pointcept": pointcept, "pointgroup": pointgroup}


def link(root: Path, folder: Path, form: str, **changes: str | None) -> list[str]:
    """``data/scannet`` over a folder; returns the paths of the manifest."""
    chosen = {"dataset": "scannet", "version": "v2", "format": form, "root": str(root), "synthetic": None}
    lists = {"train_list": None, "val_list": None} | changes
    stage.run(RawSettings.model_validate(chosen | lists), folder / "raw", folder / MANIFEST, 2)
    return sorted(read_json(folder / MANIFEST)["files"])


def store(folder: Path, form: str, train_list: str | None = None) -> Path:
    """The scene store of ``folder``."""
    chosen = {"dataset": "scannet", "version": "v2", "format": form, "source": "scannet", "exclude": ()}
    settings = PreprocessSettings.model_validate(chosen | {"train_list": train_list, "val_list": None})
    out = folder / "scenes"
    preprocess_stage.run(settings, folder / "raw", out, folder / "scenes.manifest.json", folder / "work", 2)
    return out


@pytest.mark.parametrize("form", WRITERS)
def test_scenes_are_stored_with_what_they_hold(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "data"
    files = link(WRITERS[form](tmp_path / "user"), folder, form)
    if form == "pointcept":
        names = ("color", "coord", "instance", "segment20")
        assert files == sorted(f"{split}/{scene}/{name}.npy" for scene, split in SPLITS.items() for name in names)
    else:
        assert files == sorted(f"{way}{split}/{scene}.pth" for scene, split in SPLITS.items() for way in ("", SECOND))
    facts = read_json(folder / MANIFEST)["facts"]
    assert (facts["source"], facts["format"], facts["scenes"]) == ("scannet", form, {"train": 2, "val": 1})
    out = store(folder, form)
    assert read_json(out / "splits.json") == {"train": ["scene0000_00", "scene0001_00"], "val": ["scene0002_00"]}
    described = read_json(folder / "scenes.manifest.json")["facts"]
    sets = {"scannet20"} if form == "pointcept" else {"scannet20", "scannet200"}
    assert described["format"] == form and set(described["class_points"]["train"]) == sets
    for seed, (scene_id, split) in enumerate(SPLITS.items()):
        scene = load_scene(out / f"{scene_id}.safetensors")
        coords, colors, labels, objects = arrays(seed)
        assert (scene.split, scene.source, set(scene.labels)) == (split, "scannet", sets)
        np.testing.assert_array_equal(scene.coords, coords)
        np.testing.assert_array_equal(scene.colors, colors)
        np.testing.assert_array_equal(scene.labels["scannet20"], np.where(labels < 0, -100, labels))
        np.testing.assert_array_equal(scene.group, np.where(objects < 0, -100, objects))


@pytest.mark.parametrize("form", WRITERS)
def test_edits_are_seen_and_refused(tmp_path: Path, form: str) -> None:
    folder, root = tmp_path / "data", WRITERS[form](tmp_path / "user")
    files = link(root, folder, form)
    state = (folder / STATE).read_bytes()
    assert not look(folder) and note_changes(folder) == []
    for name in (files[0], files[-1]):
        flip_byte(root / name, -2)
        assert look(folder).changed == (name,) and (folder / STATE).read_bytes() != state
        with pytest.raises(UserError, match=rf"not what raw\.manifest\.json says: 1 changed \({name}\)"):
            store(folder, form)
        flip_byte(root / name, -2)
    # What was known of the tree is lost, as in a clone.
    (folder / CACHE).unlink()
    assert not look(folder) and (folder / STATE).read_bytes() == state
    (root / "notes.txt").write_text("")
    (root / "train" / ".hidden.pth").write_text("")
    assert not look(folder)
    added = files[0].replace("scene0000_00", "scene0009_00")
    (root / added).parent.mkdir(exist_ok=True)
    (root / added).write_bytes((root / files[0]).read_bytes())
    (root / files[-1]).unlink()
    changes = look(folder)
    assert (changes.new, changes.missing, changes.changed) == ((added,), (files[-1],), ())


def test_lists_below_the_root_are_watched_and_others_are_not(tmp_path: Path) -> None:
    folder, root = tmp_path / "data", pointcept(tmp_path / "user")
    (root / "few.txt").write_text("scene0001_00\n")
    elsewhere = tmp_path / "val.txt"
    elsewhere.write_text("scene0002_00\n")
    assert "few.txt" in link(root, folder, "pointcept", train_list="few.txt", val_list=str(elsewhere))
    assert not look(folder) and read_json(folder / MANIFEST)["facts"]["scenes"] == {"train": 1, "val": 1}
    out = store(folder, "pointcept", "few.txt")
    assert read_json(out / "splits.json")["train"] == ["scene0001_00"]
    (root / "few.txt").write_text("scene0000_00\n")
    assert look(folder).changed == ("few.txt",)


def test_bad_roots_are_told_in_one_line(tmp_path: Path) -> None:
    root = pointcept(tmp_path / "user")
    for path, form, told in (
        (tmp_path / "none", "pointcept", r"data\.scannet\.root: no such folder .*that holds train/ and val/, or null"),
        (root / "train", "pointcept", r"user/train/train: holds no scenes; data\.scannet\.root must be"),
        (root, "pointgroup", r"user/train: holds no scenes"),
    ):
        with pytest.raises(UserError, match=told) as caught:
            link(path, tmp_path / "data", form)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"few\.txt: no such scene list; name another under data\.scannet, or null"):
        link(root, tmp_path / "data", "pointcept", train_list="few.txt")


def test_a_training_says_which_labels_are_missing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    link(pointcept(tmp_path / "user"), folder, "pointcept")
    out = store(folder, "pointcept")
    settings = tiny_settings().model_copy(update={"classes": Classes(set="scannet200")})
    table = TextTable(("a",), np.ones((1, 2), np.float32), {})
    told = r"^scene0000_00: .*scene0000_00\.safetensors: has no labels of scannet200: its raw files hold none"
    with pytest.raises(SceneError, match=told):
        TrainingScenes(out, ["scene0000_00"], None, None, table, settings).item(0, 0)
    with pytest.raises(SceneError, match=told):
        load_truth(out / "scene0000_00.safetensors", "scannet200")


def test_they_are_no_source_of_frames(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    link(pointcept(tmp_path / "user"), folder, "pointcept")
    store(folder, "pointcept")
    told = r"raw: processed scenes \(pointcept\) come without frames; .*, or point data\.scannet\.root at the official"
    with pytest.raises(UserError, match=told):
        require_frames_of(folder / "raw", "scannet", "import captions")
    source = FeatureSource(dataset="scannet", provider="files", path=str(tmp_path))
    settings = FeatureSettings(name="lseg", seed=0, source=source, encoder="")
    with pytest.raises(UserError, match=told):
        features_stage.run(settings, folder / "raw", folder / "scenes", tmp_path / "f", tmp_path / "f.json", 1)
