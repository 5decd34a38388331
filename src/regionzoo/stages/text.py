"""Stage text: every string that a row needs -> unit vectors, once."""

from __future__ import annotations

from pathlib import Path

from regionzoo.captions.store import load_captions
from regionzoo.integrity import require_content
from regionzoo.settings.data import TextSettings
from regionzoo.text.class_prompts import class_prompts
from regionzoo.text.encoders import make_encoder
from regionzoo.text.table import build_table, save_table


def run(settings: TextSettings, captions: Path, out: Path) -> None:
    """Encode the prompts of the class sets and all captions of the set."""
    require_content(captions)
    strings = {text for classes in settings.classes for text in class_prompts(classes, settings.template)}
    for path in sorted(captions.glob("*.safetensors")):
        strings.update(load_captions(path).texts)
    save_table(out, build_table(strings, make_encoder(settings.encoder)))
