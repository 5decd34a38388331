"""Commands for people: saved results read, scored, drawn and exported, and single runs with other settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from regionzoo.cli_options import (
    Device,
    DeviceOption,
    Engine,
    EngineOption,
    ParamsFile,
    Processes,
    Scenes,
    Task,
    Threads,
    VariantOption,
    Workers,
)
from regionzoo.errors import UserError
from regionzoo.launch import choose_processes, launch, threads_each

PEOPLE = "For people"

people = typer.Typer()


@people.command(rich_help_panel=PEOPLE)
def raw_status(
    data: Annotated[Path, typer.Option(help="Folder that holds a folder for each data set.")] = Path("data"),
) -> None:
    """Say which raw files are not what was built from, and tell DVC (`dvc status` cannot look into raw trees)."""
    from regionzoo.scenes.raw_look import status_lines

    for line in status_lines(data):
        print(line)


@people.command(rich_help_panel=PEOPLE)
def sens_export(
    root: Annotated[Path, typer.Option(help="Folder of the ScanNet download, which holds scans/.")],
    interval: Annotated[
        int, typer.Option(min=1, help="Frames 0, N, 2 N, ...: 20 is the original's 125k set, 100 the 25k set.")
    ] = 20,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the frames; default: <root>/scannet_frames_25k, where they are read."),
    ] = None,
    list_: Annotated[
        list[str],
        typer.Option("--list", metavar="FILE", help="Scene ids, a file below root; repeatable; default: all."),
    ] = [],  # noqa: B006
    workers: Workers = 1,
) -> None:
    """Write frames of the recordings (.sens) in the layout of scannet_frames_25k, at any interval.

    Called again, it goes on with the scenes that are not done. Label and instance images are no part of a recording.
    """
    from regionzoo.progress import Meter
    from regionzoo.scenes.sens_export import export_scenes, recorded_scenes
    from regionzoo.scenes.splits import read_split_list

    folder = root / "scannet_frames_25k" if out is None else out
    listed = {scene for name in list_ for scene in read_split_list(root / name, "scannet")}
    scenes = sorted(listed) if list_ else recorded_scenes(root)
    with Meter("export frames", len(scenes)) as meter:
        done = export_scenes(root, scenes, folder, interval, workers, lambda count, _: meter.update(count))
    kept = f" ({done['scenes_kept']} were there)" if done["scenes_kept"] else ""
    lost = f", {done['frames_without_pose']} of them without pose" if done["frames_without_pose"] else ""
    print(f"{folder}: {done['scenes']} scenes{kept}, {done['frames']} frames{lost}")


@people.command(rich_help_panel=PEOPLE)
def score(
    predictions: Annotated[
        Path | None, typer.Argument(help="Saved predictions, such as results/scannet_b15n4/predictions.")
    ] = None,
    protocol: Annotated[
        list[str], typer.Option("--protocol", metavar="ID", help="Protocol; repeatable; default: all that fit.")
    ] = [],  # noqa: B006
    scenes: Scenes = Path("data/scannet/scenes"),
    out: Annotated[Path | None, typer.Option(help="Also write the scores as JSON.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the protocols and stop.")] = False,
) -> None:
    """Score saved predictions under other evaluation protocols, without the model."""
    from regionzoo.evaluation.command import print_protocols, score_command

    if list_:
        print_protocols()
        return
    if predictions is None:
        raise UserError("score: name a predictions folder, such as results/scannet_b15n4/predictions, or --list")
    score_command(predictions, protocol, scenes, out)


@people.command(rich_help_panel=PEOPLE)
def export(
    predictions: Annotated[
        Path, typer.Argument(help="Saved predictions, such as results/scannet_inst_b13n4/predictions.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the files.")],
    scenes: Scenes = Path("data/scannet/scenes"),
    task: Annotated[Task | None, typer.Option(help="Default: instances if there are any.")] = None,
    variant: Annotated[
        VariantOption, typer.Option(help="Classes of points: as the row publishes them, or with all classes allowed.")
    ] = VariantOption.row,
) -> None:
    """Write saved predictions as the ScanNet benchmark takes them: text files with NYU40 ids, one line a vertex."""
    from regionzoo.evaluation.submission import export as write

    done = write(predictions, scenes, out, task.value if task else None, variant.value)
    print(f"{out}: {done.scenes} scenes" + (f", {done.instances} instances" if done.task == "instance" else ""))


@people.command(rich_help_panel=PEOPLE)
def rows(params: ParamsFile = Path("params.yaml")) -> None:
    """List the rows: data, classes, published scores, the target that builds each."""
    from regionzoo.report.rows import print_rows

    print_rows(params)


@people.command(rich_help_panel=PEOPLE)
def run(
    row: Annotated[str, typer.Argument(help="A row of params.yaml.")],
    tag: Annotated[str, typer.Option(help="Name of this run; results go to results/<row>+<tag>.")],
    set_: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override, such as lr=0.01; repeatable.")
    ] = [],  # noqa: B006
    params: ParamsFile = Path("params.yaml"),
    device: DeviceOption = Device.auto,
    engine: EngineOption = Engine.native,
    threads: Threads = 0,
    processes: Processes = 0,
) -> None:
    """Train and score a row once with other settings, on the inputs that the workflow has built.

    Keys are those of a row's config.json, for example lr=0.01, recipe.epochs=2 (0: the untrained network),
    caption.weight=0 or seed=1. The override is
    written into config.json and metrics.json of results/<row>+<tag>; the row's own results stay as they are.
    """
    from regionzoo.overrides import overridden

    one = overridden(params, row, tag, set_)
    count = choose_processes(processes, one.train.recipe.shards, threads, device.value)
    launch(count)
    from regionzoo.stages import evaluate as evaluate_stage
    from regionzoo.stages import predict as predict_stage
    from regionzoo.stages import train as train_stage
    from regionzoo.stages._runtime import Runtime

    runtime = Runtime(device.value, engine.value, threads_each(threads, count))
    out, inputs = Path("results") / one.train.row, one.inputs
    predictions = out / "predictions"
    train_stage.run(
        one.train,
        train_stage.TrainPaths(
            inputs.scenes, inputs.captions, inputs.features, inputs.text, out, Path("runs") / one.train.row
        ),
        runtime,
    )
    # The trained network is in files now; one process is enough for the rest.
    if os.environ.get("RANK", "0") != "0":
        return
    os.environ["WORLD_SIZE"] = "1"
    predict_stage.run(
        one.predict,
        predict_stage.PredictPaths(
            inputs.scenes, inputs.captions, inputs.text, out, predictions, out / "predictions.manifest.json"
        ),
        runtime,
    )
    evaluate_stage.run(one.evaluate, inputs.scenes, predictions, out, trained=out)
    print(f"{out / 'metrics.json'}")


@people.command(rich_help_panel=PEOPLE)
def plot(
    result: Annotated[Path, typer.Argument(help="A folder of results, such as results/scannet_b15n4.")],
) -> None:
    """Draw a result's training curves and per-class IoU as PNG files beside its metrics.json."""
    from regionzoo.report.figures import draw_result

    for path in draw_result(result):
        print(path)


@people.command(rich_help_panel=PEOPLE)
def plots_offline() -> None:
    """Make the library with which the page of `dvc plots show` draws its charts, without network.

    Every call of snakemake does this too.
    """
    from regionzoo.report.offline import write_library

    print(write_library(Path()))


@people.command(rich_help_panel=PEOPLE)
def check(
    metrics: Annotated[list[Path], typer.Argument(help="metrics.json files.")],
    expected: Annotated[Path, typer.Option(help="Expected ranges.")] = Path("docs/expected.yaml"),
) -> None:
    """Compare results with the ranges that the documentation promises; exits with 1 if one is outside."""
    from regionzoo.report.check import check_files

    raise typer.Exit(0 if check_files(metrics, expected) else 1)
