"""The cost model of a full row: the measured time of a batch of four scenes times how many its training takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regionzoo.config import load_params
from regionzoo.training.dataset import steps_per_epoch

SAMPLES = {"scannet": 1201, "nuscenes": 28130}
"""Training samples of a data set: scans, keyframes."""

ORIGINAL_SECONDS, ORIGINAL_GPUS = 2.25, 8
"""An update of the original's ScanNet rows, 8 GPUs with 4 scenes each."""

MODEL = """\
A row's training is `epochs x (ceil(scenes x repeat / (shards x scenes a shard)) - 1)` updates, each of `shards`
passes (forward and backward of one shard's scenes); G GPUs share the passes of an update. So

    hours on G GPUs = updates x shards x (measured mean of a pass) / (G x share)

`share` is how much of a lone GPU's work each of G does: samples a second of G GPUs / (G x those of one). Where that
was not measured, hours are derived with a share of 1, which no real machine reaches: a lower bound. The time of a pass
is that of the whole loop with its loader, on synthetic rooms of the batch below; it has an optimiser step in every
pass, where an update has one in `shards`. Captions, prediction and scoring are not in it.
"""


@dataclass(frozen=True)
class Row:
    """A row at scale paper: its updates, and the forward and backward passes of each, one a shard."""

    name: str
    epochs: int
    updates: int
    shards: int
    scenes: int

    @property
    def passes(self) -> int:
        """Forward and backward passes of ``scenes`` scenes in the whole training."""
        return self.updates * self.shards

    def hours(self, pass_ms: float, gpus: int, share: float = 1.0) -> float:
        """Wall time on so many GPUs, each of which does ``share`` of what one alone does."""
        return self.passes * pass_ms / 3.6e6 / (gpus * share)


def rows(params: Path) -> dict[str, Row]:
    """All rows that are trained, as ``params.yaml`` has them for real data."""
    loaded = load_params(params).model_copy(update={"scale": "paper"})
    found = {}
    for name, spec in loaded.rows.items():
        recipe = loaded.train(name).recipe
        batch = recipe.shards * recipe.scenes_per_shard
        steps = steps_per_epoch(SAMPLES[spec.dataset] * recipe.repeat, batch)
        found[name] = Row(name, recipe.epochs, steps * recipe.epochs, recipe.shards, recipe.scenes_per_shard)
    return found


def lines(params: Path, step: dict[str, Any] | None) -> list[str]:
    """Markdown of the model. step: ``train_step.json``, or None if nobody has measured it."""
    model = rows(params)
    entries = step or {}
    alone = entries.get("1 gpu", {}).get("results", {})
    result = [
        *MODEL.splitlines(),
        "",
        f"The original takes about {ORIGINAL_SECONDS} s an update of its ScanNet rows on {ORIGINAL_GPUS} GPUs; its "
        "column is that times the updates, in GPU-hours.",
        "",
        "| row | updates | passes | measured pass | 1 GPU | 4 GPUs | 8 GPUs | GPU-hours | original |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in model.items():
        whole = alone.get(name, {}).get("whole")
        original = "-"
        if row.shards * row.scenes == 32 and name.startswith("scannet"):
            original = f"{row.updates * ORIGINAL_SECONDS * ORIGINAL_GPUS / 3600:.0f}"
        cells = ["not measured", "-", "-", "-", "-"]
        if whole:
            cells = [f"{whole['mean_ms']:.1f} ms"]
            cells += [_hours(row, whole, gpus, _entry(entries, gpus, name)) for gpus in (1, 4, 8)]
            cells.append(f"{row.hours(whole['mean_ms'], 1):.1f}")
        result.append(f"| {name} | {row.updates:,} | {row.passes:,} | {' | '.join(cells)} | {original} |")
    measured = [gpus for gpus in (4, 8) if any(_entry(entries, gpus, name) for name in model)]
    told = ", ".join(f"{gpus} GPUs measured" if gpus in measured else f"{gpus} GPUs not measured" for gpus in (4, 8))
    return [*result, "", f"Scaling: {told}. The column GPU-hours is that of one GPU."]


def _entry(entries: dict[str, Any], gpus: int, row: str) -> dict[str, Any] | None:
    return entries.get(f"{gpus} gpu", {}).get("results", {}).get(row, {}).get("whole")


def _hours(row: Row, alone: dict[str, Any], gpus: int, several: dict[str, Any] | None) -> str:
    if gpus == 1:
        return f"{row.hours(alone['mean_ms'], 1):.1f} h"
    if several is None:
        return f"> {row.hours(alone['mean_ms'], gpus):.1f} h (derived)"
    share = several["samples_per_second"] / (gpus * alone["samples_per_second"])
    return f"{row.hours(alone['mean_ms'], gpus, share):.1f} h (share {share:.2f})"
