"""A raw tree is hashed once, looked at quickly, and no edit of it goes unnoticed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_scene import flip_byte, write_frames, write_tree

from regionzoo.artifacts import read_json, tree_hashes, write_json
from regionzoo.errors import UserError
from regionzoo.scenes.raw_layout import LABEL_TABLE_FILE, is_raw_input
from regionzoo.scenes.raw_look import RawChanges, look, note_changes, require_same, status_lines
from regionzoo.scenes.raw_tree import CACHE, MANIFEST, NOTHING_BUILT, STATE, Inputs, RawTree, find_inputs
from regionzoo.settings.data import RawSettings
from regionzoo.stages import raw as stage

LISTS = {"train": "scannetv2_train.txt", "val": "scannetv2_val.txt"}
MESH = "scans/scene0000_00/scene0000_00_vh_clean_2.ply"
LONG_AGO = 1_000_000_000_000_000_000


def age(path: Path) -> None:
    """Make a file look old, so that its times count (tests are quicker than the margin for fresh files)."""
    os.utime(path, ns=(LONG_AGO, LONG_AGO))


def make(folder: Path, root: Path, workers: int = 1) -> dict[str, str]:
    """Run the stage for a user's tree; returns the manifest's files."""
    chosen = RawSettings(
        dataset="scannet",
        version="v2",
        root=str(root),
        train_list=LISTS["train"],
        val_list=LISTS["val"],
        synthetic=None,
    )
    stage.run(chosen, folder / "raw", folder / MANIFEST, workers)
    return read_json(folder / MANIFEST)["files"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tree(tmp_path / "user", train=2, val=1)
    write_frames(tmp_path / "user" / "scannet_frames_25k", "scene0000_00", ["000000"], color_shape=(4, 4))
    return tmp_path / "user"


@pytest.fixture
def folder(tmp_path: Path, root: Path) -> Path:
    """``data/scannet`` of a project whose raw tree was just made."""
    folder = tmp_path / "data" / "scannet"
    make(folder, root)
    return folder


def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed from now on."""
    from regionzoo.scenes import raw_tree

    seen: list[str] = []
    real = raw_tree.sha256_file

    def watched(path: Path) -> str:
        seen.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(raw_tree, "sha256_file", watched)
    return seen


def test_manifest_holds_the_inputs_of_listed_scenes_and_nothing_else(root: Path, folder: Path) -> None:
    for name in ("scans/scene0000_00/scene0000_00.sens", "notes.txt", "scans/scene0099_00/scene0099_00.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    (root / "scannet_frames_25k/scene0000_00/color/again").symlink_to("..")
    files = make(folder, root)
    ours = tree_hashes(root, lambda name: is_raw_input(name) and "0099" not in name and name != "notes.txt")
    assert files == {name: sha for name, sha in ours.items() if "again" not in name} and MESH in files
    state = read_json(folder / STATE)
    assert state["files"] == len(files) and state["facts"]["source"] == "scannet"
    assert str(root) not in (folder / STATE).read_text() + (folder / MANIFEST).read_text()
    # Other files of the tree are nobody's business.
    (root / "scans/scene0000_00/scene0000_00.sens").write_text("edited")
    (root / "notes.txt").unlink()
    assert not look(folder) and note_changes(folder) == []


def test_changed_missing_new(root: Path, folder: Path) -> None:
    before = read_json(folder / STATE)
    flip_byte(root / MESH, -3)
    (root / "scans/scene0001_00/scene0001_00.txt").unlink()
    frame = root / "scannet_frames_25k/scene0000_00/pose/000100.txt"
    frame.write_text("1")
    changes = look(folder)
    assert changes == RawChanges(
        (MESH,), ("scans/scene0001_00/scene0001_00.txt",), ("scannet_frames_25k/scene0000_00/pose/000100.txt",)
    )
    assert look(folder) == changes, "said until it is mended"
    assert read_json(folder / STATE)["sha256"] != before["sha256"]
    (line,) = note_changes(folder)
    assert f"1 changed ({MESH})" in line and "1 missing" in line and "1 new" in line
    with pytest.raises(UserError, match=r"1 changed .*run the same command again"):
        require_same(folder / "raw")
    lines = status_lines(folder.parent)
    assert lines[0].endswith(f"differs from {MANIFEST}") and f"  changed: {MESH}" in lines and len(lines) == 4
    make(folder, root)
    assert not look(folder) and read_json(folder / MANIFEST)["files"] != before
    assert status_lines(folder.parent) == [f"{folder / 'raw'}: as in {MANIFEST}"]


def test_an_edit_taken_back_leaves_no_trace(root: Path, folder: Path) -> None:
    state = (folder / STATE).read_bytes()
    flip_byte(root / MESH, -3)
    assert look(folder) and (folder / STATE).read_bytes() != state
    flip_byte(root / MESH, -3)
    assert not look(folder) and (folder / STATE).read_bytes() == state
    require_same(folder / "raw")


def test_only_touched_files_are_hashed_again(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            age(path)
    names = hashed(monkeypatch)
    # A file's ctime cannot be set back, so all are fresh now; time goes by for the margin instead.
    monkeypatch.setattr("regionzoo.scenes.raw_tree.RACY", 0)
    while max(path.stat().st_ctime_ns for path in root.rglob("*")) >= time.time_ns():
        time.sleep(0.001)
    make(folder, root)
    assert len(names) == len(read_json(folder / MANIFEST)["files"])
    names.clear()
    state = (folder / STATE).stat()
    assert not look(folder) and names == []
    make(folder, root)
    assert names == []
    (root / MESH).touch()
    assert not look(folder) and names == [Path(MESH).name]
    assert (folder / STATE).stat() == state, "not even written again"
    # Same size, same mtime: ctime tells.
    names.clear()
    seen = (root / MESH).stat()
    flip_byte(root / MESH, -3)
    os.utime(root / MESH, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert look(folder).changed == (MESH,) and names == [Path(MESH).name]


def test_a_fresh_file_is_not_believed(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit within the tick of the hashed file's time stamps leaves size and times as they were."""
    entry = RawTree.load(folder / CACHE, root).files[MESH]
    assert entry[1:3] == [0, 0], "written less than the margin ago"
    # What a coarse clock leaves: other bytes, the same stamps, here made by force.
    names = hashed(monkeypatch)
    monkeypatch.setattr("regionzoo.scenes.raw_tree._stat", lambda seen: (seen.st_size, LONG_AGO, LONG_AGO))
    monkeypatch.setattr("regionzoo.scenes.raw_tree.RACY", 10 * time.time_ns())
    look(folder)
    names.clear()
    flip_byte(root / MESH, -3)
    assert look(folder).changed == (MESH,) and Path(MESH).name in names


def test_a_file_that_is_being_written_is_refused(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regionzoo.scenes import raw_tree

    real = raw_tree.sha256_file

    def grows(path: Path) -> str:
        digest = real(path)
        if path.name == Path(MESH).name:
            with path.open("ab") as file:
                file.write(b"x")
        return digest

    monkeypatch.setattr(raw_tree, "sha256_file", grows)
    with pytest.raises(UserError, match=r"scene0000_00_vh_clean_2\.ply: changes while it is read"):
        make(folder, root)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone", "other format"])
def test_a_damaged_cache_costs_time_only(root: Path, folder: Path, damage: str) -> None:
    cache = folder / CACHE
    if damage == "cut":
        cache.write_bytes(cache.read_bytes()[:-40])
    elif damage == "flipped":
        flip_byte(cache, len(cache.read_bytes()) // 2)
    elif damage == "empty":
        cache.write_text("")
    elif damage == "gone":
        cache.unlink()
    else:
        cache.write_text("{}\n[]")
    assert not RawTree.load(cache, root).files
    assert not look(folder)
    assert RawTree.load(cache, root).files
    cache.unlink()
    flip_byte(root / MESH, -3)
    assert look(folder).changed == (MESH,)


def test_without_a_tree_nothing_is_said(root: Path, folder: Path, tmp_path: Path) -> None:
    state = (folder / STATE).read_bytes()
    (folder / "raw").unlink()
    assert note_changes(folder) == [] and not look(folder)
    (folder / "raw").symlink_to(tmp_path / "nowhere")
    assert note_changes(folder) == [] and status_lines(folder.parent) == [f"{folder / 'raw'}: no raw tree here"]
    # A disk that is not mounted: the folder is there, and empty.
    (tmp_path / "nowhere").mkdir()
    assert note_changes(folder) == []
    assert (folder / STATE).read_bytes() == state


def test_before_anything_is_built_the_state_says_so(tmp_path: Path) -> None:
    assert note_changes(tmp_path / "data" / "new") == []
    assert read_json(tmp_path / "data" / "new" / STATE) == NOTHING_BUILT


def test_a_broken_manifest_is_somebody_elses_message(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")
    assert not look(folder) and note_changes(folder) == []


def test_lists_decide_what_counts(root: Path, folder: Path) -> None:
    train = root / LISTS["train"]
    train.write_text("scene0000_00\n")
    changes = look(folder)
    assert changes.changed == (LISTS["train"],) and len(changes.missing) == 5
    train.unlink()
    assert look(folder).missing == (LISTS["train"],)
    train.write_text("scene0001_00\n\nscene0000_00\r\n")
    assert look(folder).changed == (LISTS["train"],) and not look(folder).missing
    # A list that lies elsewhere is no file of the tree, but decides which scenes count.
    outside = folder.parent / "mine.txt"
    outside.write_text("scene0000_00\n")
    chosen = RawSettings(
        dataset="scannet", version="v2", root=str(root), train_list=str(outside), val_list=LISTS["val"], synthetic=None
    )
    stage.run(chosen, folder / "raw", folder / MANIFEST, 1)
    assert not look(folder) and LISTS["train"] not in read_json(folder / MANIFEST)["files"]
    outside.write_text("scene0000_00\nscene0001_00\n")
    assert len(look(folder).new) == 5


def test_another_branchs_manifest_is_no_edit(root: Path, folder: Path) -> None:
    first, state = (folder / MANIFEST).read_bytes(), (folder / STATE).read_bytes()
    flip_byte(root / MESH, -3)
    make(folder, root)
    later = (folder / STATE).read_bytes()
    (folder / MANIFEST).write_bytes(first)
    (folder / STATE).write_bytes(state)
    changes = look(folder)
    assert changes.foreign and changes.changed == (MESH,)
    assert note_changes(folder) == [] and (folder / STATE).read_bytes() == state
    assert "belongs to another version" in status_lines(folder.parent)[0]
    with pytest.raises(UserError, match=r"made for another version.*--forcerun raw"):
        require_same(folder / "raw")
    make(folder, root)
    assert not look(folder) and (folder / STATE).read_bytes() == later


def test_an_interrupted_first_hashing_goes_on(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regionzoo.scenes.raw_tree.RACY", 0)
    monkeypatch.setattr("regionzoo.scenes.raw_tree._BATCH", 1)
    inputs = Inputs.listed(["scene0000_00", "scene0001_00"], LISTS.values())
    found = find_inputs(root, inputs, 1)

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RawTree.load(tmp_path / CACHE, root).update(found, 1, stop)
    names = hashed(monkeypatch)
    again = RawTree.load(tmp_path / CACHE, root)
    assert len(again.files) == 5
    again.update(find_inputs(root, inputs, 1), 1)
    assert len(names) == len(found) - 5


def test_parallel_is_serial(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regionzoo.scenes.raw_tree._BATCH", 2)
    manifests = []
    for workers in (1, 2, 8):
        folder = tmp_path / str(workers)
        files = make(folder, root, workers)
        assert files == tree_hashes(root, is_raw_input)
        manifests.append((folder / MANIFEST).read_bytes() + (folder / STATE).read_bytes())
    assert len(set(manifests)) == 1


def test_a_folder_that_cannot_be_written_to_is_looked_at(root: Path, folder: Path) -> None:
    (folder / CACHE).unlink()
    (folder / CACHE).mkdir()
    assert not look(folder)
    flip_byte(root / MESH, -3)
    assert look(folder).changed == (MESH,)
    (folder / STATE).unlink()
    (folder / STATE).mkdir()
    with pytest.raises(UserError, match=r"raw\.state\.json: cannot be written"):
        look(folder)


def test_imports_stay_light() -> None:
    import subprocess
    import sys

    code = "import sys, regionzoo.scenes.raw_look; print(sorted({'numpy', 'torch', 'rich', 'PIL'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


FILES = [LABEL_TABLE_FILE, *LISTS.values(), *(f"scans/{s}/{s}.txt" for s in ("scene0000_00", "scene0001_00"))]
EDITS = st.lists(st.tuples(st.sampled_from(FILES[3:]), st.sampled_from(["", "a", "b", None])), max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EDITS, st.data())
def test_any_edits_are_told_as_a_whole_hashing_would(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, str | None]], data: st.DataObject
) -> None:
    base = tmp_path_factory.mktemp("edits")
    root, folder = base / "user", base / "data"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("scene0000_00\nscene0001_00\n" if "train" in name else "scene0002_00\n")
    (root / "raw").mkdir()
    folder.mkdir()
    (folder / "raw").symlink_to(root)
    files = tree_hashes(root)
    write_json(folder / MANIFEST, {"facts": {}, "files": files})
    for name, content in edits:
        if content is None:
            (root / name).unlink(missing_ok=True)
        else:
            (root / name).write_text(content)
        if data.draw(st.booleans()):
            look(folder)
    now = tree_hashes(root)
    expected = RawChanges(
        tuple(sorted(name for name in now.keys() & files.keys() if now[name] != files[name])),
        tuple(sorted(files.keys() - now.keys())),
        tuple(sorted(now.keys() - files.keys())),
    )
    assert look(folder) == expected
