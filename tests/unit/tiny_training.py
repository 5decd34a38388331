"""Training a tiny row: in this process, by the command line, or as a trainer that a test may break off."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from tiny_rooms import TinyRow

from regionzoo.settings.train import TrainSettings
from regionzoo.stages import predict
from regionzoo.stages import train as stage
from regionzoo.stages._runtime import Runtime
from regionzoo.text.table import load_table
from regionzoo.training.build import build_network
from regionzoo.training.checkpoint import Progress
from regionzoo.training.distributed import World
from regionzoo.training.loop import Trainer
from regionzoo.training.optim import Optimizer
from regionzoo.training.samples import training_scenes

CPU = Runtime(device="cpu", threads=1)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def with_recipe(tiny: TinyRow, **recipe: object) -> TinyRow:
    """The same row with another recipe."""
    changed = tiny.settings.model_copy(update={"recipe": tiny.settings.recipe.model_copy(update=recipe)})
    return replace(tiny, settings=changed)


def trained(tiny: TinyRow, out: Path, **recipe: object) -> dict[str, torch.Tensor]:
    """Train into ``out`` as the stage does and return the weights."""
    paths = stage.TrainPaths(tiny.scenes, tiny.captions, tiny.features, tiny.text, out, out / "state")
    stage.run(with_recipe(tiny, **recipe).settings, paths, CPU)
    return load_file(out / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights agree to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def trainer(tiny: TinyRow, state: Path, epochs: int) -> Trainer:
    """A trainer of a fresh network."""
    settings = with_recipe(tiny, epochs=epochs).settings
    table = load_table(tiny.text)
    network = build_network(settings, table, "native")
    scenes = training_scenes(tiny.scenes, tiny.train_ids, tiny.captions, None, table, settings)
    return Trainer(
        network=network,
        optimizer=Optimizer(network, settings.recipe, settings.lr),
        scenes=scenes,
        table=table,
        settings=settings,
        state_path=state,
        key="k",
        here=World(0, 1, torch.device("cpu")),
    )


class Killed(Exception):
    """Stands for the end of a process between two epochs."""


def run_and_kill(trainer: Trainer, after: int) -> None:
    """Train until ``after`` epochs are done and saved."""

    def kill(progress: Progress) -> None:
        if progress.epochs_done == after:
            raise Killed

    try:
        trainer.run(on_epoch=kill)
    except Killed:
        return
    raise AssertionError(f"no end after epoch {after}")


def command(settings: TrainSettings, tiny: TinyRow, out: Path, processes: int) -> list[str]:
    """Arguments of the command line that trains ``settings`` into ``out``."""
    arguments = [
        "-m", "regionzoo", "train", "--settings", settings.canonical(), "--scenes", tiny.scenes,
        "--captions", tiny.captions, "--features", tiny.features, "--text", tiny.text, "--out", out,
        "--state", out / "state", "--device", "cpu", "--threads", "1", "--processes", processes,
    ]  # fmt: skip
    return [str(argument) for argument in arguments]


def predict_paths(tiny: TinyRow, result: Path, out: Path) -> predict.PredictPaths:
    """What the prediction of a row trained into ``result`` reads, and ``out/predictions``, which it makes."""
    return predict.PredictPaths(
        tiny.scenes, tiny.captions, tiny.text, result, out / "predictions", out / "predictions.manifest.json"
    )
