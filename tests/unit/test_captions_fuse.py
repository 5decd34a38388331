"""SFusion: hand-made cases and refusals."""

from dataclasses import replace

import pytest

from regionzoo.captions.fuse import fuse
from regionzoo.captions.store import from_regions
from regionzoo.errors import UserError


def pack(regions, prefix="p"):
    names = [f"{prefix}_{k}" for k in range(len(regions))]
    return from_regions("scene0000_00", "hash", 100, names, [f"text {name}" for name in names], regions)


def test_bounds_are_inclusive_and_empty_candidates_fall_out():
    primary = pack([list(range(10))])
    # IoU with the primary: 0, 5/15, 10/10, nothing at all.
    candidates = pack([[50, 51], list(range(5, 15)), list(range(10)), []], "s")
    assert fuse(primary, [candidates], [1.0], [0.0]).texts[1:] == ("text s_0", "text s_1", "text s_2")
    assert fuse(primary, [candidates], [5 / 15], [0.0]).texts[1:] == ("text s_0", "text s_1")
    assert fuse(primary, [candidates], [0.0], [0.0]).texts[1:] == ("text s_0",)
    fused = fuse(primary, [candidates], [1.0], [0.3])
    assert fused.names == ("p_0", "app_1_0", "app_1_1")
    assert fused.texts[1:] == ("text s_1", "text s_2")
    assert fused.region(2).tolist() == list(range(10))


def test_cascade_compares_with_what_earlier_sources_added():
    primary, first, second = pack([[0, 1]]), pack([[10, 11, 12]], "a"), pack([[10, 11, 12], [20]], "b")
    cascaded = fuse(primary, [first, second], [0.2, 0.2], [0.0, 0.0])
    assert cascaded.names == ("p_0", "app_1_0", "app_2_0")
    assert cascaded.texts[2] == "text b_1"
    apart = fuse(primary, [first, second], [0.2, 0.2], [0.0, 0.0], cascade=False)
    assert apart.names == ("p_0", "app_1_0", "app_2_0", "app_2_1")


def test_regions_of_one_source_are_not_compared():
    assert len(fuse(pack([[0]]), [pack([[5, 6], [5, 6]], "s")], [0.2], [0.0])) == 3


def test_primary_without_regions_or_points():
    candidates = pack([[1, 2], []], "s")
    assert fuse(pack([]), [candidates], [0.2], [0.0]).names == ("app_1_0",)
    assert fuse(pack([[]]), [candidates], [0.2], [0.0]).names == ("p_0", "app_1_0")
    assert len(fuse(pack([]), [candidates], [0.2], [0.1])) == 0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"scene_id": "scene0001_00"}, "scene_id"),
        ({"coords_sha256": "x"}, "coords_sha256"),
        ({"n_points": 99}, "n_points"),
    ],
)
def test_other_vertices_are_refused(change, name):
    with pytest.raises(UserError, match=name):
        fuse(pack([[0]]), [replace(pack([[1]], "s"), **change)], [0.2], [0.0])


def test_number_of_bounds():
    with pytest.raises(UserError, match="one bound of each kind"):
        fuse(pack([[0]]), [pack([[1]], "s")], [0.2, 0.3], [0.0])


def test_a_chain_of_fusions_is_the_cascade():
    primary, first, second = pack([[0, 1]]), pack([[10, 11, 12]], "a"), pack([[10, 11, 12], [20]], "b")
    chained = fuse(fuse(primary, [first], [0.2], [0.0]), [second], [0.3], [0.0])
    at_once = fuse(primary, [first, second], [0.2, 0.3], [0.0, 0.0])
    assert chained.names == at_once.names == ("p_0", "app_1_0", "app_2_0")
    assert chained.texts == at_once.texts
    assert chained.point_ids.tolist() == at_once.point_ids.tolist()
