"""The benchmark's files, read back by a reader of their own: the same predictions, the same scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from saved_instances import POINTS, SavedInstances, save_random_instances, write_facts
from typer.testing import CliRunner

from regionzoo.artifacts import read_json
from regionzoo.cli import app
from regionzoo.errors import SceneError, UserError
from regionzoo.evaluation import submission
from regionzoo.evaluation.instance_ap import class_precision
from regionzoo.evaluation.instance_matches import Matches, instance_truth, scene_matches
from regionzoo.evaluation.instance_store import SUFFIX
from regionzoo.evaluation.predictions import load_predictions
from regionzoo.evaluation.run_length import Masks
from regionzoo.evaluation.submission import Exported, export
from regionzoo.scenes.instances import instance_ids

# From the benchmark's own lists: ids of cabinet ... otherfurniture, and of wall and floor.
INSTANCE_IDS = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)
SEMANTIC_IDS = (1, 2, *INSTANCE_IDS)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedInstances:
    return save_random_instances(tmp_path_factory.mktemp("saved"))


def read_instances(folder: Path, scene_id: str) -> list[tuple[np.ndarray, int, float]]:
    """As the benchmark reads them: three words a line, masks by relative path, one prediction a mask file."""
    found: dict[Path, tuple[np.ndarray, int, float]] = {}
    for line in (folder / f"{scene_id}.txt").read_text().splitlines():
        name, label, score = line.split(" ")
        path = (folder / name).resolve()
        assert not Path(name).is_absolute() and folder.resolve() in path.parents
        lines = path.read_text().splitlines()
        assert set(lines) <= {"0", "1"}
        found[path] = (np.array(lines, np.int64) != 0, int(label), float(score))
    return list(found.values())


def test_instances_score_the_same_from_the_files(saved: SavedInstances, tmp_path: Path) -> None:
    out = tmp_path / "new" / "submission"
    done = export(saved.predictions, saved.scenes, out)
    assert done == Exported("instance", 4, sum(len(found) for found in saved.found))
    ids = [scene.scene_id for scene in saved.truth]
    assert sorted(p.name for p in out.iterdir()) == sorted([*(f"{name}.txt" for name in ids), "predicted_masks"])
    before, after = [], []
    for scene, found in zip(saved.truth, saved.found, strict=True):
        read = read_instances(out, scene.scene_id)
        assert len(read) == len(found) and all(len(mask) == POINTS for mask, _, _ in read)
        labels = scene.labels["scannet20"]
        truth = instance_truth(labels, instance_ids(labels, scene.group), range(2, 19))
        before.append(scene_matches(truth, found.masks, found.mask, found.label, found.score, found.no_proposals))
        masks = Masks.of([np.flatnonzero(mask) for mask, _, _ in read], POINTS)
        said = np.array([INSTANCE_IDS.index(label) + 2 for _, label, _ in read], np.int64)
        score = np.array([score for _, _, score in read])
        np.testing.assert_array_equal(score.astype(np.float32), found.score)
        after.append(scene_matches(truth, masks, np.arange(len(read)), said, score, found.no_proposals))
    for c in range(2, 19):
        for leave in (True, False):
            wanted = class_precision(Matches.joined(before), c, 50, leave)
            np.testing.assert_array_equal(class_precision(Matches.joined(after), c, 50, leave), wanted)
            assert c not in (2, 4, 5, 9) or 0 < wanted[0] < 1


def test_names_and_lines_are_the_benchmarks(saved: SavedInstances, tmp_path: Path) -> None:
    export(saved.predictions, saved.scenes, tmp_path / "out", "instance")
    lines = (tmp_path / "out" / "scene0000_00.txt").read_text().splitlines()
    names = [line.split(" ")[0] for line in lines]
    assert names == [f"predicted_masks/scene0000_00_{k:03}.txt" for k in range(len(lines))]
    # A scene without proposals is submitted too, with an empty list.
    assert (tmp_path / "out" / "scene0003_00.txt").read_text() == ""
    text = (tmp_path / "out" / names[0]).read_bytes()
    assert len(text) == 2 * POINTS and text.endswith(b"\n")


def test_equal_masks_take_their_space_once_where_links_work(
    saved: SavedInstances, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(saved.predictions, saved.scenes, tmp_path / "linked")
    files = sorted((tmp_path / "linked" / "predicted_masks").iterdir())
    distinct = sum(len(np.unique(found.mask)) for found in saved.found)
    assert len({path.stat().st_ino for path in files}) == distinct < len(files)

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(submission.os, "link", refuse)
    export(saved.predictions, saved.scenes, tmp_path / "copied")
    copies = sorted((tmp_path / "copied" / "predicted_masks").iterdir())
    assert len({path.stat().st_ino for path in copies}) == len(files)
    assert [path.read_bytes() for path in copies] == [path.read_bytes() for path in files]


@pytest.mark.parametrize("variant", ["row", "all"])
def test_classes_of_points_are_ids_in_vertex_order(saved: SavedInstances, tmp_path: Path, variant: str) -> None:
    done = export(saved.predictions, saved.scenes, tmp_path / "out", "semantic", variant)
    assert done == Exported("semantic", 4, 0)
    assert len(list((tmp_path / "out").iterdir())) == 4
    for scene in saved.truth:
        wanted = load_predictions(
            saved.predictions / f"{scene.scene_id}.safetensors", scene.coords_sha256, len(scene)
        ).labels[variant]
        lines = (tmp_path / "out" / f"{scene.scene_id}.txt").read_text().splitlines()
        assert [SEMANTIC_IDS.index(int(line)) for line in lines] == wanted.tolist()


def test_a_folder_that_holds_something_is_left_alone(saved: SavedInstances, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("words")
    with pytest.raises(UserError, match="mine: exists already; name a new folder"):
        export(saved.predictions, saved.scenes, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "words"
    (tmp_path / "empty").mkdir()
    export(saved.predictions, saved.scenes, tmp_path / "empty")
    assert any((tmp_path / "empty").iterdir())


def test_nothing_is_left_of_an_export_that_failed(tmp_path: Path) -> None:
    saved = save_random_instances(tmp_path, scenes=3)
    (saved.predictions / f"scene0001_00{SUFFIX}").write_bytes(b"")
    with pytest.raises(SceneError, match=r"scene0001_00: .*differs from the manifest"):
        export(saved.predictions, saved.scenes, tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == []


def test_the_command_exports_and_scores(tmp_path: Path) -> None:
    saved = save_random_instances(tmp_path, scenes=2)
    write_facts(saved.predictions, "instance")
    runner, common = CliRunner(), [str(saved.predictions), "--scenes", str(saved.scenes)]
    done = runner.invoke(app, ["export", *common, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0 and f"2 scenes, {len(saved.found[0])} instances" in done.stdout
    done = runner.invoke(app, ["score", *common, "--out", str(tmp_path / "scores.json")])
    found = read_json(tmp_path / "scores.json")["protocols"]
    assert done.exit_code == 0 and {"regionplc-instance/1", "scannet-instance/1", "all-20/1"} <= set(found)
    assert f"{found['regionplc-instance/1']['hAP50']:.2f}" in done.stdout and "regionplc-instance/1" in done.stdout


def test_predictions_without_the_task_are_refused(tmp_path: Path) -> None:
    from saved_predictions import save_random

    made = save_random(tmp_path, scenes=1)
    with pytest.raises(UserError, match="no predictions for task instance; run the predict rule"):
        export(made.predictions, made.scenes, tmp_path / "out", "instance")
    assert export(made.predictions, made.scenes, tmp_path / "out").task == "semantic"
