"""A checkpoint of the original as a network's ``state_dict``: names, axes and number types."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from regionzoo.errors import UserError
from regionzoo.models.network import RegionNet
from regionzoo.released.layouts import OURS, Layout, Shape, fitting_layouts, shape_in, to_ours
from regionzoo.released.remaps import Remap, renamed_all
from regionzoo.settings.train import TrainSettings
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.table import TextTable
from regionzoo.training.build import build_network
from regionzoo.training.checkpoint import TEXT_MATRIX

STEP_COUNT = "global_step"
CLIP_DIMENSION = 512
"""D of the CLIP models that all published rows use."""
_DDP = "module."


@dataclass(frozen=True)
class Converted:
    """Weights under our names and axes.

    state: float32 or int64, contiguous, every tensor of the network; the text matrix [classes, D] is the file's own,
    and its classes need not be the row's. layout: of the file. told_by: whether its shapes said so, or the caller.
    stored_as: number types in the file, but for float32 and int64.
    """

    state: dict[str, Tensor]
    layout: Layout
    told_by: Literal["shapes", "caller"]
    remap: Remap | None
    stored_as: tuple[str, ...]

    @property
    def text_matrix(self) -> Tensor:
        """float32 [classes, D]: the checkpoint's own class vectors."""
        return self.state[TEXT_MATRIX]


def network_like(settings: TrainSettings, dimension: int = CLIP_DIMENSION) -> RegionNet:
    """The row's network without memory for its numbers: names, shapes and order of its tensors. dimension: D."""
    prompts = tuple(sorted(set(class_prompts(settings.classes.set, settings.template))))
    table = TextTable(prompts, np.zeros((len(prompts), dimension), np.float32))
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return build_network(settings, table, "native")


def convert(
    where: Path,
    state: dict[str, Tensor],
    network: RegionNet,
    layout: Layout | None = None,
    remap: Remap | None = None,
) -> Converted:
    """The tensors of a file for ``network``.

    where: named in errors. layout: of the file's convolutions, None to tell it by their shapes. remap: the file comes
    from this predecessor of the original. :class:`UserError` with a line for each difference (missing, unexpected, of
    another shape or type) if anything but the text matrix differs, and if the layout cannot be told.
    """
    expected = network.state_dict()
    given = _named(where, state, remap)
    if remap is not None:
        # The predecessors had no such buffer, and nothing counts it.
        given.setdefault(STEP_COUNT, torch.zeros(1, dtype=torch.int64))
    convolutions = {key: tuple(value.shape) for key, value in expected.items() if value.ndim == 5}
    found = {key: tuple(value.shape) for key, value in given.items() if value.ndim == 5}
    told = layout or _told_by_shapes(where, found, convolutions)
    wanted = {
        key: shape_in(told, convolutions[key]) if key in convolutions else tuple(value.shape)
        for key, value in expected.items()
    }
    if TEXT_MATRIX in given and given[TEXT_MATRIX].ndim == 2 and len(given[TEXT_MATRIX]):
        wanted[TEXT_MATRIX] = (len(given[TEXT_MATRIX]), network.settings.embed_dim)
    lines = _differences(given, expected, wanted)
    if lines:
        raise UserError(
            f"{where}: not a checkpoint of this row, {len(lines)} differences (only the text matrix may differ):\n"
            + "\n".join(lines)
        )
    made = {
        key: to_ours(given[key], told).to(value.dtype)
        if key in convolutions
        else given[key].to(value.dtype).contiguous()
        for key, value in expected.items()
    }
    _require_sound(where, made)
    types = {str(value.dtype).removeprefix("torch.") for value in given.values()} - {"float32", "int64"}
    return Converted(made, told, "caller" if layout else "shapes", remap, tuple(sorted(types)))


def _named(where: Path, state: dict[str, Tensor], remap: Remap | None) -> dict[str, Tensor]:
    """The tensors under today's names."""
    if remap is None:
        wrapped = all(key.startswith(_DDP) for key in state)
        return {key.removeprefix(_DDP): value for key, value in state.items()} if wrapped else dict(state)
    names = renamed_all(state, remap)
    for now, before in names.items():
        if len(before) > 1:
            raise UserError(
                f"{where}: {' and '.join(before)} would all become {now} under remap '{remap}'; the file is of "
                "another kind"
            )
    return {now: state[before] for now, (before,) in names.items()}


def _told_by_shapes(where: Path, found: dict[str, Shape], ours: dict[str, Shape]) -> Layout:
    layouts = fitting_layouts(found, ours)
    if len(layouts) == 1:
        return layouts[0]
    if not layouts:
        return OURS  # the differences will say so
    raise UserError(
        f"{where}: the convolutions fit under more than one layout ({', '.join(layouts)}) and none decides; say "
        "which spconv wrote them: layout okkki (2.2 and later), kkkoi (native builds of 2.x) or kkkio (1.x)"
    )


def _differences(given: dict[str, Tensor], expected: dict[str, Tensor], wanted: dict[str, Shape]) -> list[str]:
    lines = [f"missing: {key} {list(wanted[key])}" for key in expected if key not in given]
    lines += [f"unexpected: {key} {list(value.shape)}" for key, value in given.items() if key not in expected]
    for key in expected:
        if key not in given:
            continue
        value, shape = given[key], wanted[key]
        if tuple(value.shape) != shape:
            lines.append(f"wrong shape: {key} is {list(value.shape)}, expected {list(shape)}")
        elif value.is_floating_point() != expected[key].is_floating_point() or value.dtype == torch.bool:
            kind = "real numbers" if expected[key].is_floating_point() else "whole numbers"
            lines.append(f"wrong type: {key} is {str(value.dtype).removeprefix('torch.')}, expected {kind}")
    return lines


def _require_sound(where: Path, state: dict[str, Tensor]) -> None:
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(f"{where}: {key} holds numbers that are not finite in float32; the file is damaged")
        if key.endswith(".running_var") and (value < 0).any():
            raise UserError(f"{where}: {key} holds negative variances; the file is damaged")
