"""Stage regions with captions that others made and with pretrained captioners, for scans and for drives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caption_drives import CAMERAS, random_drive
from PIL import Image
from released_captions import random_captions, store_drive, store_scenes, write_index, write_texts
from table_results import REAL, metrics_value
from tiny_captioners import BLUE, RED, saved

from regionzoo.artifacts import read_json, tree_hashes, write_json, write_manifest
from regionzoo.captions.build_drives import build_drive_regions
from regionzoo.captions.models.kosmos import KosmosSettings
from regionzoo.captions.store import load_captions
from regionzoo.errors import UserError
from regionzoo.integrity import manifest_of
from regionzoo.released.manifest import artifact
from regionzoo.report.comparable import comparable
from regionzoo.report.results import Metrics
from regionzoo.scenes.drives import save_drive
from regionzoo.settings.data import RegionSettings
from regionzoo.stages.regions import CaptioningRuntime, RegionPaths, run

SIZES = {"scene0000_00": 40, "scene0001_00": 25, "scene0002_00": 30}
SWEEPS = {f"samples/LIDAR_TOP/n015-2018-07-24__LIDAR_TOP__15324028890{k}.pcd.bin": 20 + k for k in range(2)}


def paths(root: Path) -> RegionPaths:
    folder = root / "captions" / "mine"
    return RegionPaths(root / "raw", root / "scenes", folder, manifest_of(folder), root / "work")


def close(scenes: Path, train: list[str]) -> None:
    """What the stage preprocess leaves beside the scenes."""
    write_json(scenes / "splits.json", {"train": train, "val": []})
    write_manifest(manifest_of(scenes), tree_hashes(scenes), {})


def imported(root: Path, captions: str, index: str, **changes: Any) -> dict[str, Any]:
    """Facts of the manifest of an imported source."""
    source = {"dataset": "d", "captioner": "imported", "captions": captions, "index": index}
    settings = RegionSettings.check(
        {"name": "mine", "seed": 0, "source": source | {"captioners": ["kosmos", "detic"]} | changes}, "test"
    )
    run(settings, paths(root), CaptioningRuntime())
    return read_json(paths(root).manifest)["facts"]


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """A scene store, and beside it a released pair without the last scene."""
    store_scenes(tmp_path / "scenes", SIZES)
    close(tmp_path / "scenes", list(SIZES))
    captions = random_captions(dict(list(SIZES.items())[:2]))
    write_texts(tmp_path / "captions.json", captions)
    write_index(tmp_path / "index.pkl", captions, "list")
    return tmp_path


def test_imported_captions_of_scans(rooms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Left by a pretrained captioner that this source was before.
    paths(rooms).cost.parent.mkdir()
    paths(rooms).cost.write_text("{}")
    facts = imported(rooms, str(rooms / "captions.json"), str(rooms / "index.pkl"))
    assert facts["captioners"] == ["kosmos", "detic"] and facts["scenes_missing"] == ["scene0002_00"]
    assert "notice: " in (told := capsys.readouterr().err) and "1 of 3 training scenes have no captions" in told
    assert [load_captions(paths(rooms).out / f"{name}.safetensors").scene_id for name in SIZES] == list(SIZES)
    assert not paths(rooms).cost.exists()
    # The manifest tells other files of the same regions apart, wherever they lie, and nothing else.
    captions = random_captions(dict(list(SIZES.items())[:2]))
    write_index(rooms / "folder", captions, "folder")
    again = imported(rooms, str((rooms / "captions.json").rename(rooms / "moved.json")), str(rooms / "folder"))
    assert {key for key in facts if facts[key] != again[key]} == {"index_sha256"}
    # Such captions are real ones.
    real = metrics_value("scannet_b15n4", {"hIoU": 1.0}, data=REAL | {"captions": {"on": True, **again}})
    assert comparable(Metrics.model_validate(real)) is None


def test_imported_captions_of_drives(tmp_path: Path) -> None:
    store_drive(tmp_path / "scenes", "scene-0001", SWEEPS)
    close(tmp_path / "scenes", ["scene-0001"])
    named = {name.split(".")[0].replace("/", "_"): size for name, size in SWEEPS.items()}
    captions = random_captions(named)
    write_texts(tmp_path / "captions.json", captions)
    write_index(tmp_path / "index.pkl", captions, "dict")
    facts = imported(tmp_path, str(tmp_path / "captions.json"), str(tmp_path / "index.pkl"))
    assert facts["scenes"] == 1 and facts["keyframes_missing"] == 0
    found = load_captions(paths(tmp_path).out / "scene-0001.safetensors")
    assert {name.split("/")[0] for name in found.names} == {"0", "1"}
    assert found.n_points == sum(SWEEPS.values()) and len(found) == facts["captions"] == 8


def test_published_names_are_fetched_and_recorded(rooms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(rooms)
    names = ("caption_detic_and_sw_125k_iou0.3", "scannet_caption_idx_detic_and_sw_125k_iou0.3")
    (rooms / "data" / "released").mkdir(parents=True)
    for name, file in zip(names, ("captions.json", "index.pkl"), strict=True):
        # Where a download puts it, and a person who takes it with a browser.
        (rooms / file).rename(rooms / "data" / "released" / artifact(name).file)
    facts = imported(rooms, *names)
    lines = (rooms / "data" / "released.lock.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:2] for line in lines] == [
        [names[0], facts["captions_sha256"]], [names[1], facts["index_sha256"]]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            ("captions.jsn", "index.pkl"),
            "region_sources.mine.captions: 'captions.jsn' is neither a file here nor a pub",
        ),
        (("caption_detic_and_sw_125k_iou0.2", "index.pkl"), "did you mean 'caption_detic_and_sw_125k_iou0.3'?"),
        (("captions.json", "scannet_b15n4"), "'scannet_b15n4' is of the kind checkpoint, expected index"),
        (("captions.json", "other.pkl"), "scene0000_00: 5 captions, but 6 regions in the index; region"),
    ],
)
def test_files_that_cannot_be_taken(
    rooms: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, str], told: str
) -> None:
    monkeypatch.chdir(rooms)
    write_index(rooms / "other.pkl", random_captions(SIZES, regions=6), "list")
    with pytest.raises(UserError) as caught:
        imported(rooms, *files)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert not paths(rooms).out.exists() and not paths(rooms).manifest.exists()


def test_a_pretrained_captioner_of_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_drive(tmp_path / "scenes" / "scene-0001.safetensors", random_drive(0, 2, 600))
    close(tmp_path / "scenes", ["scene-0001"])
    for keyframe, camera in np.ndindex(2, len(CAMERAS)):
        file = tmp_path / "raw" / "samples" / CAMERAS[camera] / f"{keyframe}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1600, 900), (RED, BLUE)[(keyframe + camera) % 2]).save(file)
    # No tree of a raw stage, which would know its files.
    monkeypatch.setattr("regionzoo.stages.regions.require_raw", lambda raw: None)
    source = {"dataset": "d", "captioner": "kosmos2", "model": saved("kosmos-2"), "frame_interval": 1}
    found = []
    for interval in (2, 1):
        settings = {"name": "mine", "seed": 0, "source": source | {"frame_interval": interval}}
        run(RegionSettings.check(settings, "test"), paths(tmp_path), CaptioningRuntime(batch_size=5))
        facts, cost = read_json(paths(tmp_path).manifest)["facts"], json.loads(paths(tmp_path).cost.read_text())
        found.append((facts["frames"], cost["frames"], cost["frames_kept"], "cost" in facts))
    # A frame of a drive is a keyframe, and to the model an image; the images of the first run were known.
    assert found == [(1, 6, 0, False), (2, 12, 6, False)]
    assert facts["captioners"] == ["kosmos2"]
    # One image after another gives the same.
    plain = build_drive_regions(
        tmp_path / "scenes",
        ["scene-0001"],
        KosmosSettings(saved("kosmos-2")),
        1,
        tmp_path / "plain",
        raw_root=tmp_path / "raw",
    )
    assert tree_hashes(tmp_path / "plain") == tree_hashes(paths(tmp_path).out)
    assert plain.items() <= facts.items() and plain["captions"] > 10
    missing = tmp_path / "raw" / "samples" / CAMERAS[3] / "1.jpg"
    missing.unlink()
    with pytest.raises(UserError, match=rf"scene-0001: {missing}: cannot be read"):
        run(RegionSettings.check(settings, "test"), paths(tmp_path), CaptioningRuntime())


def test_one_process_captions(rooms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="set the resource gpu of the rule regions to 0 or 1"):
        imported(rooms, "a", "b")
