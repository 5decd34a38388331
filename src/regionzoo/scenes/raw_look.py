"""Whether the raw tree is still what its manifest says: the look that every start of Snakemake takes.

DVC cannot look by itself: a raw tree as a dependency would be hashed whole, and would be "deleted" in every clone. So
what the tree holds is written into ``data/<dataset>/raw.state.json``, a dependency of the stage and the rule ``raw``.
A tree that comes back to what it was makes the state file what it was, and nothing reruns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regionzoo.artifacts import sha256_bytes
from regionzoo.errors import UserError
from regionzoo.scenes.raw_tree import (
    CACHE,
    LINK,
    MANIFEST,
    NOTHING_BUILT,
    STATE,
    Inputs,
    RawTree,
    Stat,
    find_inputs,
    state_of,
    write_state,
)

THREADS = 8
MUCH = 1 << 28
"""Bytes to hash from which on the look shows its progress."""

_SHOWN = 3


@dataclass(frozen=True)
class RawChanges:
    """Inputs of a raw tree that differ from its manifest; paths below the root, sorted.

    foreign: the tree belongs to another manifest (another branch was built last), so this is no edit. generated:
    the tree is synthetic.
    """

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    foreign: bool = False
    generated: bool = False

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.new)

    def __str__(self) -> str:
        parts = []
        for kind in ("changed", "missing", "new"):
            if names := getattr(self, kind):
                more = ", ..." if len(names) > _SHOWN else ""
                parts.append(f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{more})")
        return ", ".join(parts)


def look(folder: Path, threads: int = THREADS) -> RawChanges:
    """Compare the tree behind ``folder/raw`` with ``folder/raw.manifest.json`` and bring the state file up to date.

    folder: ``data/<dataset>``. Files whose size and times are as before are taken as unchanged. No tree there (a clone,
    a disk that is not mounted) or no manifest: nothing is said and nothing written. :class:`UserError` if the tree
    cannot be read or the state not be written.
    """
    link = folder / LINK
    try:
        content = (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        return RawChanges()
    if not link.is_dir():
        return RawChanges()
    identity = sha256_bytes(content)
    tree = RawTree.load(folder / CACHE, link)
    inputs = _listed(tree) if tree.lists or tree.folders else None
    found = find_inputs(tree.root, inputs, threads) if inputs else None
    if found and tree.manifest == identity and tree.looks_the_same(found):
        write_state(folder / STATE, tree.state)
        return _read(tree)
    described = _parse(content)
    if described is None:
        return RawChanges()
    facts, files = described
    if found is None:
        found = find_inputs(tree.root, Inputs.of_manifest(files), threads)
    if not found:
        return RawChanges()
    return _compare(folder, tree, found, identity, facts, files, threads)


def _compare(
    folder: Path,
    tree: RawTree,
    found: dict[str, Stat],
    identity: str,
    facts: dict[str, Any],
    files: dict[str, str],
    threads: int,
) -> RawChanges:
    held = None if not tree.looks_the_same(found) else (tree.manifest, tree.changes, tree.state)
    now = _hashes(tree, found, threads)
    changes = {
        "changed": [name for name in now if name in files and now[name] != files[name]],
        "missing": sorted(files.keys() - now.keys()),
        "new": sorted(now.keys() - files.keys()),
    }
    foreign = any(changes.values()) and tree.manifest not in (None, identity)
    if not foreign:
        tree.manifest, tree.changes, tree.state = identity, changes, state_of(facts, now)
        write_state(folder / STATE, tree.state)
    if (tree.manifest, tree.changes, tree.state) != held:
        tree.save()
    return (
        RawChanges(**{kind: tuple(names) for kind, names in changes.items()}, foreign=True) if foreign else _read(tree)
    )


def note_changes(folder: Path) -> list[str]:
    """What Snakemake calls at its start for ``data/<dataset>``: :func:`look`, with the news as lines for the user.

    Makes the state file if there is none yet, because it is an input of the rule ``raw``.
    """
    if not (folder / STATE).exists():
        write_state(folder / STATE, NOTHING_BUILT)
    changes = look(folder)
    if not changes or changes.foreign:
        return []
    told = f"{folder / LINK}: not what {MANIFEST} says: {changes}"
    if changes.generated:
        told += "; the scenes are generated: `snakemake --cores all --until raw` repairs them, and no more needs to run"
    return [told]


def require_same(raw: Path) -> None:
    """:class:`UserError` if the raw tree at ``data/<dataset>/raw`` is not what its manifest says (a stage reads it)."""
    changes = look(raw.parent)
    if changes.foreign:
        again = "snakemake --cores all --forcerun raw --until raw"
        raise UserError(f"{raw}: made for another version of {MANIFEST}; run: {again}")
    if changes:
        raise UserError(f"{raw}: not what {MANIFEST} says: {changes}; run the same command again, it begins with raw")


def status_lines(data: Path) -> list[str]:
    """One line a data set below ``data`` and one a file that differs; brings the state files up to date."""
    lines = []
    for manifest in sorted(data.glob(f"*/{MANIFEST}")):
        folder = manifest.parent
        link = folder / LINK
        if not link.is_dir():
            lines.append(f"{link}: no raw tree here")
            continue
        changes = look(folder)
        if changes.foreign:
            lines.append(f"{link}: belongs to another version of {MANIFEST}")
        else:
            lines.append(f"{link}: {'differs from' if changes else 'as in'} {MANIFEST}")
            kinds = ("changed", "missing", "new")
            lines += [f"  {kind}: {name}" for kind in kinds for name in getattr(changes, kind)]
    return lines


def _hashes(tree: RawTree, found: dict[str, Stat], threads: int) -> dict[str, str]:
    known = tree.files
    size = sum(seen[0] for name, seen in found.items() if tuple(known.get(name, [None])[:3]) != seen)
    if size < MUCH:
        return tree.update(found, threads)
    from regionzoo.progress import Meter  # its imports would cost every start of Snakemake a tenth of a second

    with Meter("hash raw files", 1) as meter:

        def progress(done: int, total: int) -> None:
            meter.total = total
            meter.update(done)

        return tree.update(found, threads, progress)


def _read(tree: RawTree) -> RawChanges:
    generated = str(tree.state["facts"].get("source")).startswith("synthetic")
    return RawChanges(**{kind: tuple(names) for kind, names in tree.changes.items()}, generated=generated)


def _listed(tree: RawTree) -> Inputs | None:
    """From the split lists as they are now; None if one cannot be read (a change, which the manifest then tells)."""
    if tree.folders:
        return Inputs.whole(tree.folders, tree.lists.values())
    scenes: set[str] = set()
    for name in tree.lists.values():
        try:
            lines = (tree.root / name).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            return None
        scenes |= {line.strip() for line in lines} - {""}
    return Inputs.listed(scenes, tree.lists.values())


def _parse(content: bytes) -> tuple[dict[str, Any], dict[str, str]] | None:
    """Facts and files of a manifest; None if it is broken (DVC says so, and ``raw`` makes it again)."""
    try:
        described = json.loads(content)
        return dict(described["facts"]), dict(described["files"])
    except (ValueError, KeyError, TypeError):
        return None
