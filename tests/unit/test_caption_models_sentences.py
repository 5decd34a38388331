"""BLIP and ViT-GPT-2 on whole frames and on sliding windows of the original's geometry."""

import numpy as np
import pytest
from tiny_captioners import BLUE, RED, SENTENCES, Still, picture, saved

from regionzoo.captions.captioner import Region2D
from regionzoo.captions.models.generating import Search
from regionzoo.captions.models.image_captions import ImageCaptionSettings, described, everything
from regionzoo.captions.models.runtime import ModelRuntime
from regionzoo.captions.models.sentences import CROP_SEARCH, FRAME_SEARCH, Sentence, SentenceModelSettings

KINDS = ["blip", "vit-gpt2"]


def make(kind, view, search=FRAME_SEARCH, **runtime):
    return ImageCaptionSettings(SentenceModelSettings(kind, saved(kind), search), view).make(ModelRuntime(**runtime))


def test_the_original_searches():
    assert Search(beams=5, max_new_tokens=16, no_repeat_ngram=3) == CROP_SEARCH
    # At most 64 tokens, of which the first is the start mark.
    assert Search(beams=4, max_new_tokens=63, no_repeat_ngram=0) == FRAME_SEARCH


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_caption_of_the_whole_frame(kind, precision):
    captioner = make(kind, "frame", batch_size=2, precision=precision)
    frames = [Still("0", picture(RED)), Still("1", picture(BLUE, 30, 90)), Still("2", picture(RED))]
    said = captioner.describe_counted(frames)
    assert [[region.text for region in one.regions] for one in said] == [[SENTENCES[c]] for c in (RED, BLUE, RED)]
    assert [one.images for one in said] == [1, 1, 1]
    # BLIP's words are tokens, GPT-2's letters are; both end with a mark.
    red = SENTENCES[RED]
    assert said[0].tokens == (len(red.split()) if kind == "blip" else len(red)) + 1


def test_a_caption_of_the_frame_is_of_all_its_pixels():
    x_min, y_min, x_max, y_max = everything(968, 1296)
    assert x_min < 0
    assert y_min < 0
    # The last pixel of a depth image, scaled rightly and with the ratios of the axes swapped.
    assert max(639 * 1296 / 640, 639 * 968 / 480) < x_max
    assert max(479 * 968 / 480, 479 * 1296 / 640) < y_max


@pytest.mark.parametrize("kind", KINDS)
def test_windows_of_a_frame(kind):
    captioner = make(kind, "window", CROP_SEARCH if kind == "blip" else FRAME_SEARCH, batch_size=4)
    model = captioner._loaded
    sizes, process = [], model.processor

    def recording(images, **settings):
        sizes.append([image.size for image in images])
        return process(images=images, **settings)

    model.processor = recording
    frame = picture(RED, 968, 1296)
    frame[:, 648:] = BLUE
    small = Still("1", picture(BLUE, 240, 320))
    large, less = captioner.describe_counted([Still("0", frame), small])
    # Nine windows of 400 rows and 500 columns, and an image that is smaller than a window.
    assert sizes == [[(500, 400)] * 4, [(500, 400)] * 4, [(500, 400), (320, 240)]]
    corners = [(x, y) for y in (0, 280, 560) for x in (0, 350, 700)]
    assert [region.box for region in large.regions] == [(x, y, x + 500, y + 400) for x, y in corners]
    assert all(isinstance(edge, float) for region in large.regions for edge in region.box)
    said = [region.text for region in large.regions]
    # The outer columns of windows show one colour alone.
    assert said[0::3] == [SENTENCES[RED]] * 3
    assert said[2::3] == [SENTENCES[BLUE]] * 3
    assert less.regions == [Region2D((0.0, 0.0, 320.0, 240.0), SENTENCES[BLUE])]
    assert (large.images, less.images) == (9, 1)


def test_windows_show_what_is_in_them():
    """Each window of noise gets the very pixels of that part of the frame."""
    captioner = make("blip", "window", batch_size=64)
    model = captioner._loaded
    seen, caption = [], model.caption
    model.caption = lambda images: seen.extend(images) or caption(images)
    frame = np.random.default_rng([3, 1]).integers(0, 256, (968, 1296, 3)).astype(np.uint8)
    captioner.describe(Still("0", frame))
    corners = [(x, y) for y in (0, 280, 560) for x in (0, 350, 700)]
    assert len(seen) == 9
    for window, (x, y) in zip(seen, corners, strict=True):
        np.testing.assert_array_equal(window, frame[y : y + 400, x : x + 500])


def test_the_search_is_what_the_settings_say():
    captioner = make("vit-gpt2", "frame", Search(beams=2, max_new_tokens=5))
    captioner.describe(Still("0", picture(RED)))
    assert captioner.describe_counted([Still("0", picture(RED))])[0].tokens == 5
    repeated = make("vit-gpt2", "frame", Search(beams=1, max_new_tokens=63, no_repeat_ngram=1))
    text = repeated.describe(Still("0", picture(BLUE)))[0].text
    # GPT-2's tokens are bytes here; those that are no letters decode to a replacement.
    letters = text.replace("\ufffd", "")
    assert len(set(letters)) == len(letters) > 9
    assert make("blip", "frame", CROP_SEARCH).identity != make("blip", "frame", FRAME_SEARCH).identity
    assert make("blip", "frame").identity != make("blip", "window").identity


def test_nothing_said_is_no_region():
    box = (0.0, 0.0, 9.0, 9.0)
    assert described([(box, Sentence("", 1)), (box, Sentence("a chair", 3))]) == ([Region2D(box, "a chair")], 2, 4)
