"""Kosmos-2: a description of the whole frame whose noun phrases carry boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from regionzoo.captions.captioner import Picture
from regionzoo.captions.models.files import ModelFiles, find_model
from regionzoo.captions.models.generating import Search, count_tokens
from regionzoo.captions.models.grounded_text import grounded_regions
from regionzoo.captions.models.looking import Described, ModelCaptioner
from regionzoo.captions.models.runtime import ModelRuntime, load_model, load_part

if TYPE_CHECKING:
    import numpy as np


PROMPT = "<grounding> Describe this image in detail:"
"""The original's."""

GREEDY = Search(beams=1, max_new_tokens=200)
"""The original's."""


@dataclass(frozen=True)
class KosmosSettings:
    """model: a folder, or a name on the hub such as ``microsoft/kosmos-2-patch14-224``."""

    model: str
    prompt: str = PROMPT
    search: Search = GREEDY

    def make(self, runtime: ModelRuntime | None = None) -> KosmosCaptioner:
        """The captioner; its weights are loaded when the first frame is described."""
        return KosmosCaptioner(self, find_model(self.model, "kosmos-2", "kosmos2"), runtime or ModelRuntime())


class KosmosCaptioner(ModelCaptioner):
    """Each (phrase, box) pair of the description is a region."""

    def __init__(self, settings: KosmosSettings, files: ModelFiles, runtime: ModelRuntime) -> None:
        super().__init__(runtime, [files])
        self.settings, self.files = settings, files

    @property
    def identity(self) -> dict[str, str | int | float]:
        """Name, settings, precision and hash of the model's files."""
        return {
            "captioner": "kosmos2",
            "model_sha256": self.files.fingerprint,
            "precision": self.runtime.float_name(),
            "prompt": self.settings.prompt,
            "beams": self.settings.search.beams,
            "max_new_tokens": self.settings.search.max_new_tokens,
            "no_repeat_ngram": self.settings.search.no_repeat_ngram,
        }

    def look(self, frames: Sequence[Picture], images: Sequence[np.ndarray]) -> list[Described]:
        """Phrases with boxes of each frame."""
        answers = self.batches.run(self._loaded.describe, images)
        return [
            Described(grounded_regions(answer.text, *image.shape[:2], grid=self._loaded.grid), 1, answer.tokens)
            for answer, image in zip(answers, images, strict=True)
        ]

    @cached_property
    def _loaded(self) -> _Kosmos:
        return _Kosmos(self.settings, self.files, self.runtime)


class _Answer(NamedTuple):
    """What the model wrote behind the prompt, tags and patch tokens included."""

    text: str
    tokens: int


class _Kosmos:
    """The loaded model."""

    def __init__(self, settings: KosmosSettings, files: ModelFiles, runtime: ModelRuntime) -> None:
        from transformers.models.kosmos2 import Kosmos2ForConditionalGeneration, Kosmos2Processor

        self.settings = settings
        self.processor: Any = load_part(Kosmos2Processor, files)
        self.model: Any = load_model(Kosmos2ForConditionalGeneration, files, runtime)
        self.grid = round(self.processor.num_patch_index_tokens**0.5)

    def describe(self, images: Sequence[np.ndarray]) -> list[_Answer]:
        import torch
        from PIL import Image

        side = self.model.config.vision_config.image_size
        inputs = self.processor(
            images=[Image.fromarray(image) for image in images],
            text=[self.settings.prompt] * len(images),
            num_image_tokens=self.model.config.latent_query_num,
            # The whole image, squeezed: boxes are shares of what the model sees. A processor that cropped the middle
            # out of a wide image, as CLIP's does by default, would move every box.
            size={"height": side, "width": side},
            do_center_crop=False,
            device=self.model.device,
            return_tensors="pt",
        ).to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            sequences = self.model.generate(**inputs, **self.settings.search.arguments())
        prompt = inputs["input_ids"].shape[1]
        config = self.model.config.text_config
        tokens = count_tokens(sequences, prompt, config.eos_token_id, config.pad_token_id)
        texts = self.processor.batch_decode(sequences[:, prompt:], skip_special_tokens=True)
        return [_Answer(text, count) for text, count in zip(texts, tokens, strict=True)]
