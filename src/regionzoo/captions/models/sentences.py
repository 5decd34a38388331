"""Image captioners that write one sentence for a picture: BLIP, and ViT with GPT-2."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from regionzoo.captions.models.files import ModelFiles, find_model
from regionzoo.captions.models.generating import Search, count_tokens
from regionzoo.captions.models.runtime import ModelRuntime, load_model, load_part

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["blip", "vit-gpt2"]

MODEL_TYPES: dict[Kind, str] = {"blip": "blip", "vit-gpt2": "vision-encoder-decoder"}

CROP_SEARCH = Search(beams=5, max_new_tokens=16, no_repeat_ngram=3)
"""The original's captioner of windows and crops."""

FRAME_SEARCH = Search(beams=4, max_new_tokens=63)
"""The captioner of whole frames of PLA: at most 64 tokens, the start mark counted."""


class Sentence(NamedTuple):
    """A caption without marks and outer blanks (it may be empty), and how many tokens were written for it."""

    text: str
    tokens: int


@dataclass(frozen=True)
class SentenceModelSettings:
    """model: a folder, or a name on the hub. search: :data:`CROP_SEARCH` or :data:`FRAME_SEARCH`, or another."""

    kind: Kind
    model: str
    search: Search

    def find(self) -> ModelFiles:
        """The model's files."""
        return find_model(self.model, MODEL_TYPES[self.kind], self.kind)

    def load(self, files: ModelFiles, runtime: ModelRuntime) -> SentenceModel:
        """The loaded model."""
        return (_Blip if self.kind == "blip" else _VitGpt2)(self.search, files, runtime)

    def identity(self, files: ModelFiles) -> dict[str, str | int | float]:
        """What its sentences depend on, but for the precision."""
        return {
            "sentences": self.kind,
            "sentences_model_sha256": files.fingerprint,
            "beams": self.search.beams,
            "max_new_tokens": self.search.max_new_tokens,
            "no_repeat_ngram": self.search.no_repeat_ngram,
        }


class SentenceModel(ABC):
    """A loaded captioner of pictures of any size."""

    processor: Any
    tokenizer: Any
    model: Any

    def __init__(self, search: Search) -> None:
        self.search = search

    def caption(self, images: Sequence[np.ndarray]) -> list[Sentence]:
        """A sentence for each image, uint8 [H, W, 3]."""
        import torch
        from PIL import Image

        pictures = [Image.fromarray(image) for image in images]
        inputs = self.processor(images=pictures, device=self.model.device, return_tensors="pt")
        pixels = inputs["pixel_values"].to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            sequences = self.model.generate(pixel_values=pixels, **self.search.arguments())
        # Both models begin with one start mark, which BLIP's tokenizer may not know.
        tokens = count_tokens(sequences, 1, *self.marks())
        texts = self.tokenizer.batch_decode(sequences[:, 1:], skip_special_tokens=True)
        return [Sentence(text.strip(), count) for text, count in zip(texts, tokens, strict=True)]

    @abstractmethod
    def marks(self) -> tuple[int, int]:
        """Ids of the end mark and of padding."""


class _Blip(SentenceModel):
    def __init__(self, search: Search, files: ModelFiles, runtime: ModelRuntime) -> None:
        from transformers.models.blip import BlipForConditionalGeneration, BlipProcessor

        super().__init__(search)
        parts = load_part(BlipProcessor, files)
        self.processor, self.tokenizer = parts.image_processor, parts.tokenizer
        self.model = load_model(BlipForConditionalGeneration, files, runtime)

    def marks(self) -> tuple[int, int]:
        # BLIP ends a sentence with BERT's separator; its eos_token_id is another number.
        config = self.model.config.text_config
        return config.sep_token_id, config.pad_token_id


class _VitGpt2(SentenceModel):
    def __init__(self, search: Search, files: ModelFiles, runtime: ModelRuntime) -> None:
        from transformers import AutoTokenizer, VisionEncoderDecoderModel, ViTImageProcessor

        super().__init__(search)
        self.processor = load_part(ViTImageProcessor, files)
        self.tokenizer = load_part(AutoTokenizer, files)
        # The decoder looks at the patches; saved models may lack the pooled class token's weights.
        self.model = load_model(VisionEncoderDecoderModel, files, runtime, unused=("encoder.pooler.",))

    def marks(self) -> tuple[int, int]:
        # GPT-2 knows no padding and pads with its end mark.
        return self.tokenizer.eos_token_id, self.tokenizer.eos_token_id
