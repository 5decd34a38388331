"""Captions, index and scenes that do not belong together are refused, and the first mismatch is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pickled import write_pickle
from released_captions import random_captions, store_drive, store_scenes, write_index, write_texts

from regionzoo.captions.imported.build import import_captions
from regionzoo.captions.imported.index import Index, Regions, load_index
from regionzoo.captions.imported.index_reader import IDS, NAMES, TABLE, entries_of, write_table
from regionzoo.captions.imported.matching import match
from regionzoo.captions.imported.parts import Part, Stored
from regionzoo.captions.imported.texts import read_texts
from regionzoo.errors import SceneError, UserError
from regionzoo.foreign.files import describe
from regionzoo.foreign.machine import Refused

SIZES = {"scene0000_00": 40, "scene0000_01": 70}
WANTED = frozenset(SIZES)


@pytest.fixture
def run(tmp_path):
    """Imports a pair of files into a folder that holds a result already, which must survive."""
    store_scenes(tmp_path / "scenes", SIZES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "earlier").touch()

    def run(texts, index, scene_ids=tuple(SIZES)):
        before = sorted(tmp_path.rglob("*"))
        try:
            import_captions(texts, index, tmp_path / "scenes", list(scene_ids), tmp_path / "out")
        except UserError as error:
            assert "\n" not in str(error)
            assert sorted(tmp_path.rglob("*")) == before
            raise

    return run


def pair(tmp_path, texts, index):
    return write_texts(tmp_path / "c.json", texts), write_index(tmp_path / "i.pkl", index, "list")


def test_a_caption_without_points(tmp_path, run):
    captions, index = random_captions(SIZES), random_captions(SIZES)
    del index["scene0000_01"]["000100_1"]
    told = r"^scene0000_01: 5 captions, but 4 regions in the index; the caption of region '000100_1' has no point ids"
    with pytest.raises(UserError, match=told):
        run(*pair(tmp_path, captions, index))


def test_points_without_a_caption(tmp_path, run):
    captions, index = random_captions(SIZES), random_captions(SIZES)
    del captions["scene0000_00"]["app_1_0"]
    told = r"^scene0000_00: 4 captions, but 5 regions .*; region 'app_1_0' has no caption .*c\.json.*i\.pkl"
    with pytest.raises(UserError, match=told):
        run(*pair(tmp_path, captions, index))


def test_equal_counts_but_other_names(tmp_path, run):
    captions, index = random_captions(SIZES), random_captions(SIZES)
    index["scene0000_01"]["8"] = index["scene0000_01"].pop("7")
    with pytest.raises(UserError, match=r"^scene0000_01: 5 captions and as many regions, .*'7' has no point ids"):
        run(*pair(tmp_path, captions, index))


def test_scenes_in_one_file_only(tmp_path, run):
    captions, index = random_captions(SIZES), random_captions(SIZES)
    del index["scene0000_00"]
    with pytest.raises(UserError, match=r"^scene0000_00: 5 captions, but 0 .*which has no entry of the scene"):
        run(*pair(tmp_path, captions, index))
    with pytest.raises(UserError, match=r"^scene0000_00: 0 captions, but 5 .*region '000000_0' has no caption"):
        run(*pair(tmp_path, index, captions))


def test_a_scene_without_captions_may_be_left_out_of_either_file(tmp_path, run):
    captions, index = random_captions(SIZES), random_captions(SIZES)
    captions["scene0000_00"] = {}
    del index["scene0000_00"]
    run(*pair(tmp_path, captions, index))
    run(*pair(tmp_path, index, captions))


@pytest.mark.parametrize(("wrong", "told"), [([3, 40], r"3\.\.40"), ([-1, 3], r"-1\.\.3"), ([2**40], str(2**40))])
def test_ids_of_another_scene(tmp_path, run, wrong, told):
    captions = random_captions(SIZES)
    captions["scene0000_00"]["app_1_0"] = ("a wall", wrong)
    texts = write_texts(tmp_path / "c.json", captions)
    index = write_index(tmp_path / "i.pkl", captions, "dict", "int64")
    with pytest.raises(UserError, match=rf"^scene0000_00: region 'app_1_0' has point ids {told}.*0\.\.39"):
        run(texts, index)


def test_swapped_scenes(tmp_path, run):
    captions = {scene_id: {"0_0": ("all", list(range(n)))} for scene_id, n in SIZES.items()}
    one, two = SIZES
    index = {one: captions[two], two: captions[one]}
    with pytest.raises(
        UserError, match=r"^scene0000_00: region '0_0' has point ids 0\.\.69, expected ids within 0\.\.39"
    ):
        run(*pair(tmp_path, captions, index))


def test_a_region_larger_than_every_scene_is_refused_before_it_is_unfolded(tmp_path, run):
    texts = write_texts(tmp_path / "c.json", {"scene0000_00": {"0": ("all", [])}})
    index = write_pickle(tmp_path / "i.pkl", {"scene0000_00": {"0": range(10**15)}})
    with pytest.raises(
        UserError, match=r"i\.pkl: 'scene0000_00': region '0': 1000000000000000 point ids, .*at most 70"
    ):
        run(texts, index)


def test_another_data_set(tmp_path, run):
    captions = random_captions({"scene0009_00": 40})
    with pytest.raises(UserError, match="hold none of the 2 training scenes"):
        run(*pair(tmp_path, captions, captions))
    with pytest.raises(UserError, match=r"holds no <scene>\.pickle of a training scene"):
        run(tmp_path / "c.json", write_index(tmp_path / "folder", captions, "folder"))


def test_files_and_scenes_that_are_not_there(tmp_path, run):
    captions = random_captions(SIZES)
    texts, index = pair(tmp_path, captions, captions)
    with pytest.raises(UserError, match=r"x\.json: no such caption file"):
        run(tmp_path / "x.json", index)
    with pytest.raises(UserError, match=r"x\.pkl: cannot be read \(No such file"):
        run(texts, tmp_path / "x.pkl")
    with pytest.raises(SceneError, match=r"^scene0005_00: .*no such processed scene"):
        run(texts, index, ["scene0005_00"])
    with pytest.raises(UserError, match="no training scenes"):
        run(texts, index, [])


BAD_TEXTS = {
    "": "not whole JSON",
    '{"scene0000_00": {"0": "a wall"': "not whole JSON",
    "[" * 100_000: "not whole JSON",
    "[1]": "holds a list",
    '{"scene0000_00": "a bedroom with a bed"}': r"'scene0000_00': a str, .*whole scene",
    '{"scene0000_00": {"0": ["a wall"]}}': "'scene0000_00': region '0': a list, expected a caption",
    '{"scene0000_00": {"0": null}}': "a NoneType, expected a caption",
    '{"scene0000_00": {"0": "a", "0": "b"}}': "'0' is there twice",
    '{"scene0000_00": {}, "scene0000_00": {}}': "'scene0000_00' is there twice",
    "\xff\xfe": "not whole JSON",
}


@pytest.mark.parametrize("content", BAD_TEXTS, ids=lambda content: content[:30])
def test_captions_of_another_form(tmp_path, content):
    path = tmp_path / "c.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=rf"c\.json: .*{BAD_TEXTS[content]}"):
        read_texts(path, WANTED)


def test_other_scenes_may_have_any_form(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"scene0707_00": "a room", "scene0000_00": {"0": "a wall"}}))
    assert read_texts(path, WANTED) == {"scene0000_00": {"0": "a wall"}}


BAD_INDICES = [
    (7, "holds a int, expected a list or dict of scenes"),
    ([{"infos": {}}], "entry 0 is no dict with a scene_name"),
    ([{"scene_name": "scene0000_00", "infos": []}], "entry 0 is no dict with"),
    ([{"scene_name": "a", "infos": {}}] * 2, "'a': has two entries"),
    ({"scene0000_00": [1, 2]}, "'scene0000_00': holds a list, expected a dict of regions"),
    ({5: {}}, "5: holds a dict"),
    ({"scene0000_00": {0: [1], "0": [1]}}, "'scene0000_00': two regions have the same name"),
    ({"scene0000_00": {"0_0": np.zeros((2, 2), int)}}, r"'scene0000_00': region '0_0': an array of the shape \[2, 2\]"),
    ({"scene0000_00": {"0_0": "12"}}, "'scene0000_00': region '0_0': a str, expected a list of point ids"),
]


@pytest.mark.parametrize(("content", "told"), BAD_INDICES, ids=lambda value: str(value)[:40])
def test_indices_of_another_form(tmp_path, content, told):
    value = describe(write_pickle(tmp_path / "i.pkl", content))
    with pytest.raises(Refused, match=f"^{told}"):
        write_table(entries_of(value), WANTED, 100, tmp_path)


def test_another_form_is_told_with_the_file(tmp_path, run):
    texts = write_texts(tmp_path / "c.json", random_captions(SIZES))
    with pytest.raises(UserError, match=r"i\.pkl: entry 0 is no dict with a scene_name"):
        run(texts, write_pickle(tmp_path / "i.pkl", [7]))


def test_the_file_of_a_scene_with_another_scene_in_it(tmp_path, run):
    captions = random_captions(SIZES)
    folder = write_index(tmp_path / "folder", captions, "folder of entries")
    (folder / "scene0000_00.pickle").write_bytes((folder / "scene0000_01.pickle").read_bytes())
    with pytest.raises(
        UserError, match=r"scene0000_00\.pickle: is the file of 'scene0000_01', expected 'scene0000_00'"
    ):
        run(write_texts(tmp_path / "c.json", captions), folder)


def test_a_drive_that_does_not_say_which_sweeps_it_holds(tmp_path):
    store_drive(tmp_path, "scene-0001", {"samples/LIDAR_TOP/a__LIDAR_TOP__1.pcd.bin": 4, "somewhere/else.bin": 3})
    with pytest.raises(SceneError, match="records 1 lidar files for 2 keyframes"):
        import_captions("c.json", "i.pkl", tmp_path, ["scene-0001"], tmp_path / "out")


REGION_NAMES = st.lists(st.sampled_from("abcde"), unique=True, max_size=4)
ENTRIES = st.one_of(st.none(), REGION_NAMES)
IDS_OF_A_REGION = st.tuples(st.integers(-2, 6), st.integers(0, 6)).map(lambda pair: (pair[0], sum(pair)))


@given(
    scenes=st.lists(st.tuples(st.integers(1, 9), ENTRIES, ENTRIES, st.booleans()), min_size=1, max_size=4),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_any_mismatch_is_found_and_the_first_one_told(scenes, data):
    """Against a check scene by scene and name by name; ``same`` makes the interesting case, equal names, frequent."""
    texts, index, stored, expected = {}, {}, [], None
    for k, (points, captioned, listed, same) in enumerate(scenes):
        scene = f"s{k}"
        stored.append(Stored(scene, "", points, (Part(scene, "", 0, points),)))
        listed = captioned if same else listed
        if captioned is not None:
            texts[scene] = {name: f"{name} of {scene}" for name in captioned}
        if listed is not None:
            ranges = [data.draw(st.one_of(st.just((-1, -1)), IDS_OF_A_REGION)) for _ in listed]
            sizes = [0 if high < 0 else 1 for _, high in ranges]
            columns = (np.array(sizes), *(np.array([r[i] for r in ranges]) for i in (0, 1)))
            index[scene] = Regions(tuple(listed), *columns, 0)
            wrong = [size and (low < 0 or high >= points) for size, (low, high) in zip(sizes, ranges, strict=True)]
        else:
            wrong = []
        if expected is None and ((set(captioned or []) != set(listed or [])) or any(wrong)):
            expected = scene
    if not texts and not index:
        with pytest.raises(UserError, match="hold none of"):
            match(texts, Index(index, Path()), stored, "c", "i")
    elif expected is None:
        found = match(texts, Index(index, Path()), stored, "c", "i")
        absent = [scene.scene_id for scene in stored if scene.scene_id not in texts.keys() | index.keys()]
        assert [scene for scene, _ in found.missing] == absent
        for scene, regions in index.items():
            texts_found = [text for pair in found.pairs[scene] for text in pair.texts]
            assert texts_found == [f"{name} of {scene}" for name in regions.names]
    else:
        with pytest.raises(UserError, match=f"^{expected}: "):
            match(texts, Index(index, Path()), stored, "c", "i")


@given(
    content=st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.dictionaries(st.text(max_size=3), st.lists(st.integers(0, 99), max_size=6), max_size=4),
    ),
    wanted=st.sets(st.sampled_from(["a", "b"])),
)
@settings(max_examples=60, deadline=None)
def test_the_tables_hold_what_the_entries_held(tmp_path_factory, content, wanted):
    folder = tmp_path_factory.mktemp("tables")
    write_table(iter(content.items()), frozenset(wanted), 100, folder)
    index = load_index(folder)
    ids = np.fromfile(index.ids, "<i4")
    assert set(index.scenes) == set(content) & wanted
    for scene, regions in index.scenes.items():
        at = regions.first
        for k, (name, values) in enumerate(content[scene].items()):
            expected = sorted(set(values))
            assert (regions.names[k], ids[at : at + regions.size[k]].tolist()) == (name, expected)
            assert (regions.lowest[k], regions.highest[k]) == ((expected[0], expected[-1]) if expected else (-1, -1))
            at += regions.size[k]


def test_tables_that_do_not_fit_together(tmp_path):
    write_table(iter([("a", {"0": [1, 2]})]), frozenset("a"), 100, tmp_path)
    good = {name: (tmp_path / name).read_bytes() for name in (NAMES, TABLE, IDS)}
    load_index(tmp_path)
    for name, content in ((NAMES, b"[]"), (NAMES, b'[["a", ["0", "1"]]]'), (IDS, b"1234"), (IDS, b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="do not fit"):
            load_index(tmp_path)
        (tmp_path / name).write_bytes(good[name])
