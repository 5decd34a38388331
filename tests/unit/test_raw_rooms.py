"""Generated rooms are their seed: what was edited or damaged is made again, with the same bytes and a word about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_scene import flip_byte, truncate, write_tree

from regionzoo.artifacts import read_json, tree_hashes
from regionzoo.errors import UserError
from regionzoo.scenes.preprocess import PreprocessFailed, preprocess
from regionzoo.scenes.raw_look import look, note_changes
from regionzoo.scenes.raw_source import RoomSource
from regionzoo.scenes.raw_tree import MANIFEST, STATE
from regionzoo.scenes.synthetic import GENERATOR_VERSION
from regionzoo.settings.data import PreprocessSettings, RawSettings, RoomSizes
from regionzoo.stages import preprocess as preprocess_stage
from regionzoo.stages import raw as stage

LISTS = {"train": "scannetv2_train.txt", "val": "scannetv2_val.txt"}


def make(folder: Path) -> bytes:
    """Run the stage for two rooms; returns the manifest."""
    sizes = RoomSizes(train_scenes=1, val_scenes=1, frames=1, vertex_spacing=0.2, seed=0)
    chosen = RawSettings(
        dataset="scannet", version="v2", root=None, train_list=LISTS["train"], val_list=LISTS["val"], synthetic=sizes
    )
    stage.run(chosen, folder / "raw", folder / MANIFEST, 1)
    return (folder / MANIFEST).read_bytes()


def test_damage_is_named_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data"
    whole = make(folder)
    state = (folder / STATE).read_bytes()
    assert read_json(folder / STATE)["facts"]["generator"] == GENERATOR_VERSION
    assert read_json(folder / STATE)["facts"]["sizes"]["seed"] == 0
    assert "notice" not in capsys.readouterr().out and not look(folder)
    scans, frames = folder / "synthetic" / "scans", folder / "synthetic" / "scannet_frames_25k"
    kept = {path: path.stat().st_mtime_ns for path in (scans / "scene5000_00").iterdir()}

    def scan_edited() -> None:
        flip_byte(scans / "scene0000_00" / "scene0000_00_vh_clean_2.ply", -1)

    def scan_cut() -> None:
        truncate(scans / "scene0000_00" / "scene0000_00.aggregation.json", 0.5)

    def scan_file_lost() -> None:
        (scans / "scene0000_00" / "scene0000_00.txt").unlink()

    def image_edited() -> None:
        flip_byte(frames / "scene0000_00" / "depth" / "000000.png", 100)

    def image_added() -> None:
        (frames / "scene0000_00" / "pose" / "000100.txt").write_text("1")

    for damage in (scan_edited, scan_cut, scan_file_lost, image_edited, image_added):
        damage()
        (line,) = note_changes(folder)
        assert "snakemake --cores all --until raw" in line and (folder / STATE).read_bytes() != state
        assert make(folder) == whole and (folder / STATE).read_bytes() == state
        printed = capsys.readouterr().out
        assert "notice: scene0000_00: " in printed and "is not as it was generated" in printed
        assert printed.count("notice:") == 1 and not look(folder)
    assert kept == {path: path.stat().st_mtime_ns for path in (scans / "scene5000_00").iterdir()}


def test_lost_and_broken_keys_lists_and_folders(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    whole = make(folder)
    root = folder / "synthetic"
    for content in ("", "[]", '{"files": 3}', "\ud800"):
        key = root / "scans" / "scene0000_00" / ".generator.json"
        key.write_bytes(content.encode(errors="surrogatepass"))
        assert make(folder) == whole
    (root / LISTS["train"]).write_text("scene5000_00\n")
    assert look(folder)
    assert make(folder) == whole and not look(folder)
    (root / "scans").rename(root / "gone")
    assert make(folder) == whole and not look(folder)


def scenes_of(folder: Path, out: Path) -> None:
    chosen = PreprocessSettings(
        dataset="scannet", version="v2", source="scannet", train_list=LISTS["train"], val_list=LISTS["val"], exclude=()
    )
    preprocess_stage.run(chosen, folder / "raw", out, out.with_suffix(".manifest.json"), out.with_name("work"), 1)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """``data/scannet`` over a small real-layout tree."""
    write_tree(tmp_path / "user", train=2, val=1)
    chosen = RawSettings(
        dataset="scannet",
        version="v2",
        root=str(tmp_path / "user"),
        train_list=LISTS["train"],
        val_list=LISTS["val"],
        synthetic=None,
    )
    stage.run(chosen, tmp_path / "data" / "raw", tmp_path / "data" / MANIFEST, 1)
    return tmp_path / "data"


def test_preprocess_refuses_scans_edited_since(real: Path, tmp_path: Path) -> None:
    mesh = tmp_path / "user" / "scans" / "scene0001_00" / "scene0001_00_vh_clean_2.ply"
    flip_byte(mesh, -3)
    with pytest.raises(UserError, match=r"data/raw: not what raw\.manifest\.json says: 1 changed .*scene0001_00"):
        scenes_of(real, tmp_path / "scenes")
    assert not (tmp_path / "scenes").exists()
    flip_byte(mesh, -3)
    scenes_of(real, tmp_path / "scenes")
    assert len(list((tmp_path / "scenes").glob("*.safetensors"))) == 3


@pytest.mark.parametrize("edited", ["scene0001_00_vh_clean_2.ply", "scene0001_00.txt", None])
def test_every_scene_is_held_to_the_manifest(tmp_path: Path, edited: str | None) -> None:
    """What is edited after the look is found by the hashes of what is read."""
    write_tree(tmp_path / "user", train=2, val=1)
    expected = tree_hashes(tmp_path / "user")

    def run() -> None:
        folders = (tmp_path / "scenes", tmp_path / "work")
        preprocess(RoomSource.open(tmp_path / "user", "scannet", LISTS), "scannet", *folders, 2, expected=expected)

    scan = tmp_path / "user" / "scans" / "scene0001_00"
    if edited is None:
        (scan / "scene0001_00.txt").unlink()
    else:
        flip_byte(scan / edited, -3)
    with pytest.raises(PreprocessFailed, match=r"scene0001_00: .*is not what raw\.manifest\.json says") as caught:
        run()
    assert list(caught.value.summary.failed) == ["scene0001_00"] and not (tmp_path / "scenes").exists()


def test_an_edited_label_table_concerns_every_scene(tmp_path: Path) -> None:
    write_tree(tmp_path / "user", train=2, val=1)
    expected = tree_hashes(tmp_path / "user")
    table = tmp_path / "user" / "scannetv2-labels.combined.tsv"
    table.write_bytes(table.read_bytes().replace(b"\r\n", b"\n"))
    with pytest.raises(PreprocessFailed, match=r"scannetv2-labels\.combined\.tsv: is not what") as caught:
        source = RoomSource.open(tmp_path / "user", "scannet", LISTS)
        preprocess(source, "scannet", tmp_path / "s", tmp_path / "w", expected=expected)
    assert len(caught.value.summary.failed) == 3
