"""Segments to groups against a double loop; PLY noise is refused in one line; stored scenes come back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from regionzoo.errors import SceneError
from regionzoo.scenes.scannet import Group, drop_repeated_half, groups_of_vertices, read_mesh
from regionzoo.scenes.store import Scene, load_scene, save_scene

SEGMENT = st.sampled_from([0, 1, 2, 3, 5, 8, 90_000, 2**31 - 1])
GROUPS = st.lists(
    st.builds(Group, st.sampled_from(["chair", "wall"]), st.lists(SEGMENT, max_size=4).map(tuple), st.just(0))
)


@given(superpoint=st.lists(SEGMENT, max_size=30), groups=GROUPS)
@settings(max_examples=150, deadline=None)
def test_groups_against_a_double_loop(superpoint, groups):
    expected = [-100] * len(superpoint)
    for position, group in enumerate(groups):  # a later group overwrites an earlier one
        for vertex, segment in enumerate(superpoint):
            if segment in group.segments:
                expected[vertex] = position
    found, absent = groups_of_vertices(np.array(superpoint, np.int32), tuple(groups))
    assert found.dtype == np.int32
    assert found.tolist() == expected
    assert absent == len({segment for group in groups for segment in group.segments} - set(superpoint))


@given(groups=GROUPS.filter(lambda groups: any(group.segments for group in groups)))
@settings(max_examples=100, deadline=None)
def test_repeated_listings(groups):
    once = tuple(groups)
    repeated = drop_repeated_half(once + once)
    assert repeated == once
    kept = drop_repeated_half(once)
    assert kept in (once, once[: len(once) // 2])
    # Dropping changes which number a group has, never which vertices belong to a group of which category.
    superpoint = np.array([0, 1, 2, 3, 5, 8, 90_000, 2**31 - 1], np.int32)
    before, after = groups_of_vertices(superpoint, once)[0], groups_of_vertices(superpoint, kept)[0]
    assert [once[i].category if i >= 0 else "" for i in before] == [kept[i].category if i >= 0 else "" for i in after]


HEADER = b"""ply
format binary_little_endian 1.0
element vertex 3
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
property uchar alpha
element face 1
property list uchar int vertex_indices
end_header
"""
WHOLE = HEADER + np.arange(48, dtype=np.uint8).tobytes() + b"\x03" + np.arange(3, dtype="<i4").tobytes()


@given(
    cut=st.integers(0, len(WHOLE)),
    edits=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_any_damage_to_a_ply_is_read_or_refused_in_one_line(tmp_path_factory, cut, edits):
    content = bytearray(WHOLE)
    for position, value in edits:
        content[position] = value
    path = tmp_path_factory.getbasetemp() / "noise.ply"
    path.write_bytes(bytes(content[:cut]))
    try:
        coords, colors = read_mesh(path, "scene0000_00")
    except SceneError as error:
        assert str(error).startswith(f"scene0000_00: {path}: ")
        assert "\n" not in str(error) and len(str(error)) < len(str(path)) + 300
    else:
        assert coords.shape == colors.shape and np.isfinite(coords).all()
        assert (coords.dtype, colors.dtype) == (np.float32, np.uint8)
        assert cut == len(WHOLE) or edits, "a cut file must be refused"


@given(data=st.data(), points=st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_store_round_trip(tmp_path_factory, data, points):
    draw = data.draw
    scene = Scene(
        scene_id="scene0000_00",
        split="val",
        source="scannet",
        coords=draw(hnp.arrays(np.float32, (points, 3), elements=st.floats(width=32, allow_nan=False))),
        colors=draw(hnp.arrays(np.uint8, (points, 3))),
        superpoint=draw(hnp.arrays(np.int32, points)),
        group=draw(hnp.arrays(np.int32, points)),
        labels={name: draw(hnp.arrays(np.int16, points)) for name in ("scannet20", "scannet200")},
        categories=tuple(draw(st.lists(st.text(max_size=8), max_size=4))),
        raw_sha256=draw(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)),
    )
    path = tmp_path_factory.getbasetemp() / "stored.safetensors"
    save_scene(path, scene)
    stored = load_scene(path)
    for name in ("coords", "colors", "superpoint", "group"):
        assert getattr(stored, name).tobytes() == getattr(scene, name).tobytes()
    assert all(stored.labels[name].tobytes() == values.tobytes() for name, values in scene.labels.items())
    assert (stored.categories, stored.raw_sha256) == (scene.categories, scene.raw_sha256)
