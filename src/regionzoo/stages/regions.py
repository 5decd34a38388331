"""Stage regions: frames of the training scenes, or files that others made -> captioned regions of one source."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regionzoo.artifacts import tree_hashes, write_json, write_manifest
from regionzoo.captions.build import build_regions
from regionzoo.captions.build_drives import build_drive_regions
from regionzoo.captions.imported.build import import_captions
from regionzoo.captions.models.build import ModelRun, build_model_drive_regions, build_model_regions
from regionzoo.captions.models.runtime import Device, ModelRuntime, Precision
from regionzoo.errors import UserError
from regionzoo.integrity import require_content
from regionzoo.progress import Meter
from regionzoo.scenes.drives import KIND
from regionzoo.scenes.store import load_metadata
from regionzoo.settings.captioners import ImportedSource, ModelSource, SimulatedSource
from regionzoo.settings.data import RegionSettings
from regionzoo.stages._captioners import model_captioner, simulated_room_captioner, simulated_street_captioner
from regionzoo.stages._folders import require_frames_of, require_raw, split_scenes
from regionzoo.stages._imported import content_digest, imported_files

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RegionPaths:
    """raw, scenes: what is captioned. out, manifest: the result; what a pretrained captioner cost is written beside
    it, as ``<out>.cost.json``. work: keeps what pretrained captioners have said, for the next run."""

    raw: Path
    scenes: Path
    out: Path
    manifest: Path
    work: Path

    @property
    def cost(self) -> Path:
        """Not the manifest: seconds differ between two runs with equal captions."""
        return self.out.with_name(f"{self.out.name}.cost.json")


@dataclass(frozen=True)
class CaptioningRuntime:
    """What changes the speed and is no setting. workers: processes, and threads of a model on a CPU.

    device, precision, batch_size: of pretrained captioners (:class:`regionzoo.captions.models.runtime.ModelRuntime`).
    """

    workers: int = 1
    device: Device = "auto"
    precision: Precision = "auto"
    batch_size: int = ModelRuntime.batch_size


def run(settings: RegionSettings, paths: RegionPaths, runtime: CaptioningRuntime) -> None:
    """Caption every training scene, or import its captions, and write statistics into the manifest."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError("captions are made by one process; set the resource gpu of the rule regions to 0 or 1")
    source = settings.source
    if not isinstance(source, ImportedSource):
        require_raw(paths.raw)
        import_it = f"import the released captions (region_sources.{settings.name}.captioner: imported)"
        require_frames_of(paths.raw, source.dataset, import_it)
    require_content(paths.scenes)
    names = split_scenes(paths.scenes, "train")
    with Meter(f"regions {settings.name}", len(names)) as meter:
        if isinstance(source, ImportedSource):
            summary = _imported(settings.name, source, paths, names, runtime, lambda done, _: meter.update(done))
        elif isinstance(source, SimulatedSource):
            summary = _simulated(settings, source, paths, names, runtime, lambda done, _: meter.update(done))
        else:
            summary = _looked(source, paths, names, runtime, lambda done, _, note: meter.update(done, note))
    cost = summary.pop("cost", None)
    if cost is None:
        paths.cost.unlink(missing_ok=True)
    else:
        write_json(paths.cost, cost)
    facts = {"source": settings.name, "captioners": list(source.captioners), **summary}
    write_manifest(paths.manifest, tree_hashes(paths.out, workers=runtime.workers), facts)


def _simulated(
    settings: RegionSettings,
    source: SimulatedSource,
    paths: RegionPaths,
    names: Sequence[str],
    runtime: CaptioningRuntime,
    progress: Progress,
) -> dict[str, Any]:
    if _drives(paths.scenes, names):
        return build_drive_regions(
            scenes_dir=paths.scenes,
            scene_ids=names,
            captioner=simulated_street_captioner(source, settings.seed),
            frame_interval=source.frame_interval,
            out_dir=paths.out,
            workers=runtime.workers,
            progress=progress,
            raw_root=paths.raw,
        )
    return build_regions(
        scenes_dir=paths.scenes,
        raw_root=paths.raw,
        scene_ids=names,
        captioner=simulated_room_captioner(source, settings.seed),
        frame_interval=source.frame_interval,
        swap_xy_scale=source.swap_xy_scale,
        out_dir=paths.out,
        workers=runtime.workers,
        progress=progress,
    )


def _looked(
    source: ModelSource,
    paths: RegionPaths,
    names: Sequence[str],
    runtime: CaptioningRuntime,
    progress: Callable[[int, int, str], None],
) -> dict[str, Any]:
    import torch

    torch.set_num_threads(runtime.workers)
    run = ModelRun(
        scenes_dir=paths.scenes,
        raw_root=paths.raw,
        scene_ids=names,
        captioner=model_captioner(source),
        out_dir=paths.out,
        work_dir=paths.work,
        batch_size=runtime.batch_size,
        device=runtime.device,
        precision=runtime.precision,
        workers=runtime.workers,
        progress=progress,
    )
    if _drives(paths.scenes, names):
        return build_model_drive_regions(run, source.frame_interval)
    return build_model_regions(run, source.frame_interval, source.swap_xy_scale)


def _imported(
    name: str,
    source: ImportedSource,
    paths: RegionPaths,
    names: Sequence[str],
    runtime: CaptioningRuntime,
    progress: Progress,
) -> dict[str, Any]:
    captions, index = imported_files(source, f"region_sources.{name}")
    summary = import_captions(
        captions, index, paths.scenes, names, paths.out, source.captioners, workers=runtime.workers, progress=progress
    )
    if missing := summary["scenes_missing"]:
        told = f"{len(missing)} of {len(names)} training scenes have no captions in these files (first: {missing[0]})"
        print(f"notice: {captions}, {index}: {told}", file=sys.stderr)
    # The paths say nothing about the files: these are a part of what the captions are.
    return summary | {"captions_sha256": content_digest(captions), "index_sha256": content_digest(index)}


def _drives(scenes: Path, names: Sequence[str]) -> bool:
    return bool(names) and load_metadata(scenes / f"{names[0]}.safetensors").get("kind") == KIND
