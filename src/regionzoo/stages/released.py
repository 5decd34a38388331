"""Stage released: a published checkpoint -> weights and settings of a row, as a training would have left them."""

from __future__ import annotations

from pathlib import Path

from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.released.checkpoint_file import read_checkpoint
from regionzoo.released.convert import CLIP_DIMENSION
from regionzoo.released.fetch import FOLDER, LOCK, fetch, give_up
from regionzoo.released.manifest import artifact_of
from regionzoo.released.result import ClassText, write_result
from regionzoo.settings.released import ReleasedSettings
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.encoders import make_encoder
from regionzoo.text.table import build_table
from regionzoo.training.checkpoint import TEXT_MATRIX


def run(settings: ReleasedSettings, out: Path, folder: Path = FOLDER, lock: Path = LOCK) -> None:
    """Fetch, verify and convert the row's checkpoint, and write ``out/model.safetensors`` and ``out/config.json``.

    folder: where fetched files are kept. lock: the table of their digests.
    """
    file = settings.file
    artifact = artifact_of(settings.row, "checkpoint")
    found = fetch(artifact, folder, lock, file.checkpoint)
    try:
        checkpoint = read_checkpoint(found.path)
    except UserError:
        give_up(found, artifact, lock)
        raise
    seen = f"recorded in {lock}" if found.first else "as expected"
    print(f"{found.path}: {found.size} bytes, sha256 {found.sha256[:12]}..., {seen}")
    text = _text(settings, len(checkpoint.state.get(TEXT_MATRIX, ())))
    report = write_result(checkpoint, settings.train, None, out, file.layout, file.remap, text)
    facts = report.provenance
    print(f"{report.weights}: epoch {facts['epoch']}, {facts['layout']} convolutions, {facts['text_classes']} classes")


def _text(settings: ReleasedSettings, stored: int) -> ClassText | None:
    """Vectors of the row's classes, if those in the checkpoint cannot be theirs."""
    if stored in (0, len(class_set(settings.classes.set).names)):
        return None
    prompts = class_prompts(settings.classes.set, settings.train.template)
    table = build_table(prompts, make_encoder(settings.encoder))
    if table.dimension != CLIP_DIMENSION:
        raise UserError(
            f"text encoder '{settings.encoder}': its vectors have {table.dimension} numbers, and published networks "
            f"speak in {CLIP_DIMENSION}; name the CLIP of the row in params.yaml"
        )
    return ClassText(table.vectors[table.lookup(prompts)], table.facts)
