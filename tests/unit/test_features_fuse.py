"""Fusion over views against a brute-force computation, the drawn chunks, and whole stores."""

from dataclasses import dataclass

import numpy as np
import pytest
from feature_scan import HEIGHT, WIDTH, blocky_depth, pixel_of, save_vertices, turned, write_frame, write_intrinsics

from regionzoo.errors import UserError
from regionzoo.features.build import build_fused
from regionzoo.features.files import FileFeatureSettings
from regionzoo.features.fuse import draw_chunks, fuse_views
from regionzoo.features.provider import FeatureMap
from regionzoo.features.store import load_chunk, load_index
from regionzoo.scenes.frames import read_frames
from regionzoo.scenes.store import load_scene

D, N = 5, 1500
POSES = {
    "000000": turned(0.0, (0.0, 0.0, 0.0)),
    "000100": turned(0.5, (0.3, -0.1, -0.2)),
    "000200": turned(-0.4, (-0.4, 0.2, 0.1)),
    "000300": np.diag([-1.0, 1.0, -1.0, 1.0]),  # looks the other way
}
SHAPES = {"000000": (7, 9), "000100": (1, 1), "000200": (48, 64), "000300": (3, 4)}


@dataclass
class Scan:
    """Folders of a scan, and what it was made from."""

    raw: object
    scenes: object
    feats_dir: object
    coords: dict
    depth: dict
    feats: dict

    @property
    def settings(self):
        return FileFeatureSettings(str(self.feats_dir), D)


@pytest.fixture
def scan(tmp_path):
    """Two scenes with four frames each, one of them lost in the second; a third without frames."""
    scan = Scan(tmp_path / "raw", tmp_path / "scenes", tmp_path / "feats", {}, {}, {})
    for number in range(3):
        scene_id = f"scene000{number}_00"
        rng = np.random.default_rng(number)
        coords = np.column_stack([rng.uniform(-2, 2, N), rng.uniform(-1.5, 1.5, N), rng.uniform(-1, 3, N)])
        scan.coords[scene_id] = save_vertices(scan.scenes, scene_id, coords).coords
        if number == 2:
            continue
        folder = scan.raw / "scannet_frames_25k" / scene_id
        write_intrinsics(folder)
        (scan.feats_dir / scene_id).mkdir(parents=True)
        for name, pose in POSES.items():
            depth = np.round(blocky_depth(rng) * 1000) / 1000
            feats = rng.standard_normal((*SHAPES[name], D)).astype(np.float16)
            if feats.shape[0] > 1:
                feats[rng.random(feats.shape[:2]) < 0.2] = 0
            lost = number == 1 and name == "000100"
            write_frame(folder, name, np.full((4, 4), -np.inf) if lost else pose, depth)
            np.save(scan.feats_dir / scene_id / f"{name}.npy", feats)
            if not lost:
                scan.depth[scene_id, name], scan.feats[scene_id, name] = depth, feats
    return scan


def brute_force(scan, scene_id):
    """Per vertex: the mean of the features it has in the views that see it (None without one), and their number."""
    means, counts = [], []
    for point in scan.coords[scene_id]:
        found = []
        for name, pose in POSES.items():
            if (scene_id, name) not in scan.depth:
                continue
            pixel = pixel_of(point, pose, scan.depth[scene_id, name])
            if pixel is None:
                continue
            feats = scan.feats[scene_id, name]
            cell = feats[pixel[1] * feats.shape[0] // HEIGHT, pixel[0] * feats.shape[1] // WIDTH]
            if cell.any():
                found.append(cell.astype(np.float64))
        counts.append(len(found))
        means.append(sum(found) / len(found) if found else None)
    return means, np.array(counts)


@pytest.mark.parametrize("scene_id", ["scene0000_00", "scene0001_00"])
def test_every_vertex_against_brute_force(scan, scene_id):
    means, expected = brute_force(scan, scene_id)
    frames = read_frames(scan.raw, scene_id, 1).frames
    sums, counts = fuse_views(scan.coords[scene_id], frames, scan.settings.make())
    np.testing.assert_array_equal(counts, expected)
    assert (expected > 1).sum() > 5
    for vertex, mean in enumerate(means):
        if mean is None:
            assert not sums[vertex].any()
        else:
            np.testing.assert_allclose(sums[vertex] / counts[vertex], mean, atol=1e-5)


def build(scan, out, **changes):
    settings = {
        "scene_ids": ["scene0000_00", "scene0001_00"],
        "source": scan.settings,
        "frame_interval": 1,
        "chunks": 3,
        "chunk_points": 20,
        "seed": 4,
        "workers": 1,
    } | changes
    return build_fused(scan.scenes, scan.raw, out_dir=out, **settings)


def test_whole_store(scan, tmp_path):
    seen = []
    scene_ids = [f"scene000{number}_00" for number in range(3)]
    summary = build(scan, tmp_path / "out", scene_ids=scene_ids, progress=lambda *done: seen.append(done))
    index = load_index(tmp_path / "out")
    assert index.dimension == D
    assert index.scenes == dict.fromkeys(scene_ids, 3)
    assert index.provider == {"provider": "files", "frame_interval": 1}
    covered = known = 0
    for scene_id in scene_ids[:2]:
        means, counts = brute_force(scan, scene_id)
        known += np.count_nonzero(counts)
        drawn = set()
        for k in range(3):
            points, feats = load_chunk(
                tmp_path / "out" / f"{scene_id}.safetensors",
                k,
                load_scene(scan.scenes / f"{scene_id}.safetensors").coords_sha256,
                D,
            )
            assert len(points) == min(20, np.count_nonzero(counts)) == 20
            for point, feat in zip(points, feats, strict=True):
                np.testing.assert_allclose(feat, means[point] / np.linalg.norm(means[point]), atol=2e-3)
            drawn |= set(points.tolist())
        covered += len(drawn)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert summary == {
        "provider": index.provider,
        "dimension": D,
        "scenes": 3,
        "chunks": 9,
        "points_per_chunk_median": 20.0,
        "points_covered_share": pytest.approx(covered / (3 * N)),
        "points_with_feature_share": pytest.approx(known / (3 * N)),
        "frames": 7,
        "frames_without_pose": 1,
        "scenes_without_frames": 1,
        "scenes_off_interval": 0,
    }
    path = tmp_path / "out" / "scene0002_00.safetensors"
    points, feats = load_chunk(path, 2, load_scene(scan.scenes / path.name).coords_sha256, D)
    assert (points.shape, feats.shape) == ((0,), (0, D))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_equal_bytes_whatever_the_processes(scan, tmp_path):
    first, second, other = tmp_path / "first", tmp_path / "second", tmp_path / "other"
    assert build(scan, first) == build(scan, second, workers=2)
    assert content(first) == content(second)
    build(scan, other, seed=5)
    assert content(first)["scene0000_00.safetensors"] != content(other)["scene0000_00.safetensors"]


def test_a_broken_frame_leaves_the_old_store(scan, tmp_path):
    out = tmp_path / "out"
    build(scan, out)
    before = content(out)
    (scan.feats_dir / "scene0001_00" / "000200.npy").write_bytes(b"no array")
    with pytest.raises(UserError, match=r"scene0001_00: .*000200\.npy"):
        build(scan, out, seed=9)
    assert content(out) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_frames_of_another_dimension_or_not_finite(scan, tmp_path):
    path = scan.feats_dir / "scene0000_00" / "000000.npy"
    np.save(path, np.zeros((3, 3, D + 1), np.float32))
    with pytest.raises(UserError, match=f"dimension {D + 1}, other files have {D}"):
        build(scan, tmp_path / "out")
    np.save(path, np.full((3, 3, D), np.inf, np.float32))
    with pytest.raises(UserError, match="scene0000_00: frame 000000: features must be finite"):
        build(scan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_frames_anywhere(scan, tmp_path):
    with pytest.raises(UserError, match="none of the 1 training scenes has a frame"):
        build(scan, tmp_path / "out", scene_ids=["scene0002_00"])


def test_frames_by_number(scan, tmp_path):
    summary = build(scan, tmp_path / "out", frame_interval=200)
    assert (summary["frames"], summary["frames_without_pose"], summary["scenes_off_interval"]) == (4, 0, 0)
    folder = scan.raw / "scannet_frames_25k" / "scene0001_00"
    for kind in ("color", "depth", "pose"):
        for path in (folder / kind).glob("000[02]00.*"):
            path.unlink()
    summary = build(scan, tmp_path / "out", frame_interval=200)
    assert (summary["frames"], summary["scenes_off_interval"], summary["scenes_without_frames"]) == (2, 1, 0)
    with pytest.raises(
        UserError, match=r"1 of the 1 training scenes have frames, but none .* frame_interval 200; lower"
    ):
        build(scan, tmp_path / "out", frame_interval=200, scene_ids=["scene0001_00"])


def sums_and_counts(n=200, known=120):
    rng = np.random.default_rng(0)
    counts = np.zeros(n, np.int32)
    counts[rng.choice(n, known, replace=False)] = rng.integers(1, 5, known)
    return rng.standard_normal((n, D)).astype(np.float32) * (counts > 0)[:, None], counts


def test_chunks_are_drawn_among_known_vertices():
    sums, counts = sums_and_counts()
    chunks = draw_chunks(sums, counts, 40, 30, 0, "scene0000_00")
    for points, feats in chunks:
        assert feats.dtype == np.float16
        assert len(np.unique(points)) == len(points) == 30
        assert (np.diff(points) > 0).all()
        assert counts[points].all()
        for point, feat in zip(points, feats, strict=True):
            mean = sums[point].astype(np.float64) / counts[point]
            np.testing.assert_allclose(feat, mean / (np.linalg.norm(mean) + 1e-6), atol=1e-3)
    # 40 draws of a quarter of 120 vertices: each is in 10 of them on average, none in 30 or in none at all.
    often = np.bincount(np.concatenate([points for points, _ in chunks]), minlength=len(counts))
    assert often[counts > 0].min() > 0
    assert often.max() < 30
    assert len({points.tobytes() for points, _ in chunks}) == 40


def test_chunks_depend_on_seed_scene_and_number_alone():
    sums, counts = sums_and_counts()

    def points(**changes):
        settings = {"chunks": 2, "chunk_points": 30, "seed": 0, "scene_id": "scene0000_00"} | changes
        return [chunk[0].tolist() for chunk in draw_chunks(sums, counts, **settings)]

    assert points() == points() == points(chunks=5)[:2]
    assert points()[0] != points(seed=1)[0]
    assert points()[0] != points(scene_id="scene0001_00")[0]


def test_few_known_vertices():
    sums, counts = sums_and_counts(known=7)
    for points, feats in draw_chunks(sums, counts, 2, 30, 0, "s"):
        np.testing.assert_array_equal(points, np.flatnonzero(counts))
        assert feats.shape == (7, D)


def test_vectors_shared_by_cells(scan):
    """A map of few vectors gives what the same map written out gives."""
    frames = read_frames(scan.raw, "scene0000_00", 1).frames
    rng = np.random.default_rng(0)
    maps = {}
    for frame in frames:
        vectors = rng.standard_normal((6, D)).astype(np.float32)
        vectors[2] = 0
        maps[frame.name] = FeatureMap(rng.integers(-1, 6, (11, 13)).astype(np.int32), vectors)

    @dataclass
    class Source:
        shared: bool
        dimension: int = D
        identity: tuple = ()

        def describe(self, frame):
            found = maps[frame.name]
            if self.shared:
                return found
            return FeatureMap.dense(np.where((found.index >= 0)[..., None], found.vectors[found.index], 0))

    one, two = (fuse_views(scan.coords["scene0000_00"], frames, Source(shared)) for shared in (True, False))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert 0 < np.count_nonzero(one[1]) < N
