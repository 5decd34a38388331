"""Stage regions: frames of the training scenes -> captioned regions of one source."""

from __future__ import annotations

from pathlib import Path

from regionzoo.artifacts import tree_hashes, write_manifest
from regionzoo.captions.build import build_regions
from regionzoo.captions.simulated import SimulatedSettings
from regionzoo.integrity import require_content
from regionzoo.progress import Meter
from regionzoo.settings.data import RegionSettings
from regionzoo.stages._folders import require_raw, split_scenes


def run(settings: RegionSettings, raw: Path, scenes: Path, out: Path, manifest: Path, workers: int) -> None:
    """Caption every training scene and write statistics into the manifest."""
    require_raw(raw)
    require_content(scenes)
    source = settings.source
    names = split_scenes(scenes, "train")
    with Meter(f"regions {settings.name}", len(names)) as meter:
        summary = build_regions(
            scenes_dir=scenes,
            raw_root=raw,
            scene_ids=names,
            captioner=SimulatedSettings(
                style=source.style,
                miss_rate=source.miss_rate,
                naming_noise=source.naming_noise,
                box_noise=source.box_noise,
                seed=settings.seed,
            ),
            frame_interval=source.frame_interval,
            swap_xy_scale=source.swap_xy_scale,
            out_dir=out,
            workers=workers,
            progress=lambda done, *_: meter.update(done),
        )
    facts = {"source": settings.name, "captioners": [f"{source.captioner} ({source.style})"], **summary}
    write_manifest(manifest, tree_hashes(out, workers=workers), facts)
