"""Captions of whole frames, or of sliding windows over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from regionzoo.captions.captioner import Box, Picture, Region2D
from regionzoo.captions.models.files import ModelFiles
from regionzoo.captions.models.looking import Described, ModelCaptioner
from regionzoo.captions.models.runtime import ModelRuntime
from regionzoo.captions.models.sentences import Sentence, SentenceModel, SentenceModelSettings
from regionzoo.captions.windows import WINDOW_SIZE, WINDOW_STRIDE, sliding_windows

if TYPE_CHECKING:
    import numpy as np


View = Literal["frame", "window"]


@dataclass(frozen=True)
class ImageCaptionSettings:
    """view: ``frame``, a caption of the whole image for all points that it sees (the original's first caption source);
    ``window``, one of each sliding window of the original's geometry."""

    sentences: SentenceModelSettings
    view: View

    def make(self, runtime: ModelRuntime | None = None) -> ImageCaptioner:
        """The captioner; its weights are loaded when the first frame is described."""
        return ImageCaptioner(self, self.sentences.find(), runtime or ModelRuntime())


class ImageCaptioner(ModelCaptioner):
    """A region for each window, or one for the frame; without those of which nothing is said."""

    def __init__(self, settings: ImageCaptionSettings, files: ModelFiles, runtime: ModelRuntime) -> None:
        super().__init__(runtime, [files])
        self.settings, self.files = settings, files

    @property
    def identity(self) -> dict[str, str | int | float]:
        """Name, settings, precision and hash of the model's files."""
        settings = self.settings
        named = {"captioner": settings.sentences.kind, "view": settings.view, "precision": self.runtime.float_name()}
        if settings.view == "window":
            named |= {"window_height": WINDOW_SIZE[0], "window_width": WINDOW_SIZE[1]}
            named |= {"stride_rows": WINDOW_STRIDE[0], "stride_columns": WINDOW_STRIDE[1]}
        return named | settings.sentences.identity(self.files)

    def look(self, frames: Sequence[Picture], images: Sequence[np.ndarray]) -> list[Described]:
        """Captions of each frame, windows in rows from the top left."""
        boxes = [self._boxes(*image.shape[:2]) for image in images]
        crops = [crop for image, of_image in zip(images, boxes, strict=True) for crop in self._crops(image, of_image)]
        answers = iter(self.batches.run(self._loaded.caption, crops))
        return [described([(box, next(answers)) for box in of_image]) for of_image in boxes]

    def _boxes(self, height: int, width: int) -> list[Box]:
        if self.settings.view == "window":
            return sliding_windows(height, width)
        return [everything(height, width)]

    def _crops(self, image: np.ndarray, boxes: Sequence[Box]) -> list[np.ndarray]:
        if self.settings.view == "frame":
            return [image]
        return [crop(image, box) for box in boxes]

    @cached_property
    def _loaded(self) -> SentenceModel:
        return self.settings.sentences.load(self.files, self.runtime)


def everything(height: int, width: int) -> Box:
    """A box strictly inside of which every pixel of an image lies, however its pixels are scaled to the depth image's:
    a caption of the whole frame is of all points that are seen."""
    return -1.0, -1.0, 2.0 * width, 2.0 * height


def crop(image: np.ndarray, box: Box) -> np.ndarray:
    """The pixels [h, w, 3] in a box inside the image, its corners' fractions dropped (original)."""
    x_min, y_min, x_max, y_max = map(int, box)
    return image[y_min:y_max, x_min:x_max]


def described(captioned: Sequence[tuple[Box, Sentence]]) -> Described:
    """What was said of the boxes of a frame; those without a word are no regions."""
    regions = [Region2D(tuple(map(float, box)), sentence.text) for box, sentence in captioned if sentence.text]
    return Described(regions, len(captioned), sum(sentence.tokens for _, sentence in captioned))
