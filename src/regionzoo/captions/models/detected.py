"""A detector's boxes, and for text the name in a sentence, the bare name, or a captioner's words about the crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from regionzoo.artifacts import stable_int
from regionzoo.captions.captioner import Box, Picture, Region2D
from regionzoo.captions.models.boxes import MIN_AREA, Detections, chosen_boxes
from regionzoo.captions.models.detectors import Detector, DetectorSettings
from regionzoo.captions.models.image_captions import crop, described
from regionzoo.captions.models.looking import Described, ModelCaptioner
from regionzoo.captions.models.runtime import ModelRuntime
from regionzoo.captions.models.sentences import SentenceModel, SentenceModelSettings
from regionzoo.captions.wording import PLURAL_NOUNS, TEMPLATES
from regionzoo.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from regionzoo.captions.models.files import ModelFiles

Text = Literal["template", "name", "caption"]

NMS_IOU = 0.5
"""Overlap of two boxes of one name above which the worse is dropped."""


@dataclass(frozen=True)
class DetectedSettings:
    """text: ``template``, the name in a sentence about a room; ``name``, the name alone; ``caption``, what the model
    of ``sentences`` says about the box' crop.

    min_area: pixels of the smallest box. enlarge_ratio: of boxes below 8000 pixels, 1 = off (the original's default).
    """

    detector: DetectorSettings
    text: Text
    sentences: SentenceModelSettings | None = None
    nms_iou: float = NMS_IOU
    min_area: float = MIN_AREA
    enlarge_ratio: float = 1.0

    def make(self, runtime: ModelRuntime | None = None) -> DetectedCaptioner:
        """The captioner; weights are loaded when the first frame is described."""
        if (self.sentences is None) == (self.text == "caption"):
            raise UserError("a detector needs a captioner of crops for the text 'caption', and for no other text")
        runtime = runtime or ModelRuntime()
        if self.detector.kind == "grounding-dino" and runtime.precision == "auto":
            # Some versions of transformers cannot run it in half precision.
            runtime = replace(runtime, precision="float32")
        return DetectedCaptioner(self, runtime)


class DetectedCaptioner(ModelCaptioner):
    """A region for each box that is left, best first."""

    def __init__(self, settings: DetectedSettings, runtime: ModelRuntime) -> None:
        self.settings = settings
        self._detector_files: ModelFiles = settings.detector.find()
        self._sentence_files = settings.sentences.find() if settings.sentences else None
        super().__init__(runtime, [files for files in (self._detector_files, self._sentence_files) if files])

    @property
    def identity(self) -> dict[str, str | int | float]:
        """Name, settings, precision and hashes of the models' files."""
        settings = self.settings
        named = {
            "captioner": settings.detector.kind,
            "text": settings.text,
            "precision": self.runtime.float_name(),
            "nms_iou": settings.nms_iou,
            "min_area": settings.min_area,
            "enlarge_ratio": settings.enlarge_ratio,
        }
        named |= settings.detector.identity(self._detector_files)
        if settings.sentences and self._sentence_files:
            named |= settings.sentences.identity(self._sentence_files)
        return named

    def look(self, frames: Sequence[Picture], images: Sequence[np.ndarray]) -> list[Described]:
        """Boxes with text of each frame."""
        found = [self._chosen(one, *image.shape[:2]) for one, image in zip(self._detect(images), images, strict=True)]
        if self.settings.sentences is not None:
            return self._captioned(images, found)
        return [
            Described([self._named(frame, k, *each) for k, each in enumerate(_boxes(one))], 1, 0)
            for frame, one in zip(frames, found, strict=True)
        ]

    def _detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """In batches of one size: padding one image to another's size would change what is found in it."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(i)
        answers: dict[int, Detections] = {}
        for places in by_size.values():
            same = [images[i] for i in places]
            answers.update(zip(places, self.batches.run(self._detector.detect, same), strict=True))
        return [answers[i] for i in range(len(images))]

    def _chosen(self, found: Detections, height: int, width: int) -> Detections:
        settings = self.settings
        return chosen_boxes(found, settings.nms_iou, settings.enlarge_ratio, settings.min_area, height, width)

    def _named(self, frame: Picture, k: int, box: Box, position: int) -> Region2D:
        name = self.settings.detector.vocabulary[position]
        if self.settings.text == "name":
            return Region2D(box, name)
        # The choice of the sentence depends on the frame and the box' number alone.
        return Region2D(box, sentence_about(name, stable_int(f"{frame.scene_id}/{frame.name}/{k}")))

    def _captioned(self, images: Sequence[np.ndarray], found: Sequence[Detections]) -> list[Described]:
        cut = [
            [(box, part) for box, _ in _boxes(one) if (part := crop(image, box)).size]
            for image, one in zip(images, found, strict=True)
        ]
        crops = [part for of_image in cut for _, part in of_image]
        answers = iter(self.batches.run(self._sentences.caption, crops))
        said = [described([(box, next(answers)) for box, _ in of_image]) for of_image in cut]
        # The detector saw the frame itself too.
        return [one._replace(images=one.images + 1) for one in said]

    @cached_property
    def _detector(self) -> Detector:
        return self.settings.detector.load(self._detector_files, self.runtime)

    @cached_property
    def _sentences(self) -> SentenceModel:
        assert self.settings.sentences is not None and self._sentence_files is not None
        return self.settings.sentences.load(self._sentence_files, self.runtime)


def sentence_about(name: str, number: int) -> str:
    """The name in one of the sentences of :data:`regionzoo.captions.wording.TEMPLATES`, which ``number`` chooses."""
    plural = name.split()[-1] in PLURAL_NOUNS
    article = "" if plural else "an " if name[0].lower() in "aeiou" else "a "
    return TEMPLATES[number % len(TEMPLATES)].format(thing=article + name, be="are" if plural else "is")


def _boxes(found: Detections) -> list[tuple[Box, int]]:
    """(box, position of its name)."""
    return [(tuple(box), int(name)) for box, name in zip(found.boxes.tolist(), found.names, strict=True)]
