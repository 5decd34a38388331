"""Captioners as params.yaml names them -> captioners as the library takes them."""

from __future__ import annotations

from regionzoo.captions.models.build import ModelCaptionerSettings
from regionzoo.captions.models.detected import DetectedSettings
from regionzoo.captions.models.detectors import DetectorSettings
from regionzoo.captions.models.generating import Search
from regionzoo.captions.models.image_captions import ImageCaptionSettings
from regionzoo.captions.models.kosmos import GREEDY, KosmosSettings
from regionzoo.captions.models.sentences import CROP_SEARCH, FRAME_SEARCH, SentenceModelSettings
from regionzoo.captions.models.vocabulary import read_vocabulary
from regionzoo.captions.simulated import SimulatedSettings
from regionzoo.captions.simulated_streets import StreetCaptionerSettings
from regionzoo.settings.captioners import DetectorSource, KosmosSource, ModelSource, SentenceSource, SimulatedSource


def simulated_room_captioner(source: SimulatedSource, seed: int) -> SimulatedSettings:
    """For frames of rooms."""
    return SimulatedSettings(
        style=source.style,
        miss_rate=source.miss_rate,
        naming_noise=source.naming_noise,
        box_noise=source.box_noise,
        seed=seed,
    )


def simulated_street_captioner(source: SimulatedSource, seed: int) -> StreetCaptionerSettings:
    """For camera images of drives."""
    # params.yaml is checked for this (references.py); a detector's sentence templates exist for rooms alone.
    assert source.style != "template"
    return StreetCaptionerSettings(
        style=source.style,
        miss_rate=source.miss_rate,
        naming_noise=source.naming_noise,
        box_noise=source.box_noise,
        seed=seed,
    )


def model_captioner(source: ModelSource) -> ModelCaptionerSettings:
    """A pretrained captioner; :class:`UserError` if the file of a detector's vocabulary cannot be used."""
    if isinstance(source, KosmosSource):
        return KosmosSettings(source.model, search=Search(GREEDY.beams, source.max_new_tokens, GREEDY.no_repeat_ngram))
    if isinstance(source, SentenceSource):
        return ImageCaptionSettings(
            SentenceModelSettings(source.captioner, source.model, sentence_search(source)), source.view
        )
    assert isinstance(source, DetectorSource)
    sentences = None
    if source.crop_captioner is not None and source.crop_model is not None:
        sentences = SentenceModelSettings(source.crop_captioner, source.crop_model, CROP_SEARCH)
    vocabulary = read_vocabulary(source.vocabulary)
    return DetectedSettings(
        detector=DetectorSettings(source.captioner, source.model, vocabulary, source.threshold),
        text=source.text,
        sentences=sentences,
        nms_iou=source.nms_iou,
        min_area=source.min_area,
        enlarge_ratio=source.enlarge_ratio,
    )


def sentence_search(source: SentenceSource) -> Search:
    """What the source says, and for the rest what the original has for such images."""
    usual = CROP_SEARCH if source.view == "window" else FRAME_SEARCH
    return Search(
        beams=usual.beams if source.beams is None else source.beams,
        max_new_tokens=usual.max_new_tokens if source.max_new_tokens is None else source.max_new_tokens,
        no_repeat_ngram=usual.no_repeat_ngram if source.no_repeat_ngram is None else source.no_repeat_ngram,
    )
