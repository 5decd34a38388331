"""Annotation-free training sees no label; distillation reads the chunk that the seed draws."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tiny_rooms import TinyRow, annotation_free, make_tiny_row

from regionzoo.artifacts import tree_hashes, write_manifest
from regionzoo.features.store import load_chunk
from regionzoo.scenes.store import load_scene, save_scene
from regionzoo.settings.train import TrainSettings
from regionzoo.stages import train as stage
from regionzoo.stages._runtime import Runtime
from regionzoo.text.table import load_table
from regionzoo.training.dataset import TrainingScenes

CPU = Runtime(device="cpu", threads=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyRow:
    return make_tiny_row(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def shuffled(tiny: TinyRow, tmp_path_factory: pytest.TempPathFactory) -> TinyRow:
    """The same scenes with the labels, objects and superpoints of every scene in random order."""
    folder = tmp_path_factory.mktemp("shuffled")
    shutil.copytree(tiny.scenes, folder / "scenes")
    for path in sorted((folder / "scenes").glob("*.safetensors")):
        scene = load_scene(path)
        order = np.random.default_rng(len(path.stem)).permutation(len(scene))
        labels = {name: values[order] for name, values in scene.labels.items()}
        assert any((labels[name] != values).any() for name, values in scene.labels.items())
        save_scene(path, replace(scene, labels=labels, group=scene.group[order], superpoint=scene.superpoint[order]))
    write_manifest(folder / "scenes.manifest.json", tree_hashes(folder / "scenes"), {})
    return replace(tiny, scenes=folder / "scenes")


def weights(row: TinyRow, settings: TrainSettings, out: Path) -> dict[str, torch.Tensor]:
    paths = stage.TrainPaths(row.scenes, row.captions, row.features, row.text, out, out / "state")
    stage.run(settings, paths, CPU)
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize("distill", [0.0, 1.0])
def test_shuffled_labels_change_no_bit(tiny: TinyRow, shuffled: TinyRow, tmp_path: Path, distill: float) -> None:
    settings = annotation_free(tiny.settings, distill)
    a, b = weights(tiny, settings, tmp_path / "a"), weights(shuffled, settings, tmp_path / "b")
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    # The very same comparison does notice labels where they are used.
    c, d = weights(tiny, tiny.settings, tmp_path / "c"), weights(shuffled, tiny.settings, tmp_path / "d")
    assert not all(torch.equal(c[key], d[key]) for key in c)


def test_only_the_losses_of_the_row_are_there(tiny: TinyRow, tmp_path: Path) -> None:
    keys = weights(tiny, annotation_free(tiny.settings, 1.0), tmp_path)
    assert not any(key.startswith("binary_head") for key in keys)
    history = pd.read_csv(tmp_path / "history.csv")
    assert (history["seg"] == 0).all() and (history["binary"] == 0).all()
    assert (history["caption"] > 0).all() and (history["distill"] > 0).all()


def test_distillation_lowers_its_loss(tiny: TinyRow, tmp_path: Path) -> None:
    settings = annotation_free(tiny.settings, 1.0)
    alone = {
        "recipe": settings.recipe.model_copy(update={"epochs": 40}),
        "caption": settings.caption.model_copy(update={"weight": 0.0}),
    }
    weights(tiny, settings.model_copy(update=alone), tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["distill"].iloc[-1] < 0.5 * history["distill"].iloc[0]


def test_no_epoch_leaves_the_untrained_network(tiny: TinyRow, tmp_path: Path) -> None:
    settings = annotation_free(tiny.settings)
    none = settings.model_copy(update={"recipe": settings.recipe.model_copy(update={"epochs": 0})})
    kept = weights(tiny, none, tmp_path)
    assert all(torch.equal(value, torch.zeros_like(value)) for key, value in kept.items() if "running_mean" in key)
    assert len(pd.read_csv(tmp_path / "history.csv")) == 0


def scenes_of(tiny: TinyRow, distill: float, seed: int = 0) -> TrainingScenes:
    settings = annotation_free(tiny.settings, distill).model_copy(update={"seed": seed})
    features = tiny.features if distill else None
    return TrainingScenes(tiny.scenes, tiny.train_ids, tiny.captions, features, load_table(tiny.text), settings)


def test_the_chunk_is_drawn_from_seed_epoch_and_sample(tiny: TinyRow) -> None:
    plain, with_features, again = scenes_of(tiny, 0.0), scenes_of(tiny, 1.0), scenes_of(tiny, 1.0)
    drawn = []
    for epoch in range(6):
        item, same = with_features.item(epoch, 2), again.item(epoch, 2)
        assert item.features is not None and same.features is not None
        np.testing.assert_array_equal(item.features[0], same.features[0])
        np.testing.assert_array_equal(item.features[1], same.features[1])
        # Augmentation, captions and order of points are those of the row without distillation.
        other = plain.item(epoch, 2)
        assert other.features is None and other.labels is None
        np.testing.assert_array_equal(other.room.voxels, item.room.voxels)
        np.testing.assert_array_equal(other.origin, item.origin)
        assert other.texts == item.texts
        # The targets are those of the chunk's points, found again behind the shuffle.
        path = tiny.features / f"{item.scene_id}.safetensors"
        chunks = [load_chunk(path, k, load_scene(tiny.scenes / path.name).coords_sha256) for k in range(2)]
        origin = item.origin[item.features[0]]
        matches = [k for k, (points, _) in enumerate(chunks) if np.array_equal(np.sort(points), np.sort(origin))]
        assert len(matches) == 1
        points, feats = chunks[matches[0]]
        np.testing.assert_array_equal(feats[np.searchsorted(points, origin)], item.features[1])
        drawn.append(matches[0])
    assert set(drawn) == {0, 1}
