"""Sources of pixel features: maps of any resolution, the simulated source, arrays of another program."""

import numpy as np
import pytest

from regionzoo.captions.wording import nouns
from regionzoo.errors import SceneError, UserError
from regionzoo.features.files import FileFeatureSettings, peek_dimension
from regionzoo.features.provider import FeatureMap
from regionzoo.features.simulated import SimulatedFeatureSettings, phrase
from regionzoo.scenes.frames import Frame, Intrinsics

D = 16
SCENE = "scene0000_00"


def simulated(noise=0.0, seed=0):
    vectors = np.random.default_rng(5).standard_normal((3, D))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return SimulatedFeatureSettings((1, 5, 6), vectors, noise, seed, {"encoder": "random"})


def images():
    """Two chairs (one without an instance), a sofa, a wall, an unnamed thing, and nothing."""
    label = np.zeros((6, 8), np.uint8)
    label[:2], label[2, :4], label[2, 4:], label[3], label[4] = 1, 5, 5, 6, 40
    instance = label.astype(np.uint16) * 1000 + (label > 0)
    instance[2, 4:] = 0
    return label, instance


def test_map_is_read_by_position():
    """Every pixel of a 12 x 10 image against exact fractions, for maps that do not divide it."""
    for height, width in ((1, 1), (3, 7), (12, 10), (25, 31)):
        feature_map = FeatureMap.dense(np.zeros((height, width, 2), np.float32))
        v, u = (grid.ravel().astype(np.int32) for grid in np.mgrid[:12, :10])
        expected = [
            int(row * height / 12 + 1e-9) * width + int(column * width / 10 + 1e-9)
            for row, column in zip(v, u, strict=True)
        ]
        assert feature_map.rows(u, v, (12, 10)).tolist() == expected


def test_exact_vectors():
    settings = simulated()
    label, instance = images()
    found = settings.make().describe_images(SCENE, "000000", label, instance)
    assert found.vectors.dtype == np.float32
    assert len(found.vectors) == 4  # wall, chair 5001, chair without a number, sofa
    for row in range(6):
        for column in range(8):
            cell, nyu40 = found.index[row, column], label[row, column]
            if nyu40 in (0, 40):
                assert cell == -1
            else:
                wanted = settings.vectors[settings.nyu40.index(nyu40)]
                np.testing.assert_allclose(found.vectors[cell], wanted, atol=1e-6)
    assert found.index[2, 0] != found.index[2, 7]


def test_noise_is_per_object_and_view():
    label, instance = images()
    exact, noisy = simulated(), simulated(noise=0.7)
    first = noisy.make().describe_images(SCENE, "000000", label, instance)
    np.testing.assert_allclose(np.linalg.norm(first.vectors, axis=1), 1, atol=1e-6)
    # text + noise is c times the unit vector found; solve for the c that leaves a rest of the stated length.
    for cell, row in ((first.index[0, 0], 0), (first.index[2, 0], 1), (first.index[3, 0], 2)):
        cosine = float(first.vectors[cell].astype(np.float64) @ exact.vectors[row])
        root = np.sqrt(cosine**2 - 1 + 0.7**2)
        lengths = [np.linalg.norm(c * first.vectors[cell] - exact.vectors[row]) for c in (cosine - root, cosine + root)]
        np.testing.assert_allclose(lengths, 0.7, atol=1e-5)
        assert cosine < 0.99
    assert np.abs(first.vectors[first.index[2, 0]] - first.vectors[first.index[2, 7]]).max() > 0.1
    again = noisy.make().describe_images(SCENE, "000000", label, instance)
    np.testing.assert_array_equal(again.vectors, first.vectors)
    for other in (
        noisy.make().describe_images(SCENE, "000001", label, instance),
        noisy.make().describe_images("scene0001_00", "000000", label, instance),
        simulated(noise=0.7, seed=1).make().describe_images(SCENE, "000000", label, instance),
    ):
        assert np.abs(other.vectors - first.vectors).max() > 0.1


def test_noise_does_not_depend_on_other_objects():
    label, instance = images()
    source = simulated(noise=0.5).make()
    whole = source.describe_images(SCENE, "000000", label, instance)
    label[:2], instance[:2] = 0, 0
    less = source.describe_images(SCENE, "000000", label, instance)
    np.testing.assert_array_equal(less.vectors[less.index[3, 0]], whole.vectors[whole.index[3, 0]])
    assert len(less.vectors) == len(whole.vectors) - 1


def test_nothing_named():
    zeros = np.zeros((4, 4))
    found = simulated().make().describe_images(SCENE, "000000", zeros.astype(np.uint8), zeros.astype(np.uint16))
    assert (found.index == -1).all()
    assert found.vectors.shape == (0, D)


def test_sizes_must_agree():
    label, instance = images()
    with pytest.raises(UserError, match=r"scene0000_00: frame 000000: .*differ in size"):
        simulated().make().describe_images(SCENE, "000000", label, instance[1:])


def test_identity_says_that_it_knows_the_truth():
    identity = simulated(0.5, 3).make().identity
    assert identity == {
        "provider": "simulated",
        "knows": "ground truth",
        "phrase": "a <noun> in a scene",
        "noise": 0.5,
        "seed": 3,
        "encoder": "random",
    }
    assert phrase(nouns()[5]) == "a chair in a scene"


def frame(name="000000"):
    return Frame(SCENE, name, None, np.eye(4), Intrinsics(np.eye(4), np.eye(4)))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / SCENE).mkdir()
    np.save(tmp_path / SCENE / "000000.npy", np.arange(2 * 3 * 4, dtype=np.float16).reshape(2, 3, 4))
    return tmp_path


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_files(folder, dtype):
    feats = np.arange(2 * 3 * 4).astype(dtype).reshape(2, 3, 4)
    np.save(folder / SCENE / "000000.npy", feats)
    assert peek_dimension(folder, ["scene0009_00", SCENE]) == 4
    source = FileFeatureSettings(str(folder), 4).make()
    assert (source.dimension, source.identity) == (4, {"provider": "files"})
    found = source.describe(frame())
    for row in range(2):
        for column in range(3):
            np.testing.assert_array_equal(found.vectors[found.index[row, column]], feats[row, column])


def test_files_that_cannot_be_used(folder):
    path = folder / SCENE / "000000.npy"
    source = FileFeatureSettings(str(folder), 4).make()
    with pytest.raises(SceneError, match=r"scene0000_00: .*000001\.npy: missing"):
        source.describe(frame("000001"))
    with pytest.raises(SceneError, match="dimension 4, other files have 5"):
        FileFeatureSettings(str(folder), 5).make().describe(frame())
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:-1], whole.replace(b"(2, 3, 4)", b"(2, 3, \x00)")):
        path.write_bytes(content)
        with pytest.raises(SceneError, match=r"no readable \.npy file"):
            source.describe(frame())
    for wrong in (np.zeros((2, 3)), np.zeros((2, 3, 4)), np.zeros((2, 3, 4), int), np.zeros((0, 3, 4), np.float16)):
        np.save(path, wrong)
        with pytest.raises(SceneError, match="holds"):
            source.describe(frame())
    np.save(path, np.array([[[None]]]))
    with pytest.raises(SceneError, match=r"no readable \.npy file"):
        source.describe(frame())
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(SceneError, match="holds an archive"):
        source.describe(frame())


def test_no_files(tmp_path):
    with pytest.raises(UserError, match=r"no <scene>/<frame>\.npy of any of the 2 training scenes"):
        peek_dimension(tmp_path, ["scene0000_00", "scene0001_00"])
