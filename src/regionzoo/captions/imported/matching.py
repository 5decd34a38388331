"""Whether a caption file, an index and the stored scenes belong together: counts, names, and the range of ids.

Released pairs were mismatched before, and a pair that is joined all the same trains on wrong captions without a sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regionzoo.captions.imported.index import Index, Regions
from regionzoo.captions.imported.parts import Part, Stored
from regionzoo.captions.imported.texts import Texts
from regionzoo.errors import UserError


@dataclass(frozen=True)
class Pair:
    """The captions of one part of a scene: texts in the order of the index's regions."""

    part: Part
    texts: tuple[str, ...]
    regions: Regions


@dataclass(frozen=True)
class Matched:
    """Scene id -> its pairs in order; and the parts that neither file has, as (scene id, key)."""

    pairs: dict[str, tuple[Pair, ...]]
    missing: tuple[tuple[str, str], ...]


def match(texts: Texts, index: Index, scenes: Sequence[Stored], text_file: str, index_file: str) -> Matched:
    """Join captions with point ids by scene and region name.

    Raises :class:`UserError` with the first mismatch in the order of ``scenes`` (the scene, the region, what was
    expected), or if neither file has any of the scenes. text_file, index_file: for messages.
    """
    pairs: dict[str, tuple[Pair, ...]] = {}
    missing: list[tuple[str, str]] = []
    for scene in scenes:
        found = []
        for part in scene.parts:
            captions, regions = texts.get(part.key), index.scenes.get(part.key)
            if captions is None and regions is None:
                missing.append((scene.scene_id, part.key))
                continue
            problem = _difference(captions, regions) or _out_of_range(regions, part.size)
            if problem:
                where = part.key if part.key == scene.scene_id else f"{scene.scene_id}, keyframe {part.key}"
                raise UserError(
                    f"{where}: {problem} (captions: {text_file}; index: {index_file}); the two files do not belong "
                    "together or to these scenes: download the pair that belongs to the row"
                )
            if captions and regions is not None:
                found.append(Pair(part, tuple(captions[name] for name in regions.names), regions))
        pairs[scene.scene_id] = tuple(found)
    if len(missing) == sum(len(scene.parts) for scene in scenes):
        told = f"hold none of the {len(scenes)} training scenes; they are of another data set or split"
        raise UserError(f"{text_file}, {index_file}: {told}")
    return Matched(pairs, tuple(missing))


def _difference(captions: dict[str, str] | None, regions: Regions | None) -> str | None:
    """What distinguishes the names of captions and regions; a scene without any may be left out of either file."""
    texts, names = captions or {}, regions.names if regions is not None else ()
    known = frozenset(names)
    without_ids = next((name for name in texts if name not in known), None)
    without_text = next((name for name in names if name not in texts), None)
    if without_ids is None and without_text is None:
        return None
    if len(texts) != len(names):
        told = f"{len(texts)} captions, but {len(names)} regions in the index"
        told += ", which has no entry of the scene" if regions is None else ""
    else:
        told = f"{len(texts)} captions and as many regions, but of other names"
    if without_ids is not None:
        return f"{told}; the caption of region {without_ids!r} has no point ids"
    return f"{told}; region {without_text!r} has no caption"


def _out_of_range(regions: Regions | None, points: int) -> str | None:
    if regions is None:
        return None
    wrong = (regions.size > 0) & ((regions.lowest < 0) | (regions.highest >= points))
    if not wrong.any():
        return None
    k = int(np.flatnonzero(wrong)[0])
    return (
        f"region {regions.names[k]!r} has point ids {regions.lowest[k]}..{regions.highest[k]}, expected ids within "
        f"0..{points - 1}, the stored points"
    )
