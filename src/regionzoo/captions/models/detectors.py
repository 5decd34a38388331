"""Open-vocabulary detectors: OWLv2 and Grounding DINO."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from regionzoo.artifacts import sha256_bytes
from regionzoo.captions.models.boxes import Detections
from regionzoo.captions.models.files import ModelFiles, find_model
from regionzoo.captions.models.runtime import ModelRuntime, load_model, load_part
from regionzoo.errors import UserError

if TYPE_CHECKING:
    import torch

Kind = Literal["owlv2", "grounding-dino"]


@dataclass(frozen=True)
class DetectorSettings:
    """model: a folder, or a name on the hub. vocabulary: names to look for. threshold: smallest score of a box.

    prompt: what OWLv2 is asked, {} being a name; Grounding DINO is asked for the bare names.
    """

    kind: Kind
    model: str
    vocabulary: tuple[str, ...]
    threshold: float
    prompt: str = "a photo of a {}"

    def find(self) -> ModelFiles:
        """The model's files."""
        return find_model(self.model, self.kind, self.kind)

    def load(self, files: ModelFiles, runtime: ModelRuntime) -> Detector:
        """The loaded model."""
        return (_Owlv2 if self.kind == "owlv2" else _GroundingDino)(self, files, runtime)

    def identity(self, files: ModelFiles) -> dict[str, str | int | float]:
        """What its boxes depend on, but for the precision."""
        asked = {"prompt": self.prompt} if self.kind == "owlv2" else {}
        return asked | {
            "detector": self.kind,
            "detector_model_sha256": files.fingerprint,
            "threshold": self.threshold,
            "vocabulary": len(self.vocabulary),
            "vocabulary_sha256": sha256_bytes("\n".join(self.vocabulary).encode()),
        }


class Detector(ABC):
    """A loaded detector."""

    @abstractmethod
    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """What it finds in images of one size, uint8 [H, W, 3]: every box above the threshold, with its best name."""


class _Owlv2(Detector):
    def __init__(self, settings: DetectorSettings, files: ModelFiles, runtime: ModelRuntime) -> None:
        from transformers.models.owlv2 import Owlv2ForObjectDetection, Owlv2Processor

        self.settings = settings
        self.processor: Any = load_part(Owlv2Processor, files)
        self.model: Any = load_model(Owlv2ForObjectDetection, files, runtime)
        self._queries: torch.Tensor | None = None

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        import torch
        from transformers.models.owlv2.modeling_owlv2 import Owlv2ObjectDetectionOutput

        inputs = self.processor.image_processor(_pictures(images), device=self.model.device, return_tensors="pt")
        pixels = inputs["pixel_values"].to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            queries = self._embedded_names(pixels[:1]).expand(len(pixels), -1, -1)
            cells, *_ = self.model.image_embedder(pixel_values=pixels)
            features = cells.flatten(1, 2)
            asked = torch.ones(queries.shape[:2], dtype=torch.bool, device=pixels.device)
            logits, *_ = self.model.class_predictor(features, queries, asked)
            boxes = self.model.box_predictor(features, cells)
        found = self.processor.post_process_grounded_object_detection(
            # Half precision would round pixels.
            Owlv2ObjectDetectionOutput(logits=logits.float().cpu(), pred_boxes=_finite(boxes).float()),
            threshold=self.settings.threshold,
            target_sizes=[image.shape[:2] for image in images],
        )
        return [_detections(one["boxes"], one["labels"], one["scores"]) for one in found]

    def _embedded_names(self, pixels: torch.Tensor) -> torch.Tensor:
        """[1, names, D]. The whole model would run its text tower anew for every image; the names never change."""
        if self._queries is None:
            prompts = [self.settings.prompt.replace("{}", name) for name in self.settings.vocabulary]
            length = self.model.config.text_config.max_position_embeddings
            tokens = self.processor.tokenizer(
                prompts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
            ).to(self.model.device)
            outputs = self.model(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels
            )
            self._queries = outputs.text_embeds
        return self._queries


class _GroundingDino(Detector):
    def __init__(self, settings: DetectorSettings, files: ModelFiles, runtime: ModelRuntime) -> None:
        from transformers.models.grounding_dino import GroundingDinoForObjectDetection, GroundingDinoProcessor

        self.settings = settings
        self.processor: Any = load_part(GroundingDinoProcessor, files)
        self.model: Any = load_model(GroundingDinoForObjectDetection, files, runtime)
        self._questions = self._ask(settings.vocabulary)

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        import torch

        inputs = self.processor.image_processor(_pictures(images), device=self.model.device, return_tensors="pt")
        inputs = inputs.to(self.model.device, self.model.dtype)
        every: list[list[Detections]] = [[] for _ in images]
        for text, first, tokens_of in self._questions:
            tokens = self.processor.tokenizer([text] * len(images), return_tensors="pt").to(self.model.device)
            with torch.inference_mode():
                outputs = self.model(**inputs, **tokens)
            chances, boxes = outputs.logits.float().sigmoid().cpu(), _finite(outputs.pred_boxes).double()
            # A name is as likely as its likeliest token.
            scores = torch.stack([chances[..., places].amax(-1) for places in tokens_of], dim=-1)
            best, names = scores.max(-1)
            for i, image in enumerate(images):
                kept = best[i] > self.settings.threshold
                pixels = _corners(boxes[i][kept]) * torch.tensor([*image.shape[1::-1]] * 2, dtype=torch.float64)
                every[i].append(_detections(pixels, names[i][kept] + first, best[i][kept]))
        return [Detections(*map(np.concatenate, zip(*found, strict=True))) for found in every]

    def _ask(self, vocabulary: Sequence[str]) -> list[tuple[str, int, list[list[int]]]]:
        """Questions that fit into the text's length: ("chair. sofa.", position of the first name in the vocabulary,
        positions of each name's tokens in the text)."""
        longest = self.model.config.max_text_len
        questions: list[tuple[str, int, list[list[int]]]] = []
        start = 0
        while start < len(vocabulary):
            question = None
            for stop in range(start + 1, len(vocabulary) + 1):
                text, places, length = self._tokenized(vocabulary[start:stop])
                if length > longest:
                    break
                question = (text, start, places)
            if question is None:
                raise UserError(f"vocabulary: '{vocabulary[start]}' is longer than {longest} tokens; shorten it")
            questions.append(question)
            start += len(question[2])
        return questions

    def _tokenized(self, names: Sequence[str]) -> tuple[str, list[list[int]], int]:
        text, spans = "", []
        for name in names:
            if "." in name or "?" in name:
                raise UserError(f"vocabulary: '{name}' has a full stop or question mark, which ends a name here")
            spans.append((len(text), len(text) + len(name)))
            text += f"{name.lower()}. "
        encoded = self.processor.tokenizer(text, return_offsets_mapping=True)
        offsets = encoded["offset_mapping"]
        places = [[i for i, (a, b) in enumerate(offsets) if first <= a < b <= last] for first, last in spans]
        if empty := next((name for name, found in zip(names, places, strict=True) if not found), None):
            raise UserError(f"vocabulary: '{empty}' has no token of this model")
        return text, places, len(offsets)


def _pictures(images: Sequence[np.ndarray]) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(image) for image in images]


def _finite(boxes: torch.Tensor) -> torch.Tensor:
    """The boxes on the CPU. A network that overflowed would otherwise seem to have seen nothing."""
    if not bool(boxes.isfinite().all()):
        raise UserError("the detector's boxes are not finite numbers; set precision to float32")
    return boxes.cpu()


def _corners(boxes: torch.Tensor) -> torch.Tensor:
    """[n, 4] from centre and size to corners."""
    import torch

    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _detections(boxes: torch.Tensor, names: torch.Tensor, scores: torch.Tensor) -> Detections:
    return Detections(boxes.double().numpy(), names.numpy().astype(np.int64), scores.double().numpy())
