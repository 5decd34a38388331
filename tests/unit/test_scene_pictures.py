"""Pictures of instances: what is chosen, what is drawn where, names that do not cover each other, equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regionzoo.classes import class_set
from regionzoo.report import scene_pictures
from regionzoo.report.picture_page import Label, Panel, compose, places
from regionzoo.report.point_view import _front, _splat, _walls, view
from regionzoo.report.scene_pictures import (
    Instance,
    Predictions,
    annotated_instances,
    best_predictions,
    draw_instances,
    matches,
)

CLASSES = class_set("scannet20")
TABLE, CHAIR, WALL = CLASSES.index("table"), CLASSES.index("chair"), CLASSES.index("wall")


def predictions(masks: list[list[int]], *entries: tuple[int, int, float]) -> Predictions:
    mask, label, score = zip(*entries, strict=True) if entries else ((), (), ())
    return Predictions(
        [np.array(m, dtype=np.int32) for m in masks],
        np.array(mask, dtype=np.int32),
        np.array(label, dtype=np.int16),
        np.array(score, dtype=np.float32),
    )


def room(turn: float = 0.0) -> dict[str, np.ndarray]:
    """A floor of 4 x 3 m, four walls, a ceiling, two boxes: a table and a chair."""
    rng = np.random.default_rng(0)

    def box(low: tuple[float, ...], high: tuple[float, ...], count: int) -> np.ndarray:
        return rng.uniform(low, high, (count, 3))

    parts = [
        (box((0, 0, 0), (4, 3, 0.01), 4000), CLASSES.index("floor"), -100),
        (box((0, 0, 0), (4, 0.01, 2.4), 2500), WALL, -100),
        (box((0, 2.99, 0), (4, 3, 2.4), 2500), WALL, -100),
        (box((0, 0, 0), (0.01, 3, 2.4), 2000), WALL, -100),
        (box((3.99, 0, 0), (4, 3, 2.4), 2000), WALL, -100),
        (box((0, 0, 2.4), (4, 3, 2.41), 3000), -100, -100),
        (box((1, 1, 0), (2.2, 2, 0.7), 2500), TABLE, 3),
        (box((2.9, 1.2, 0), (3.4, 1.7, 0.8), 1500), CHAIR, 8),
    ]
    coords = np.concatenate([part[0] for part in parts])
    labels, truth = (np.concatenate([np.full(len(part[0]), part[k]) for part in parts]) for k in (1, 2))
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    colors = np.full((len(coords), 3), 120, dtype=np.uint8)
    return {"coords": (coords @ rotation.T).astype(np.float32), "colors": colors, "labels": labels, "truth": truth}


def draw(path: Path, found: Predictions, **changes: Any) -> Image.Image:
    arguments: dict[str, Any] = {**room(), "title": "row, scene0000_00", **changes}
    draw_instances(path, predictions=found, classes=CLASSES, **arguments)
    with Image.open(path) as image:
        return image.convert("RGB")


def good() -> Predictions:
    truth = room()["truth"]
    masks = [np.flatnonzero(truth == 3).tolist(), np.flatnonzero(truth == 8).tolist()]
    return predictions(masks, (0, TABLE, 0.6), (0, CHAIR, 0.2), (1, CHAIR, 0.5))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller pictures take less time."""
    monkeypatch.setattr(scene_pictures, "WIDTH", 320)
    monkeypatch.setattr(scene_pictures, "HEIGHT", 320)


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the pictures of a test were composed of: title, note, panels, legend, caption."""
    given: list[tuple[Any, ...]] = []

    def keep(*parts: Any) -> Image.Image:
        given.append(parts)
        return compose(*parts)

    monkeypatch.setattr(scene_pictures, "compose", keep)
    return given


def has(image: Image.Image, color: tuple[int, int, int], within: int = 12) -> int:
    return int((np.abs(np.asarray(image).astype(int) - color).max(axis=2) <= within).sum())


# -- what is shown --------------------------------------------------------------------------------------------------


def test_annotated_instances_have_the_class_of_most_points() -> None:
    truth = np.array([7, 2, -100, 2, 2, 7, 7, 9, 9, 9])
    labels = np.array([4, 6, 6, 6, 5, 4, 6, -100, -100, 3])
    found = annotated_instances(labels, truth)
    assert [(item.points.tolist(), item.label) for item in found] == [([1, 3, 4], 6), ([0, 5, 6], 4)]
    assert annotated_instances(labels, np.full(10, -100)) == []


def test_best_predictions() -> None:
    masks = [[0, 1, 2, 3], [2, 3, 4, 5], [1, 2, 3], [8, 9], []]
    found = best_predictions(
        predictions(masks, (1, 4, 0.5), (0, 6, 0.3), (0, 5, 0.7), (2, 5, 0.6), (3, 5, 0.05), (4, 5, 0.9)), 10, 0.1, 60
    )
    # Mask 2 is a part of mask 0; mask 1 keeps half of its points; 3 scores too low; 4 is empty.
    assert [(item.label, round(item.score or 0, 2)) for item in found] == [(5, 0.7), (4, 0.5)]
    assert [item.paint.tolist() for item in found] == [[0, 1, 2, 3], [4, 5]]
    assert found[1].points.tolist() == [2, 3, 4, 5]


def test_ties_and_the_limit() -> None:
    tied = predictions([[0], [1], [2]], (2, 3, 0.5), (1, 9, 0.5), (1, 4, 0.5), (0, 4, 0.5))
    found = best_predictions(tied, 3, 0.1, 2)
    assert [(item.points.tolist(), item.label) for item in found] == [([0], 4), ([1], 4)]


def test_matches_need_the_class_and_more_than_half() -> None:
    def instance(points: range, label: int) -> Instance:
        return Instance(np.array(points), np.array(points), label)

    annotated = [instance(range(0, 8), 4), instance(range(8, 16), 5)]
    guesses = [
        instance(range(0, 4), 4),
        instance(range(0, 5), 4),
        instance(range(8, 16), 4),
        instance(range(9, 16), 5),
    ]
    assert matches(annotated, guesses, 20) == [(0, 1), (1, 3)]
    assert matches([], guesses, 20) == [] and matches(annotated, [], 20) == []


# -- the view -------------------------------------------------------------------------------------------------------


def test_the_nearest_point_wins() -> None:
    # 6 lies behind 5. The discs of 5 and 7 meet at x = 3, equally near: one of them has the pixel.
    number, x, y = np.array([5, 6, 7]), np.array([2, 2, 4]), np.array([2, 2, 2])
    point, depth = _splat(number, x, y, np.array([1.0, 2.0, 1.0]), 1.0, 0.1, (5, 7))
    assert point.tolist() == [
        [-1, -1, -1, -1, -1, -1, -1],
        [-1, -1, 5, -1, 7, -1, -1],
        [-1, 5, 5, 7, 7, 7, -1],
        [-1, -1, 5, -1, 7, -1, -1],
        [-1, -1, -1, -1, -1, -1, -1],
    ]
    assert depth[2, 2] == 1.0 and np.isinf(depth[0, 0])


def test_discs_at_the_border_are_cut() -> None:
    point, _ = _splat(np.array([0]), np.array([0]), np.array([0]), np.array([1.0]), 2.0, 0.1, (3, 3))
    assert point.tolist() == [[0, 0, 0], [0, 0, -1], [0, -1, -1]]


@pytest.mark.parametrize("degrees", [0, 17, 60, 89])
def test_walls_are_found(degrees: int) -> None:
    angle = np.degrees(_walls(room(np.radians(degrees))["coords"].astype(np.float64)))
    assert min(abs(angle - degrees), 90 - abs(angle - degrees)) <= 2


def test_the_front_is_not_a_stray_point() -> None:
    across, away = np.repeat(np.arange(0, 1, 0.01), 20), np.tile(np.linspace(2.0, 2.04, 20), 100)
    front = _front(np.append(across, 0.5), np.append(away, -5.0))
    assert front[:-1].min() > 1.9


def test_ceiling_and_front_walls_are_cut_and_the_rest_is_seen() -> None:
    scan = room(0.4)
    thin = scan["labels"] <= WALL
    seen = view(scan["coords"], thin, scan["truth"], 400, 400)
    assert max(seen.point.shape) == 400 and seen.point.shape == seen.shade.shape
    shown = np.unique(seen.point[seen.point >= 0])
    assert (scan["coords"][shown, 2] < 2.15).all()
    walls = shown[thin[shown]]
    # A back wall stands; of the front ones only the foot does.
    share = [np.mean(np.isin(np.flatnonzero(thin & (scan["coords"][:, 2] > 0.5)), walls))]
    assert 0.15 < share[0] < 0.6
    for instance in (3, 8):
        assert (scan["truth"][seen.point] == instance)[seen.point >= 0].sum() > 2000


@pytest.mark.parametrize("count", [1, 2, 5])
def test_hardly_any_points(tmp_path: Path, count: int) -> None:
    none = np.full(count, -100)
    changes = {"coords": np.zeros((count, 3)), "colors": np.zeros((count, 3), np.uint8), "labels": none, "truth": none}
    assert draw(tmp_path / "few.png", predictions([]), **changes).size[0] >= 900


# -- names ----------------------------------------------------------------------------------------------------------


def test_names_do_not_cover_each_other() -> None:
    labels = [Label("shower curtain 0.61", 150 + k % 3, 100 + k % 2, 10 + k) for k in range(12)]
    boxes = places(labels, 400, 300)
    placed = [box for box in boxes if box is not None]
    assert len(placed) == 12
    # The largest thing has its name where it is.
    assert boxes[11] is not None and boxes[11][0] < labels[11].x < boxes[11][2]
    for k, one in enumerate(placed):
        assert min(one) >= 0 and one[2] <= 400 and one[3] <= 300
        for two in placed[k + 1 :]:
            assert one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]


def test_a_name_without_room_is_left_out() -> None:
    assert places([Label("refrigerator", 20, 10, 50)], 40, 20) == [None]


def test_long_texts_are_wrapped() -> None:
    panels = [Panel("p", Image.new("RGB", (50, 40)))]
    short, long = (compose("t", "", panels, [], "word " * count).size for count in (3, 300))
    assert short[0] == long[0] and long[1] > short[1] + 100


# -- the picture ----------------------------------------------------------------------------------------------------


def test_equal_arguments_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw(tmp_path / name, good())
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert image.format == "PNG" and image.info == {}


def test_found_and_missed(pages: list[tuple[Any, ...]], tmp_path: Path) -> None:
    red = (190, 20, 20)
    assert has(draw(tmp_path / "good.png", good(), novel=(TABLE,), note="Synthetic data."), red) == 0
    mask = np.flatnonzero(room()["truth"] == 3).tolist()
    bad = draw(tmp_path / "bad.png", predictions([mask], (0, CHAIR, 0.6)))
    assert has(bad, red) > 30
    draw(tmp_path / "none.png", predictions([]), least_points=2000)
    texts = [[[label.text for label in panel.labels] for panel in page[2]] for page in pages]
    assert texts[0] == [[], ["table", "chair"], ["table 0.60", "chair 0.50"]]
    assert texts[1] == [[], ["table ✗", "chair ✗"], ["chair 0.60 ✗"]]
    # The chair is too small to be missed.
    assert texts[2] == [[], ["table ✗", "chair"], []]
    assert [page[1] for page in pages] == ["Synthetic data.", "", ""]
    assert [entry.text for entry in pages[0][3]] == ["chair", "table (novel)"]
    captions = [page[4].split(" are found")[0] for page in pages]
    assert captions == [
        f"{n} annotated instances of at least {m} points" for n, m in (("2 of 2", 50), ("0 of 2", 50), ("0 of 1", 2000))
    ]
    assert [[panel.empty for panel in page[2]] for page in pages] == [["", "", ""], ["", "", ""], ["", "", "none"]]


def test_a_found_instance_looks_the_same_in_both_panels(pages: list[tuple[Any, ...]], tmp_path: Path) -> None:
    draw(tmp_path / "x.png", good())
    plain, annotated, predicted = (np.asarray(panel.image) for panel in pages[0][2])
    assert (annotated == predicted).all() and (plain != annotated).any()


def test_neighbours_of_one_class_differ(pages: list[tuple[Any, ...]], tmp_path: Path) -> None:
    labels = np.where(room()["labels"] == CHAIR, TABLE, room()["labels"])
    draw(tmp_path / "x.png", predictions([]), labels=labels)
    scan = room()["coords"]
    image, truth = pages[0][2][1].image, room()["truth"]
    assert len(scan) == len(truth)
    bright = np.asarray(CLASSES.colors[TABLE]) * 0.88
    lighter = bright + (255 - bright) * 0.16
    assert has(image, tuple(bright.astype(int)), 20) > 200 and has(image, tuple(lighter.astype(int)), 20) > 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"coords": np.zeros((0, 3))}, "coords"),
        ({"coords": np.full((18, 3), np.nan)}, "coords"),
        ({"colors": np.zeros((1, 3), np.uint8)}, "colors"),
        ({"labels": np.zeros(2)}, "labels"),
        ({"truth": np.zeros(2)}, "truth"),
        ({"labels": np.full(20_000, 20)}, "class positions up to 19"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        draw(tmp_path / "x.png", predictions([]), **changes)
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (predictions([[0]], (1, 4, 0.5)), "mask must lie in 0..0"),
        (predictions([[20_000]], (0, 4, 0.5)), "mask 0 has points outside"),
        (predictions([[0]], (0, 20, 0.5)), "class positions"),
        (Predictions([], np.zeros(1, int), np.zeros(0, int), np.zeros(0)), "differ in length"),
    ],
)
def test_predictions_that_do_not_fit(tmp_path: Path, found: Predictions, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        draw(tmp_path / "x.png", found)
