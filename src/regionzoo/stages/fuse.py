"""Stage fuse: regions of several sources -> one caption set."""

from __future__ import annotations

from pathlib import Path

from regionzoo.artifacts import read_json, tree_hashes, write_manifest
from regionzoo.captions.build import fuse_sets
from regionzoo.integrity import manifest_of, require_content
from regionzoo.progress import Meter
from regionzoo.settings.data import FuseSettings
from regionzoo.stages._folders import split_scenes


def run(
    settings: FuseSettings, scenes: Path, primary: Path, supplementary: Path, out: Path, manifest: Path, workers: int
) -> None:
    """Fuse scene by scene; the manifest keeps the captioners' names, so that results can say who captioned."""
    require_content(scenes, primary, supplementary)
    names = split_scenes(scenes, "train")
    with Meter("fuse captions", len(names)) as meter:
        summary = fuse_sets(
            scenes_dir=scenes,
            scene_ids=names,
            primary_dir=primary,
            supplementary_dirs=[supplementary],
            iou_high=[settings.iou_high],
            iou_low=[settings.iou_low],
            cascade=True,
            out_dir=out,
            workers=workers,
            progress=lambda done, *_: meter.update(done),
        )
    captioners = [
        name for folder in (primary, supplementary) for name in read_json(manifest_of(folder))["facts"]["captioners"]
    ]
    write_manifest(manifest, tree_hashes(out, workers=workers), {"captioners": captioners, **summary})
