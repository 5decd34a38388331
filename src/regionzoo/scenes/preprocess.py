"""Raw scans -> scene store: all scenes of the split lists, in several processes, resumable, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from regionzoo.artifacts import atomic_path, write_json
from regionzoo.classes import CLASS_SETS, class_set
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.raw_layout import FRAME_FOLDERS, LABEL_TABLE_FILE, SCAN_SUFFIXES
from regionzoo.scenes.scannet import ScanNetRoot, read_scene
from regionzoo.scenes.shards import Died, run_shards
from regionzoo.scenes.store import Scene, load_scene, save_scene

SPLITS_FILE = "splits.json"
SUFFIX = ".safetensors"

Progress = Callable[[int, int], None]
"""Called after each scene with (scenes done, scenes in all)."""


@dataclass(frozen=True)
class PreprocessSummary:
    """What a run did.

    scenes, points: per split. class_points: split -> class set -> int64 [classes] points of each class; unlabelled
    points are in none of them. kept: scenes taken over from an earlier, interrupted run. failed: scene -> one line.
    notices: tolerated oddities of the lists and of the scenes that this run converted.
    """

    scenes: dict[str, int]
    points: dict[str, int]
    class_points: dict[str, dict[str, np.ndarray]]
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Scenes of all lists, failed ones included."""
        return sum(self.scenes.values()) + len(self.failed)

    def facts(self) -> dict[str, Any]:
        """The part that depends on the data alone, not on this run, as JSON values (for a content manifest)."""
        return {
            "scenes": self.scenes,
            "points": self.points,
            "class_points": {
                split: {name: counts.tolist() for name, counts in sets.items()}
                for split, sets in self.class_points.items()
            },
        }


class PreprocessFailed(UserError):
    """Some scenes are broken; the message has one line for each and says what to do."""

    def __init__(self, summary: PreprocessSummary) -> None:
        self.summary = summary
        told = f"{len(summary.failed)} of {summary.total} scenes failed; fix or list them under data.scannet.exclude"
        super().__init__("\n".join([*summary.failed.values(), told]))

    def __reduce__(self) -> tuple:
        return type(self), (self.summary,)


@dataclass(frozen=True)
class _Outcome:
    points: int = 0
    class_points: dict[str, np.ndarray] = field(default_factory=dict)
    kept: bool = False
    notices: tuple[str, ...] = ()
    error: str | None = None


def preprocess(
    root: str | Path,
    source: str,
    splits: dict[str, str],
    exclude: tuple[str, ...] | list[str],
    out_dir: str | Path,
    work_dir: str | Path,
    workers: int = 1,
    progress: Progress | None = None,
    expected: dict[str, str] | None = None,
) -> PreprocessSummary:
    """Convert all scenes of the split lists to ``out_dir/<S>.safetensors`` and write ``out_dir/splits.json``.

    root: raw folder (ScanNet's layout). source: recorded in each scene. splits: split -> list file below root.
    Scenes go to ``work_dir`` first, each atomically. A scene there whose recorded raw hashes equal the present raw
    files is kept, so that an interrupted or failed run goes on where it stopped; ``work_dir`` should be named after
    whatever else decides the content (the code's digest), and belongs to this function alone. expected: path below
    root -> sha256 (the raw manifest); a scan of other files is refused, it was edited meanwhile.

    Only if every scene is good are they moved to ``out_dir``, ``splits.json`` last: a folder with that file is whole.
    Scene files of an earlier result in ``out_dir`` are replaced. Otherwise ``out_dir`` stays as it was and
    :class:`PreprocessFailed` tells every broken scene. :class:`UserError` if the root itself is unusable.
    """
    out_dir, work_dir = Path(out_dir), Path(work_dir)
    if out_dir.resolve() == work_dir.resolve():
        raise UserError(f"{out_dir}: the folder for unfinished scenes must be another one than the output folder")
    opened = ScanNetRoot.open(root, splits, exclude)
    work_dir.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(work_dir)
    if expected is not None:
        # Every worker gets a copy; frames are most of it.
        expected = {name: digest for name, digest in expected.items() if not name.startswith(FRAME_FOLDERS)}
    items = sorted((scene_id, split) for split, scene_ids in opened.splits.items() for scene_id in scene_ids)
    outcomes: dict[tuple[str, str], _Outcome] = {}
    for item, answer in run_shards(partial(_convert, opened, source, work_dir, expected), items, workers):
        if isinstance(answer, Died):
            answer = _Outcome(error=f"{item[0]}: {opened.root}: {answer}")
        outcomes[item] = answer
        if progress is not None:
            progress(len(outcomes), len(items))
    summary = _summarise(opened, {item: outcomes[item] for item in items})
    if summary.failed:
        raise PreprocessFailed(summary)
    _publish(opened, work_dir, out_dir)
    return summary


def _convert(
    root: ScanNetRoot, source: str, work_dir: Path, expected: dict[str, str] | None, item: tuple[str, str]
) -> _Outcome:
    """One scene into ``work_dir``; errors are returned, because one broken scene must not stop the others."""
    scene_id, split = item
    path = work_dir / f"{scene_id}{SUFFIX}"
    notices: list[str] = []
    try:
        scene = None
        if path.exists():
            try:
                # The whole file is read, not only its metadata: a damaged one is converted again.
                scene = load_scene(path)
                if (scene.split, scene.source, scene.raw_sha256) != (split, source, root.raw_sha256(scene_id)):
                    scene = None
            except SceneError:
                scene = None
        kept = scene is not None
        if scene is None:
            scene = read_scene(root, scene_id, split, source, notices)
            save_scene(path, scene)
        if expected is not None:
            _require_expected(root, scene, expected)
    except UserError as error:
        return _Outcome(error=str(error))
    except Exception as error:  # a full disk, or a bug: still told with the scene, and the others go on
        told = " ".join(str(error).split())
        return _Outcome(error=f"{scene_id}: {path}: {type(error).__name__}: {told}")
    class_points = {}
    for name in CLASS_SETS:
        labels = scene.labels[name]
        counts = np.bincount(labels[labels >= 0], minlength=len(class_set(name).names))
        class_points[name] = counts.astype(np.int64)
    return _Outcome(len(scene), class_points, kept, tuple(notices))


def _require_expected(root: ScanNetRoot, scene: Scene, expected: dict[str, str]) -> None:
    """:class:`SceneError` unless the scene was made of the very files of the manifest."""
    folder = root.folder(scene.scene_id).relative_to(root.root).as_posix()
    for name in (LABEL_TABLE_FILE, *(f"{folder}/{scene.scene_id}{suffix}" for suffix in SCAN_SUFFIXES)):
        if expected.get(name) != scene.raw_sha256.get(Path(name).name):
            told = "is not what raw.manifest.json says (edited since?); run the same command again, it begins with raw"
            raise SceneError(scene.scene_id, root.root / name, told)


def _summarise(root: ScanNetRoot, outcomes: dict[tuple[str, str], _Outcome]) -> PreprocessSummary:
    scenes = dict.fromkeys(root.splits, 0)
    points = dict.fromkeys(root.splits, 0)
    class_points = {
        split: {name: np.zeros(len(class_set(name).names), np.int64) for name in CLASS_SETS} for split in root.splits
    }
    for (_, split), outcome in outcomes.items():
        if outcome.error is None:
            scenes[split] += 1
            points[split] += outcome.points
            for name, counts in outcome.class_points.items():
                class_points[split][name] += counts
    return PreprocessSummary(
        scenes=scenes,
        points=points,
        class_points=class_points,
        kept=sum(outcome.kept for outcome in outcomes.values()),
        failed={scene_id: outcome.error for (scene_id, _), outcome in outcomes.items() if outcome.error is not None},
        notices=root.notices + tuple(told for outcome in outcomes.values() for told in outcome.notices),
    )


def _publish(root: ScanNetRoot, work_dir: Path, out_dir: Path) -> None:
    """Put the finished scenes into ``out_dir`` without a moment at which work is lost.

    Links, not renames: if this is interrupted, ``work_dir`` is still complete and the next run only links again.
    """
    names = {f"{scene_id}{SUFFIX}" for scene_ids in root.splits.values() for scene_id in scene_ids}
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / SPLITS_FILE).unlink(missing_ok=True)
    _remove_leftovers(out_dir)
    for path in out_dir.glob(f"*{SUFFIX}"):
        if path.name not in names:
            path.unlink()
    for name in sorted(names):
        _link_or_copy(work_dir / name, out_dir / name)
    write_json(out_dir / SPLITS_FILE, {split: list(scene_ids) for split, scene_ids in root.splits.items()})
    for path in work_dir.glob(f"*{SUFFIX}"):
        path.unlink()
    if not any(work_dir.iterdir()):
        work_dir.rmdir()


def _link_or_copy(source: Path, target: Path) -> None:
    link = target.with_name(f".{target.name}.link.tmp{SUFFIX}")
    try:
        os.link(source, link)
    except OSError:  # another file system, or one without hard links
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    else:
        os.replace(link, target)
        link.unlink(missing_ok=True)  # rename does nothing when both names are the same file already


def _remove_leftovers(folder: Path) -> None:
    """Temporary files of a process that was killed while writing."""
    for path in folder.glob(f".*.tmp{SUFFIX}"):
        path.unlink(missing_ok=True)
