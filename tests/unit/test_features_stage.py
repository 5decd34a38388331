"""The stage: each provider from settings to store and manifest, and what a user is told when something is absent."""

import json

import numpy as np
import pytest
from feature_scan import COLOR_SHAPE, blocky_depth, save_vertices, turned, write_frame, write_intrinsics
from tiny_clip import DIMENSION, save_tiny_clip

from regionzoo.artifacts import tree_hashes, write_manifest
from regionzoo.errors import UserError
from regionzoo.features.store import load_chunk, load_index
from regionzoo.integrity import manifest_of
from regionzoo.settings.data import FeatureSettings, FeatureSource
from regionzoo.stages import features as stage

open_clip = pytest.importorskip("open_clip")
torch = pytest.importorskip("torch")

N = 400
TRAIN = ["scene0000_00", "scene0001_00"]


class Project:
    """Two training scenes with two frames each, and a validation scene that no stage may touch."""

    def __init__(self, folder):
        self.raw, self.scenes, self.out = folder / "raw", folder / "scenes", folder / "features" / "source"
        self.manifest = folder / "features" / "source.manifest.json"
        self.scene = {}
        label = np.zeros(COLOR_SHAPE, np.uint8)
        label[:60], label[60:, :80], label[60:, 80:] = 5, 6, 40
        for number, scene_id in enumerate(TRAIN):
            rng = np.random.default_rng(number)
            coords = np.column_stack([rng.uniform(-2, 2, N), rng.uniform(-1.5, 1.5, N), rng.uniform(1, 3, N)])
            self.scene[scene_id] = save_vertices(self.scenes, scene_id, coords)
            frames = self.raw / "scannet_frames_25k" / scene_id
            write_intrinsics(frames)
            for name, angle in (("000000", 0.0), ("000100", 0.3)):
                instance = label.astype(np.uint16) * 1000 + 1
                write_frame(frames, name, turned(angle, (0.0, 0.0, 0.0)), blocky_depth(rng), label, instance)
        (self.scenes / "splits.json").write_text(json.dumps({"train": TRAIN[::-1], "val": ["scene0009_00"]}))
        write_manifest(manifest_of(self.scenes), tree_hashes(self.scenes), {})

    def run(self, workers=1, encoder="minilm", **source):
        settings = FeatureSettings(
            name="lseg", seed=3, source=FeatureSource(dataset="scannet", **source), encoder=encoder
        )
        stage.run(settings, self.raw, self.scenes, self.out, self.manifest, workers)
        return json.loads(self.manifest.read_text())

    def chunk(self, scene_id, k):
        return load_chunk(self.out / f"{scene_id}.safetensors", k, self.scene[scene_id].coords_sha256)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def write_openscene(folder, project, dimension=6, chunks=2):
    folder.mkdir(exist_ok=True)
    for scene_id in TRAIN:
        rng = np.random.default_rng(0)
        for k in range(chunks):
            full = torch.from_numpy(rng.random(N) < 0.1)
            feat = torch.from_numpy(rng.standard_normal((int(full.sum()), dimension)).astype(np.float16))
            torch.save({"feat": feat, "mask_full": full}, folder / f"{scene_id}_{k}.pt")


def test_none(project):
    manifest = project.run(provider="none")
    assert load_index(project.out).dimension == 0
    assert list(manifest["files"]) == ["index.json"]
    assert manifest["facts"] == {
        "source": "lseg",
        "provider": {"provider": "none"},
        "dimension": 0,
        "scenes": 0,
        "chunks": 0,
        "points_per_chunk_median": 0.0,
        "points_covered_share": 0.0,
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_openscene(project, tmp_path, workers):
    folder = tmp_path / "scannet_multiview_lseg"
    write_openscene(folder, project)
    # The images are not needed.
    project.raw.rename(tmp_path / "elsewhere")
    manifest = project.run(workers, provider="openscene", path=str(folder))
    index = load_index(project.out)
    assert (index.dimension, index.scenes) == (6, dict.fromkeys(TRAIN, 2))
    covered = 0
    for scene_id in TRAIN:
        union = set()
        for k in range(2):
            full = torch.load(folder / f"{scene_id}_{k}.pt")["mask_full"].numpy()
            np.testing.assert_array_equal(project.chunk(scene_id, k)[0], np.flatnonzero(full))
            union |= set(np.flatnonzero(full).tolist())
        covered += len(union)
    facts = manifest["facts"]
    assert facts["provider"] == index.provider == {"provider": "openscene"}
    assert (facts["scenes"], facts["chunks"], facts["dimension"]) == (2, 4, 6)
    assert facts["points_covered_share"] == pytest.approx(covered / (2 * N))
    assert sorted(manifest["files"]) == ["index.json", *(f"{scene_id}.safetensors" for scene_id in TRAIN)]


def test_what_a_user_of_openscene_is_told(project, tmp_path):
    with pytest.raises(
        UserError, match=r"feature_sources\.lseg\.path is not set; set it to .*scannet_multiview_lseg.*,"
    ):
        project.run(provider="openscene")
    folder = tmp_path / "features_2d"
    with pytest.raises(UserError, match=f"no such folder {folder}"):
        project.run(provider="openscene", path=str(folder))
    write_openscene(folder, project)
    project.run(provider="openscene", path=str(folder))
    before = {path.name: path.read_bytes() for path in project.out.iterdir()}
    (folder / "scene0001_00_1.pt").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"scene0001_00: .*scene0001_00_1\.pt: damaged"):
        project.run(provider="openscene", path=str(folder))
    for path in folder.glob("scene0001_00_*.pt"):
        path.unlink()
    with pytest.raises(UserError, match=r"scene0001_00: .*missing"):
        project.run(provider="openscene", path=str(folder))
    assert {path.name: path.read_bytes() for path in project.out.iterdir()} == before


def test_one_dimension_for_all(project, tmp_path):
    folder = tmp_path / "features_2d"
    write_openscene(folder, project)
    full = np.arange(N) < 5
    torch.save({"feat": torch.ones(5, 7), "mask_full": full}, folder / "scene0001_00_1.pt")
    with pytest.raises(UserError, match=r"scene0001_00: chunks of dimensions \[6, 7\]"):
        project.run(provider="openscene", path=str(folder))
    torch.save({"feat": torch.ones(5, 7), "mask_full": full}, folder / "scene0001_00_0.pt")
    with pytest.raises(UserError, match="scene0001_00: features of dimension 7, but scene0000_00 has 6"):
        project.run(provider="openscene", path=str(folder))
    assert not project.out.exists()


def test_simulated(project, tmp_path):
    """Every stored vector is that of a chair or a sofa: nothing else in the images has a name."""
    spec = save_tiny_clip(tmp_path, "stage-16")
    source = {"provider": "simulated", "encoder": spec, "frame_interval": 100, "chunks": 2, "chunk_points": 30}
    manifest = project.run(workers=2, **source)
    from regionzoo.text.encoders import make_encoder

    vectors = make_encoder(spec).encode(["a chair in a scene", "a sofa in a scene"])
    rows = []
    for scene_id in TRAIN:
        for k in range(2):
            points, feats = project.chunk(scene_id, k)
            assert 5 < len(points) <= 30
            rows.append(feats.astype(np.float64))
    # A vertex that one view shows as a chair and another as a sofa has the mean direction.
    candidates = np.stack([vectors[0], vectors[1], vectors.sum(axis=0) / np.linalg.norm(vectors.sum(axis=0))])
    differences = np.abs(np.concatenate(rows)[:, None] - candidates).max(axis=2)
    assert differences.min(axis=1).max() < 2e-3
    assert set(differences.argmin(axis=1)) >= {0, 1}
    facts = manifest["facts"]
    assert facts["dimension"] == DIMENSION
    assert facts["provider"]["knows"] == "ground truth"
    assert facts["provider"]["frame_interval"] == 100
    assert facts["provider"]["encoder"] == spec
    assert (facts["frames"], facts["chunks"]) == (4, 4)
    assert 0 < facts["points_covered_share"] <= facts["points_with_feature_share"] <= 1
    assert project.run(noise=0.5, **source)["files"] != manifest["files"]
    assert project.run(**source) == manifest


def test_open_clip(project, tmp_path):
    spec = save_tiny_clip(tmp_path, "stage-16")
    manifest = project.run(provider="open_clip", model=spec, chunks=1, chunk_points=30)
    assert manifest["facts"]["provider"]["model"] == "stage-16"
    points, feats = project.chunk("scene0000_00", 0)
    assert feats.shape == (30, DIMENSION)
    np.testing.assert_allclose(np.linalg.norm(feats.astype(float), axis=1), 1, atol=2e-3)
    with pytest.raises(UserError, match=r"feature_sources\.lseg\.model is not set"):
        project.run(provider="open_clip")


def test_files(project, tmp_path):
    for scene_id in TRAIN:
        (tmp_path / "maps" / scene_id).mkdir(parents=True)
        for name in ("000000", "000100"):
            np.save(tmp_path / "maps" / scene_id / f"{name}.npy", np.ones((2, 2, 4), np.float16))
    project.run(provider="files", path=str(tmp_path / "maps"), chunks=1, chunk_points=10)
    np.testing.assert_allclose(project.chunk("scene0000_00", 0)[1].astype(float), 0.5, atol=1e-3)
    with pytest.raises(UserError, match=r"feature_sources\.lseg\.path is not set"):
        project.run(provider="files")


def test_without_the_raw_tree(project, tmp_path):
    project.raw.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="the raw tree is not here"):
        project.run(provider="simulated")
