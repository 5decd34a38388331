"""The boxes that Kosmos-2 writes as tokens, against coordinates worked out by hand and against transformers' reader."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regionzoo.captions.captioner import Region2D
from regionzoo.captions.models.grounded_text import grounded_phrases, grounded_regions


def box(first, last):
    return f"<patch_index_{first:04}><patch_index_{last:04}>"


def said(phrase, *boxes):
    return f"<phrase> {phrase}</phrase><object>{'</delimiter_of_multi_objects/>'.join(boxes)}</object>"


# On a grid of 32 x 32 cells: cell 33 is column 1 of row 1, cell 495 column 15 of row 15.
@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (33, 495, (1.5 / 32, 1.5 / 32, 15.5 / 32, 15.5 / 32)),
        (0, 1023, (0.5 / 32, 0.5 / 32, 31.5 / 32, 31.5 / 32)),
        (0, 0, (0, 0, 1 / 32, 1 / 32)),
        (1023, 1023, (31 / 32, 31 / 32, 1, 1)),
        # One column wide or one row high: whole cells along both axes.
        (5, 5 + 32 * 3, (5 / 32, 0, 6 / 32, 4 / 32)),
        (64, 64 + 7, (0, 2 / 32, 8 / 32, 3 / 32)),
    ],
)
def test_corners_of_a_box(first, last, expected):
    assert grounded_phrases(said("a chair", box(first, last))) == [("a chair", [pytest.approx(expected)])]


def test_the_example_of_the_model_card():
    text = (
        "<grounding> An image of<phrase> a snowman</phrase><object><patch_index_0044><patch_index_0863></object> "
        "warming himself by<phrase> a fire</phrase><object><patch_index_0005><patch_index_0911></object>."
    )
    assert grounded_phrases(text) == [
        ("a snowman", [(0.390625, 0.046875, 0.984375, 0.828125)]),
        ("a fire", [(0.171875, 0.015625, 0.484375, 0.890625)]),
    ]


def test_every_box_of_a_phrase_is_a_region_with_whole_pixels():
    text = f"In {said('two lamps', box(33, 495), box(528, 990))} stand on {said('the floor', box(0, 1023))}."
    # 968 x 1296: 1.5 / 32 of the width is 60.75, of the height 45.375; cell 528 is column 16 of row 16.
    assert grounded_regions(text, 968, 1296) == [
        Region2D((60.0, 45.0, 627.0, 468.0), "two lamps"),
        Region2D((668.0, 499.0, 1235.0, 922.0), "two lamps"),
        Region2D((20.0, 15.0, 1275.0, 952.0), "the floor"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a sentence without any box",
        "<phrase> a chair</phrase>",
        f"<object>{box(3, 99)}</object>",  # a box of no phrase
        said("   ", box(3, 99)),
        f"<phrase> a chair</phrase><object>{box(3, 99)}",  # cut off by the limit of new tokens
        "<phrase> a chair</phrase><object><patch_index_0003></object>",
        f"<phrase> a chair</phrase> and <object>{box(3, 99)}</object>",
        said("a chair", "<patch_index_0003><patch_index_1024>"),  # outside of the grid
    ],
)
def test_what_is_malformed_is_passed_over(text):
    assert grounded_phrases(text) == []
    whole = said("a table", box(33, 495))
    assert [phrase for phrase, _ in grounded_phrases(whole + text)] == ["a table"]
    assert [phrase for phrase, _ in grounded_phrases(text.removesuffix(f"{box(3, 99)}") + whole)][-1] == "a table"


def test_boxes_without_an_area_are_no_regions():
    assert grounded_regions(said("a chair", box(495, 33)), 100, 100) == []
    # A cell of a tiny image holds no whole pixel.
    assert grounded_regions(said("a chair", box(7, 7)), 20, 20) == []


def test_blanks_between_tokens_do_not_matter():
    loose = "<phrase>  a \n chair </phrase> <object> <patch_index_0033> <patch_index_0495> </object>"
    assert grounded_phrases(loose) == grounded_phrases(said("a chair", box(33, 495)))


def test_another_grid():
    # A grid of 4 x 4: cell 5 is column 1 of row 1, cell 15 column 3 of row 3.
    assert grounded_phrases(said("a chair", box(5, 15)), grid=4) == [("a chair", [(0.375, 0.375, 0.875, 0.875)])]
    assert grounded_phrases(said("a chair", box(5, 16)), grid=4) == []


TAGS = ["<phrase>", "</phrase>", "<object>", "</object>", "</delimiter_of_multi_objects/>", "<grounding>"]
CELLS = st.integers(0, 1023).map(lambda cell: f"<patch_index_{cell:04}>")
TOKENS = st.one_of(st.sampled_from([*TAGS, " a chair", "."]), CELLS)
PHRASES = st.builds(
    lambda boxes: said("a red chair", *(box(*cells) for cells in boxes)),
    st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 1023)), min_size=1, max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(TOKENS, PHRASES), max_size=30).map("".join))
def test_the_processor_of_transformers_reads_the_same(text):
    from transformers.models.kosmos2.processing_kosmos2 import clean_text_and_extract_entities_with_bboxes

    _, entities = clean_text_and_extract_entities_with_bboxes(text)
    # Boxes of no phrase get a made-up name there.
    named = [(name, boxes) for name, _, boxes in entities if name and not name.startswith("<patch_index")]
    assert grounded_phrases(text) == [(name, [pytest.approx(each) for each in boxes]) for name, boxes in named]
