"""Stage predict: weights -> what the network says of every point of the validation scenes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from regionzoo.artifacts import replaced_folder, sha256_file, tree_hashes, unfinished, write_manifest
from regionzoo.errors import UserError
from regionzoo.evaluation.environment import peak_memory_gib
from regionzoo.evaluation.predict import device_name, predict_scenes
from regionzoo.evaluation.predictions import PredictedClasses, PredictionFacts, TrainedWith
from regionzoo.integrity import manifest_of, read_made, require_content, require_sealed
from regionzoo.settings.train import PredictSettings, TrainSettings
from regionzoo.stages._folders import split_scenes
from regionzoo.stages._runtime import Runtime
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable, load_table
from regionzoo.training.build import build_network
from regionzoo.training.checkpoint import TEXT_MATRIX, load_model, stored_text
from regionzoo.training.distributed import World, leading, wait_for_all, world

PUBLISHED = ["the original's"]
"""Captioners of weights that were published."""


@dataclass(frozen=True)
class PredictPaths:
    """``result``: folder of the trained row, with model.safetensors and config.json. ``captions``: its manifest says
    who wrote the captions. ``out``, ``manifest``: predictions folder and its manifest. Weights of the original bring
    their class vectors along and were trained elsewhere: ``captions`` and ``text`` are None."""

    scenes: Path
    captions: Path | None
    text: Path | None
    result: Path
    out: Path
    manifest: Path


def run(settings: PredictSettings, paths: PredictPaths, runtime: Runtime) -> None:
    """Predict the validation scenes and replace ``paths.out``, all or nothing.

    The trained row may be another than ``settings.row``, with other classes: the frozen text matrix is made from the
    text table, not taken from the weights, where there is a table.
    """
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    config_path, weights = paths.result / "config.json", paths.result / "model.safetensors"
    if leading():
        require_content(paths.scenes)
        require_sealed(weights)
    config = read_made(config_path)
    identity = sha256_file(weights)
    if config.get("weights_sha256") != identity:
        raise UserError(
            f"{weights}: not the weights that {config_path} was written with; make both again with "
            f"'snakemake --cores all --force -- {weights}'"
        )
    trained = TrainSettings.check(config.get("settings"), f"{config_path}: settings")
    captioners = PUBLISHED
    if paths.captions is not None:
        captioners = read_made(manifest_of(paths.captions))["facts"]["captioners"]
    table = load_table(paths.text) if paths.text is not None else _stored(trained, settings, weights)
    scene_ids = split_scenes(paths.scenes, "val")
    if not scene_ids:
        raise UserError(f"{paths.scenes}: no validation scene; check the validation list")
    start = time.monotonic()
    with world(runtime.device) as here:
        network = build_network(trained, table, runtime.engine, settings.classes)
        load_model(weights, network, skip=() if paths.text is None else (TEXT_MATRIX,))
        network.to(here.device)
        with _shared_folder(paths.out, here) as folder:
            predict_scenes(
                network,
                paths.scenes,
                scene_ids,
                settings.classes.set,
                trained.recipe.voxel_size,
                folder,
                here,
                f"predict {settings.row}",
            )
        if not here.leader:
            return
        facts = PredictionFacts(
            task="semantic" if network.inst_head is None else "instance",
            row=settings.row,
            classes=PredictedClasses.of(settings.classes.set, network.partition),
            training=TrainedWith(
                row=trained.row,
                source=trained.source,
                scale=trained.scale,
                seed=trained.seed,
                overrides=trained.overrides,
                unlabelled_as=trained.classes.unlabelled_as,
                captions={
                    "on": trained.caption.weight > 0,
                    "captioners": captioners,
                },
                distill=trained.distill,
                features=config.get("features", {}) if trained.distill else {"provider": "none"},
                text=config["text"] if paths.text is None else table.facts,
                weights_sha256=identity,
                cost=config.get("cost", {}),
                released=config.get("released"),
            ),
            scenes=len(scene_ids),
            device=device_name(here.device),
            predict_hours=round((time.monotonic() - start) / 3600, 4),
            predict_peak_memory_gib=peak_memory_gib(),
        )
        write_manifest(paths.manifest, tree_hashes(paths.out), facts.model_dump(mode="json"))


def _stored(trained: TrainSettings, settings: PredictSettings, weights: Path) -> TextTable:
    """A table of the shape of the class vectors in the weights, which take its place."""
    vectors = stored_text(weights)
    prompts = class_prompts(settings.classes.set, trained.template)
    if len(vectors) != len(prompts):
        raise UserError(
            f"{weights}: holds vectors of {len(vectors)} classes, and the row has {len(prompts)}; say --text"
        )
    return TextTable(tuple(prompts), vectors)


@contextmanager
def _shared_folder(target: Path, here: World) -> Iterator[Path]:
    """An unfinished folder that all processes write to; it takes the place of ``target`` when all are done."""
    with replaced_folder(target) if here.leader else nullcontext(unfinished(target)) as folder:
        wait_for_all(here)
        yield folder
        wait_for_all(here)
