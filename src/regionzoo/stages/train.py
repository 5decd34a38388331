"""Stage train: scenes, captions and text table -> weights, history and resolved settings."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from regionzoo.artifacts import manifest_hash, sha256_file, write_json, write_text
from regionzoo.codehash import SOURCE, stage_digest
from regionzoo.features.store import load_index
from regionzoo.integrity import manifest_of, only_one, require_content
from regionzoo.settings.train import TrainSettings
from regionzoo.stages._folders import split_scenes
from regionzoo.stages._runtime import Runtime
from regionzoo.text.table import load_table
from regionzoo.training.build import build_network
from regionzoo.training.checkpoint import save_model
from regionzoo.training.distributed import leading, wait_for_all, world
from regionzoo.training.loop import HISTORY, Trainer
from regionzoo.training.optim import Optimizer
from regionzoo.training.samples import training_scenes


@dataclass(frozen=True)
class TrainPaths:
    """Inputs and outputs of a training. ``state`` is a folder for the resume state, no declared output."""

    scenes: Path
    captions: Path
    features: Path
    text: Path
    out: Path
    state: Path


def resume_key(settings: TrainSettings, paths: TrainPaths) -> str:
    """Identity of a training: settings, content of the inputs, code."""
    parts = [
        settings.canonical(),
        manifest_hash(manifest_of(paths.scenes)),
        manifest_hash(manifest_of(paths.captions)),
        manifest_hash(manifest_of(paths.features)),
        sha256_file(paths.text),
        stage_digest(SOURCE, "train"),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def run(settings: TrainSettings, paths: TrainPaths, runtime: Runtime) -> None:
    """Train, or go on where a killed training of the very same identity stopped, and write the results."""
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    with only_one(paths.state, "training") if leading() else nullcontext():
        if leading():
            used = (paths.captions,) if settings.caption.weight > 0 else ()
            used += (paths.features,) if settings.distill > 0 else ()
            require_content(paths.scenes, *used)
        _train(settings, paths, runtime)


def _train(settings: TrainSettings, paths: TrainPaths, runtime: Runtime) -> None:
    table = load_table(paths.text)
    with world(runtime.device) as here:
        network = build_network(settings, table, runtime.engine).to(here.device)
        captions = paths.captions if settings.caption.weight > 0 else None
        features = paths.features if settings.distill > 0 else None
        scenes = training_scenes(paths.scenes, split_scenes(paths.scenes, "train"), captions, features, table, settings)
        trainer = Trainer(
            network=network,
            optimizer=Optimizer(network, settings.recipe, settings.lr),
            scenes=scenes,
            table=table if captions is not None else None,
            settings=settings,
            state_path=paths.state / "state.safetensors",
            key=resume_key(settings, paths),
            here=here,
            workers=runtime.loaders,
        )
        progress = trainer.run()
        if here.leader:
            device = torch.cuda.get_device_name(here.device) if here.device.type == "cuda" else "cpu"
            save_model(paths.out / "model.safetensors", network, {"row": settings.row, "key": trainer.key})
            write_text(paths.out / "history.csv", pd.DataFrame(progress.history, columns=HISTORY).to_csv(index=False))
            # Nothing that differs between two runs (hours are in history.csv): weights made again, equal to the bit,
            # are not new to the jobs that follow.
            config = {
                "weights_sha256": sha256_file(paths.out / "model.safetensors"),
                "settings": settings.model_dump(mode="json"),
                "features": load_index(paths.features).provider if features is not None else {"provider": "none"},
                "parameters": sum(p.numel() for p in network.parameters()),
                "cost": {
                    "steps": progress.steps_done,
                    "device": device,
                    "processes": here.size,
                    "threads": torch.get_num_threads(),
                    "engine": runtime.engine,
                },
            }
            write_json(paths.out / "config.json", config, seal=True)
            shutil.rmtree(paths.state, ignore_errors=True)
        # Nobody goes on to the next job before the files are there.
        wait_for_all(here)
