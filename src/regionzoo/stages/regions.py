"""Stage regions: frames of the training scenes -> captioned regions of one source."""

from __future__ import annotations

from pathlib import Path

from regionzoo.artifacts import tree_hashes, write_manifest
from regionzoo.captions.build import build_regions
from regionzoo.captions.build_drives import build_drive_regions
from regionzoo.captions.simulated import SimulatedSettings
from regionzoo.captions.simulated_streets import StreetCaptionerSettings
from regionzoo.integrity import require_content
from regionzoo.progress import Meter
from regionzoo.scenes.drives import KIND
from regionzoo.scenes.store import load_metadata
from regionzoo.settings.data import RegionSettings
from regionzoo.stages._folders import require_raw, split_scenes


def run(settings: RegionSettings, raw: Path, scenes: Path, out: Path, manifest: Path, workers: int) -> None:
    """Caption every training scene and write statistics into the manifest."""
    require_raw(raw)
    require_content(scenes)
    source = settings.source
    names = split_scenes(scenes, "train")
    drives = bool(names) and load_metadata(scenes / f"{names[0]}.safetensors").get("kind") == KIND
    with Meter(f"regions {settings.name}", len(names)) as meter:

        def progress(done: int, total: int) -> None:
            meter.update(done)

        if drives:
            summary = build_drive_regions(
                scenes_dir=scenes,
                scene_ids=names,
                captioner=_street_captioner(settings),
                frame_interval=source.frame_interval,
                out_dir=out,
                workers=workers,
                progress=progress,
                raw_root=raw,
            )
        else:
            summary = build_regions(
                scenes_dir=scenes,
                raw_root=raw,
                scene_ids=names,
                captioner=_room_captioner(settings),
                frame_interval=source.frame_interval,
                swap_xy_scale=source.swap_xy_scale,
                out_dir=out,
                workers=workers,
                progress=progress,
            )
    facts = {"source": settings.name, "captioners": [f"{source.captioner} ({source.style})"], **summary}
    write_manifest(manifest, tree_hashes(out, workers=workers), facts)


def _room_captioner(settings: RegionSettings) -> SimulatedSettings:
    source = settings.source
    return SimulatedSettings(
        style=source.style,
        miss_rate=source.miss_rate,
        naming_noise=source.naming_noise,
        box_noise=source.box_noise,
        seed=settings.seed,
    )


def _street_captioner(settings: RegionSettings) -> StreetCaptionerSettings:
    source = settings.source
    # params.yaml is checked for this (references.py); a detector's sentence templates exist for rooms alone.
    assert source.style != "template"
    return StreetCaptionerSettings(
        style=source.style,
        miss_rate=source.miss_rate,
        naming_noise=source.naming_noise,
        box_noise=source.box_noise,
        seed=settings.seed,
    )
