"""Kosmos-2 from a folder as the hub has it: its own tokens in, boxes in pixels of the frame out."""

import numpy as np
import pytest
import torch
from tiny_captioners import BLUE, PROMPT, RED, Still, picture, saved

from regionzoo.captions.captioner import Region2D
from regionzoo.captions.models import kosmos
from regionzoo.captions.models.generating import Search, count_tokens
from regionzoo.captions.models.kosmos import KosmosSettings
from regionzoo.captions.models.runtime import ModelRuntime

# Worked out from the cells in tiny_captioners.SAID_OF for images of 96 x 128 pixels: a cell is 4 wide and 3 high.
RED_REGIONS = [
    Region2D((6.0, 4.0, 62.0, 46.0), "a red chair"),  # cells (1, 1) and (15, 15)
    Region2D((2.0, 1.0, 126.0, 94.0), "the wall"),  # the whole grid
]
BLUE_REGIONS = [
    Region2D((18.0, 10.0, 66.0, 37.0), "two blue beds"),  # cells (4, 3) and (16, 12)
    Region2D((2.0, 49.0, 18.0, 85.0), "two blue beds"),  # cells (0, 16) and (4, 28)
]


def frames(*colors):
    return [Still(f"{k:06}", picture(color, 96, 128)) for k, color in enumerate(colors)]


def make(settings=None, **runtime):
    return (settings or KosmosSettings(saved("kosmos-2"))).make(ModelRuntime(**runtime))


def test_the_original_settings():
    settings = KosmosSettings("somewhere")
    assert settings.prompt == PROMPT
    assert settings.search == Search(beams=1, max_new_tokens=200)
    assert hash(settings) == hash(KosmosSettings("somewhere"))


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_phrases_with_boxes_of_several_frames(batch_size):
    captioner = make(batch_size=batch_size)
    assert captioner.describe_many(frames(RED, BLUE, RED)) == [RED_REGIONS, BLUE_REGIONS, RED_REGIONS]
    assert captioner.describe(frames(BLUE)[0]) == BLUE_REGIONS


def test_half_precision():
    captioner = make(precision="float16")
    assert captioner.describe_many(frames(RED, BLUE)) == [RED_REGIONS, BLUE_REGIONS]
    assert captioner.identity["precision"] == "float16"
    assert captioner.identity != make().identity


def test_boxes_are_of_the_frame_and_not_of_the_models_square():
    tall = Still("0", picture(RED, 320, 64))
    assert make().describe(tall)[0] == Region2D((3.0, 15.0, 31.0, 155.0), "a red chair")


def test_the_model_sees_the_whole_frame():
    """A processor of CLIP would cut the middle out of a wide image, and the boxes would be of that."""
    captioner = make()
    seen = []
    vision = captioner._loaded.model.vision_model
    vision.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].clone()))
    wide = picture((128, 128, 128), 40, 160)
    wide[:, :40], wide[:, 120:] = RED, BLUE
    captioner.describe(Still("0", wide))
    pixels = seen[0][0] * torch.tensor([0.2686, 0.2613, 0.2758]).view(3, 1, 1) + torch.tensor(
        [0.4815, 0.4578, 0.4082]
    ).view(3, 1, 1)
    assert pixels.shape == (3, 28, 28)
    np.testing.assert_allclose(pixels[:, 14, 2].numpy() * 255, RED, atol=3)
    np.testing.assert_allclose(pixels[:, 14, 25].numpy() * 255, BLUE, atol=3)


def test_what_it_cost():
    captioner = make()
    red, blue = captioner.describe_counted(frames(RED, BLUE))
    # Words, tags, cells and the end mark, one token each.
    written = "<p> a red chair </p> <o> 33 495 </o> by <p> the wall </p> <o> 0 1023 </o> </s>"
    assert (red.images, red.tokens) == (1, len(written.split()))
    assert (blue.images, blue.tokens) == (1, 13)
    facts = captioner.facts()
    assert facts["models"][0]["model"] == "kosmos-2"
    assert list(facts["models"][0]["weights_sha256"]) == ["model.safetensors"]
    assert (facts["device"], facts["precision"], facts["batch_size"]) == ("cpu", "float32", 8)


def test_a_description_that_is_cut_off_keeps_what_is_whole():
    # The first phrase with its box is ten tokens long.
    settings = KosmosSettings(saved("kosmos-2"), search=Search(beams=1, max_new_tokens=12))
    assert make(settings).describe(frames(RED)[0]) == RED_REGIONS[:1]
    assert make(KosmosSettings(saved("kosmos-2"), search=Search(1, 5))).describe(frames(RED)[0]) == []


def test_the_identity_is_known_before_the_model_is_loaded(monkeypatch):
    monkeypatch.setattr(kosmos, "_Kosmos", None)
    identity = make().identity
    assert identity["captioner"] == "kosmos2"
    assert saved("kosmos-2") not in str(identity)
    assert len(identity["model_sha256"]) == 64


def test_tokens_are_counted_up_to_the_end_mark():
    rows = torch.tensor([[0, 7, 8, 2, 1, 1], [0, 7, 8, 9, 9, 9], [0, 2, 1, 1, 1, 1]])
    assert count_tokens(rows, 1, end=2, padding=1) == [3, 5, 1]
    # GPT-2 pads with its end mark.
    assert count_tokens(torch.tensor([[2, 7, 2, 2, 2]]), 1, end=2, padding=2) == [2]
