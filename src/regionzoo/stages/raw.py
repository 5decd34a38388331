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
from regionzoo.scenes.nuscenes_layout import input_folders
from regionzoo.scenes.processed_layout import FOLDERS
from regionzoo.scenes.raw_tree import CACHE, INDEX, STATE, Inputs, RawTree, find_inputs, state_of, write_state
from regionzoo.settings.data import RawSettings, StreetSizes
from regionzoo.stages._raw import open_raw


def run(settings: RawSettings, link: Path, manifest: Path, workers: int) -> None:
    """Make ``link`` a symbolic link to the raw tree and write the manifest of the files that later stages read.

    Only files that look touched since they were hashed last are hashed again. Beside the link the state file is
    written, in which Snakemake and DVC see an edit of the tree. Raises :class:`UserError` if the configured root
    cannot be used.
    """
    if settings.root is None:
        root, facts = _generate(settings, link, workers)
        target = Path(os.path.relpath(root, link.parent))
    else:
        root, facts = _given(settings)
        target = root
    splits = open_raw(settings, root, index=link.parent / INDEX).splits
    lists = {"train": settings.train_list, "val": settings.val_list}
    named = {split: name for split, name in lists.items() if name is not None}
    if settings.version != "v2":
        inputs = Inputs.whole(input_folders(settings.version), named.values())
    elif settings.format != "raw":
        inputs = Inputs.whole(FOLDERS, named.values())
    else:
        inputs = Inputs.listed((name for names in splits.values() for name in names), named.values())
    tree = RawTree.load(link.parent / CACHE, root)
    with Meter("hash raw files", 1) as meter:

        def progress(done: int, total: int) -> None:
            meter.total = total
            meter.update(done)

        files = tree.update(find_inputs(root, inputs, workers), workers, progress)
    _point(link, target)
    facts |= {"dataset": settings.dataset, "scenes": {split: len(scene_ids) for split, scene_ids in splits.items()}}
    tree.lists, tree.folders = named, sorted(inputs.folders)
    tree.state, tree.changes = state_of(facts, files), {}
    # The state before the manifest: an input that is older than the output.
    write_state(link.parent / STATE, tree.state)
    write_manifest(manifest, files, facts)
    tree.manifest = manifest_hash(manifest)
    tree.save()


def _given(settings: RawSettings) -> tuple[Path, dict[str, Any]]:
    assert settings.root is not None
    root = Path(settings.root).expanduser()
    rooms = settings.version == "v2"
    if not root.is_dir():
        wanted = f"the folder of the official download that holds {settings.version}/, samples/ and lidarseg/"
        if rooms:
            wanted = "the folder of the official download that holds scans/"
        if settings.format != "raw":
            wanted = "the folder that holds train/ and val/"
        raise UserError(
            f"params.yaml: data.{settings.dataset}.root: no such folder {root}; give {wanted}, or null for synthetic "
            f"{'rooms' if rooms else 'streets'}"
        )
    if settings.format != "raw":
        return root.resolve(), {"source": "scannet", "format": settings.format}
    # The usual layout names the version twice: <root>/<version>/<version>/*.json.
    inner = root / settings.version
    if not rooms and (inner / settings.version).is_dir():
        root = inner
    return root.resolve(), {"source": "scannet" if rooms else "nuscenes"}


def _generate(settings: RawSettings, link: Path, workers: int) -> tuple[Path, dict[str, Any]]:
    sizes = settings.synthetic
    assert sizes is not None
    root = link.parent / "synthetic"
    total = sizes.train_scenes + sizes.val_scenes
    kind = "streets" if isinstance(sizes, StreetSizes) else "rooms"
    with Meter(f"synthetic {kind}", total) as meter:

        def progress(done: int, _: int) -> None:
            meter.update(done)

        # Each generator is imported where it is used: it is some 15 files that the other data set does not need.
        if isinstance(sizes, StreetSizes):
            from regionzoo.scenes import streets

            version = streets.GENERATOR_VERSION
            notices = streets.generate(root, streets.StreetSettings(**sizes.model_dump()), workers, progress)
        else:
            from regionzoo.scenes import synthetic

            version = synthetic.GENERATOR_VERSION
            notices = synthetic.generate(root, synthetic.RoomSettings(**sizes.model_dump()), workers, progress)
    for line in notices:
        print(f"notice: {line}")
    return root, {"source": f"synthetic-{kind}", "generator": version, "sizes": sizes.model_dump()}


def _point(link: Path, target: Path) -> None:
    if link.exists() and not link.is_symlink():
        raise UserError(f"{link}: expected a link that regionzoo made, found a folder; move it away")
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.symlink_to(target)
    temporary.replace(link)
