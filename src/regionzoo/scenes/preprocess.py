"""Raw scans -> scene store: all scenes of the split lists, in several processes, resumable, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from regionzoo.artifacts import atomic_path, write_json
from regionzoo.classes import class_set
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.drives import Drive
from regionzoo.scenes.shards import Died, run_shards
from regionzoo.scenes.store import Scene

SPLITS_FILE = "splits.json"
SUFFIX = ".safetensors"

Progress = Callable[[int, int], None]
"""Called after each scene with (scenes done, scenes in all)."""


class RawSource(Protocol):
    """A raw tree that is open for reading; it travels to the workers.

    splits: split -> sorted scene names. class_sets: those that its scenes are labelled in. dataset: its section below
    ``data`` in params.yaml, for messages.
    """

    @property
    def root(self) -> Path: ...
    @property
    def dataset(self) -> str: ...
    @property
    def splits(self) -> dict[str, tuple[str, ...]]: ...
    @property
    def notices(self) -> tuple[str, ...]: ...
    @property
    def class_sets(self) -> tuple[str, ...]: ...

    def read(self, scene_id: str, split: str, source: str, notices: list[str]) -> Scene | Drive:
        """One scene from its raw files; :class:`UserError` if that is not possible."""
        ...

    def raw_sha256(self, scene_id: str) -> dict[str, str]:
        """What ``read`` would record as ``raw_sha256``, without reading the scene."""
        ...

    def raw_paths(self, scene_id: str) -> dict[str, str]:
        """Path below the root of each file in ``raw_sha256``, as the raw manifest has it."""
        ...

    def save(self, path: Path, scene: Scene | Drive) -> None:
        """Write a scene atomically."""
        ...

    def load(self, path: Path) -> Scene | Drive:
        """Read it back whole; :class:`SceneError` if it is damaged."""
        ...


@dataclass(frozen=True)
class PreprocessSummary:
    """What a run did.

    scenes, points: per split. class_points: split -> class set -> int64 [classes] points of each class; unlabelled
    points are in none of them. kept: scenes taken over from an earlier, interrupted run. failed: scene -> one line.
    notices: tolerated oddities of the lists and of the scenes that this run converted. exclude: the setting that leaves
    scenes out.
    """

    scenes: dict[str, int]
    points: dict[str, int]
    class_points: dict[str, dict[str, np.ndarray]]
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    exclude: str = "exclude"

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
        told = f"{len(summary.failed)} of {summary.total} scenes failed; fix or list them under {summary.exclude}"
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
    raw_sha256: dict[str, str] = field(default_factory=dict)


def preprocess(
    raw: RawSource,
    source: str,
    out_dir: str | Path,
    work_dir: str | Path,
    workers: int = 1,
    progress: Progress | None = None,
    expected: dict[str, str] | None = None,
) -> PreprocessSummary:
    """Convert all scenes of the splits to ``out_dir/<S>.safetensors`` and write ``out_dir/splits.json``.

    source: recorded in each scene. Scenes go to ``work_dir`` first, each atomically; a worker holds one at a time. A
    scene there whose recorded raw hashes equal the present raw files is kept, so that an interrupted or failed run
    goes on where it stopped; ``work_dir`` should be named after whatever else decides the content (the code's digest),
    and belongs to this function alone. expected: path below root -> sha256 (the raw manifest); a scene of other files
    is refused, it was edited meanwhile.

    Only if every scene is good are they moved to ``out_dir``, ``splits.json`` last: a folder with that file is whole.
    Scene files of an earlier result in ``out_dir`` are replaced. Otherwise ``out_dir`` stays as it was and
    :class:`PreprocessFailed` tells every broken scene. :class:`UserError` if the root itself is unusable.
    """
    out_dir, work_dir = Path(out_dir), Path(work_dir)
    if out_dir.resolve() == work_dir.resolve():
        raise UserError(f"{out_dir}: the folder for unfinished scenes must be another one than the output folder")
    work_dir.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(work_dir)
    items = sorted((scene_id, split) for split, scene_ids in raw.splits.items() for scene_id in scene_ids)
    outcomes: dict[tuple[str, str], _Outcome] = {}
    for item, answer in run_shards(partial(_convert, raw, source, work_dir), items, workers):
        if isinstance(answer, Died):
            answer = _Outcome(error=f"{item[0]}: {raw.root}: {answer}")
        if answer.error is None and expected is not None:
            answer = _as_expected(raw, item[0], answer, expected)
        outcomes[item] = answer
        if progress is not None:
            progress(len(outcomes), len(items))
    summary = _summarise(raw, {item: outcomes[item] for item in items})
    if summary.failed:
        raise PreprocessFailed(summary)
    _publish(raw, work_dir, out_dir)
    return summary


def _convert(raw: RawSource, source: str, work_dir: Path, item: tuple[str, str]) -> _Outcome:
    """One scene into ``work_dir``; errors are returned, because one broken scene must not stop the others."""
    scene_id, split = item
    path = work_dir / f"{scene_id}{SUFFIX}"
    notices: list[str] = []
    try:
        scene = None
        if path.exists():
            try:
                # The whole file is read, not only its metadata: a damaged one is converted again.
                scene = raw.load(path)
                if (scene.split, scene.source, scene.raw_sha256) != (split, source, raw.raw_sha256(scene_id)):
                    scene = None
            except SceneError:
                scene = None
        kept = scene is not None
        if scene is None:
            scene = raw.read(scene_id, split, source, notices)
            raw.save(path, scene)
    except UserError as error:
        return _Outcome(error=str(error))
    except Exception as error:  # a full disk, or a bug: still told with the scene, and the others go on
        told = " ".join(str(error).split())
        return _Outcome(error=f"{scene_id}: {path}: {type(error).__name__}: {told}")
    class_points = {}
    for name in raw.class_sets:
        labels = scene.labels[name]
        counts = np.bincount(labels[labels >= 0], minlength=len(class_set(name).names))
        class_points[name] = counts.astype(np.int64)
    return _Outcome(len(scene), class_points, kept, tuple(notices), raw_sha256=scene.raw_sha256)


def _as_expected(raw: RawSource, scene_id: str, outcome: _Outcome, expected: dict[str, str]) -> _Outcome:
    """The outcome, or an error unless the scene was made of the very files of the manifest."""
    for name, path in raw.raw_paths(scene_id).items():
        if expected.get(path) != outcome.raw_sha256.get(name):
            told = "is not what raw.manifest.json says (edited since?); run the same command again, it begins with raw"
            return _Outcome(error=str(SceneError(scene_id, raw.root / path, told)))
    return outcome


def _summarise(raw: RawSource, outcomes: dict[tuple[str, str], _Outcome]) -> PreprocessSummary:
    scenes = dict.fromkeys(raw.splits, 0)
    points = dict.fromkeys(raw.splits, 0)
    class_points = {
        split: {name: np.zeros(len(class_set(name).names), np.int64) for name in raw.class_sets} for split in raw.splits
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
        notices=raw.notices + tuple(told for outcome in outcomes.values() for told in outcome.notices),
        exclude=f"data.{raw.dataset}.exclude",
    )


def _publish(raw: RawSource, work_dir: Path, out_dir: Path) -> None:
    """Put the finished scenes into ``out_dir`` without a moment at which work is lost.

    Links, not renames: if this is interrupted, ``work_dir`` is still complete and the next run only links again.
    """
    names = {f"{scene_id}{SUFFIX}" for scene_ids in raw.splits.values() for scene_id in scene_ids}
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / SPLITS_FILE).unlink(missing_ok=True)
    _remove_leftovers(out_dir)
    for path in out_dir.glob(f"*{SUFFIX}"):
        if path.name not in names:
            path.unlink()
    for name in sorted(names):
        _link_or_copy(work_dir / name, out_dir / name)
    write_json(out_dir / SPLITS_FILE, {split: list(scene_ids) for split, scene_ids in raw.splits.items()})
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
