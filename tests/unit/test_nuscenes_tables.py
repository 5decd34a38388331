"""Every kind of broken nuScenes table: one line with the file and what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tiny_nuscenes import TinyNuScenes, token, write_tiny_nuscenes

from regionzoo.errors import UserError
from regionzoo.scenes.nuscenes_index import require_index
from regionzoo.scenes.nuscenes_layout import READ_TABLES

SCENE = "scene-0002"
Edit = Callable[[TinyNuScenes], object]


def first(table: str, **values: object) -> Edit:
    """Set fields of a table's first record; those set to ``...`` are taken out."""

    def edit(tiny: TinyNuScenes) -> None:
        record = tiny.tables[table][0]
        for name, value in values.items():
            if value is ...:
                del record[name]
            else:
                record[name] = value
        tiny.write_tables(table)

    return edit


def without(table: str, position: int = 0) -> Edit:
    def edit(tiny: TinyNuScenes) -> None:
        del tiny.tables[table][position]
        tiny.write_tables(table)

    return edit


def twice(table: str) -> Edit:
    def edit(tiny: TinyNuScenes) -> None:
        tiny.tables[table].append(tiny.tables[table][0])
        tiny.write_tables(table)

    return edit


def raw(table: str, change: Callable[[str], str | bytes]) -> Edit:
    def edit(tiny: TinyNuScenes) -> None:
        content = change(tiny.table(table).read_text())
        tiny.table(table).write_bytes(content if isinstance(content, bytes) else content.encode())

    return edit


def of_keyframe(channel: str, number: int, change: Callable[[TinyNuScenes, dict], object]) -> Edit:
    """Edit the record of a channel at a keyframe of ``SCENE``."""

    def edit(tiny: TinyNuScenes) -> None:
        change(tiny, tiny.data(tiny.samples(SCENE)[number], channel))
        tiny.write_tables("sample_data")

    return edit


def sample(number: int, **values: object) -> Edit:
    def edit(tiny: TinyNuScenes) -> None:
        tiny.samples(SCENE)[number].update(values)
        tiny.write_tables("sample")

    return edit


def plain_categories(tiny: TinyNuScenes) -> None:
    """The 23 rows of the download without lidarseg."""
    rows = [
        row for row in tiny.tables["category"] if not row["name"].startswith(("noise", "flat", "static.", "vehicle.e"))
    ]
    tiny.tables["category"] = [{key: row[key] for key in ("token", "name", "description")} for row in rows]
    tiny.write_tables("category")


def swapped_categories(tiny: TinyNuScenes) -> None:
    rows = tiny.tables["category"]
    rows[25]["index"], rows[26]["index"] = 26, 25
    tiny.write_tables("category")


DATA, ANNOTATION, MOUNT = "sample_data", "sample_annotation", "calibrated_sensor"
NONE = "0" * 32
BROKEN: dict[str, tuple[Edit, str, str]] = {
    **{f"no {name}": (lambda t, name=name: t.table(name).unlink(), name, "no such table") for name in READ_TABLES},
    **{f"{name} cut": (raw(name, lambda text: text[:-20]), name, "not whole JSON") for name in READ_TABLES},
    **{f"{name} empty": (raw(name, lambda text: ""), name, "not a JSON list") for name in READ_TABLES},
    "one object": (raw("sample", lambda text: '{"a": 1}'), "sample", "not a JSON list"),
    "a table of numbers": (raw("sample", lambda text: "[1, 2]"), "sample", "record 1: not an object"),
    "no UTF-8": (raw("scene", lambda text: text.replace("made", "\xff").encode("latin1")), "scene", "not whole JSON"),
    "a page instead": (raw("sensor", lambda text: "<html>404</html>"), "sensor", "not a JSON list"),
    "a folder": (lambda t: (t.table("sensor").unlink(), t.table("sensor").mkdir()), "sensor", "cannot be read"),
    "plain category": (plain_categories, "category", "record 1: has no index.*unpack nuScenes-lidarseg over"),
    "other order": (swapped_categories, "category", "index 25 is flat.sidewalk, expected flat.other"),
    "a category less": (without("category", 31), "category", "index 31 is absent, expected vehicle.ego"),
    "a category more": (
        lambda t: (t.tables["category"].append(dict(token="x", name="new", index=32)), t.write_tables("category")),
        "category", "index 32 is new, expected none"),
    "a category twice": (twice("category"), "category", "record 33: a second category of index 0"),
    "no name": (first("category", name=...), "category", "record 1: has no field 'name'"),
    "token is a number": (first("category", token=7), "category", "record 1: token must be text"),
    "empty token": (first("category", token=""), "category", "record 1: its token is empty"),
    "no channel": (first("sensor", channel=...), "sensor", "record 1: has no field 'channel'"),
    "unknown sensor": (first(MOUNT, sensor_token=NONE), MOUNT, "record 1: names the sensor '0+'"),
    "mount twice": (twice(MOUNT), MOUNT, "record 17: an earlier record has the same token"),
    "two numbers": (first(MOUNT, translation=[1.0, 2.0]), MOUNT, "record 1: translation must be 3 finite numbers"),
    "text for numbers": (first(MOUNT, rotation=["1", 0, 0, 0]), MOUNT, "record 1: rotation must be 4 finite"),
    "null": (first(MOUNT, rotation=None), MOUNT, "record 1: rotation must be 4 finite numbers"),
    "no rotation": (first(MOUNT, rotation=[0, 0.0, 0, 0]), MOUNT, "record 1: rotation must not be 0"),
    "not finite": (
        raw(MOUNT, lambda text: text.replace("0.94", "1e999", 1)), MOUNT, "record 1: .*finite|not whole JSON"),
    "huge number": (raw("sample", lambda text: text.replace("16000000", "1" * 30, 1)), "sample", "not whole JSON"),
    "unknown category": (first("instance", category_token=NONE), "instance", "names the category '0+'"),
    "unknown scene": (lambda t: (t.samples(SCENE)[0].update(scene_token=NONE), t.write_tables("sample")),
        "sample", "has 2 keyframes of scene-0002, scene.json says 3"),
    "scene without samples": (first("scene", token=NONE), "sample", "has 0 keyframes of scene-0001"),
    "stray scene": (without("scene"), "sample", "names the scene '[0-9a-f]+', which scene.json"),
    "count": (first("scene", nbr_samples=4), "sample", "has 3 keyframes of scene-0001, scene.json says 4"),
    "unknown first": (first("scene", first_sample_token=NONE), "sample", "has no keyframe '0+' of scene-0001"),
    "wrong last": (first("scene", last_sample_token=NONE), "sample", "scene-0001 do not lead to its last one in 3"),
    "scene name twice": (first("scene", name=SCENE), "scene", "record 2: 'scene-0002'.*is there twice"),
    "scene is a path": (first("scene", name="../x"), "scene", "record 1: '../x' cannot be a drive's name"),
    "sample twice": (twice("sample"), "sample", "record 7: a second record of"),
    "chain ends early": (sample(1, next=""), "sample", "do not lead to its last"),
    "chain of strangers": (sample(1, next=NONE), "sample", "has no keyframe '0+' of scene-0002"),
    "chain in a circle": (sample(2, next=token("sample", SCENE, 0)), "sample", "do not lead to its last"),
    "prev is another": (sample(1, prev=NONE), "sample", "contradicts the order of next"),
    "time runs back": (sample(1, timestamp=5), "sample", r"\(scene-0002\) contradicts"),
    "sweep without labels": (without("lidarseg"), "lidarseg", "has no record of the sweep .*nuScenes-lidarseg over"),
    "labels of no sweep": (
        lambda t: (t.tables["lidarseg"].append(dict(token=NONE, sample_data_token=NONE, filename="a.bin")),
                   t.write_tables("lidarseg")), "lidarseg", "names '0+', which is no LIDAR_TOP keyframe"),
    "labels twice": (twice("lidarseg"), "lidarseg", "record 7: a second record of"),
    "two tokens": (first("lidarseg", sample_data_token=NONE), "lidarseg", "token and sample_data_token differ"),
    "path outside": (first("lidarseg", filename="../../x.bin"), "lidarseg", "must be a path below the root"),
    "absolute path": (first("lidarseg", filename="/x.bin"), "lidarseg", "must be a path below the root"),
    "no flag": (first(DATA, is_key_frame=...), DATA, "record 1: has no field 'is_key_frame'"),
    "flag is a number": (first(DATA, is_key_frame=1), DATA, "record 1: is_key_frame must be true or false"),
    "lidar missing": (
        of_keyframe("LIDAR_TOP", 1, lambda t, r: r.update(is_key_frame=False)), "lidarseg", "no LIDAR_TOP keyframe"),
    "lidar and labels missing": (
        of_keyframe("LIDAR_TOP", 1, lambda t, r: (
            r.update(is_key_frame=False), t.tables["lidarseg"].remove(t.get("lidarseg", r["token"])),
            t.write_tables("lidarseg"))), DATA, f"no LIDAR_TOP record of the keyframe {token('sample', SCENE, 1)}"),
    "camera missing": (
        of_keyframe("CAM_BACK", 2, lambda t, r: t.tables[DATA].remove(r)), DATA,
        f"no CAM_BACK record of the keyframe {token('sample', SCENE, 2)}"),
    "camera twice": (
        of_keyframe("CAM_BACK", 0, lambda t, r: t.tables[DATA].append(r | {"token": NONE})), DATA,
        "same keyframe and sensor"),
    "camera of another keyframe": (
        of_keyframe("CAM_BACK", 0, lambda t, r: r.update(sample_token=NONE)), DATA, "names the keyframe '0+'"),
    "unknown mount": (
        of_keyframe("CAM_BACK", 0, lambda t, r: r.update(calibrated_sensor_token=NONE)), DATA,
        "names '0+', which calibrated_sensor.json"),
    "unknown pose": (
        of_keyframe("CAM_BACK", 0, lambda t, r: r.update(ego_pose_token=NONE)), "ego_pose", "has no pose '0+'"),
    "other image size": (
        of_keyframe("CAM_BACK", 0, lambda t, r: r.update(width=800)), DATA, "height and width must be 900 and 1600"),
    "no camera matrix": (
        lambda t: (t.get(MOUNT, token("calibrated", SCENE, "CAM_BACK")).update(camera_intrinsic=[]),
                   t.write_tables(MOUNT)), MOUNT, "camera_intrinsic must be 3 x 3"),
    "ragged camera matrix": (
        lambda t: (t.get(MOUNT, token("calibrated", SCENE, "CAM_BACK")).update(camera_intrinsic=[[1, 0], [0, 1, 0], 5]),
                   t.write_tables(MOUNT)), MOUNT, "camera_intrinsic must be 3 x 3"),
    "box of no keyframe": (first(ANNOTATION, sample_token=NONE), ANNOTATION, "record 1: names the keyframe '0+'"),
    "box of no object": (first(ANNOTATION, instance_token=NONE), ANNOTATION, "record 1: names the object '0+'"),
    "box without size": (first(ANNOTATION, size=...), ANNOTATION, "record 1: has no field 'size'"),
    "flat box": (first(ANNOTATION, size=[1.0, 2.0]), ANNOTATION, "record 1: size must be 3 finite numbers"),
    "count of points": (first(ANNOTATION, num_lidar_pts=1.5), ANNOTATION, "num_lidar_pts must be a whole number"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_table_is_one_line_with_the_file_and_what_to_do(tmp_path, name):
    edit, table, told = BROKEN[name]
    tiny = write_tiny_nuscenes(tmp_path, scenes=("scene-0001", SCENE), keyframes=3, points=4, images=False)
    edit(tiny)
    with pytest.raises(UserError, match=told) as caught:
        require_index(tiny.root / tiny.version, tmp_path / "work" / "tables.sqlite")
    message = str(caught.value)
    assert message.startswith(f"{tiny.table(table)}: ")
    assert "\n" not in message and len(message) < 500
    assert "unpack" in message or "cannot be read" in message
    assert list((tmp_path / "work").glob("*")) == []
