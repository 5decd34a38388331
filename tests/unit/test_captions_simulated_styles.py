"""The styles `name` and `window` of the simulated captioner."""

import re
from collections import Counter

import numpy as np
import pytest

from regionzoo.captions.simulated import MIN_PIXELS, SimulatedSettings
from regionzoo.captions.windows import sliding_windows
from regionzoo.captions.wording import image_caption, nouns, surface_caption

# Two rows and two columns of windows.
HEIGHT, WIDTH, CELL = 682, 852, 80
FORMS = (r"(.+) in a room", r"a room with (.+)")
FRAMES = [str(number) for number in range(60)]


def images(objects):
    """Rectangles (key, rows, columns) on unlabelled white ground, later ones over earlier ones."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    instance = np.zeros((HEIGHT, WIDTH), np.uint16)
    color = np.full((HEIGHT, WIDTH, 3), 250, np.uint8)
    for key, rows, columns in objects:
        label[rows, columns], instance[rows, columns] = key // 1000, key
    return color, label, instance


def grid(ids):
    """Squares of one instance each, in rows."""
    counts = Counter()
    objects = []
    for position, nyu40 in enumerate(ids):
        counts[nyu40] += 1
        y, x = (CELL * index for index in divmod(position, 10))
        if nyu40:
            objects.append((nyu40 * 1000 + counts[nyu40], slice(y, y + CELL), slice(x, x + CELL)))
    return objects


def describe(style, objects, frame="0", miss=0.0, rename=0.0, noise=0.0, seed=0):
    settings = SimulatedSettings(style, miss, rename, noise, seed)
    return settings.make().describe_images("scene0000_00", frame, *images(objects))


def said(text):
    """The kinds of things in a window's caption, numbers and articles apart: [(count word, noun), ...]."""
    listed = next(found[1] for form in FORMS if (found := re.fullmatch(form, text)))
    return [tuple(phrase.split(" ", 1)) for phrase in re.split(r", | and ", listed)]


def test_names_are_bare_class_names():
    regions = describe("name", grid([5, 6, 28, 13, 1, 38, 32]))
    assert [region.text for region in regions] == ["chair", "sofa", "blinds", "shower curtain", "nightstand"]
    assert regions[1].box == (80.0, 0.0, 160.0, 80.0)
    every = {region.text for region in describe("name", grid(sorted(nouns())))}
    assert every == {nouns()[nyu40] for nyu40 in set(nouns()) - {1, 2, 22}}
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)*", name) for name in every)


def test_names_err_at_the_stated_rates():
    objects = grid([5] * 10 + [6] * 10)
    regions = [region for f in FRAMES for region in describe("name", objects, f, miss=0.2, rename=0.25, noise=0.05)]
    total = 20 * len(FRAMES)
    assert abs(len(regions) / total - 0.8) < 4 * (0.8 * 0.2 / total) ** 0.5
    wrong = sum((region.text == "sofa") == (region.box[1] + region.box[3] < 160) for region in regions)
    assert abs(wrong / len(regions) - 0.25) < 4 * (0.25 * 0.75 / len(regions)) ** 0.5
    heights = [region.box[3] - region.box[1] for region in regions if region.box[1] > 40]
    assert np.std(heights) == pytest.approx(80 * 0.05 * 2**0.5, rel=0.15)


def test_draws_differ_between_styles():
    missed = {style: [len(describe(style, grid([5]), f, miss=0.5)) for f in FRAMES] for style in ("name", "template")}
    assert missed["name"] != missed["template"]


def test_a_window_names_the_largest_kinds_inside():
    # In the first window the sofa is largest, then the two tables together, then the lamp, then the chair.
    objects = [
        (6001, slice(0, 160), slice(0, 300)),
        (7001, slice(170, 270), slice(0, 120)),
        (7002, slice(170, 270), slice(130, 250)),
        (35001, slice(170, 270), slice(260, 340)),
        (5001, slice(300, 360), slice(0, 100)),
        # A large bed that only the last window sees.
        (4001, slice(410, 680), slice(510, 850)),
    ]
    counts = set()
    for frame in FRAMES:
        regions = describe("window", objects, frame)
        kinds = said(regions[0].text)
        counts.add(len(kinds))
        assert kinds[0] in [("a", "couch"), ("a", "sofa")]
        assert kinds[1:] == [("two", "tables"), ("a", "lamp")][: len(kinds) - 1]
        assert said(regions[-1].text)[0] == ("a", "bed")
    assert counts == {2, 3}
    texts = {describe("window", objects, frame)[0].text for frame in FRAMES}
    assert {"a couch and two tables in a room", "a room with a sofa, two tables and a lamp"} <= texts


def test_area_counts_inside_the_window_alone():
    # More of the sofa than of the table is in the image, but not in the left windows.
    objects = [(6001, slice(0, 300), slice(450, 850)), (7001, slice(0, 200), slice(0, 100))]
    left, right = describe("window", objects)[:2]
    assert [noun for _, noun in said(left.text)] in (["table", "sofa"], ["table", "couch"])
    assert [noun for _, noun in said(right.text)] in (["sofa"], ["couch"])


def test_boxes_are_the_windows_whatever_the_noise():
    windows = sliding_windows(HEIGHT, WIDTH)
    assert len(windows) == 4
    objects = [(6001, slice(0, HEIGHT), slice(0, WIDTH))]
    assert [region.box for region in describe("window", objects, noise=0.5)] == windows
    # Seen by the first window alone.
    assert [region.box for region in describe("window", [(6001, slice(0, 100), slice(0, 100))])] == windows[:1]


def test_structure_where_there_is_nothing_else():
    wall, floor = (1001, slice(0, HEIGHT), slice(0, WIDTH)), (2001, slice(300, 400), slice(0, WIDTH))
    assert [region.text for region in describe("window", [wall])] == ["a white wall"] * 4
    first = describe("window", [wall, floor])[0]
    assert first.text == "a white wall and a white floor"
    with_sofa = describe("window", [wall, floor, (6001, slice(0, 100), slice(0, 100))])
    assert said(with_sofa[0].text) in ([("a", "sofa")], [("a", "couch")])
    assert [region.text for region in with_sofa[1:]] == ["a white wall and a white floor"] * 3
    # The kinds elsewhere in the image lend their names to things, never to walls.
    renamed = describe("window", [wall, (6001, slice(0, 100), slice(0, 100))], rename=1.0)
    assert [region.text for region in renamed[1:]] == ["a white wall"] * 3


def test_windows_with_nothing_to_name_are_left_out():
    assert describe("window", []) == []
    assert describe("window", grid([38, 39, 40])) == []
    side = int(MIN_PIXELS**0.5)
    assert describe("window", [(6001, slice(0, side), slice(0, side))]) == []
    # Too little of it in the left window, whatever its size in the image.
    edge = [(6001, slice(0, 300), slice(491, 560))]
    assert [region.box for region in describe("window", edge)] == sliding_windows(HEIGHT, WIDTH)[1:2]
    # What is missed leaves no room for walls: the window shows more than walls.
    objects = [(1001, slice(0, HEIGHT), slice(0, WIDTH)), (6001, slice(0, 680), slice(0, 850))]
    assert describe("window", objects, miss=1.0) == []


def test_windows_miss_and_rename_at_the_stated_rates():
    # Windows share no draw, so each of the four looks at the sofa anew.
    sofa = [(6001, slice(0, HEIGHT), slice(0, WIDTH))]
    kept = sum(len(describe("window", sofa, frame, miss=0.3)) for frame in FRAMES)
    total = 4 * len(FRAMES)
    assert abs(kept / total - 0.7) < 4 * (0.7 * 0.3 / total) ** 0.5
    # The bed is in the image but too small in any window's share to be named itself.
    objects = [*sofa, (4001, slice(0, 60), slice(0, 100))]
    names = Counter(
        noun
        for frame in FRAMES
        for r in describe("window", objects, frame, rename=0.25)[1:]
        for _, noun in said(r.text)
    )
    assert set(names) == {"sofa", "couch", "bed"}
    assert abs(names["bed"] / names.total() - 0.25) < 4 * (0.25 * 0.75 / names.total()) ** 0.5


def test_a_window_misses_a_thing_whatever_else_is_there():
    table, chair = (7001, slice(0, 100), slice(0, 100)), (5001, slice(120, 220), slice(0, 100))
    for frame in FRAMES:
        alone = describe("window", [table], frame, miss=0.5)
        both = describe("window", [table, chair], frame, miss=0.5)
        assert any("table" in region.text for region in both) == bool(alone)


def test_windows_are_the_same_in_any_order_and_differ_by_seed():
    objects = grid([3, 4, 5, 5, 6, 7, 10, 14, 14, 33] * 6)
    errs = {"miss": 0.3, "rename": 0.3}
    first = {frame: describe("window", objects, frame, **errs) for frame in FRAMES[:10]}
    second = {frame: describe("window", objects, frame, **errs) for frame in reversed(FRAMES[:10])}
    assert first == second
    assert len({str(regions) for regions in first.values()}) == 10
    assert describe("window", objects, seed=1, **errs) != describe("window", objects, seed=2, **errs)


def test_captions_list_and_count():
    texts = {
        count: {image_caption([(6, count), (5, 1), (13, 2)], np.random.default_rng(seed)) for seed in range(40)}
        for count in (1, 3, 7)
    }
    assert texts[1] == {
        form.format(f"a {noun}, a chair and blinds")
        for noun in ("sofa", "couch")
        for form in ("{} in a room", "a room with {}")
    }
    assert "three couches, a chair and blinds in a room" in texts[3]
    assert "a room with several sofas, a chair and blinds" in texts[7]
    assert surface_caption([(2, (240, 140, 20))]) == "an orange floor"
