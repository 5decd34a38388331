"""Stage raw: point ``data/<dataset>/raw`` at a raw tree (the user's, or a generated one) and write down its content.

This is the only place that knows whether data are synthetic; everything after it reads the official format.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from regionzoo.artifacts import manifest_hash, write_manifest
from regionzoo.errors import UserError
from regionzoo.progress import Meter
from regionzoo.scenes.raw_tree import CACHE, STATE, Inputs, RawTree, find_inputs, state_of, write_state
from regionzoo.scenes.scannet import ScanNetRoot
from regionzoo.scenes.synthetic import GENERATOR_VERSION, RoomSettings, generate
from regionzoo.settings.data import RawSettings


def run(settings: RawSettings, link: Path, manifest: Path, workers: int) -> None:
    """Make ``link`` a symbolic link to the raw tree and write the manifest of the files that later stages read.

    Only files that look touched since they were hashed last are hashed again. Beside the link the state file is
    written, in which Snakemake and DVC see an edit of the tree. Raises :class:`UserError` if the configured root
    cannot be used.
    """
    if settings.root is None:
        assert settings.synthetic is not None
        root, facts = _generate(settings, link, workers)
        target = Path(os.path.relpath(root, link.parent))
    else:
        root = Path(settings.root).expanduser()
        if not root.is_dir():
            raise UserError(
                f"params.yaml: data.{settings.dataset}.root: no such folder {root}; give the folder of the official "
                "download that holds scans/, or null for synthetic rooms"
            )
        target, facts = root.resolve(), {"source": "scannet"}
    lists = {"train": settings.train_list, "val": settings.val_list}
    splits = ScanNetRoot.open(root, lists).splits
    inputs = Inputs.listed((scene_id for scene_ids in splits.values() for scene_id in scene_ids), lists.values())
    tree = RawTree.load(link.parent / CACHE, root)
    with Meter("hash raw files", 1) as meter:

        def progress(done: int, total: int) -> None:
            meter.total = total
            meter.update(done)

        files = tree.update(find_inputs(root, inputs, workers), workers, progress)
    _point(link, target)
    facts |= {"dataset": settings.dataset, "scenes": {split: len(scene_ids) for split, scene_ids in splits.items()}}
    tree.lists, tree.state, tree.changes = lists, state_of(facts, files), {}
    # The state before the manifest: an input that is older than the output.
    write_state(link.parent / STATE, tree.state)
    write_manifest(manifest, files, facts)
    tree.manifest = manifest_hash(manifest)
    tree.save()


def _generate(settings: RawSettings, link: Path, workers: int) -> tuple[Path, dict[str, Any]]:
    assert settings.synthetic is not None
    sizes = settings.synthetic
    root = link.parent / "synthetic"
    rooms = RoomSettings(
        train_scenes=sizes.train_scenes,
        val_scenes=sizes.val_scenes,
        frames=sizes.frames,
        vertex_spacing=sizes.vertex_spacing,
        seed=sizes.seed,
    )
    total = sizes.train_scenes + sizes.val_scenes
    with Meter("synthetic rooms", total) as meter:
        notices = generate(root, rooms, workers, lambda done, _: meter.update(done))
    for line in notices:
        print(f"notice: {line}")
    return root, {"source": "synthetic-rooms", "generator": GENERATOR_VERSION, "sizes": sizes.model_dump()}


def _point(link: Path, target: Path) -> None:
    if link.exists() and not link.is_symlink():
        raise UserError(f"{link}: expected a link that regionzoo made, found a folder; move it away")
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.symlink_to(target)
    temporary.replace(link)
