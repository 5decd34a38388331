"""Released captions and their point ids arrive in the store, whatever the layout and the kind of the lists."""

import numpy as np
import pytest
from pickled import PROTOCOLS, write_pickle
from released_captions import random_captions, store_drive, store_scenes, tensor_of, write_index, write_texts

from regionzoo.captions.imported.build import import_captions
from regionzoo.captions.imported.index_reader import whole_numbers_of
from regionzoo.captions.store import load_captions
from regionzoo.errors import UserError
from regionzoo.foreign.machine import Machine, Refused
from regionzoo.foreign.opcodes import load as load_next
from regionzoo.foreign.stand_ins import NAMES
from regionzoo.foreign.torch_streams import PICKLED
from regionzoo.scenes.store import load_metadata

SIZES = {"scene0000_00": 40, "scene0000_01": 70, "scene0002_00": 55}


@pytest.fixture
def scenes(tmp_path):
    store_scenes(tmp_path / "scenes", SIZES)
    return tmp_path / "scenes"


def check(out, scenes, captions):
    """Every stored file holds its regions in the index's order, those without points left out."""
    for scene_id in SIZES:
        path = out / f"{scene_id}.safetensors"
        found = load_captions(path, load_metadata(scenes / path.name)["coords_sha256"])
        kept = {name: region for name, region in captions.get(scene_id, {}).items() if region[1]}
        assert found.names == tuple(kept)
        assert found.texts == tuple(text for text, _ in kept.values())
        for k, (_, ids) in enumerate(kept.values()):
            assert found.region(k).tolist() == ids


@pytest.mark.parametrize(
    ("layout", "kind", "protocol"),
    [
        ("list", "int32", 3),
        ("list", "numpy.int64", 4),
        ("dict", "int64", 2),
        ("dict", "list", 5),
        ("ordered", "numpy.int32", 2),
        ("folder", "int32", 4),
        ("folder of entries", "tuple", 4),
    ],
)
def test_layouts(tmp_path, scenes, layout, kind, protocol):
    others = {"scene0011_00": 30, "scene0707_00": 20}
    captions = random_captions(SIZES | others)
    del captions["scene0000_01"]
    summary = import_captions(
        write_texts(tmp_path / "captions.json", captions),
        write_index(tmp_path / "index.pkl", captions, layout, kind, protocol),
        scenes,
        list(SIZES),
        tmp_path / "out",
        ["kosmos", "sw"],
    )
    check(tmp_path / "out", scenes, captions)
    regions = [region for scene_id in SIZES for region in captions.get(scene_id, {}).values()]
    with_points = [(text, ids) for text, ids in regions if ids]
    covered = sum(len({i for _, ids in captions.get(s, {}).values() for i in ids}) for s in SIZES)
    assert summary == {
        "scenes": 3,
        "captions": len(with_points),
        "captions_per_scene": len(with_points) / 3,
        "points_per_caption_median": float(np.median([len(ids) for _, ids in with_points])),
        "points_covered_share": covered / sum(SIZES.values()),
        "unique_captions": len({text for text, _ in with_points}),
        "regions_without_points": len(regions) - len(with_points),
        "captioners": ["kosmos", "sw"],
        "scenes_missing": ["scene0000_01"],
        "keyframes_missing": 0,
    }
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] == ".") == []


def described(value, protocol):
    from pickled import pickled

    return load_next(Machine(memoryview(pickled([value], protocol)), PICKLED, NAMES))[0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "kind",
    ["int32", "int64", "uint8", "numpy.int32", "numpy.int64", "numpy.uint16", "numpy.>i8", "list", "tuple", "range"],
)
def test_kinds_of_lists(kind, protocol):
    for ids in ([], [3], list(range(9)), [0, 2, 200], *([list(range(0, 90_000, 61))] if "8" not in kind else [])):
        ids = [i for i in ids if i < 256] if kind == "uint8" else [i for i in ids if i < 65536]
        assert whole_numbers_of(described(tensor_of(ids, kind), protocol), "here", 10_000).tolist() == ids


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.zeros(3), "float64 numbers"),
        (np.ones(3, bool), "bool numbers"),
        (np.zeros((3, 1), int), r"shape \[3, 1\]"),
        (np.array(3), r"shape \[\]"),
        ([1, 2.0], "something else than whole"),
        ([1, [2]], "something else than whole"),
        ([True], "something else than whole"),
        ([2**70], "no point id"),
        ("123", "a str"),
        (None, "a NoneType"),
        ({1: 2}, "a dict"),
        (range(10**15), "1000000000000000 point ids, expected at most 100"),
        (list(range(101)), "101 point ids"),
        (np.arange(101), "101 point ids"),
    ],
    ids=str,
)
def test_other_things_than_lists_of_ids_are_refused(value, told):
    with pytest.raises(Refused, match=f"here: .*{told}"):
        whole_numbers_of(described(value, 4), "here", 100)


def test_ids_out_of_order_and_repeated(tmp_path, scenes):
    captions = {scene_id: {"0": ("a wall", [1, 5, 9]), "1": ("a door", [2, 3])} for scene_id in SIZES}
    index = {scene_id: {"0": [9, 1, 5, 5, 1], 1: np.array([3, 2], np.int16)} for scene_id in SIZES}
    texts = write_texts(tmp_path / "captions.json", captions)
    import_captions(texts, write_pickle(tmp_path / "i.pkl", index), scenes, list(SIZES), tmp_path / "out")
    check(tmp_path / "out", scenes, captions)


def test_workers_change_nothing(tmp_path, scenes):
    captions = random_captions(SIZES)
    texts, index = write_texts(tmp_path / "c.json", captions), write_index(tmp_path / "i.pkl", captions, "list")
    seen = []
    summaries = [
        import_captions(
            texts, index, scenes, list(SIZES), tmp_path / f"out{n}", workers=n, progress=lambda *done: seen.append(done)
        )
        for n in (1, 2)
    ]
    assert summaries[0] == summaries[1]
    assert seen == [(1, 3), (2, 3), (3, 3)] * 2
    for scene_id in SIZES:
        one, two = (tmp_path / f"out{n}" / f"{scene_id}.safetensors" for n in (1, 2))
        assert one.read_bytes() == two.read_bytes()


def test_an_earlier_result_is_replaced_and_what_a_killed_run_left_is_cleared(tmp_path, scenes):
    (tmp_path / ".out.abc.index").mkdir()
    (tmp_path / ".out.abc.index" / "ids.bin").write_bytes(b"1234")
    for seed in (0, 1):
        captions = random_captions(SIZES, seed)
        texts, index = write_texts(tmp_path / "c.json", captions), write_index(tmp_path / "i.pkl", captions, "dict")
        import_captions(texts, index, scenes, list(SIZES), tmp_path / "out")
        check(tmp_path / "out", scenes, captions)
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "."] == []


SWEEPS = {
    "scene-0001": {
        "samples/LIDAR_TOP/n015-2018-07-18-11-07-57+0800__LIDAR_TOP__999999999999999.pcd.bin": 12,
        "samples/LIDAR_TOP/n015-2018-07-18-11-07-57+0800__LIDAR_TOP__1531883530449377.pcd.bin": 15,
        "samples/LIDAR_TOP/n015-2018-07-18-11-07-57+0800__LIDAR_TOP__1531883530949817.pcd.bin": 10,
    },
    "scene-0002": {"samples/LIDAR_TOP/n008-2018-05-21-11-06-59-0400__LIDAR_TOP__1526915243047392.pcd.bin": 20},
}


@pytest.fixture
def drives(tmp_path):
    for scene_id, sweeps in SWEEPS.items():
        store_drive(tmp_path / "drives", scene_id, sweeps)
    return tmp_path / "drives"


def keyframe_captions():
    """Of every keyframe but the last of the first drive, under the names of the released files."""
    sizes = {name.split(".")[0].replace("/", "_"): n for sweeps in SWEEPS.values() for name, n in sweeps.items()}
    captions = random_captions(sizes, regions=4)
    assert next(iter(captions)) == "samples_LIDAR_TOP_n015-2018-07-18-11-07-57+0800__LIDAR_TOP__999999999999999"
    del captions[list(captions)[2]]
    return captions


@pytest.mark.parametrize("layout", ["list", "dict"])
def test_keyframes_of_drives(tmp_path, drives, layout):
    captions = keyframe_captions()
    texts, index = write_texts(tmp_path / "c.json", captions), write_index(tmp_path / "i.pkl", captions, layout)
    summary = import_captions(texts, index, drives, list(SWEEPS), tmp_path / "out")
    assert (summary["scenes_missing"], summary["keyframes_missing"]) == ([], 1)
    keys = iter(captions)
    for scene_id, starts in (("scene-0001", (0, 12)), ("scene-0002", (0,))):
        found = load_captions(tmp_path / "out" / f"{scene_id}.safetensors")
        expected = [
            (f"{k}/{name}", text, [start + i for i in ids])
            for k, start in enumerate(starts)
            for name, (text, ids) in captions[next(keys)].items()
            if ids
        ]
        assert list(zip(found.names, found.texts, strict=True)) == [(name, text) for name, text, _ in expected]
        assert [found.region(k).tolist() for k in range(len(found))] == [ids for _, _, ids in expected]
        assert found.n_points == sum(SWEEPS[scene_id].values())


def test_a_keyframe_has_only_its_own_points(tmp_path, drives):
    captions = keyframe_captions()
    key = list(captions)[1]
    captions[key]["app_1_0"] = ("a bus", [14, 15])
    texts, index = write_texts(tmp_path / "c.json", captions), write_index(tmp_path / "i.pkl", captions, "list")
    with pytest.raises(
        UserError, match=rf"^scene-0001, keyframe {key[:30]}.*'app_1_0' has point ids 14\.\.15.*0\.\.14"
    ):
        import_captions(texts, index, drives, list(SWEEPS), tmp_path / "out")
    assert not (tmp_path / "out").exists()
