"""Running the generator again: what is whole is kept, what is not is made again, and the bytes are always the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_streets import FOLDER, SETTINGS, Tree, read_tables, streets

from regionzoo.artifacts import read_json, tree_hashes, write_json
from regionzoo.errors import UserError
from regionzoo.scenes.streets import GENERATOR_VERSION, StreetSettings, generate

__all__ = ["streets"]

KEEP = ".drives"


def stamps(root: Path) -> dict[str, int]:
    """Time of the last change of every file, the hidden ones too."""
    return {path.relative_to(root).as_posix(): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def copy(streets: Tree, tmp_path: Path) -> Path:
    """A copy of the tree that a test may spoil."""
    return Path(shutil.copytree(streets.root, tmp_path / "copy"))


def test_a_second_run_writes_nothing(streets: Tree) -> None:
    before = stamps(streets.root)
    calls: list[tuple[int, int]] = []
    assert generate(streets.root, SETTINGS, 1, lambda done, total: calls.append((done, total))) == []
    assert stamps(streets.root) == before
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_bytes_depend_neither_on_workers_nor_on_the_number_of_drives(streets: Tree, tmp_path: Path) -> None:
    fewer = StreetSettings(train_scenes=1, val_scenes=1, keyframes=2, seed=SETTINGS.seed)
    assert generate(tmp_path, fewer, workers=2) == []
    mine, theirs = tree_hashes(tmp_path), tree_hashes(streets.root)
    files = [name for name in mine if name.startswith(("samples/", "lidarseg/"))]
    assert len(files) == 2 * 2 * 8 and all(mine[name] == theirs[name] for name in files)
    for name, records in read_tables(tmp_path).items():
        if name != "map":
            assert all(record in streets.tables[name] for record in records), name


def test_a_damaged_file_and_a_damaged_table_are_made_again(streets: Tree, copy: Path) -> None:
    whole = tree_hashes(copy)
    sweep = copy / streets.sweeps()[0][0]["filename"]
    content = bytearray(sweep.read_bytes())
    content[1000] ^= 1
    sweep.write_bytes(content)
    (copy / FOLDER / "sample.json").write_text("[]")
    untouched = copy / streets.sweeps()[-1][0]["filename"]
    before = untouched.stat().st_mtime_ns
    notices = generate(copy, SETTINGS, 1)
    assert len(notices) == 2 and sweep.name in notices[0] and "scene-0001" in notices[0]
    assert "sample.json" in notices[1]
    assert tree_hashes(copy) == whole and untouched.stat().st_mtime_ns == before


def test_drives_of_other_settings_are_removed_and_other_files_kept(copy: Path) -> None:
    (copy / "samples" / "LIDAR_TOP" / "mine.txt").write_text("mine")
    (copy / "sweeps").mkdir()
    fewer = StreetSettings(train_scenes=2, val_scenes=1, keyframes=2, seed=SETTINGS.seed)
    before = stamps(copy)
    assert generate(copy, fewer, 1) == []
    assert sorted(path.name for path in (copy / KEEP).iterdir()) == [
        "scene-0001.json", "scene-0002.json", "scene-0003.json", "tables.json",
    ]  # fmt: skip
    tables = read_tables(copy)
    assert [scene["name"] for scene in tables["scene"]] == ["scene-0001", "scene-0002", "scene-0003"]
    files = {path.name for path in (copy / "samples" / "LIDAR_TOP").iterdir()}
    listed = {Path(r["filename"]).name for r in tables["sample_data"] if r["fileformat"] == "pcd"}
    assert files == listed | {"mine.txt"} and (copy / "sweeps").is_dir()
    assert len(list((copy / "lidarseg" / FOLDER).iterdir())) == 6
    after = stamps(copy)
    assert all(after[name] == before[name] for name in after if name.startswith("samples/"))


def test_another_seed_gives_other_drives_with_other_names(tmp_path: Path) -> None:
    def make(seed: int) -> tuple[str, bytes]:
        assert generate(tmp_path, StreetSettings(1, 0, 1, seed), 1) == []
        (file,) = (tmp_path / "samples" / "LIDAR_TOP").iterdir()
        (token,) = (record["token"] for record in read_tables(tmp_path)["sample"])
        return token, file.read_bytes()

    (first, points), (second, other) = make(0), make(1)
    assert first != second and points != other
    assert len(list((tmp_path / "lidarseg" / FOLDER).iterdir())) == 1


def test_a_killed_run_leaves_no_half_drive_and_is_taken_up(tmp_path: Path) -> None:
    settings = StreetSettings(train_scenes=2, val_scenes=0, keyframes=1, seed=0)

    def stop(done: int, total: int) -> None:
        assert total == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, settings, 1, stop)
    assert not (tmp_path / FOLDER).exists()
    assert [path.name for path in (tmp_path / KEEP).iterdir()] == ["scene-0001.json"]
    first = read_json(tmp_path / KEEP / "scene-0001.json")
    assert first["key"]["generator"] == GENERATOR_VERSION and first["whole"] is True
    # What a kill in the middle of a drive leaves: its files in a folder of their own.
    half = tmp_path / KEEP / ".scene-0002.tmp" / "samples"
    half.mkdir(parents=True)
    (half / "half.jpg").write_bytes(b"\xff")
    kept = next((tmp_path / "samples" / "CAM_BACK").iterdir())
    before = kept.stat().st_mtime_ns
    assert generate(tmp_path, settings, 1) == []
    assert kept.stat().st_mtime_ns == before and not half.exists()
    assert len(list((tmp_path / "samples" / "CAM_BACK").iterdir())) == 2

    # A kill while files go to their places: some are there, and the list of them says so.
    whole = tree_hashes(tmp_path)
    second = tmp_path / KEEP / "scene-0002.json"
    write_json(second, read_json(second) | {"whole": False}, seal=True)
    (tmp_path / next(name for name in read_json(second)["files"] if "CAM_FRONT" in name)).unlink()
    # And what is remembered of the other is damaged itself.
    text = (tmp_path / KEEP / "scene-0001.json").read_text()
    (tmp_path / KEEP / "scene-0001.json").write_text(text[:-40])
    assert generate(tmp_path, settings, 1) == []
    assert tree_hashes(tmp_path) == whole
    assert read_json(second)["whole"] is True and read_json(tmp_path / KEEP / "scene-0001.json") == first


def test_a_missing_file_is_made_again(tmp_path: Path) -> None:
    settings = StreetSettings(train_scenes=1, val_scenes=0, keyframes=1, seed=0)
    generate(tmp_path, settings, 1)
    whole = tree_hashes(tmp_path)
    image = next((tmp_path / "samples" / "CAM_BACK").iterdir())
    image.unlink()
    assert [image.name in notice for notice in generate(tmp_path, settings, 1)] == [True]
    assert tree_hashes(tmp_path) == whole


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"train_scenes": 701}, "train_scenes=701: expected 0..700"),
        ({"val_scenes": -1}, "val_scenes=-1"),
        ({"keyframes": 0}, "keyframes=0"),
        ({"keyframes": 41}, "keyframes=41"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, int], named: str) -> None:
    with pytest.raises(UserError, match=named):
        StreetSettings(**({"train_scenes": 1, "val_scenes": 1, "keyframes": 1, "seed": 0} | changed))


def test_any_three_streets_in_a_row_are_dealt_every_trained_class() -> None:
    """Laid out without a sensor: what is rare is dealt, not drawn."""
    from regionzoo.scenes.streets.drive import street_of
    from regionzoo.scenes.streets.jobs import jobs

    rare = ("vehicle.bus", "vehicle.truck", "vehicle.trailer", "vehicle.construction", "vehicle.motorcycle")
    common = (
        "vehicle.bicycle",
        "vehicle.car",
        "movable_object.trafficcone",
        "movable_object.barrier",
        "human.",
        "static.",
    )
    streets_made = [street_of(job) for job in jobs(StreetSettings(6, 0, 2, 11))]
    found = [{thing.category for thing in street.things} for street in streets_made]
    for k in range(4):
        three = set.union(*found[k : k + 3])
        assert all(any(name.startswith(part) for name in three) for part in (*rare, *common))
        assert any(
            s.road.rails or "flat.other" in f for s, f in zip(streets_made[k : k + 3], found[k : k + 3], strict=True)
        )
    speeds = np.array([street.ride.speed for street in streets_made])
    assert (speeds >= 0).all() and (speeds <= 12).all() and speeds.max() > 3
