"""Where stages find what other stages wrote."""

from __future__ import annotations

from pathlib import Path

from regionzoo.artifacts import read_json
from regionzoo.errors import UserError
from regionzoo.integrity import manifest_of
from regionzoo.scenes.raw_look import require_same


def require_raw(raw: Path) -> None:
    """:class:`UserError` unless the raw tree is here (a clone has the manifest alone) and is what that says."""
    if not raw.is_dir():
        raise UserError(f"{raw}: the raw tree is not here; run: snakemake --cores all --forcerun raw --until raw")
    require_same(raw)


def require_frames_of(raw: Path, dataset: str, instead: str) -> None:
    """:class:`UserError` if the raw tree is of processed scenes, which come without frames. instead: a way out."""
    path = manifest_of(raw)
    form = read_json(path)["facts"].get("format") if path.exists() else None
    if form is not None:
        raise UserError(
            f"{raw}: processed scenes ({form}) come without frames; {instead}, or point data.{dataset}.root at the "
            "official download (format: raw)"
        )


def split_scenes(scenes_dir: Path, split: str) -> list[str]:
    """Sorted scene ids of a split, from the scene store's own list."""
    return sorted(read_json(scenes_dir / "splits.json")[split])
