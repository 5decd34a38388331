"""Which scenes belong to which split: lists in files, scenes left out, and that no scene is in two."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from regionzoo.errors import UserError

_SCENE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def read_split_list(path: str | Path, dataset: str, notices: list[str] | None = None) -> tuple[str, ...]:
    """Scene ids of a list (one a line, blank lines ignored), sorted, each once; repeats are told in ``notices``.

    dataset: its section below ``data`` in params.yaml, for messages.
    """
    path = Path(path)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError:
        raise UserError(f"{path}: no such scene list; copy it there or name another under data.{dataset}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a list of scene ids ({error})") from None
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if line and not _SCENE_ID.fullmatch(line):
            raise UserError(f"{path}: line {number}: {line[:60]!r} is not a scene id")
        if line in seen and notices is not None:
            notices.append(f"{path.name}: line {number} repeats {line}; it is used once")
        if line:
            seen.add(line)
    if not seen:
        raise UserError(f"{path}: lists no scene")
    return tuple(sorted(seen))


def form_splits(
    listed: Iterable[tuple[str, str, tuple[str, ...]]], exclude: Iterable[str], dataset: str, notices: list[str]
) -> dict[str, tuple[str, ...]]:
    """Split -> its scenes without the excluded ones; what was left out is told in ``notices``.

    listed: for each split its name, where its scenes are from (for messages), and the scenes. Raises
    :class:`UserError` if a split ends up empty, or if a scene is in two of them.
    """
    left_out = set(exclude)
    unused = set(left_out)
    splits: dict[str, tuple[str, ...]] = {}
    first: dict[str, tuple[str, str]] = {}
    for split, told, scenes in listed:
        splits[split] = tuple(scene for scene in scenes if scene not in left_out)
        if not splits[split]:
            raise UserError(f"{told}: no scene is left for the split {split}; check data.{dataset}.exclude")
        notices += [f"{split}: {scene} is excluded" for scene in scenes if scene in left_out]
        unused -= set(scenes)
        for scene in splits[split]:
            other, where = first.setdefault(scene, (split, told))
            if other != split:
                raise UserError(f"{where} and {told}: both list {scene}; a scene belongs to one split")
    notices += [f"excluded {scene} is in no list" for scene in sorted(unused)]
    return splits
