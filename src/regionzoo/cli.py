"""The command line: the one door to the code for rules, DVC stages and people.

Each command imports its stage when it is called, so that ``--help`` is quick and a job loads what it needs only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from regionzoo import __version__
from regionzoo.artifacts import no_room
from regionzoo.cli_apply import own_scans
from regionzoo.cli_options import (
    Captions,
    Device,
    DeviceOption,
    Engine,
    EngineOption,
    Manifest,
    Out,
    ParamsFile,
    Precision,
    PrecisionOption,
    Processes,
    Raw,
    Scenes,
    SettingsJson,
    Text,
    Threads,
    Workers,
)
from regionzoo.cli_people import people
from regionzoo.cli_released import published
from regionzoo.errors import UserError
from regionzoo.launch import choose_loaders, choose_processes, launch, threads_each

STAGES = "Stages (the rules of the workflow call these)"

app = typer.Typer(
    name="regionzoo",
    help=(
        "Rebuild the rows of the RegionPLC model zoo.\n\n"
        "The usual way is the workflow: [bold]snakemake --cores 8 results/scannet_b15n4/metrics.json[/bold] builds a "
        "row and all it needs; [bold]dvc repro[/bold] does the same and records it. The commands below are what the "
        "workflow runs, and a few for people."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(own_scans)
app.add_typer(published)
app.add_typer(people)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"regionzoo {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    return None


@app.command(rich_help_panel=STAGES)
def raw(settings: SettingsJson, out: Out, manifest: Manifest, workers: Workers = 1) -> None:
    """Link the raw tree of a data set, generating synthetic scenes if no root is set, and write its manifest."""
    from regionzoo.settings.data import RawSettings
    from regionzoo.stages import raw as stage

    stage.run(RawSettings.parse(settings), out, manifest, workers)


@app.command(rich_help_panel=STAGES)
def preprocess(
    settings: SettingsJson,
    raw: Raw,
    out: Out,
    manifest: Manifest,
    work: Annotated[Path, typer.Option(help="Folder that keeps finished scenes if others fail.")],
    workers: Workers = 1,
) -> None:
    """Turn raw scans into the scene store (coordinates, colours, superpoints, instances, labels of both class sets)."""
    from regionzoo.settings.data import PreprocessSettings
    from regionzoo.stages import preprocess as stage

    stage.run(PreprocessSettings.parse(settings), raw, out, manifest, work, workers)


@app.command(rich_help_panel=STAGES)
def regions(
    settings: SettingsJson,
    raw: Raw,
    scenes: Scenes,
    out: Out,
    manifest: Manifest,
    work: Annotated[Path, typer.Option(help="Folder that keeps what pretrained captioners say.")] = Path(
        "runs/captions"
    ),
    workers: Workers = 1,
    device: DeviceOption = Device.auto,
    precision: PrecisionOption = Precision.auto,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in front of a pretrained captioner at once.")] = 8,
) -> None:
    """Caption the frames of the training scenes and lift the boxes to points, or import captions that others made.

    Device, precision and batch size are those of pretrained captioners; such a run goes on where a killed one was.
    """
    from regionzoo.settings.data import RegionSettings
    from regionzoo.stages import regions as stage

    paths = stage.RegionPaths(raw=raw, scenes=scenes, out=out, manifest=manifest, work=work)
    runtime = stage.CaptioningRuntime(workers, device.value, precision.value, batch_size)
    stage.run(RegionSettings.parse(settings), paths, runtime)


@app.command(rich_help_panel=STAGES)
def fuse(
    settings: SettingsJson,
    scenes: Scenes,
    primary: Annotated[Path, typer.Option(help="Regions of the primary source.")],
    supplementary: Annotated[Path, typer.Option(help="Regions of the supplementary source.")],
    out: Out,
    manifest: Manifest,
    workers: Workers = 1,
) -> None:
    """Add to a primary source the regions of a supplementary one that overlap little with it (IoU)."""
    from regionzoo.settings.data import FuseSettings
    from regionzoo.stages import fuse as stage

    stage.run(FuseSettings.parse(settings), scenes, primary, supplementary, out, manifest, workers)


@app.command(rich_help_panel=STAGES)
def features(
    settings: SettingsJson, raw: Raw, scenes: Scenes, out: Out, manifest: Manifest, workers: Workers = 1
) -> None:
    """Import or fuse the point features that networks are distilled from."""
    from regionzoo.settings.data import FeatureSettings
    from regionzoo.stages import features as stage

    stage.run(FeatureSettings.parse(settings), raw, scenes, out, manifest, workers)


@app.command(rich_help_panel=STAGES)
def text(settings: SettingsJson, captions: Captions, out: Out) -> None:
    """Encode class prompts and captions into a table of unit vectors."""
    from regionzoo.settings.data import TextSettings
    from regionzoo.stages import text as stage

    stage.run(TextSettings.parse(settings), captions, out)


@app.command(rich_help_panel=STAGES)
def train(
    settings: SettingsJson,
    scenes: Scenes,
    captions: Captions,
    features: Annotated[Path, typer.Option(help="Folder of the feature store (rows with distillation).")],
    text: Text,
    out: Out,
    state: Annotated[Path, typer.Option(help="Folder of the resume state; removed when the training is done.")],
    device: DeviceOption = Device.auto,
    engine: EngineOption = Engine.native,
    threads: Threads = 0,
    loaders: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that prepare batches; by default most threads with a GPU, else none."),
    ] = None,
    processes: Processes = 0,
) -> None:
    """Train a row; called again after a kill, it goes on from its last epoch."""
    from regionzoo.settings.train import TrainSettings

    checked = TrainSettings.parse(settings)
    count = choose_processes(processes, checked.recipe.shards, threads, device.value)
    launch(count)
    from regionzoo.stages import train as stage
    from regionzoo.stages._runtime import Runtime

    paths = stage.TrainPaths(scenes=scenes, captions=captions, features=features, text=text, out=out, state=state)
    helpers = choose_loaders(loaders, threads, count, device.value)
    stage.run(checked, paths, Runtime(device.value, engine.value, threads_each(threads, count), helpers))


@app.command(rich_help_panel=STAGES)
def predict_scenes(
    settings: SettingsJson,
    scenes: Scenes,
    result: Annotated[Path, typer.Option(help="Folder with model.safetensors and config.json.")],
    out: Out,
    manifest: Manifest,
    captions: Annotated[
        Path | None, typer.Option(help="Caption set of the training; published weights need none.")
    ] = None,
    text: Annotated[
        Path | None, typer.Option(help="Text table; default: the class vectors stored with the weights.")
    ] = None,
    device: DeviceOption = Device.auto,
    engine: EngineOption = Engine.native,
    threads: Threads = 0,
    processes: Processes = 0,
) -> None:
    """Run a trained network over the validation scenes and save its predictions."""
    from regionzoo.settings.train import PredictSettings

    checked = PredictSettings.parse(settings)
    launch(processes)
    from regionzoo.stages import predict as stage
    from regionzoo.stages._runtime import Runtime

    paths = stage.PredictPaths(scenes=scenes, captions=captions, text=text, result=result, out=out, manifest=manifest)
    stage.run(checked, paths, Runtime(device.value, engine.value, threads_each(threads, processes)))


@app.command(rich_help_panel=STAGES)
def evaluate(
    settings: SettingsJson,
    scenes: Scenes,
    predictions: Annotated[Path, typer.Option(help="Folder of saved predictions.")],
    out: Out,
    trained: Annotated[Path | None, typer.Option(help="Folder of the trained row, for the hours it took.")] = None,
) -> None:
    """Score saved predictions under a row's protocols and write metrics.json."""
    from regionzoo.settings.train import EvaluateSettings
    from regionzoo.stages import evaluate as stage

    stage.run(EvaluateSettings.parse(settings), scenes, predictions, out, trained)


@app.command(rich_help_panel=STAGES)
def released(
    settings: SettingsJson,
    out: Out,
    folder: Annotated[Path, typer.Option(help="Where fetched files are kept.")] = Path("data/released"),
    lock: Annotated[Path, typer.Option(help="Table of their digests; commit it.")] = Path("data/released.lock.csv"),
) -> None:
    """Fetch, verify and convert a checkpoint of the original: weights as a training would have left them."""
    from regionzoo.settings.released import ReleasedSettings
    from regionzoo.stages import released as stage

    stage.run(ReleasedSettings.parse(settings), out, folder, lock)


@app.command(rich_help_panel=STAGES)
def pictures(
    row: Annotated[str, typer.Option(help="The row, one that finds instances.")],
    scenes: Scenes,
    predictions: Annotated[Path, typer.Option(help="Folder of saved predictions.")],
    out: Out,
    manifest: Manifest,
) -> None:
    """Draw the instances found in a few validation scenes beside the annotated ones."""
    from regionzoo.stages import pictures as stage

    stage.run(row, scenes, predictions, out, manifest)


@app.command(rich_help_panel=STAGES)
def tables(
    settings: Annotated[
        str, typer.Option("--settings", help="Settings as JSON, as the workflow passes them; default: from --params.")
    ] = "",
    results: Annotated[Path, typer.Option(help="Folder with a folder of results a row.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder for the tables and plots.")] = Path("results/tables"),
    params: ParamsFile = Path("params.yaml"),
) -> None:
    """Write the published tables beside the rebuilt rows: Markdown, CSV, LaTeX, HTML and plots.

    Rows that are not built yet, or whose files are damaged, say so in their line.
    """
    from regionzoo.config import load_params
    from regionzoo.settings.train import TablesSettings
    from regionzoo.stages import tables as stage

    stage.run(TablesSettings.parse(settings) if settings else load_params(params).tables(), results, out)


def main() -> None:
    """Run the command line; bad input ends in one line on stderr and exit code 2."""
    # Large pages for torch's CPU memory: a training step is 8 % faster. torch reads this when it is imported.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        app()
    except UserError as error:
        # Every process of a training meets the same error; one of them tells.
        if os.environ.get("RANK", "0") == "0":
            print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if not no_room(error):
            raise
        print(f"error: the disk is full ({error}); free some space and run the same command again", file=sys.stderr)
        sys.exit(2)
