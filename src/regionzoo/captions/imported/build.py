"""Released captions and their index -> caption store, all scenes or nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from regionzoo.artifacts import replaced_folder
from regionzoo.captions.imported.index import read_index
from regionzoo.captions.imported.matching import Pair, match
from regionzoo.captions.imported.parts import Stored, read_stored
from regionzoo.captions.imported.texts import read_texts
from regionzoo.captions.sets import SUFFIX, Progress, statistics, write_set
from regionzoo.captions.store import RegionCaptions, from_regions
from regionzoo.errors import UserError


def import_captions(
    json_path: str | Path,
    index_path: str | Path,
    scenes_dir: str | Path,
    scene_ids: Sequence[str],
    out_dir: str | Path,
    captioners: Sequence[str] = (),
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write ``out_dir/<scene>.safetensors`` for each scene or drive of ``scene_ids``, all or nothing.

    json_path: the captions (:mod:`regionzoo.captions.imported.texts`). index_path: pickle of point ids, or a folder of
    them (:mod:`regionzoo.captions.imported.index_reader`); it is read in a process of its own, which runs nothing that
    a pickle asks for. scenes_dir: the scene store, which must hold the scenes. scene_ids: the training scenes; what
    else the files have is left alone. captioners: where the captions are from, for the record.

    Names of regions are kept (in drives after the keyframe's number, :mod:`regionzoo.captions.imported.parts`). Regions
    without points are dropped and counted. A scene that neither file has gets an empty file and is listed. For the time
    of the run, about the size of the index is needed beside ``out_dir``.

    Returns the statistics of a caption set as JSON values, with "regions_without_points", "captioners",
    "scenes_missing" (ids) and "keyframes_missing" (a number). Raises :class:`UserError` of one line if a file is
    absent, damaged or of another form, or if captions, index and scenes do not belong together; then nothing is
    written.
    """
    json_path, index_path, out_dir = Path(json_path), Path(index_path), Path(out_dir)
    if not scene_ids:
        raise UserError(f"{json_path}: no training scenes to import captions for")
    scenes = [read_stored(Path(scenes_dir) / f"{scene_id}{SUFFIX}") for scene_id in scene_ids]
    keys = [part.key for scene in scenes for part in scene.parts]
    # The texts first: a wrong file is told in seconds.
    texts = read_texts(json_path, frozenset(keys))
    most = max(part.size for scene in scenes for part in scene.parts)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    scratch = f".{out_dir.name}.", ".index"
    for left in out_dir.parent.glob("*".join(scratch)):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=scratch[0], suffix=scratch[1], dir=out_dir.parent) as name:
        index = read_index(index_path, keys, most, Path(name))
        matched = match(texts, index, scenes, str(json_path), str(index_path))
        items = {scene.scene_id: (scene, matched.pairs[scene.scene_id]) for scene in scenes}
        with replaced_folder(out_dir) as folder:
            done = write_set(partial(_captions, items, index.ids), folder, scene_ids, workers, progress)
    without = Counter(scene_id for scene_id, _ in matched.missing)
    return statistics(done) | {
        "regions_without_points": sum(scene.without_points for scene in done),
        "captioners": list(captioners),
        "scenes_missing": [scene.scene_id for scene in scenes if without[scene.scene_id] == len(scene.parts)],
        "keyframes_missing": sum(key != scene_id for scene_id, key in matched.missing),
    }


def _captions(
    items: dict[str, tuple[Stored, tuple[Pair, ...]]], ids_file: Path, scene_id: str
) -> tuple[RegionCaptions, dict[str, Any]]:
    scene, pairs = items[scene_id]
    names: list[str] = []
    texts: list[str] = []
    regions: list[np.ndarray] = []
    dropped = 0
    for pair in pairs:
        count = int(pair.regions.size.sum())
        ids = np.fromfile(ids_file, "<i4", count, offset=pair.regions.first * 4) + np.int32(pair.part.start)
        bounds = np.concatenate([[0], np.cumsum(pair.regions.size)])
        for k, text in enumerate(pair.texts):
            if bounds[k] == bounds[k + 1]:
                dropped += 1
                continue
            names.append(f"{pair.part.prefix}{pair.regions.names[k]}")
            texts.append(text)
            regions.append(ids[bounds[k] : bounds[k + 1]])
    return from_regions(scene_id, scene.coords_sha256, scene.n_points, names, texts, regions), {
        "without_points": dropped
    }
