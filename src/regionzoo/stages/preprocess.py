"""Stage preprocess: raw tree -> scene store."""

from __future__ import annotations

import shutil
from pathlib import Path

from regionzoo.artifacts import read_json, tree_hashes, write_manifest
from regionzoo.codehash import SOURCE, stage_digest
from regionzoo.integrity import manifest_of
from regionzoo.progress import Meter
from regionzoo.scenes.preprocess import preprocess
from regionzoo.settings.data import PreprocessSettings
from regionzoo.stages._folders import require_raw
from regionzoo.stages._raw import open_raw


def run(settings: PreprocessSettings, raw: Path, out: Path, manifest: Path, work: Path, workers: int) -> None:
    """Process every listed scene; a broken one is reported, the others are kept in ``work`` for the next try."""
    require_raw(raw)
    # Not only as it looks: every byte that is read.
    expected = read_json(manifest_of(raw))["files"]
    opened = open_raw(settings, raw, settings.exclude, expected)
    with Meter("preprocess", 1) as meter:

        def progress(done: int, total: int) -> None:
            meter.total = total
            meter.update(done)

        summary = preprocess(
            raw=opened,
            source=settings.source,
            out_dir=out,
            # Scenes that another version of the code left there must not be taken over.
            work_dir=work / stage_digest(SOURCE, "preprocess"),
            workers=workers,
            progress=progress,
            expected=expected,
        )
    for line in summary.notices:
        print(f"notice: {line}")
    shutil.rmtree(work, ignore_errors=True)
    facts = {"dataset": settings.dataset, **({} if settings.format == "raw" else {"format": settings.format})}
    write_manifest(manifest, tree_hashes(out, workers=workers), facts | summary.facts())
