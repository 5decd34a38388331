"""The text tower of CLIP, through open_clip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regionzoo.artifacts import sha256_file
from regionzoo.errors import UserError
from regionzoo.text.clip_weights import find_weights, is_openai, load_exactly, parse_clip_spec, read_weights

if TYPE_CHECKING:
    from open_clip import CLIP

BATCH = 64

PLAIN_MODEL = {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}
PLAIN_TEXT = {"context_length", "vocab_size", "width", "heads", "layers"}
"""Keys of an open_clip configuration whose text side is CLIP's: BPE tokens, causal attention, output at the end."""

TOKEN_VISION = {"layers": 1, "width": 64, "patch_size": 32, "image_size": 32}


class OpenClip:
    """The text tower of a CLIP model of open_clip, float32, on the CPU. ``spec``: see :func:`parse_clip_spec`.

    OpenAI's weights need the QuickGELU activation, which a weights file does not tell: it is switched on for
    open_clip's tags that need it and for OpenAI's own .pt files (known by hash); for a converted copy name the model
    ``ViT-B-16-quickgelu``.
    """

    def __init__(self, spec: str) -> None:
        self.identity = spec
        model, weights, sha256 = parse_clip_spec(spec)

        import open_clip

        config = open_clip.get_model_config(model)
        if config is None:
            raise UserError(f"text encoder '{spec}': open_clip has no model '{model}'; see open_clip.list_models()")
        text = config["text_cfg"]
        if set(text) - PLAIN_TEXT or set(config) - PLAIN_MODEL or "siglip" in model.lower():
            raise UserError(
                f"text encoder '{spec}': only models with CLIP's own tokenizer and text tower are supported"
            )
        path, tag_quick_gelu = find_weights(spec, model, weights)
        found = sha256_file(path)
        if sha256 is not None and found != sha256:
            raise UserError(
                f"{path}: sha256 is {found}, expected {sha256}; fetch the weights again or correct the hash"
            )
        quick_gelu = config.get("quick_gelu", False) or tag_quick_gelu or is_openai(found)
        self.dimension = config["embed_dim"]
        self.facts = {"encoder": spec, "weights_sha256": found, "quick_gelu": str(bool(quick_gelu)).lower()}
        self._tokenizer = open_clip.get_tokenizer(model)
        # Images are never encoded here: a token image tower saves the seconds that the real one takes to build.
        clip = open_clip.CLIP(self.dimension, TOKEN_VISION, text, quick_gelu=bool(quick_gelu))
        clip.visual = None
        self._clip = _load_text_tower(clip, path, found, config["vision_cfg"]).eval()

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        """float32 [len(strings), D], rows of length 1; input beyond the context of 77 tokens is cut off."""
        import torch

        clip, rows = self._clip, [np.zeros((0, self.dimension), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(strings), BATCH):
                tokens = self._tokenizer(list(strings[start : start + BATCH]))
                ends = tokens.argmax(dim=1)
                # Attention is causal and the result is read at the end mark, so the padding behind the longest string
                # can be left out: the same vectors in a fraction of the time.
                length = int(ends.max()) + 1
                x = clip.token_embedding(tokens[:, :length]) + clip.positional_embedding[:length]
                x = clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask[:length, :length]))
                x = x[torch.arange(len(x)), ends] @ clip.text_projection
                rows.append(torch.nn.functional.normalize(x, dim=1).numpy())
        return np.concatenate(rows)

    def count_truncated(self, strings: Sequence[str]) -> int:
        """Strings of more tokens than the context holds, start and end marks counted."""
        context = self._tokenizer.context_length
        return sum(len(self._tokenizer.encode(string)) + 2 > context for string in strings)


def _load_text_tower(clip: CLIP, path: Path, sha256: str, vision: dict[str, Any]) -> CLIP:
    """Copy the text side of a state dict; every parameter must be there, and an image side must be this model's."""
    state = read_weights(path, sha256)
    patches = state.get("visual.conv1.weight")
    if patches is not None and "patch_size" in vision and patches.shape[-1] != vision["patch_size"]:
        # The text towers of B/16 and B/32 have equal shapes but live in different spaces.
        raise UserError(
            f"{path}: weights for patches of {patches.shape[-1]} pixels, the model has {vision['patch_size']}"
        )
    text = {key: value for key, value in state.items() if not key.startswith("visual.")}
    load_exactly(clip, text, path)
    return clip
