"""Region sources: where the captioned regions of a data set come from, a class of settings for each kind."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from regionzoo.settings.base import TAG, Count, NonNegative, Positive, Seed, Settings, Share, Truth

Text = Annotated[str, Field(min_length=1)]


class FramesSource(Settings):
    """A captioner of frames, and the way in which its boxes become points.

    frame_interval: frames whose number is a multiple of it (nuScenes: keyframes of a drive, from 0). swap_xy_scale: the
    original's slip in scaling ScanNet's pixels.
    """

    dataset: str
    frame_interval: Count = 1
    swap_xy_scale: Truth = False

    @property
    def for_rooms_alone(self) -> str | None:
        """A setting that nuScenes knows nothing of, if one is used."""
        return "swap_xy_scale" if self.swap_xy_scale else None


class SimulatedSource(FramesSource):
    """Captions from the annotation of the frames; the rates are how often it is mistaken."""

    captioner: Literal["simulated"]
    style: Literal["template", "name", "grounded", "window"]
    miss_rate: Share
    naming_noise: Share
    box_noise: NonNegative

    @property
    def captioners(self) -> tuple[str, ...]:
        """Numbers of such captions are compared with no published one (report/comparable.py looks for the word)."""
        return (f"simulated ({self.style})",)

    @property
    def for_rooms_alone(self) -> str | None:
        """Sentence templates of a detector exist for rooms alone."""
        return "style template" if self.style == "template" else super().for_rooms_alone


class ImportedSource(Settings):
    """Captions that others made, with the points of their regions, in the original's two files.

    captions: the JSON. index: the pickle of point ids, or a folder of them. Each is a path, or the name of a published
    file (data/released.csv), which is then fetched. captioners: who captioned, for the record.
    """

    dataset: str
    captioner: Literal["imported"]
    captions: Text
    index: Text
    captioners: Annotated[tuple[Text, ...], Field(min_length=1)]

    @property
    def for_rooms_alone(self) -> None:
        """Nothing."""
        return None


class ModelSource(FramesSource):
    """A pretrained captioner. model: a folder, or a name on the hub (``owner/name`` or ``owner/name@revision``)."""

    model: Text


class KosmosSource(ModelSource):
    """Kosmos-2: a description of the whole frame whose noun phrases have boxes."""

    captioner: Literal["kosmos2"]
    max_new_tokens: Count = 200

    @property
    def captioners(self) -> tuple[str, ...]:
        """Its name."""
        return (self.captioner,)


class SentenceSource(ModelSource):
    """A captioner of pictures: of whole frames, or of the original's sliding windows.

    beams, max_new_tokens, no_repeat_ngram: null takes what the original has for this view.
    """

    captioner: Literal["blip", "vit-gpt2"]
    view: Literal["frame", "window"]
    beams: Count | None = None
    max_new_tokens: Count | None = None
    no_repeat_ngram: Seed | None = None

    @property
    def captioners(self) -> tuple[str, ...]:
        """Its name and what it looks at."""
        return (f"{self.captioner} ({self.view})",)


class DetectorSource(ModelSource):
    """An open-vocabulary detector; text: the name in a sentence, the name, or another captioner's words about the crop.

    vocabulary: a class set, or a file with a name a line. threshold: smallest score of a box. nms_iou: overlap of two
    boxes of one name above which the worse is dropped. min_area: pixels of the smallest box. enlarge_ratio: of boxes
    below 8000 pixels. crop_captioner, crop_model: for the text "caption".
    """

    captioner: Literal["owlv2", "grounding-dino"]
    text: Literal["template", "name", "caption"]
    vocabulary: Text
    threshold: Share
    nms_iou: Share = 0.5
    min_area: NonNegative = 3000.0
    enlarge_ratio: Positive = 1.0
    crop_captioner: Literal["blip", "vit-gpt2"] | None = None
    crop_model: Text | None = None

    @model_validator(mode="after")
    def _crops_fit(self) -> Self:
        given = (self.crop_captioner is not None, self.crop_model is not None)
        if given != (self.text == "caption",) * 2:
            raise ValueError("crop_captioner and crop_model are needed for text caption, and for no other text")
        return self

    @property
    def captioners(self) -> tuple[str, ...]:
        """Its name and where the text is from."""
        return (f"{self.captioner} ({self.crop_captioner or self.text})",)

    @property
    def for_rooms_alone(self) -> str | None:
        """The sentences are about rooms."""
        return "text template" if self.text == "template" else super().for_rooms_alone


KINDS = ("simulated", "imported", "kosmos2", "blip", "vit-gpt2", "owlv2", "grounding-dino")


def _known_kind(value: Any) -> Any:
    """Refuse an unknown captioner here: the union would tell of its tags."""
    if isinstance(value, dict):
        kind = value.get("captioner")
        if kind is None:
            raise ValueError(f"captioner: missing; one of {', '.join(KINDS)}")
        if kind not in KINDS:
            near = difflib.get_close_matches(str(kind), KINDS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(KINDS)}"
            raise ValueError(f"no captioner '{kind}'; {hint}")
    elif not isinstance(value, Settings):
        raise ValueError(f"expected the settings of a captioner (given: {value!r})")
    return value


_TAGS = {"blip": "sentences", "vit-gpt2": "sentences", "owlv2": "detector", "grounding-dino": "detector"}


def _tag_of(value: Any) -> str:
    kind = value["captioner"] if isinstance(value, dict) else value.captioner
    return f"{TAG}{_TAGS.get(kind, kind)}"


# Tagged, so that a misspelt key is told once, for the captioner that it was meant for.
RegionSource = Annotated[
    Annotated[SimulatedSource, Tag("~simulated")]
    | Annotated[ImportedSource, Tag("~imported")]
    | Annotated[KosmosSource, Tag("~kosmos2")]
    | Annotated[SentenceSource, Tag("~sentences")]
    | Annotated[DetectorSource, Tag("~detector")],
    Discriminator(_tag_of),
    BeforeValidator(_known_kind),
]
