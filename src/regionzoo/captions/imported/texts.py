"""The caption file of a set: JSON, ``{scene: {region: caption}}``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from regionzoo.errors import UserError

Texts = dict[str, dict[str, str]]
"""Scene -> region -> caption."""


def read_texts(path: Path, wanted: frozenset[str]) -> Texts:
    """The captions of the ``wanted`` scenes.

    Raises :class:`UserError` of one line if the file is absent, no JSON, or of another form in one of these scenes, or
    if it names one of their regions twice.
    """
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=_unique)
    except FileNotFoundError:
        raise UserError(f"{path}: no such caption file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except _Repeated as error:
        raise UserError(
            f"{path}: {error.args[0]!r} is there twice in one object; which one counts is not known"
        ) from None
    except (ValueError, RecursionError) as error:
        told = " ".join(str(error).split())[:100]
        raise UserError(f"{path}: not whole JSON ({told}); download it again") from None
    if type(content) is not dict:
        raise UserError(f"{path}: holds a {type(content).__name__}, expected {{scene: {{region: caption}}}}")
    texts = {scene: regions for scene, regions in content.items() if scene in wanted}
    for scene, regions in texts.items():
        if type(regions) is not dict:
            hint = " (one caption for a whole scene is no set of regions)" if type(regions) is str else ""
            raise UserError(f"{path}: {scene!r}: a {type(regions).__name__}, expected {{region: caption}}{hint}")
        for region, text in regions.items():
            if type(text) is not str:
                raise UserError(f"{path}: {scene!r}: region {region!r}: a {type(text).__name__}, expected a caption")
    return texts


class _Repeated(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Repeated(key)
            seen.add(key)
    return made
