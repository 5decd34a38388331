"""The stage that draws found instances: which scenes, of what, and whole or not at all."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from saved_instances import POINTS, SavedInstances, save_random_instances, write_facts
from typer.testing import CliRunner

from regionzoo.artifacts import read_json, tree_hashes, write_manifest
from regionzoo.classes import class_set
from regionzoo.cli import app
from regionzoo.errors import SceneError, UserError
from regionzoo.evaluation.instance_store import SUFFIX
from regionzoo.report import scene_pictures
from regionzoo.stages import pictures

NAMES = class_set("scannet20").names
FIRST = ["scene0000_00", "scene0001_00", "scene0002_00"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller pictures take less time."""
    monkeypatch.setattr(scene_pictures, "WIDTH", 160)
    monkeypatch.setattr(scene_pictures, "HEIGHT", 160)


@pytest.fixture
def saved(tmp_path: Path) -> SavedInstances:
    """Four scenes, so that one is not drawn."""
    made = save_random_instances(tmp_path)
    write_facts(made.predictions, "instance")
    return made


def made_of(saved: SavedInstances) -> tuple[Path, Path]:
    """The folder of the pictures and its manifest."""
    return saved.scenes.with_name("instances"), saved.scenes.with_name("instances.manifest.json")


def beside(saved: SavedInstances) -> set[str]:
    """What stands beside the inputs."""
    inputs = {name + end for name in ("scenes", "predictions") for end in ("", ".manifest.json")}
    return {path.name for path in saved.scenes.parent.iterdir()} - inputs


def test_the_command_draws_the_first_three_scenes(saved: SavedInstances) -> None:
    folder, manifest = made_of(saved)
    folder.mkdir()
    (folder / "stale.png").write_bytes(b"")
    call = ["pictures", "--row", "tiny", "--scenes", str(saved.scenes), "--predictions", str(saved.predictions)]
    done = CliRunner().invoke(app, [*call, "--out", str(folder), "--manifest", str(manifest)])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.png" for name in FIRST]
    told = read_json(manifest)
    assert told["files"] == tree_hashes(folder) and told["facts"] == {"row": "tiny"}
    shown = set()
    for path in folder.iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG" and min(image.size) > 160
            shown.add(image.tobytes())
    assert len(shown) == 3 and beside(saved) == {"instances", "instances.manifest.json"}
    before = manifest.read_bytes()
    pictures.run("tiny", saved.scenes, saved.predictions, folder, manifest)
    assert manifest.read_bytes() == before


def test_pictures_show_things_and_what_was_predicted(saved: SavedInstances, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    draw = pictures.draw_instances

    def watched(*arguments: Any, **more: Any) -> Path:
        given.append((arguments, more))
        return draw(*arguments, **more)

    monkeypatch.setattr(pictures, "draw_instances", watched)
    pictures.run("tiny", saved.scenes, saved.predictions, *made_of(saved))
    shown: set[str] = set()
    for scene, found, (arguments, more) in zip(saved.truth, saved.found, given, strict=False):
        _, coords, colors, labels, truth, drawn, classes = arguments
        np.testing.assert_array_equal(coords, scene.coords)
        np.testing.assert_array_equal(labels, scene.labels["scannet20"])
        assert len(colors) == POINTS and classes.names == NAMES
        for i in range(POINTS):
            inside = scene.group[i] >= 0 and 2 <= labels[i] <= 18
            assert truth[i] == (scene.group[i] if inside else -100)
        shown |= {NAMES[c] for c in labels[truth >= 0]}
        offsets, points = found.masks.ids()
        expected = [points[a:b].tolist() for a, b in pairwise(offsets)]
        assert [mask.tolist() for mask in drawn.masks] == expected
        for name in ("mask", "label", "score"):
            np.testing.assert_array_equal(getattr(drawn, name), getattr(found, name))
        assert more["title"] == f"tiny, {scene.scene_id}" and "Synthetic" in more["note"]
        assert {NAMES[c] for c in more["novel"]} == {"sofa", "bookshelf", "desk", "toilet"}
        assert more["least_points"] == 50
    assert len(given) == 3 and {"cabinet", "chair", "bathtub"} <= shown


def test_a_scene_without_predictions_is_drawn(saved: SavedInstances) -> None:
    splits = saved.scenes / "splits.json"
    last = saved.truth[-1].scene_id
    splits.write_text(f'{{"train": [], "val": ["{last}"]}}')
    write_manifest(saved.scenes.with_name("scenes.manifest.json"), tree_hashes(saved.scenes), {})
    assert saved.found[-1].no_proposals
    pictures.run("tiny", saved.scenes, saved.predictions, *made_of(saved))
    assert [path.name for path in made_of(saved)[0].iterdir()] == [f"{last}.png"]


@pytest.mark.parametrize(
    ("row", "task", "message"),
    [
        ("other", "instance", "instance predictions of row 'tiny', not instances of 'other'"),
        ("tiny", "semantic", "semantic predictions of row 'tiny', not instances of 'tiny'"),
    ],
)
def test_other_predictions_are_refused(saved: SavedInstances, row: str, task: str, message: str) -> None:
    write_facts(saved.predictions, task)
    with pytest.raises(UserError, match=message) as caught:
        pictures.run(row, saved.scenes, saved.predictions, *made_of(saved))
    assert str(saved.predictions) in str(caught.value) and "\n" not in str(caught.value)
    assert beside(saved) == set()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("damage", "message"),
    [("flipped", "differs from the manifest"), ("missing", "no predicted instances for this scene")],
)
def test_damaged_predictions_change_nothing(saved: SavedInstances, before: bool, damage: str, message: str) -> None:
    """The second of three scenes fails in the middle of the work."""
    folder, manifest = made_of(saved)
    if before:
        pictures.run("tiny", saved.scenes, saved.predictions, folder, manifest)
    kept = (tree_hashes(folder), manifest.read_bytes()) if before else None
    path = saved.predictions / f"{FIRST[1]}{SUFFIX}"
    whole = path.read_bytes()
    path.unlink()
    if damage == "flipped":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(SceneError, match=f"{FIRST[1]}: .*({message})") as caught:
        pictures.run("tiny", saved.scenes, saved.predictions, folder, manifest)
    assert "\n" not in str(caught.value)
    if before:
        assert (tree_hashes(folder), manifest.read_bytes()) == kept
    assert beside(saved) == ({"instances", "instances.manifest.json"} if before else set())
