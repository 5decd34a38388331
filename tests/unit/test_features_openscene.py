"""OpenScene's chunk files: both layouts, both forms of torch, and everything else refused."""

import os
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from regionzoo.errors import UserError
from regionzoo.features.openscene import import_scene, read_chunk, scene_files

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:.*sparse tensor invariants", "ignore:Detected pickle protocol")

SCENE, N, M, D = "scene0000_00", 40, 12, 6


@pytest.fixture
def path(tmp_path):
    return tmp_path / f"{SCENE}_0.pt"


def arrays(seed=0):
    """(feat float32 [M, D], mask_full bool [N] with M true, mask bool [M])."""
    rng = np.random.default_rng(seed)
    full = np.zeros(N, bool)
    full[rng.choice(N, M, replace=False)] = True
    return rng.standard_normal((M, D)).astype(np.float32) * 3, full, rng.random(M) < 0.6


def expected_chunk(feat, full, mask=None):
    """Row by row: the points in the order of the vertices, their features of unit length."""
    points, feats, row = [], [], 0
    for vertex in range(N):
        if full[vertex]:
            if mask is None or mask[row]:
                points.append(vertex)
                feats.append(feat[row].astype(np.float64) / (np.sqrt((feat[row].astype(np.float64) ** 2).sum()) + 1e-6))
            row += 1
    return np.array(points), np.array(feats)


def check(path, expected):
    points, feats = read_chunk(path, SCENE, N)
    assert feats.dtype == np.float16
    np.testing.assert_array_equal(points, expected[0])
    np.testing.assert_allclose(feats.astype(float), expected[1], atol=2e-3)


ZIP = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(content, path, zipped):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


@ZIP
@pytest.mark.parametrize("numpy_masks", [True, False], ids=["numpy", "torch"])
@pytest.mark.parametrize("mask_form", ["bool", "index", "unsorted", "bytes"])
def test_three_keys(path, zipped, numpy_masks, mask_form):
    feat, full, mask = arrays()
    stored = {"bool": mask, "index": np.flatnonzero(mask), "unsorted": np.flatnonzero(mask)[::-1].copy()}
    stored["bytes"] = mask.astype(np.uint8)
    masks = {"mask": stored[mask_form], "mask_full": full}
    if not numpy_masks:
        masks = {key: torch.from_numpy(value) for key, value in masks.items()}
    save({"feat": torch.from_numpy(feat)[:, :, None].half()} | masks, path, zipped)
    check(path, expected_chunk(feat, full, mask))


@ZIP
@pytest.mark.parametrize("numpy_mask", [True, False], ids=["numpy", "torch"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_two_keys(path, zipped, numpy_mask, dtype):
    feat, full, _ = arrays()
    feat = torch.from_numpy(feat).to(dtype)
    save({"feat": feat, "mask_full": full if numpy_mask else torch.from_numpy(full)}, path, zipped)
    check(path, expected_chunk(feat.double().numpy(), full))


@ZIP
def test_features_as_numpy_of_either_order(path, zipped):
    feat, full, _ = arrays()
    for stored in (feat, np.asfortranarray(feat), feat.astype(">f4")):
        save(OrderedDict(feat=stored, mask_full=full), path, zipped)
        check(path, expected_chunk(feat, full))


def test_files_of_numpy_1(path):
    """NumPy 1 calls the module numpy.core; names in a pickle end with the line, so they can be exchanged."""
    feat, full, mask = arrays()
    save({"feat": torch.from_numpy(feat), "mask": mask, "mask_full": full}, path, zipped=False)
    content = path.read_bytes()
    assert b"numpy._core.multiarray\n" in content
    path.write_bytes(content.replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n"))
    check(path, expected_chunk(feat, full, mask))


@ZIP
def test_no_row_has_a_feature(path, zipped):
    feat, full, _ = arrays()
    for nothing in (np.zeros(M, bool), np.zeros(0, np.int64), torch.zeros(0, dtype=torch.int64)):
        save({"feat": torch.from_numpy(feat), "mask": nothing, "mask_full": full}, path, zipped)
        points, feats = read_chunk(path, SCENE, N)
        assert (points.shape, feats.shape) == ((0,), (0, D))


def test_rows_of_zeros_stay(path):
    """The original counts every row that the mask names, whatever it holds."""
    feat, full, _ = arrays()
    feat[2] = 0
    save({"feat": torch.from_numpy(feat), "mask_full": full}, path, True)
    points, feats = read_chunk(path, SCENE, N)
    assert len(points) == M
    assert not feats[2].any()


def test_all_files_of_a_scene(tmp_path):
    for k in (0, 1, 2, 10):
        feat, full, _ = arrays(k)
        save({"feat": torch.from_numpy(feat), "mask_full": full}, tmp_path / f"{SCENE}_{k}.pt", True)
    for other in (f"{SCENE}_x.pt", f"{SCENE}_1.txt", "scene0000_01_0.pt"):
        (tmp_path / other).write_bytes(b"")
    assert [path.name.split("_")[-1] for path in scene_files(tmp_path, SCENE)] == ["0.pt", "1.pt", "2.pt", "10.pt"]
    chunks = import_scene(tmp_path, SCENE, N)
    for k, (points, _) in zip((0, 1, 2, 10), chunks, strict=True):
        np.testing.assert_array_equal(points, np.flatnonzero(arrays(k)[1]))
    with pytest.raises(UserError, match=r"scene0001_00: .*scene0001_00_0\.pt: missing; download"):
        import_scene(tmp_path, "scene0001_00", N)


FEAT, FULL, MASK = arrays()
GOOD = {"feat": torch.from_numpy(FEAT), "mask": MASK, "mask_full": FULL}
WRONG = {
    "another scene": (GOOD | {"mask_full": FULL[:-1]}, rf"mask_full is bool \[{N - 1}\], expected bool \[{N}\]"),
    "indices": (GOOD | {"mask_full": np.flatnonzero(FULL)}, "mask_full is int64"),
    "floats": (GOOD | {"mask_full": FULL.astype(np.float32)}, "mask_full is float32"),
    "numbers": (GOOD | {"mask_full": FULL.astype(np.uint8) * 2}, "mask_full is uint8"),
    "two axes": (GOOD | {"mask_full": FULL[None]}, "mask_full is bool"),
    "fewer rows": (GOOD | {"feat": torch.from_numpy(FEAT[1:])}, rf"feat is float32 \[{M - 1}, {D}\].*of the {M} ver"),
    "one axis": (GOOD | {"feat": torch.zeros(M)}, r"feat is float32 \[12\]"),
    "two layers": (GOOD | {"feat": torch.zeros(M, D, 2)}, r"feat is float32 \[12, 6, 2\]"),
    "no columns": (GOOD | {"feat": torch.zeros(M, 0)}, r"feat is float32 \[12, 0\]"),
    "whole numbers": (GOOD | {"feat": torch.zeros(M, D, dtype=torch.int32)}, "feat is int32"),
    "not finite": (GOOD | {"feat": torch.full((M, D), torch.nan)}, "not finite"),
    "long mask": (GOOD | {"mask": np.ones(M + 1, bool)}, rf"mask is bool \[{M + 1}\]"),
    "row M": (GOOD | {"mask": np.array([0, M])}, "mask is int64"),
    "row -1": (GOOD | {"mask": np.array([0, -1])}, "mask is int64"),
    "no mask_full": ({"feat": FEAT, "mask": MASK}, "keys feat, mask, expected"),
    "a fourth key": (GOOD | {"extra": MASK}, "keys extra, feat, mask, mask_full, expected"),
    "a list": ([1, 2], "no dict of named arrays"),
    "a number": (GOOD | {"feat": 3}, "feat is no tensor or array"),
    "a string": (GOOD | {"mask": "abc"}, "mask is no tensor or array"),
    "sparse": (GOOD | {"feat": torch.eye(M).to_sparse()}, "feat is no plain dense tensor"),
    "strides of 0": (GOOD | {"feat": torch.zeros(1, 1).expand(M, 10**9)}, "feat is no plain dense tensor"),
    "objects": (GOOD | {"mask": np.array([None] * M)}, "damaged, or holds other objects"),
    "texts": (GOOD | {"mask": np.array(["a"] * M)}, "damaged, or holds other objects"),
    "dates": (GOOD | {"mask": np.zeros(M, "M8[s]")}, "damaged, or holds other objects"),
    "records": (GOOD | {"mask": np.zeros(M, [("a", "f4")])}, "damaged, or holds other objects"),
    "a model": (torch.nn.Linear(2, 2), "damaged, or holds other objects"),
}


@ZIP
@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG)
def test_wrong_content(path, content, reason, zipped):
    save(content, path, zipped)
    with pytest.raises(UserError, match=reason) as caught:
        read_chunk(path, SCENE, N)
    message = str(caught.value)
    assert message.startswith(f"{SCENE}: {path}: ")
    assert "\n" not in message


class Bomb:
    """Pickles as a call of ``os.mkdir``."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@ZIP
@pytest.mark.parametrize("place", ["feat", "mask", "whole"])
def test_calls_are_not_made(path, tmp_path, place, zipped):
    target = tmp_path / "made"
    bomb = Bomb(target)
    save(bomb if place == "whole" else GOOD | {place: bomb}, path, zipped)
    with pytest.raises(UserError, match="damaged, or holds other objects"):
        read_chunk(path, SCENE, N)
    assert not target.exists()


def pickles(target):
    """Hand-made streams: other ways to reach a function or to misuse the names that are allowed."""
    call = f"cposix\nmkdir\n(V{target}\ntR."
    dtype = "cnumpy\ndtype\n(X\x02\x00\x00\x00O8tR"
    new = "cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tX\x01\x00\x00\x00btR"
    return {
        "call": call,
        "inst": f"(V{target}\niposix\nmkdir\n.",
        "builtins": "cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
        "getattr": "cbuiltins\ngetattr\n(cnumpy\nndarray\nX\x04\x00\x00\x00dumptR.",
        "object type": dtype + ".",
        "huge array": "cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.",
        "array of a wrong state": new + "(K\x01(K\x05tNN)tb.",
        "array of a class": "cnumpy._core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(K\x00tX\x01\x00\x00\x00btR.",
        "no stack": "R.",
        "no stop": "(",
        "nothing": "",
    }


@pytest.mark.parametrize("name", pickles("x"))
def test_hand_made_streams(path, tmp_path, name):
    target = tmp_path / "made"
    stream = b"\x80\x02" + pickles(target)[name].encode("latin1")
    # As a bare stream, in the place of the object of a legacy file, and in a zip file.
    save(GOOD, path, zipped=False)
    legacy = path.read_bytes()
    start = legacy.index(b"\x80\x02", legacy.index(b"little_endian"))
    forms = [stream, legacy[:start] + stream]
    for form in forms:
        path.write_bytes(form)
        with pytest.raises(UserError, match=r"damaged|no dict"):
            read_chunk(path, SCENE, N)
    save(GOOD, path, zipped=True)
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}

    def write_zip(replaced):
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, replaced if member.endswith("data.pkl") else content)

    write_zip(stream)
    with pytest.raises(UserError, match=r"damaged|no dict"):
        read_chunk(path, SCENE, N)
    assert not target.exists()
    # The way of exchanging the stream is sound: with the true one the file can be read.
    write_zip(next(content for member, content in members.items() if member.endswith("data.pkl")))
    check(path, expected_chunk(FEAT, FULL, MASK))


@ZIP
def test_damaged_files(path, zipped):
    """Cut and altered at many places: a clear refusal, or a chunk that still fits the scene."""
    save(GOOD, path, zipped)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for trial in range(150):
        content = bytearray(whole[: rng.integers(len(whole))] if trial % 2 else whole)
        for position in rng.integers(len(content), size=3) if content else ():
            content[position] = rng.integers(256)
        path.write_bytes(bytes(content))
        try:
            points, feats = read_chunk(path, SCENE, N)
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert feats.shape == (len(points), D)
            assert (np.diff(points) > 0).all() and points[-1] < N
    assert refused >= 75
