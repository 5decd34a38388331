"""The label table and the look-ups, on hand-made tables and on the official one where it is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from raw_scene import CATEGORIES, write_table

from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.scenes.labels import LabelTable, nyu40_to_scannet20, raw_id_to_scannet200
from regionzoo.scenes.raw_layout import LABEL_TABLE_FILE
from regionzoo.scenes.splits import read_split_list

OFFICIAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "scannet_official"
needs_official = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="official ScanNet lists are not at hand")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r\r\n", "\r"])
def test_table_with_any_line_ending(tmp_path, newline):
    table = LabelTable.read(write_table(tmp_path, newline))
    assert table.raw_ids == {name: raw_id for name, raw_id, _ in CATEGORIES}
    assert table.nyu40_ids == {name: nyu40 for name, _, nyu40 in CATEGORIES}


def test_unknown_category_has_id_zero_and_case_counts(tmp_path):
    table = LabelTable.read(write_table(tmp_path))
    assert (table.raw_id("chair"), table.nyu40_id("chair")) == (2, 5)
    for name in ("Chair", " chair", "spaceship", ""):
        assert (table.raw_id(name), table.nyu40_id(name), name in table) == (0, 0, False)


def test_first_row_wins_cells_are_stripped_empty_cells_are_zero(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text(
        "count\tnyu40id \traw_category\tid\textra\n"
        "3\t 5 \t chair \t2\t\n"
        "3\t7\tchair\t99\t\n"
        "\t\tnothing\n"
        "\n"
        "1\t39\t\t50\tno name\n"
        "1\t39\tobject\t1163\n"
    )
    table = LabelTable.read(path)
    assert table.raw_ids == {"chair": 2, "nothing": 0, "object": 1163}
    assert table.nyu40_ids == {"chair": 5, "nothing": 0, "object": 39}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"id,raw_category,nyu40id\n1,wall,1\n", "lacks the column"),
        (b"", "lacks the column"),
        (b"id\traw_category\tnyu40id\n", "no category"),
        (b"id\traw_category\tnyu40id\n1\twall\tone\n", "line 2"),
        (b"\xff\xfe\x00", "cannot be read as text"),
    ],
)
def test_broken_table_is_one_line(tmp_path, content, told):
    path = tmp_path / LABEL_TABLE_FILE
    path.write_bytes(content)
    with pytest.raises(UserError, match=told) as caught:
        LabelTable.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_table(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        LabelTable.read(tmp_path / "none.tsv")


def test_scannet20_by_hand():
    ids = np.array(
        [[0, 1, 2, 3], [12, 13, 14, 16], [24, 28, 33, 34], [36, 39, 40, 50], [149, 150, 65535, 15]], np.uint16
    )
    expected = [[-100, 0, 1, 2], [11, -100, 12, 13], [14, 15, 16, 17], [18, 19, -100, -100], [-100, -100, -100, -100]]
    mapped = nyu40_to_scannet20(ids)
    assert mapped.dtype == np.int16
    assert mapped.tolist() == expected


def test_scannet200_by_hand():
    # 12, 1177 and 1192 are no class; 13 is the twelfth. -100 must not wrap around to a class (the original).
    ids = np.array([0, 1, 2, 3, 12, 13, 1191, 1192, 1177, -100, -1, 2**62, -(2**62)])
    expected = [-100, 0, 1, 2, -100, 11, 199, -100, -100, -100, -100, -100, -100]
    assert raw_id_to_scannet200(ids).tolist() == expected


@pytest.mark.parametrize("remap", [nyu40_to_scannet20, raw_id_to_scannet200])
def test_empty_and_float_input(remap):
    assert remap(np.zeros(0, np.int64)).shape == (0,)
    with pytest.raises(TypeError, match="float32"):
        remap(np.zeros(3, np.float32))


@needs_official
def test_official_table():
    table = LabelTable.read(OFFICIAL / LABEL_TABLE_FILE)
    assert len(table.raw_ids) == 607
    assert len(set(table.raw_ids.values())) == 549
    classes = class_set("scannet200")
    # Each class name is a raw category with that very id, so mapping names through the table is the identity.
    ids = np.array([table.raw_id(name) for name in classes.names])
    assert ids.tolist() == list(classes.raw_ids)
    assert raw_id_to_scannet200(ids).tolist() == list(range(200))
    nyu40 = np.array([table.nyu40_id(name) for name in classes.names])
    assert nyu40.tolist() == list(classes.nyu40_ids)
    assert table.nyu40_id("closet wall") == 1
    assert table.nyu40_id("closet floor") == 2


@needs_official
def test_official_lists():
    for split, count in (("train", 1201), ("val", 312), ("test", 100)):
        lines = (OFFICIAL / f"scannetv2_{split}.txt").read_text().split()
        notices: list[str] = []
        listed = read_split_list(OFFICIAL / f"scannetv2_{split}.txt", "scannet", notices)
        assert len(listed) == len(lines) == count
        assert list(listed) == sorted(lines)
        assert notices == []
        if split != "test":
            assert list(listed) != lines, "the official lists are not sorted"
    train, val = (set(read_split_list(OFFICIAL / f"scannetv2_{split}.txt", "scannet")) for split in ("train", "val"))
    assert not train & val
