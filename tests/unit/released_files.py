"""Checkpoint files as the original writes them, and as a hostile stranger might."""

from __future__ import annotations

import os
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from checkpoint_layout import checkpoint

from regionzoo.config import Params
from regionzoo.settings.train import TrainSettings

REPOSITORY = Path(__file__).resolve().parents[2]
UNET16 = (16, 32, 48, 64, 80, 96, 112)
UNET32 = (32, 64, 96, 128, 160, 192, 224)
NUSCENES = (32, 64, 128, 256, 256)


@dataclass(frozen=True)
class Model:
    """Facts of one of the eight networks that the original has published; parameters by module, learnable or not."""

    widths: tuple[int, ...]
    inputs: int
    classes: int
    binary: bool
    layers: int
    last_norm: bool
    tensors: int
    parameters: dict[str, int]


MODELS = {
    "scannet_b15n4": Model(
        UNET16, 6, 20, True, 2, True, 606,
        {"backbone_3d": 7_532_128, "adapter": 44_016, "binary_head": 3_425_201, "task_head": 10_240, "caption_head": 1},
    ),
    "scannet_inst_b13n4": Model(
        UNET16, 6, 20, True, 2, True, 711,
        {"backbone_3d": 7_532_128, "adapter": 44_016, "binary_head": 3_425_201, "task_head": 10_240,
         "inst_head": 182_837, "caption_head": 1},
    ),
    "scannet200_b170n30": Model(
        UNET32, 6, 200, True, 2, True, 606,
        {"backbone_3d": 30_106_304, "adapter": 71_552, "binary_head": 13_692_257, "task_head": 102_400,
         "caption_head": 1},
    ),
    "nuscenes_b12n3": Model(
        NUSCENES, 4, 16, True, 1, True, 415,
        {"backbone_3d": 30_155_968, "adapter": 17_920, "binary_head": 12_799_137, "task_head": 8_192,
         "caption_head": 1},
    ),
    "scannet_zs_unet16": Model(
        UNET16, 6, 20, False, 2, True, 413,
        {"backbone_3d": 7_532_128, "adapter": 44_016, "task_head": 10_240, "caption_head": 1},
    ),
    "scannet_zs_unet32": Model(
        UNET32, 6, 20, False, 2, True, 413,
        {"backbone_3d": 30_106_304, "adapter": 71_552, "task_head": 10_240, "caption_head": 1},
    ),
    "scannet_zs_openscene_unet16": Model(
        UNET16, 6, 20, False, 2, False, 408,
        {"backbone_3d": 7_532_128, "adapter": 42_992, "task_head": 10_240, "caption_head": 1},
    ),
    "scannet_zs_openscene_unet32": Model(
        UNET32, 6, 20, False, 2, False, 408,
        {"backbone_3d": 30_106_304, "adapter": 70_528, "task_head": 10_240, "caption_head": 1},
    ),
}  # fmt: skip


def row_settings(name: str) -> TrainSettings:
    """A row at scale ``paper``."""
    plain = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    return Params.check(plain | {"scale": "paper"}, "params.yaml").train(name)


def shapes_of(name: str) -> dict[str, list[int]]:
    """Names and shapes in the file, from the pattern of names alone."""
    model = MODELS[name]
    hidden = {16: 80, 32: 128}[model.widths[0]]
    return checkpoint(
        model.widths, model.inputs, model.classes, model.binary, hidden, model.layers, model.last_norm, "inst" in name
    )


def filled(shapes: dict[str, list[int]], dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Tensors of these shapes: each its own stretch of one draw of numbers, variances positive, counts whole."""
    longest = max(torch.Size(shape).numel() for shape in shapes.values())
    numbers = torch.randn(longest + len(shapes), generator=torch.Generator().manual_seed(5)).to(dtype)
    state = {}
    for position, (key, shape) in enumerate(shapes.items()):
        if key.endswith(("num_batches_tracked", "global_step")):
            state[key] = torch.full(shape, position, dtype=torch.int64)
            continue
        part = numbers[position : position + torch.Size(shape).numel()].reshape(shape)
        state[key] = part.abs() if key.endswith("running_var") else part.clone()
    return state


# Where the axes [out, x, y, z, in] stand in a layout, written by hand.
AXES = {"okkki": "oxyzi", "kkkoi": "xyzoi", "kkkio": "xyzio"}


def in_layout(state: dict[str, torch.Tensor], layout: str) -> dict[str, torch.Tensor]:
    """The same state with its convolutions in another layout."""
    return {
        key: torch.einsum(f"oxyzi->{AXES[layout]}", value).contiguous() if value.ndim == 5 else value
        for key, value in state.items()
    }


def write(path: Path, state: Any, zipped: bool = False, **facts: Any) -> Path:
    """A file of ``torch.save`` with the facts that the original's files have."""
    content = {"epoch": 128, "it": 19_200, "model_state": state, "version": "pcseg+0.1", "best_metric": 69.4}
    return write_any(path, content | {"best_epoch": 120} | facts, zipped)


def write_any(path: Path, content: Any, zipped: bool = False) -> Path:
    """A file of ``torch.save`` with any content."""
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def small_state() -> OrderedDict[str, torch.Tensor]:
    """A few tensors; no network's."""
    return OrderedDict(a=torch.arange(6.0).reshape(2, 3), n=torch.tensor(3))


class Bomb:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def bombs(sentinel: Path) -> dict[str, Bomb]:
    """Calls that make the file ``sentinel``, should anything run them."""
    import builtins
    import subprocess

    touch = f"touch {sentinel}"
    code = f"open({str(sentinel)!r}, 'w')"
    return {
        "os.system": Bomb(os.system, touch),
        "os.mkdir": Bomb(os.mkdir, str(sentinel)),
        "eval": Bomb(vars(builtins)["eval"], code),
        "exec": Bomb(vars(builtins)["exec"], code),
        "open": Bomb(open, str(sentinel), "w"),
        "Popen": Bomb(subprocess.Popen, ["touch", str(sentinel)]),
        "getattr": Bomb(getattr, "text", "upper"),
        "torch.save": Bomb(torch.save, 1, str(sentinel)),
    }


def replace_pickle(path: Path, stream: bytes, zipped: bool) -> None:
    """Put another pickle in the place of the content of a file of ``torch.save``."""
    if zipped:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, stream if name.endswith("data.pkl") else content)
        return
    whole = path.read_bytes()
    start = whole.index(b"\x80\x02", whole.index(b"little_endian"))
    # No storages follow.
    path.write_bytes(whole[:start] + stream + b"\x80\x02].")
