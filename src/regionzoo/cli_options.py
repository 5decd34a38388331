"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where tensors live."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """Numbers of a pretrained captioner."""

    auto = "auto"
    float32 = "float32"
    float16 = "float16"


class Task(StrEnum):
    """What is predicted."""

    semantic = "semantic"
    instance = "instance"


class VariantOption(StrEnum):
    """Which of the saved predictions of points (regionzoo.evaluation.predictions)."""

    row = "row"
    masked = "masked"
    all = "all"
    foreground = "foreground"


class Engine(StrEnum):
    """Sparse convolution engine."""

    native = "native"
    minkowski = "minkowski"


SettingsJson = Annotated[
    str, typer.Option("--settings", help="The job's settings as JSON, as the workflow passes them.")
]
Raw = Annotated[Path, typer.Option(help="Link to the raw tree.")]
Scenes = Annotated[Path, typer.Option(help="Folder of the scene store.")]
Captions = Annotated[Path, typer.Option(help="Folder of the caption set.")]
Text = Annotated[Path, typer.Option(help="Text table (safetensors).")]
Out = Annotated[Path, typer.Option(help="Where to write.")]
Manifest = Annotated[Path, typer.Option(help="Content manifest to write beside the output.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
DeviceOption = Annotated[Device, typer.Option(help="auto takes a GPU if there is one.")]
PrecisionOption = Annotated[
    Precision, typer.Option(help="auto: float16 on a GPU, float32 on a CPU; a caption may change with it.")
]
EngineOption = Annotated[Engine, typer.Option(help="Engine of the sparse convolutions; results agree within rounding.")]
Threads = Annotated[int, typer.Option(min=0, help="Cores for torch, shared by the processes; 0: all.")]
Processes = Annotated[
    int, typer.Option(min=0, help="Processes on this machine, one a GPU; 0: one, or on a CPU one a core and shard.")
]
ParamsFile = Annotated[Path, typer.Option("--params", help="The table of rows and settings.")]
