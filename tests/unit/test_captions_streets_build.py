"""Whole caption sets from stored drives, and their fusion."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from caption_drives import CAMERAS, pack, random_drive, street_drive
from PIL import Image

from regionzoo.captions.build import fuse_sets
from regionzoo.captions.build_drives import build_drive_regions
from regionzoo.captions.captioner import Picture, Region2D
from regionzoo.captions.simulated_streets import StreetCaptionerSettings
from regionzoo.captions.store import from_regions, load_captions, save_captions
from regionzoo.captions.street_view import street_views
from regionzoo.errors import UserError
from regionzoo.scenes.drives import load_drive, save_drive

IDS = ["scene-0001", "scene-0002"]
KOSMOS = StreetCaptionerSettings("grounded", 0.4, 0.05, 0.06, seed=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two drives of 3 and 2 keyframes."""
    folder = tmp_path_factory.mktemp("scenes")
    for number, scene_id in enumerate(IDS):
        drive = street_drive(number, keyframes=3 - number, things=20, turns=400, scene_id=scene_id)
        save_drive(folder / f"{scene_id}.safetensors", drive)
    return folder


def build(store, out, captioner=KOSMOS, interval=1, ids=IDS, **more):
    return build_drive_regions(store, ids, captioner, interval, out, **more)


def captions_of(out):
    return [load_captions(out / f"{scene_id}.safetensors") for scene_id in IDS]


def test_a_file_a_drive_with_regions_of_every_camera(store, tmp_path):
    seen = []
    summary = build(store, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{name}.safetensors" for name in IDS]
    assert seen == [(1, 2), (2, 2)]
    sizes, covered, points, texts, dropped = [], 0, 0, set(), 0
    for captions, scene_id in zip(captions_of(tmp_path / "out"), IDS, strict=True):
        drive = load_drive(store / f"{scene_id}.safetensors")
        assert (captions.coords_sha256, captions.n_points) == (drive.coords_sha256, len(drive))
        expected, spoken = [], KOSMOS.make()
        for view in street_views(drive, Path("raw"), range(drive.keyframes)):
            regions = [(region.text, view.region(region.box).tolist()) for region in spoken.describe(view)]
            kept = [region for region in regions if region[1]]
            dropped += len(regions) - len(kept)
            expected += [(f"{view.name}_{k}", *region) for k, region in enumerate(kept)]
        found = [(captions.names[k], captions.texts[k], captions.region(k).tolist()) for k in range(len(captions))]
        assert found == expected
        assert len(set(captions.names)) == len(captions)
        assert {name.rsplit("_", 1)[0] for name in captions.names} == {
            f"{k}/{camera.lower()}" for k in range(drive.keyframes) for camera in CAMERAS
        }
        for name, _, region in found:
            keyframe = int(name.split("/")[0])
            assert drive.offsets[keyframe] <= region[0] <= region[-1] < drive.offsets[keyframe + 1]
        sizes += [len(region) for _, _, region in found]
        covered += len({point for _, _, region in found for point in region})
        points += len(drive)
        texts |= set(captions.texts)
    assert summary == {
        "captioner": KOSMOS.make().identity,
        "scenes": 2,
        "captions": len(sizes),
        "captions_per_scene": len(sizes) / 2,
        "points_per_caption_median": np.median(sizes),
        "points_covered_share": pytest.approx(covered / points),
        "unique_captions": len(texts),
        "frames": 5,
        "frames_without_pose": 0,
        "scenes_without_frames": 0,
        "scenes_off_interval": 0,
        "regions_without_points": dropped,
    }
    assert len(sizes) > 60


def test_processes_give_the_same_files(store, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert build(store, alone) == build(store, together, workers=2)
    for path in alone.iterdir():
        assert path.read_bytes() == (together / path.name).read_bytes()


def test_interval_is_of_keyframe_numbers(store, tmp_path):
    everything, some = build(store, tmp_path / "all"), build(store, tmp_path / "some", interval=2)
    assert (everything["frames"], some["frames"]) == (5, 3)
    for captions, fewer in zip(captions_of(tmp_path / "all"), captions_of(tmp_path / "some"), strict=True):
        assert fewer.names == tuple(name for name in captions.names if int(name.split("/")[0]) % 2 == 0)
    with pytest.raises(UserError, match="frame_interval is 0"):
        build(store, tmp_path / "none", interval=0)


def test_a_broken_drive_leaves_the_old_result(store, tmp_path):
    out, scenes = tmp_path / "out", tmp_path / "scenes"
    build(store, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    scenes.mkdir()
    for path in store.iterdir():
        (scenes / path.name).write_bytes(path.read_bytes())
    (scenes / f"{IDS[1]}.safetensors").write_bytes(b"no drive")
    with pytest.raises(UserError, match=IDS[1]):
        build(scenes, out, interval=2)
    (scenes / f"{IDS[1]}.safetensors").unlink()
    with pytest.raises(UserError, match=IDS[1]):
        build(scenes, out, interval=2)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@dataclass(frozen=True)
class Bright:
    """A captioner that looks at pixels alone, and so serves any picture."""

    @property
    def identity(self):
        return {"captioner": "bright"}

    def make(self):
        return self

    def describe(self, image: Picture, /):
        color = image.load_color()
        height, width = color.shape[:2]
        whole = (0.0, 0.0, float(width), float(height))
        return [Region2D(whole, "bright" if color.mean() > 128 else "dark"), Region2D((0.0, 0.0, 1.0, 1.0), "nothing")]


def test_a_captioner_that_looks_at_the_images(tmp_path):
    scenes, raw = tmp_path / "scenes", tmp_path / "raw"
    drive = random_drive(0, keyframes=1, points=400, scene_id=IDS[0])
    save_drive(scenes / f"{IDS[0]}.safetensors", drive)
    for number, file in enumerate(drive.images[0]):
        (raw / file).parent.mkdir(parents=True)
        Image.new("RGB", (1600, 900), (250, 250, 250) if number == 3 else (5, 5, 5)).save(raw / file)
    summary = build(scenes, tmp_path / "out", Bright(), ids=IDS[:1], raw_root=raw)
    captions = load_captions(tmp_path / "out" / f"{IDS[0]}.safetensors")
    assert dict(zip(captions.names, captions.texts, strict=True)) == {
        f"0/{camera.lower()}_0": "bright" if camera == "CAM_BACK" else "dark" for camera in CAMERAS
    }
    assert summary["regions_without_points"] == 6
    (raw / drive.images[0][4]).unlink()
    with pytest.raises(UserError, match=rf"{IDS[0]}: .*{drive.images[0][4]}.*missing"):
        build(scenes, tmp_path / "out", Bright(), ids=IDS[:1], raw_root=raw)


def test_fused_sets_of_drives(store, tmp_path):
    detic = StreetCaptionerSettings("name", 0.1, 0.03, 0.03, seed=0)
    for name, captioner in (("kosmos", KOSMOS), ("detic", detic)):
        build(store, tmp_path / name, captioner)
    out = tmp_path / "fused"
    summary = fuse_sets(store, IDS, tmp_path / "kosmos", [tmp_path / "detic"], [0.2], [0.0], True, out)
    offered = added = 0
    for first, second, fused in zip(*map(captions_of, (tmp_path / "kosmos", tmp_path / "detic", out)), strict=True):
        before = [set(first.region(k).tolist()) for k in range(len(first))]
        expected = []
        for j in range(len(second)):
            region = set(second.region(j).tolist())
            largest = max(len(region & other) / (len(region | other) + 1e-6) for other in before)
            if largest <= 0.2:
                expected.append((f"app_1_{len(expected)}", second.texts[j], sorted(region)))
        assert fused.names[: len(first)] == first.names
        appended = range(len(first), len(fused))
        assert [(fused.names[k], fused.texts[k], fused.region(k).tolist()) for k in appended] == expected
        offered += len(second)
        added += len(expected)
    assert (summary["regions_offered"], summary["regions_added"]) == ([offered], [added])
    assert 5 < added < offered


def test_what_is_added_to_a_fused_set_is_counted(tmp_path):
    drive = pack([(np.zeros((9, 3)), np.zeros(9), np.full(9, -100))], ())
    save_drive(tmp_path / "scenes" / "scene-0001.safetensors", drive)
    for name, regions in (("a", [[0, 1]]), ("b", [[2], [3]]), ("c", [[4], [5], [6], [2]])):
        (tmp_path / name).mkdir()
        texts = [f"{name}{k}" for k in range(len(regions))]
        captions = from_regions("scene-0001", drive.coords_sha256, 9, texts, texts, [np.array(r) for r in regions])
        save_captions(tmp_path / name / "scene-0001.safetensors", captions)
    bounds, last = ([0.2], [0.0], True), tmp_path / "abc"
    fuse_sets(tmp_path / "scenes", IDS[:1], tmp_path / "a", [tmp_path / "b"], *bounds, tmp_path / "ab")
    summary = fuse_sets(tmp_path / "scenes", IDS[:1], tmp_path / "ab", [tmp_path / "c"], *bounds, last)
    assert (summary["regions_offered"], summary["regions_added"]) == ([4], [3])
    assert load_captions(last / "scene-0001.safetensors").names[-3:] == ("app_2_0", "app_2_1", "app_2_2")
