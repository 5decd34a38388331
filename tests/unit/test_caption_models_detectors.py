"""OWLv2 and Grounding DINO: boxes against the models' own full forward pass, names against the text's tokens."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_captioners import BLUE, RED, SENTENCES, Still, picture, saved

from regionzoo.captions.models.detected import DetectedSettings
from regionzoo.captions.models.detectors import DetectorSettings
from regionzoo.captions.models.runtime import ModelRuntime
from regionzoo.captions.models.sentences import CROP_SEARCH, SentenceModelSettings
from regionzoo.captions.wording import TEMPLATES
from regionzoo.errors import UserError

HALVES = np.concatenate([picture(RED, 90, 60), picture(BLUE, 90, 60)], axis=1)
"""90 x 120: the model pads it to 120 x 120 and looks at patches of 30 pixels."""


def owlv2(threshold=0.5, vocabulary=("red chair", "blue bed")):
    return DetectorSettings("owlv2", saved("owlv2"), vocabulary, threshold)


def dino(vocabulary, threshold=0.3):
    return DetectorSettings("grounding-dino", saved("grounding-dino"), vocabulary, threshold)


def load(settings, **runtime):
    return settings.load(settings.find(), ModelRuntime(**runtime))


def patches(columns):
    """Boxes of the tiny OWLv2: as large as a patch, around its lower right corner."""
    corners = [(30 * x + 15, 30 * y + 15) for y in range(3) for x in columns]
    return np.array([(x, y, x + 30, y + 30) for x, y in corners], float)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_owlv2_finds_what_it_is_asked_for(precision):
    plain, mirrored = load(owlv2(), precision=precision).detect([HALVES, HALVES[:, ::-1]])
    every = patches(range(4))
    for found, names in ((plain, [0, 0, 1, 1]), (mirrored, [1, 1, 0, 0])):
        np.testing.assert_allclose(found.boxes, every, atol=0.1)
        np.testing.assert_array_equal(found.names, names * 3)
    # The other order of names: positions change, boxes do not.
    (turned,) = load(owlv2(vocabulary=("blue bed", "red chair")), precision=precision).detect([HALVES])
    np.testing.assert_array_equal(turned.names, [1, 1, 0, 0] * 3)


def test_owlv2_gives_what_the_whole_model_gives():
    """The names are embedded once and kept here; the model's own way is to do it for each image."""
    detector = load(owlv2(threshold=0.2, vocabulary=("chair", "red chair", "a very long name", "bed")))
    rng = np.random.default_rng([5, 2])
    images = [rng.integers(0, 256, (70, 100, 3)).astype(np.uint8) for _ in range(3)]
    detector.detect(images[2:])
    ours = detector.detect(images)
    prompts = [f"a photo of a {name}" for name in detector.settings.vocabulary]
    inputs = detector.processor(images=[Image.fromarray(i) for i in images], text=[prompts] * 3, return_tensors="pt")
    with torch.inference_mode():
        outputs = detector.model(**inputs)
    theirs = detector.processor.post_process_grounded_object_detection(
        outputs, threshold=0.2, target_sizes=[(70, 100)] * 3
    )
    assert sum(len(one["boxes"]) for one in theirs) > 5
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found.boxes, expected["boxes"].numpy(), atol=1e-3)
        np.testing.assert_allclose(found.scores, expected["scores"].numpy(), atol=1e-5)
        np.testing.assert_array_equal(found.names, expected["labels"].numpy())


def name_tokens(detector, text_ids, name):
    """Positions of a name's tokens in a text, by looking for them between full stops."""
    wanted = detector.processor.tokenizer(name, add_special_tokens=False)["input_ids"]
    starts = [i for i in range(len(text_ids)) if text_ids[i : i + len(wanted)] == wanted]
    (start,) = [i for i in starts if text_ids[i - 1] in (101, 1012)]
    return range(start, start + len(wanted))


def dino_by_hand(detector, images, texts, threshold):
    """Boxes, names and scores from the model's outputs, box by box and name by name."""
    answers = [[] for _ in images]
    first = 0
    for names in texts:
        text = " ".join(f"{name}." for name in names)
        inputs = detector.processor(
            images=[Image.fromarray(image) for image in images], text=[text] * len(images), return_tensors="pt"
        )
        with torch.inference_mode():
            outputs = detector.model(**inputs)
        ids = inputs["input_ids"][0].tolist()
        for i, image in enumerate(images):
            height, width = image.shape[:2]
            for logits, (x, y, w, h) in zip(outputs.logits[i].tolist(), outputs.pred_boxes[i].tolist(), strict=True):
                scores = [max(1 / (1 + np.exp(-logits[k])) for k in name_tokens(detector, ids, name)) for name in names]
                best = int(np.argmax(scores))
                if scores[best] > threshold:
                    box = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
                    answers[i].append((box, first + best, scores[best]))
        first += len(names)
    return answers


@pytest.mark.parametrize(
    ("vocabulary", "texts"),
    [
        (("red chair", "sofa", "lamp"), [["red chair", "sofa", "lamp"]]),
        # Five names with their full stops and both marks are 16 tokens, all that the model takes.
        (
            ("red chair", "sofa", "lamp", "blue bed", "two blue beds", "wall", "chair"),
            [["red chair", "sofa", "lamp", "blue bed", "two blue beds"], ["wall", "chair"]],
        ),
    ],
)
def test_grounding_dino_names_boxes_by_their_likeliest_token(vocabulary, texts):
    detector = load(dino(vocabulary))
    rng = np.random.default_rng([5, 3])
    images = [rng.integers(0, 256, (72, 96, 3)).astype(np.uint8) for _ in range(2)]
    expected = dino_by_hand(detector, images, texts, 0.3)
    assert len({name for one in expected for _, name, _ in one}) > 1
    for found, wanted in zip(detector.detect(images), expected, strict=True):
        boxes, names, scores = zip(*wanted, strict=True)
        np.testing.assert_allclose(found.boxes, boxes, atol=1e-3)
        np.testing.assert_array_equal(found.names, names)
        np.testing.assert_allclose(found.scores, scores, atol=1e-5)


def test_grounding_dino_in_half_precision():
    rng = np.random.default_rng([5, 4])
    image = rng.integers(0, 256, (72, 96, 3)).astype(np.uint8)
    asked = dino(("red chair", "lamp"), threshold=0.0)
    full, half = (load(asked, precision=name).detect([image])[0] for name in ("float32", "float16"))
    assert np.median(np.abs(full.boxes - half.boxes)) < 0.5


def test_grounding_dino_runs_in_full_precision_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(ModelRuntime, "torch_device", lambda self: torch.device("cuda"))
    assert ModelRuntime().float_name() == "float16"
    settings = DetectedSettings(dino(("lamp",)), "name")
    assert settings.make().identity["precision"] == "float32"
    assert settings.make(ModelRuntime(precision="float16")).identity["precision"] == "float16"
    assert DetectedSettings(owlv2(), "name").make().identity["precision"] == "float16"


@pytest.mark.parametrize("asked", [owlv2(), dino(("lamp",))], ids=lambda asked: asked.kind)
def test_numbers_that_overflowed_are_not_taken_for_an_empty_image(asked):
    detector = load(asked)
    with torch.no_grad():
        for name, values in detector.model.named_parameters():
            if "box_head" in name or "bbox_embed" in name:
                values.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite numbers; set precision to float32"):
        detector.detect([HALVES])


def test_names_that_grounding_dino_cannot_be_asked_for():
    with pytest.raises(UserError, match=r"'st\. bernard' has a full stop"):
        load(dino(("chair", "st. bernard")))
    with pytest.raises(UserError, match=r"'chair chair.*' is longer than 16 tokens"):
        load(dino(("chair " * 20,)))


# The whole captioner


def make(text, min_area=0.0, sentences=None, **changes):
    runtime = {"batch_size": changes.pop("batch_size", 8)}
    settings = DetectedSettings(owlv2(), text, sentences, min_area=min_area, **changes)
    return settings.make(ModelRuntime(**runtime))


def test_bare_names():
    frames = [Still("000000", HALVES), Still("000020", HALVES[:, ::-1])]
    for regions, left in zip(make("name").describe_many(frames), ("red chair", "blue bed"), strict=True):
        assert len(regions) == 12
        names = {region.text for region in regions if region.box[0] < 50}
        assert names == {left}
        # Cut off at the right edge and at the bottom.
        assert max(region.box[2] for region in regions) == 120
        assert max(region.box[3] for region in regions) == 90


def test_sentences():
    captioner = make("template")
    frames = [Still(f"{k:06}", HALVES) for k in range(4)]
    many = captioner.describe_many(frames)
    texts = [region.text for regions in many for region in regions]
    possible = {
        template.format(thing=thing, be="is") for template in TEMPLATES for thing in ("a red chair", "a blue bed")
    }
    assert set(texts) == possible
    # What is said depends on the frame alone: not on its neighbours, nor on the order.
    assert [captioner.describe(frame) for frame in reversed(frames)] == many[::-1]
    assert [region.text for region in many[0]] != [region.text for region in many[1]]


def test_captions_of_crops():
    blip = SentenceModelSettings("blip", saved("blip"), CROP_SEARCH)
    captioner = make("caption", sentences=blip, batch_size=5)
    (said,) = captioner.describe_counted([Still("000000", HALVES)])
    expected = {(15.0, 15.0): SENTENCES[RED], (75.0, 15.0): SENTENCES[BLUE]}
    found = {(round(r.box[0]), round(r.box[1])): r.text for r in said.regions}
    assert {corner: found[corner] for corner in expected} == expected
    # The frame and twelve crops were looked at.
    assert said.images == 13
    assert said.tokens > 60
    assert len(captioner.facts()["models"]) == 2


def test_small_boxes_are_left_out_or_enlarged():
    # Patches of 900 pixels; those at the right and the lower edge are cut.
    assert len(make("name", min_area=900.0).describe(Still("0", HALVES))) == 6
    assert make("name", min_area=901.0).describe(Still("0", HALVES)) == []
    assert make("name", min_area=3000.0).describe(Still("0", HALVES)) == []
    enlarged = make("name", min_area=900.0, enlarge_ratio=1.2).describe(Still("0", HALVES))
    assert any(np.allclose(region.box, (12, 12, 48, 48), atol=0.1) for region in enlarged)


def test_frames_of_different_sizes_are_not_padded_to_each_other():
    rng = np.random.default_rng([5, 6])
    images = [rng.integers(0, 256, shape).astype(np.uint8) for shape in ((72, 96, 3), (60, 110, 3), (72, 96, 3))]
    frames = [Still(str(k), image) for k, image in enumerate(images)]
    captioner = DetectedSettings(dino(("red chair", "lamp")), "name", min_area=1.0).make()
    together = captioner.describe_many(frames)
    assert sum(map(len, together)) > 10
    for regions, frame in zip(together, frames, strict=True):
        alone = captioner.describe(frame)
        assert [region.text for region in regions] == [region.text for region in alone]
        np.testing.assert_allclose([r.box for r in regions], [r.box for r in alone], atol=1e-2)


def test_a_captioner_of_crops_belongs_to_captions_alone():
    blip = SentenceModelSettings("blip", saved("blip"), CROP_SEARCH)
    for text, sentences in (("caption", None), ("name", blip)):
        with pytest.raises(UserError, match="needs a captioner of crops for the text 'caption'"):
            make(text, sentences=sentences)


def test_the_identity_has_the_vocabulary_and_all_settings():
    identities = [
        DetectedSettings(owlv2(), "name").make().identity,
        DetectedSettings(owlv2(), "template").make().identity,
        DetectedSettings(owlv2(threshold=0.3), "name").make().identity,
        DetectedSettings(owlv2(vocabulary=("blue bed", "red chair")), "name").make().identity,
        DetectedSettings(owlv2(), "name", min_area=1.0).make().identity,
        DetectedSettings(owlv2(), "name", enlarge_ratio=1.2).make().identity,
        DetectedSettings(owlv2(), "name", nms_iou=0.4).make().identity,
    ]
    assert all(one != other for k, one in enumerate(identities) for other in identities[:k])
    assert all(isinstance(value, str | int | float) for value in identities[0].values())
