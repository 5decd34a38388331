"""Recordings (``.sens``) -> frames in the layout of ``scannet_frames_25k`` at any interval.

Every 100th frame is the download's 25k set, every 20th the 125k set of the released captions. Colour images are the
recording's own bytes; label and instance images are not part of a recording.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from regionzoo.artifacts import replaced_folder, unfinished
from regionzoo.errors import SceneError, UserError
from regionzoo.scenes.frames import DEPTH_SHAPE, MILLIMETRES
from regionzoo.scenes.raw_layout import SCAN_FOLDERS
from regionzoo.scenes.sens import SensFile, SensFrame
from regionzoo.scenes.shards import Died, run_shards

MARK = "export.json"
"""In each scene's folder: what it was exported from, and how. A folder with it is whole."""

_FORM = 1


@dataclass(frozen=True)
class Exported:
    """What became of one recording. frames: how many were written, lost of them without pose; kept: it was there."""

    scene_id: str
    frames: int
    lost: int
    kept: bool = False


def export_scene(sens_path: str | Path, scene_id: str, out_dir: str | Path, interval: int) -> Exported:
    """Write ``out_dir/<scene>/``: color/000000.jpg, depth/000000.png (uint16 millimetres), pose/000000.txt, intrinsics.

    Frames 0, interval, 2 * interval, ... under their number in the recording, so that
    :func:`regionzoo.scenes.frames.read_frames` with that interval, or a multiple of it, takes them. The folder appears
    when it is whole; one that was exported from a file of the same size and time at the same interval is kept, another
    export is replaced. One frame is in memory at a time. Raises :class:`SceneError` as
    :class:`regionzoo.scenes.sens.SensFile`, if depth is not 640x480 millimetres, as everything here expects it, and if
    the folder is there with frames that were not exported (the download's have annotations besides).
    """
    sens_path, target = Path(sens_path), Path(out_dir) / scene_id
    if interval < 1:
        raise UserError(f"the frame interval is {interval}, expected 1 or more")
    with SensFile(sens_path, scene_id) as sens:
        header = sens.header
        if header.depth_size != DEPTH_SHAPE:
            height, width = header.depth_size
            raise SceneError(scene_id, sens_path, f"depth of {width}x{height} pixels, expected 640x480")
        if header.depth_shift != MILLIMETRES:
            raise SceneError(scene_id, sens_path, f"{header.depth_shift:g} depth units a metre, expected 1000")
        seen = sens_path.stat()
        made_from = {"form": _FORM, "interval": interval, "size": seen.st_size, "mtime": seen.st_mtime_ns}
        held = _mark(target)
        if held is not None and made_from.items() <= held.items():
            return Exported(scene_id, held["frames"], held["lost"], kept=True)
        if held is None and target.exists():
            raise SceneError(
                scene_id, target, "is there, but was not exported here; name another folder for the frames"
            )
        frames = lost = 0
        with replaced_folder(target) as folder:
            for kind in ("color", "depth", "pose"):
                (folder / kind).mkdir()
            for kind in ("color", "depth"):
                _write_matrix(folder / f"intrinsics_{kind}.txt", getattr(header, f"{kind}_intrinsics"))
                _write_matrix(folder / f"extrinsics_{kind}.txt", getattr(header, f"{kind}_extrinsics"))
            for frame in sens.frames(interval):
                _write_frame(folder, frame)
                frames += 1
                lost += not np.isfinite(frame.pose).all()
            (folder / MARK).write_text(json.dumps(made_from | {"frames": frames, "lost": lost}, sort_keys=True) + "\n")
    return Exported(scene_id, frames, lost)


def export_scenes(
    root: str | Path,
    scene_ids: Sequence[str],
    out_dir: str | Path,
    interval: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """:func:`export_scene` for ``<root>/scans/<scene>/<scene>.sens`` (or ``scans_test``) of all scenes.

    A broken recording does not stop the others, and what is done stays: the same call goes on with the rest. progress:
    called after each scene with (scenes done, scenes in all). Returns the numbers of scenes, of those that were there
    already, of frames, and of frames without pose. Raises :class:`UserError` in the end if a scene was broken.
    """
    if interval < 1:
        raise UserError(f"the frame interval is {interval}, expected 1 or more")
    root, out_dir = Path(root), Path(out_dir)
    done: list[Exported] = []
    broken: dict[str, str] = {}
    try:
        for scene_id, answer in run_shards(partial(_export, root, out_dir, interval), scene_ids, workers):
            if isinstance(answer, Exported):
                done.append(answer)
            else:
                broken[scene_id] = f"{scene_id}: {answer}" if isinstance(answer, Died) else str(answer)
            if progress is not None:
                progress(len(done) + len(broken), len(scene_ids))
    finally:
        # Of workers that were ended while they wrote.
        for scene_id in scene_ids:
            shutil.rmtree(unfinished(out_dir / scene_id), ignore_errors=True)
    if broken:
        first, *others = sorted(broken)
        more = f" ({len(others)} more are broken: {', '.join(others[:20])})" if others else ""
        raise UserError(f"{broken[first]}{more}; the other {len(done)} of {len(scene_ids)} scenes are exported")
    return {
        "scenes": len(done),
        "scenes_kept": sum(scene.kept for scene in done),
        "frames": sum(scene.frames for scene in done),
        "frames_without_pose": sum(scene.lost for scene in done),
    }


def recorded_scenes(root: Path) -> list[str]:
    """Sorted ids of the scans below ``root`` that have a recording; :class:`UserError` if there is none."""
    found = {path.stem for folder in SCAN_FOLDERS for path in root.glob(f"{folder}/*/*.sens")}
    scenes = sorted(scene for scene in found if sens_file(root, scene).is_file())
    if not scenes:
        raise UserError(f"{root}: no recording scans/<scene>/<scene>.sens; name the folder above scans/")
    return scenes


def sens_file(root: Path, scene_id: str) -> Path:
    """The recording of a scan below ``root``, or where it should be."""
    paths = [root / folder / scene_id / f"{scene_id}.sens" for folder in SCAN_FOLDERS]
    return next((path for path in paths if path.is_file()), paths[0])


def _export(root: Path, out_dir: Path, interval: int, scene_id: str) -> Exported | UserError:
    """Runs in a worker: errors are returned, because one that escapes would end the process."""
    try:
        return export_scene(sens_file(root, scene_id), scene_id, out_dir, interval)
    except UserError as error:
        return error
    except OSError as error:
        return SceneError(scene_id, out_dir / scene_id, f"cannot be written ({error.strerror})")


def _mark(folder: Path) -> dict[str, Any] | None:
    try:
        held = json.loads((folder / MARK).read_text())
    except (OSError, ValueError):
        return None
    return held if isinstance(held, dict) and {"frames", "lost"} <= held.keys() else None


def _write_frame(folder: Path, frame: SensFrame) -> None:
    name = f"{frame.number:06d}"
    (folder / "color" / f"{name}.jpg").write_bytes(frame.color)
    Image.fromarray(frame.depth).save(folder / "depth" / f"{name}.png")
    _write_matrix(folder / "pose" / f"{name}.txt", frame.pose)


def _write_matrix(path: Path, matrix: np.ndarray) -> None:
    # Nine digits: the float32 of the recording comes back exactly. Lost poses are written "-inf", as in the download.
    np.savetxt(path, matrix, fmt="%.9g")
