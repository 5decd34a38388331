"""A run over all scenes: result, resume, broken scenes, dying workers, and what counts as a raw input."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from raw_scene import (
    CATEGORIES,
    flip_byte,
    random_scene,
    square_or_die,
    truncate,
    write_frames,
    write_scene,
    write_tree,
)

from regionzoo.artifacts import tree_hashes
from regionzoo.errors import UserError
from regionzoo.scenes.preprocess import PreprocessFailed, PreprocessSummary, preprocess
from regionzoo.scenes.raw_layout import is_raw_input
from regionzoo.scenes.raw_source import RoomSource
from regionzoo.scenes.scannet import ScanNetRoot, read_scene
from regionzoo.scenes.shards import Died, run_shards
from regionzoo.scenes.store import load_scene

LISTS = {"train": "scannetv2_train.txt", "val": "scannetv2_val.txt"}


def opened(root: Path, lists: dict[str, str] = LISTS, exclude: tuple[str, ...] = ()) -> RoomSource:
    return RoomSource.open(root, "scannet", lists, exclude)


def run(base: Path, workers: int = 1, exclude: tuple[str, ...] = (), **options) -> PreprocessSummary:
    return preprocess(opened(base / "raw", exclude=exclude), "scannet", base / "out", base / "work", workers, **options)


def content(folder: Path) -> dict[str, tuple]:
    """Content of each file; a safetensors header is compared as JSON, because its writer does not order the keys."""
    found = {}
    for path in folder.iterdir():
        data, size = path.read_bytes(), 0
        if path.suffix == ".safetensors":
            size = 8 + int.from_bytes(data[:8], "little")
        found[path.name] = (json.loads(data[8:size]) if size else None, data[size:])
    return found


def mesh(base: Path, scene_id: str) -> Path:
    return base / "raw" / "scans" / scene_id / f"{scene_id}_vh_clean_2.ply"


def test_result_and_summary(tmp_path):
    scenes = write_tree(tmp_path / "raw")
    told: list[tuple[int, int]] = []
    summary = run(tmp_path, progress=lambda *args: told.append(args))
    names = {split: [raw.scene_id for raw in of_split] for split, of_split in scenes.items()}
    assert json.loads((tmp_path / "out" / "splits.json").read_text()) == names
    assert set(content(tmp_path / "out")) == {"splits.json"} | {
        f"{name}.safetensors" for of_split in names.values() for name in of_split
    }
    root = ScanNetRoot.open(tmp_path / "raw", LISTS)
    nyu40_of = {name: nyu40 for name, _, nyu40 in CATEGORIES}
    for split, of_split in scenes.items():
        chairs = 0
        for raw in of_split:
            stored = load_scene(tmp_path / "out" / f"{raw.scene_id}.safetensors")
            fresh = read_scene(root, raw.scene_id, split)
            assert (stored.split, stored.source, stored.raw_sha256) == (split, "scannet", fresh.raw_sha256)
            assert np.array_equal(stored.coords, raw.coords)
            assert np.array_equal(stored.group, fresh.group) and stored.categories == fresh.categories
            assert all(np.array_equal(stored.labels[name], fresh.labels[name]) for name in fresh.labels)
            chairs += int((raw.nyu40 == nyu40_of["chair"]).sum())
        assert summary.class_points[split]["scannet20"][4] == chairs
        assert summary.class_points[split]["scannet20"].dtype == np.int64
        assert summary.class_points[split]["scannet200"].shape == (200,)
    assert summary.scenes == {"train": 3, "val": 2} and summary.points == {"train": 180, "val": 120}
    assert (summary.total, summary.kept, summary.failed) == (5, 0, {})
    assert json.loads(json.dumps(summary.facts()))["scenes"] == {"train": 3, "val": 2}
    assert told == [(i, 5) for i in range(1, 6)]
    assert not (tmp_path / "work").exists()


def test_workers_do_not_change_the_result(tmp_path):
    write_tree(tmp_path / "raw", train=4, val=1)
    one, two = run(tmp_path, workers=1), content(tmp_path / "out")
    assert run(tmp_path, workers=2).facts() == one.facts()
    assert content(tmp_path / "out") == two


@pytest.mark.parametrize("workers", [1, 2])
def test_broken_scenes_are_collected_and_only_they_are_done_again(tmp_path, workers):
    scenes = write_tree(tmp_path / "raw")
    truncate(mesh(tmp_path, "scene0001_00"), 0.4)
    flagged = tmp_path / "raw" / "scans" / "scene0004_01" / "scene0004_01.aggregation.json"
    flagged.unlink()
    with pytest.raises(PreprocessFailed) as caught:
        run(tmp_path, workers)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"scene0001_00: {mesh(tmp_path, 'scene0001_00')}: not a whole PLY")
    assert lines[1] == f"scene0004_01: {flagged}: missing"
    assert lines[2] == "2 of 5 scenes failed; fix or list them under data.scannet.exclude"
    assert isinstance(caught.value, UserError)
    # copy rebuilds an exception the way a worker process hands it over.
    assert str(copy.copy(caught.value)) == str(caught.value)
    assert not (tmp_path / "out").exists()
    good = {"scene0000_00", "scene0002_00", "scene0003_01"}
    assert {path.stem for path in (tmp_path / "work").iterdir()} == good, "nothing half-written"

    before = {name: os.stat(tmp_path / "work" / f"{name}.safetensors").st_ino for name in good}
    write_scene(tmp_path / "raw", scenes["train"][1])
    write_scene(tmp_path / "raw", scenes["val"][1])
    summary = run(tmp_path, workers)
    assert summary.kept == 3 and summary.scenes == {"train": 3, "val": 2}
    for name, inode in before.items():
        assert os.stat(tmp_path / "out" / f"{name}.safetensors").st_ino == inode, "moved, not written again"
    assert not (tmp_path / "work").exists()


def test_failed_run_leaves_an_earlier_result_alone(tmp_path):
    write_tree(tmp_path / "raw")
    run(tmp_path)
    before = content(tmp_path / "out")
    truncate(mesh(tmp_path, "scene0003_01"), 0.9)
    with pytest.raises(PreprocessFailed):
        run(tmp_path)
    assert content(tmp_path / "out") == before
    summary = run(tmp_path, exclude=("scene0003_01",))
    assert summary.notices == ("val: scene0003_01 is excluded",)
    assert "scene0003_01.safetensors" not in content(tmp_path / "out"), "an earlier scene that is no longer listed"
    assert json.loads((tmp_path / "out" / "splits.json").read_text())["val"] == ["scene0004_01"]


@pytest.mark.parametrize("change", ["raw", "table", "work", "half", "split", "source"])
def test_stale_work_is_done_again(tmp_path, change):
    scenes = write_tree(tmp_path / "raw", train=2, val=2)
    mesh(tmp_path, "scene0003_01").rename(tmp_path / "aside")
    with pytest.raises(PreprocessFailed):
        run(tmp_path)
    (tmp_path / "aside").rename(mesh(tmp_path, "scene0003_01"))
    stored = tmp_path / "work" / "scene0000_00.safetensors"
    source, kept = "scannet", 2
    if change == "raw":
        scenes["train"][0].coords[0] += 1
        write_scene(tmp_path / "raw", scenes["train"][0])
    elif change == "table":
        with (tmp_path / "raw" / "scannetv2-labels.combined.tsv").open("a") as file:
            file.write("\n")
        kept = 0
    elif change == "work":
        flip_byte(stored, stored.read_bytes().index(scenes["train"][0].coords.tobytes()) + 7)
    elif change == "half":
        truncate(stored, 0.5)
    elif change == "split":
        (tmp_path / "raw" / "scannetv2_train.txt").write_text("scene0001_00\n")
        (tmp_path / "raw" / "scannetv2_val.txt").write_text("scene0000_00\nscene0002_01\nscene0003_01\n")
    else:
        source, kept = "synthetic-rooms", 0
    if change == "work":
        with pytest.raises(UserError):
            load_scene(stored)
    summary = preprocess(opened(tmp_path / "raw"), source, tmp_path / "out", tmp_path / "work")
    assert summary.kept == kept
    scene = load_scene(tmp_path / "out" / "scene0000_00.safetensors")
    assert np.array_equal(scene.coords, scenes["train"][0].coords)
    assert (scene.split, scene.source) == ("val" if change == "split" else "train", source)


def test_result_is_independent_of_the_way_there(tmp_path):
    """Interrupted, failed and resumed runs give the content of an undisturbed one."""
    scenes = write_tree(tmp_path / "raw")
    run(tmp_path)
    undisturbed = content(tmp_path / "out")
    truncate(mesh(tmp_path, "scene0000_00"), 0.5)
    with pytest.raises(PreprocessFailed):
        run(tmp_path, workers=2)
    write_scene(tmp_path / "raw", scenes["train"][0])
    (tmp_path / "work" / ".scene0000_00.safetensors.x.tmp.safetensors").write_bytes(b"left by a killed process")
    (tmp_path / "out" / ".scene0000_00.safetensors.link.tmp.safetensors").write_bytes(b"same")
    run(tmp_path)
    assert content(tmp_path / "out") == undisturbed
    assert not (tmp_path / "work").exists()


KILLED_RUN = """
import sys
from regionzoo.scenes.preprocess import preprocess
from regionzoo.scenes.raw_source import RoomSource
if __name__ == "__main__":
    base = sys.argv[1]
    lists = {"train": "scannetv2_train.txt", "val": "scannetv2_val.txt"}
    preprocess(RoomSource.open(base + "/raw", "scannet", lists), "scannet", base + "/out", base + "/work", 2)
"""


def test_killed_run_is_resumed(tmp_path):
    """SIGKILL in the middle of a run with two workers: what is there is whole, and the next run uses it."""
    write_tree(tmp_path / "raw", train=40, val=1, points=3000)
    (tmp_path / "run.py").write_text(KILLED_RUN)
    source = str(Path(preprocess.__code__.co_filename).parents[2])
    environment = os.environ | {"PYTHONPATH": source}
    process = subprocess.Popen([sys.executable, tmp_path / "run.py", tmp_path], env=environment, stderr=subprocess.PIPE)
    while process.poll() is None and len(list((tmp_path / "work").glob("scene*.safetensors"))) < 3:
        time.sleep(0.002)
    process.kill()
    process.communicate()  # returns when the workers, which share the pipe, have ended too
    assert process.returncode == -9
    assert not (tmp_path / "out" / "splits.json").exists()
    whole = [load_scene(path).scene_id for path in (tmp_path / "work").glob("scene*.safetensors")]
    summary = run(tmp_path)
    assert summary.kept == len(whole) >= 3
    assert summary.scenes == {"train": 40, "val": 1}
    assert not (tmp_path / "work").exists()


def test_other_files_survive(tmp_path):
    write_tree(tmp_path / "raw", train=1, val=1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".gitignore").write_text("*\n")
    run(tmp_path)
    assert (tmp_path / "out" / ".gitignore").read_text() == "*\n"


def test_test_split(tmp_path):
    write_tree(tmp_path / "raw", train=1, val=1)
    write_scene(tmp_path / "raw", random_scene("scene0707_00"), scans="scans_test", annotated=False)
    (tmp_path / "raw" / "scannetv2_test.txt").write_text("scene0707_00\n")
    lists = LISTS | {"test": "scannetv2_test.txt"}
    summary = preprocess(opened(tmp_path / "raw", lists), "scannet", tmp_path / "out", tmp_path / "work")
    assert summary.scenes["test"] == 1 and summary.class_points["test"]["scannet20"].sum() == 0


def test_same_folder_is_refused(tmp_path):
    write_tree(tmp_path / "raw", train=1, val=1)
    with pytest.raises(UserError, match="must be another one"):
        preprocess(opened(tmp_path / "raw"), "scannet", tmp_path / "out", tmp_path / "out")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_shards_answer_every_item_once(workers):
    items = [3, 1, 4, 15, 9, 2, 6] if workers > 1 else [3, 1]
    assert sorted(run_shards(square_or_die, items, workers)) == sorted((item, item**2) for item in items)
    assert list(run_shards(square_or_die, [], workers)) == []


def test_a_dying_worker_is_an_answer():
    """13 kills its process while the rest of its shard waits; another shard's last item is deadly too."""
    items = [1, 2, 13, 4, 5, 6, 7, 13]
    answers = list(run_shards(square_or_die, items, 2))
    assert sorted(item for item, _ in answers) == sorted(items)
    died = [answer for item, answer in answers if item == 13]
    assert died == [Died(-9), Died(-9)]
    assert str(died[0]) == "the worker process was killed by SIGKILL (out of memory?)"
    assert {(item, answer) for item, answer in answers if item != 13} == {
        (item, item**2) for item in items if item != 13
    }
    assert str(Died(3)) == "the worker process ended early with exit code 3"


def test_a_stopped_run_leaves_no_process_behind():
    answers = run_shards(square_or_die, list(range(20, 40)), 2)
    next(answers)
    import multiprocessing

    assert multiprocessing.active_children()
    answers.close()
    assert not multiprocessing.active_children()


def test_raw_inputs_of_a_tree(tmp_path):
    root = tmp_path / "raw"
    write_tree(root, train=1, val=1)
    write_frames(root / "scannet_frames_25k", "scene0000_00", ["000000"])
    folder = root / "scans" / "scene0000_00"
    others = ["scene0000_00.sens", "scene0000_00_vh_clean.ply", "scene0000_00_vh_clean.segs.json", "notes.txt"]
    others += ["scene0000_00_vh_clean.aggregation.json", "scene0000_00_2d-label.zip", "scene0001_00.txt"]
    for name in others:
        (folder / name).write_text("x")
    (root / "README.md").write_text("x")
    (root / "my_list.txt").write_text("scene0000_00\n")
    (root / "scannet_frames_25k" / "scene0000_00" / "color" / "._000000.jpg").write_text("x")
    scan = {f"scans/{path.name}/{file.name}" for path in (root / "scans").iterdir() for file in path.iterdir()}
    scan -= {f"scans/scene0000_00/{name}" for name in others}
    frames = {f"{kind}/000000.png" for kind in ("depth", "label", "instance")}
    frames |= {"color/000000.jpg", "pose/000000.txt", "intrinsics_color.txt", "intrinsics_depth.txt"}
    expected = scan | {f"scannet_frames_25k/scene0000_00/{name}" for name in frames}
    expected |= {"scannetv2-labels.combined.tsv", "scannetv2_train.txt", "scannetv2_val.txt", "my_list.txt"}
    assert set(tree_hashes(root, is_raw_input)) == expected
    assert is_raw_input("tasks/scannet_frames_25k/scene0000_00/depth/0.png")
    assert is_raw_input("scannet_frames_25k/scene0000_00/intrinsic/intrinsic_depth.txt")
    assert is_raw_input("scans_test/scene0707_00/scene0707_00_vh_clean_2.ply")
    assert not is_raw_input("lists/mine.txt")
    assert not is_raw_input(".cache/scans/scene0000_00/scene0000_00.txt")
    assert not is_raw_input("copy/scans/scene0000_00/scene0000_00.txt")
