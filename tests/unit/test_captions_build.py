"""Whole caption sets from raw frames and a scene store, written here in their real formats."""

import numpy as np
import pytest
from PIL import Image

from regionzoo.captions.build import build_regions, fuse_sets
from regionzoo.captions.simulated import SimulatedSettings
from regionzoo.captions.store import from_regions, load_captions, save_captions
from regionzoo.errors import UserError
from regionzoo.scenes.store import Scene, save_scene

HEIGHT, WIDTH = 242, 324
DISTANCE = 2.0
EXACT = SimulatedSettings("template", 0.0, 0.0, 0.0, seed=0)
# Chair on the left, sofa on the right: rows and columns of the colour image.
CHAIR, SOFA = (slice(20, 120), slice(10, 110)), (slice(100, 230), slice(180, 310))


def write_matrix(path, matrix):
    path.write_text("\n".join(" ".join(f"{value:f}" for value in row) for row in matrix) + "\n")


def write_frame(folder, name, pose, ids):
    label, instance = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint16)
    for nyu40, window in ids.items():
        label[window], instance[window] = nyu40, nyu40 * 1000 + 1
    images = {
        "color": Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)),
        "depth": Image.fromarray(np.full((480, 640), int(DISTANCE * 1000), np.uint16)),
        "label": Image.fromarray(label),
        "instance": Image.fromarray(instance),
    }
    for kind, image in images.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        image.save(folder / kind / f"{name}{'.jpg' if kind == 'color' else '.png'}")
    (folder / "pose").mkdir(exist_ok=True)
    write_matrix(folder / "pose" / f"{name}.txt", pose)


CAMERA = np.array([[300, 0, 319.5, 0], [0, 300, 239.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)


def write_intrinsics(folder):
    for kind in ("depth", "color"):
        write_matrix(folder / f"intrinsics_{kind}.txt", CAMERA)


def write_scene(scenes, scene_id, n=3000):
    """A flat wall of vertices at ``DISTANCE`` in front of the first camera."""
    rng = np.random.default_rng(int(scene_id[5:9]))
    coords = np.column_stack([rng.uniform(-2, 2, n), rng.uniform(-1.5, 1.5, n), np.full(n, DISTANCE)]).astype(
        np.float32
    )
    nothing = np.full(n, -100)
    labels = {"scannet20": nothing.astype(np.int16), "scannet200": nothing.astype(np.int16)}
    colors, superpoint = np.zeros((n, 3), np.uint8), np.zeros(n, np.int32)
    scene = Scene(scene_id, "train", "scannet", coords, colors, superpoint, nothing.astype(np.int32), labels)
    save_scene(scenes / f"{scene_id}.safetensors", scene)
    return coords


def inside(coords, window):
    """Vertices whose rounded depth pixel, scaled to the colour image, lies strictly inside a window."""
    u = np.floor(coords[:, 0] * 300 / DISTANCE + 319.5 + 0.5)
    v = np.floor(coords[:, 1] * 300 / DISTANCE + 239.5 + 0.5)
    x, y = u * WIDTH / 640, v * HEIGHT / 480
    rows, columns = window
    good = (x > columns.start) & (x < columns.stop) & (y > rows.start) & (y < rows.stop)
    return np.flatnonzero(good & (u >= 0) & (u < 640) & (v >= 0) & (v < 480)).tolist()


@pytest.fixture
def tree(tmp_path):
    """Three scenes: two frames and a lost one; the same without the second frame; no frames at all."""
    raw, scenes = tmp_path / "raw", tmp_path / "scenes"
    coords = {scene_id: write_scene(scenes, scene_id) for scene_id in ("scene0000_00", "scene0001_00", "scene0002_00")}
    behind = np.diag([-1.0, 1.0, -1.0, 1.0])
    for scene_id in ("scene0000_00", "scene0001_00"):
        folder = raw / "scannet_frames_25k" / scene_id
        write_frame(folder, "000000", np.eye(4), {5: CHAIR, 6: SOFA})
        write_intrinsics(folder)
    folder = raw / "scannet_frames_25k" / "scene0000_00"
    write_frame(folder, "000100", behind, {5: CHAIR})
    write_frame(folder, "000200", np.full((4, 4), -np.inf), {5: CHAIR})
    return raw, scenes, coords


def build(tree, out, **changes):
    raw, scenes, coords = tree
    settings = {"captioner": EXACT, "frame_interval": 1, "swap_xy_scale": False, "scene_ids": sorted(coords)} | changes
    return build_regions(scenes, raw, out_dir=out, **settings)


def test_regions_and_summary(tree, tmp_path):
    _, _, coords = tree
    seen = []
    summary = build(tree, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}.safetensors" for name in sorted(coords)
    ]
    expected = {}
    for scene_id in ("scene0000_00", "scene0001_00"):
        captions = load_captions(tmp_path / "out" / f"{scene_id}.safetensors")
        assert captions.names == ("000000_0", "000000_1")
        assert "chair" in captions.texts[0]
        assert "sofa" in captions.texts[1]
        expected[scene_id] = [inside(coords[scene_id], CHAIR), inside(coords[scene_id], SOFA)]
        assert [captions.region(k).tolist() for k in range(2)] == expected[scene_id]
    assert len(load_captions(tmp_path / "out" / "scene0002_00.safetensors")) == 0
    sizes = [len(points) for regions in expected.values() for points in regions]
    assert min(sizes) > 50
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert summary == {
        "captioner": EXACT.make().identity,
        "scenes": 3,
        "captions": 4,
        "captions_per_scene": pytest.approx(4 / 3),
        "points_per_caption_median": np.median(sizes),
        "points_covered_share": pytest.approx(sum(sizes) / 9000),
        "unique_captions": summary["unique_captions"],
        "frames": 3,
        "frames_without_pose": 1,
        "scenes_without_frames": 1,
        "scenes_off_interval": 0,
        "regions_without_points": 1,
    }
    assert 2 <= summary["unique_captions"] <= 4


def test_processes_give_the_same_files(tree, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert build(tree, alone) == build(tree, together, workers=2)
    for path in alone.iterdir():
        one, two = load_captions(path), load_captions(together / path.name)
        assert (one.names, one.texts) == (two.names, two.texts)
        np.testing.assert_array_equal(one.point_ids, two.point_ids)
        np.testing.assert_array_equal(one.offsets, two.offsets)


def test_interval_is_of_frame_numbers(tree, tmp_path):
    summary = build(tree, tmp_path / "out", frame_interval=200)
    assert (summary["frames"], summary["frames_without_pose"]) == (2, 1)
    assert (summary["scenes_without_frames"], summary["scenes_off_interval"]) == (1, 0)


def renumber(raw, scene_id, old, new):
    for path in (raw / "scannet_frames_25k" / scene_id).glob(f"*/{old}.*"):
        path.rename(path.with_name(f"{new}{path.suffix}"))


def test_a_scene_off_the_interval_is_not_one_without_frames(tree, tmp_path):
    raw, _, _ = tree
    renumber(raw, "scene0001_00", "000000", "000020")
    summary = build(tree, tmp_path / "out", frame_interval=100)
    assert (summary["scenes_without_frames"], summary["scenes_off_interval"]) == (1, 1)
    assert len(load_captions(tmp_path / "out" / "scene0001_00.safetensors")) == 0
    # A scene whose only frame at the interval is lost is not off it.
    renumber(raw, "scene0000_00", "000000", "000010")
    renumber(raw, "scene0000_00", "000100", "000030")
    renumber(raw, "scene0001_00", "000020", "000000")
    summary = build(tree, tmp_path / "out", frame_interval=100)
    assert (summary["frames_without_pose"], summary["scenes_without_frames"]) == (1, 2)
    assert summary["scenes_off_interval"] == 0


def test_no_frame_at_the_interval_anywhere(tree, tmp_path):
    raw, _, _ = tree
    for number in ("000000", "000100", "000200"):
        renumber(raw, "scene0000_00", number, f"{int(number) + 20}")
    renumber(raw, "scene0001_00", "000000", "60")
    told = "2 of the 3 training scenes have frames, but none .* multiple of frame_interval 100"
    with pytest.raises(UserError, match=told):
        build(tree, tmp_path / "out", frame_interval=100)
    assert not (tmp_path / "out").exists()
    assert build(tree, tmp_path / "out", frame_interval=20)["frames"] == 3


def test_windows_become_regions(tree, tmp_path):
    _, _, coords = tree
    build(tree, tmp_path / "out", captioner=SimulatedSettings("window", 0.0, 0.0, 0.5, seed=0))
    captions = load_captions(tmp_path / "out" / "scene0001_00.safetensors")
    # The image is smaller than a window: one region, whatever the box noise.
    assert captions.names == ("000000_0",)
    assert all(word in captions.texts[0] for word in ("chair", "and", "room"))
    whole = (slice(0, HEIGHT), slice(0, WIDTH))
    assert captions.region(0).tolist() == inside(coords["scene0001_00"], whole)


def test_a_broken_frame_leaves_the_old_result(tree, tmp_path):
    raw, _, _ = tree
    out = tmp_path / "out"
    build(tree, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (raw / "scannet_frames_25k/scene0001_00/label/000000.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"scene0001_00: .*000000\.png"):
        build(tree, out, captioner=SimulatedSettings("grounded", 0.0, 0.0, 0.0, seed=0))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_result_is_replaced_whole(tree, tmp_path):
    out = tmp_path / "out"
    build(tree, out)
    build(tree, out, scene_ids=["scene0000_00"])
    assert [path.name for path in out.iterdir()] == ["scene0000_00.safetensors"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_no_frames_anywhere(tree, tmp_path):
    with pytest.raises(UserError, match="none of the 1 training scenes has a frame"):
        build(tree, tmp_path / "out", scene_ids=["scene0002_00"])
    assert not (tmp_path / "out").exists()


def test_fused_sets(tree, tmp_path):
    _, scenes, coords = tree
    first, second, out = tmp_path / "first", tmp_path / "second", tmp_path / "fused"
    build(tree, first)
    ids = sorted(coords)
    for scene_id in ids:
        captions = load_captions(first / f"{scene_id}.safetensors")
        regions = [np.arange(5, dtype=np.int32), np.zeros(0, np.int32)]
        regions += [captions.region(k) for k in range(len(captions))]
        texts = [f"text {k}" for k in range(len(regions))]
        extra = from_regions(scene_id, captions.coords_sha256, captions.n_points, texts, texts, regions)
        save_captions(second / f"{scene_id}.safetensors", extra)
    summary = fuse_sets(scenes, ids, first, [second], [0.2], [0.0], True, out, workers=2)
    # The copies of the primary's regions overlap fully, the empty region falls out: one region a scene is new.
    assert (summary["regions_offered"], summary["regions_added"]) == ([10], [3])
    assert (summary["scenes"], summary["captions"]) == (3, 7)
    assert load_captions(out / "scene0000_00.safetensors").names == ("000000_0", "000000_1", "app_1_0")
    fused = load_captions(out / "scene0002_00.safetensors")
    assert (fused.names, fused.texts, fused.region(0).tolist()) == (("app_1_0",), ("text 0",), [0, 1, 2, 3, 4])

    write_scene(scenes, "scene0001_00", n=2999)
    with pytest.raises(UserError, match=r"scene0001_00: .*other vertices"):
        fuse_sets(scenes, ids, first, [second], [0.2], [0.0], True, out)
    (second / "scene0000_00.safetensors").unlink()
    with pytest.raises(UserError, match=r"scene0000_00: .*no captions for this scene"):
        fuse_sets(scenes, ids, first, [second], [0.2], [0.0], True, out)
    assert len(list(out.iterdir())) == 3
