"""Beam search without sampling, and how many tokens came out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Search:
    """beams: 1 is greedy. max_new_tokens: the end mark counts, the prompt does not. no_repeat_ngram: size of token
    sequences that may not occur twice, 0 = any may."""

    beams: int
    max_new_tokens: int
    no_repeat_ngram: int = 0

    def arguments(self) -> dict[str, Any]:
        """For ``generate`` of transformers, over whatever defaults come with a model."""
        return {
            "do_sample": False,
            "num_beams": self.beams,
            "num_return_sequences": 1,
            "max_new_tokens": self.max_new_tokens,
            "no_repeat_ngram_size": self.no_repeat_ngram,
        }


def count_tokens(sequences: torch.Tensor, prompt: int, end: int, padding: int) -> list[int]:
    """Tokens that each row of [B, T] has behind its first ``prompt``: up to the end mark, which counts, no padding."""
    counts = []
    for row in sequences[:, prompt:].tolist():
        written = row[: row.index(end) + 1] if end in row else [token for token in row if token != padding]
        counts.append(len(written))
    return counts
