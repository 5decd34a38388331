"""Region sources in params.yaml: every kind of captioner is accepted, and told apart in what is refused."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from regionzoo.captions.models.detected import DetectedSettings
from regionzoo.captions.models.generating import Search
from regionzoo.captions.models.image_captions import ImageCaptionSettings
from regionzoo.captions.models.kosmos import KosmosSettings
from regionzoo.captions.models.sentences import CROP_SEARCH, FRAME_SEARCH
from regionzoo.config import Params
from regionzoo.errors import UserError
from regionzoo.settings.captioners import SentenceSource
from regionzoo.settings.data import RegionSettings
from regionzoo.stages._captioners import model_captioner, sentence_search

KOSMOS = {"dataset": "scannet", "captioner": "kosmos2", "model": "microsoft/kosmos-2"}
WINDOWS = {"dataset": "scannet", "captioner": "blip", "view": "window", "model": "m"}
OWL = {"dataset": "scannet", "captioner": "owlv2", "model": "m", "vocabulary": "scannet20", "threshold": 0.2}
CROPS = OWL | {"text": "caption", "crop_captioner": "vit-gpt2", "crop_model": "c"}
IMPORTED = {"dataset": "scannet", "captioner": "imported", "captions": "a.json", "index": "b", "captioners": ["detic"]}


@pytest.fixture(scope="module")
def plain(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "params.yaml").read_text())


def with_source(plain: dict[str, Any], **source: Any) -> Params:
    return Params.check(plain | {"region_sources": plain["region_sources"] | {"mine": source}}, "params.yaml")


@pytest.mark.parametrize(
    ("source", "captioners"),
    [
        (KOSMOS, ("kosmos2",)),
        (KOSMOS | {"dataset": "nuscenes", "max_new_tokens": 60}, ("kosmos2",)),
        (WINDOWS, ("blip (window)",)),
        (WINDOWS | {"captioner": "vit-gpt2", "view": "frame", "beams": 1, "no_repeat_ngram": 0}, ("vit-gpt2 (frame)",)),
        (OWL | {"text": "template"}, ("owlv2 (template)",)),
        (OWL | {"text": "name", "captioner": "grounding-dino", "dataset": "nuscenes"}, ("grounding-dino (name)",)),
        (CROPS | {"nms_iou": 0.7, "min_area": 0, "enlarge_ratio": 1.5}, ("owlv2 (vit-gpt2)",)),
        (IMPORTED | {"dataset": "nuscenes", "captioners": ["kosmos", "detic"]}, ("kosmos", "detic")),
    ],
)
def test_every_kind(plain: dict[str, Any], source: dict[str, Any], captioners: tuple[str, ...]) -> None:
    settings = with_source(plain, **source).regions("mine")
    assert RegionSettings.parse(settings.canonical()) == settings
    assert settings.source.captioners == captioners
    assert {key: value for key, value in settings.source.model_dump(mode="json").items() if key in source} == source


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"dataset": "scannet"}, "region_sources.mine: captioner: missing; one of simulated, imported, kosmos2, blip"),
        (KOSMOS | {"captioner": "kosmos"}, "region_sources.mine: no captioner 'kosmos'; did you mean 'kosmos2'?"),
        (KOSMOS | {"modle": "x"}, "region_sources.mine.modle: unknown key; did you mean 'model'?"),
        (KOSMOS | {"style": "grounded"}, "region_sources.mine.style: unknown key; valid: dataset, frame_interval"),
        (WINDOWS | {"view": "windows"}, "region_sources.mine.view: input should be 'frame' or 'window'"),
        (OWL | {"text": "caption"}, "crop_captioner and crop_model are needed for text caption, and for no other"),
        (CROPS | {"text": "name"}, "crop_captioner and crop_model are needed for text caption, and for no other"),
        (CROPS | {"threshold": 1.2}, "region_sources.mine.threshold: input should be less than or equal to 1"),
        (OWL | {"text": "template", "dataset": "nuscenes"}, "region_sources.mine: text template is for ScanNet alone"),
        (KOSMOS | {"dataset": "nuscenes", "swap_xy_scale": True}, "swap_xy_scale is for ScanNet alone"),
        (IMPORTED | {"captioners": []}, "region_sources.mine.captioners: tuple should have at least 1 item"),
        (IMPORTED | {"captoins": "x"}, "region_sources.mine.captoins: unknown key; did you mean 'captions'?"),
    ],
)
def test_what_is_refused(plain: dict[str, Any], source: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        with_source(plain, **source)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_settings_of_a_job_are_refused_in_one_line() -> None:
    # Here the union is a field of a model, not a value of a table.
    text = '{"name": "x", "seed": 0, "source": {"dataset": "scannet", "captioner": "kosmos2", "modle": "m"}}'
    with pytest.raises(UserError, match=r"--settings: source\.modle: unknown key; did you mean 'model'\?"):
        RegionSettings.parse(text)


def test_what_is_not_said_is_the_librarys_own_default(plain: dict[str, Any]) -> None:
    """The defaults of params.yaml stand in its own types, which know nothing of the captioners."""
    assert model_captioner(with_source(plain, **KOSMOS).region_sources["mine"]) == KosmosSettings("microsoft/kosmos-2")
    made = model_captioner(with_source(plain, **CROPS).region_sources["mine"])
    assert isinstance(made, DetectedSettings)
    defaults = {field.name: field.default for field in fields(DetectedSettings)}
    for name in ("nms_iou", "min_area", "enlarge_ratio"):
        assert getattr(made, name) == defaults[name]
    assert made.sentences is not None and made.sentences.search == CROP_SEARCH
    assert len(made.detector.vocabulary) == 19
    for view, search in (("window", CROP_SEARCH), ("frame", FRAME_SEARCH)):
        source = with_source(plain, **WINDOWS | {"view": view}).region_sources["mine"]
        assert isinstance(source, SentenceSource)
        made = model_captioner(source)
        assert isinstance(made, ImageCaptionSettings) and made.sentences.search == search
        other = source.model_copy(update={"beams": 2, "no_repeat_ngram": 0})
        assert sentence_search(other) == Search(2, search.max_new_tokens, 0)


def test_the_sources_of_the_documentation(plain: dict[str, Any], repository: Path) -> None:
    text = (repository / "docs" / "captioners.md").read_text()
    first, others = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    sources = yaml.safe_load(first)["region_sources"] | yaml.safe_load(f"region_sources:\n{others}")["region_sources"]
    params = Params.check(plain | {"region_sources": plain["region_sources"] | sources}, "docs")
    kinds = {params.region_sources[name].captioner for name in sources}
    assert kinds == {"kosmos2", "blip", "vit-gpt2", "owlv2", "grounding-dino"}
    assert params.region_sources["kosmos"].captioners == ("kosmos2",)
