"""The ground of a street: coordinates along a bend, its two levels, and where rays meet it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_streets import empty_road

from regionzoo.scenes.streets.paint import painted
from regionzoo.scenes.streets.road import OTHER_FLAT, ROAD, SIDEWALK, TERRAIN, Road


@pytest.mark.parametrize("curvature", [0.0, 1 / 170, -1 / 170])
def test_street_coordinates_go_there_and_back(curvature: float) -> None:
    road = empty_road(curvature)
    rng = np.random.default_rng(0)
    s, d = rng.uniform(-120, 140, 1000), rng.uniform(-40, 40, 1000)
    x, y = road.to_xy(s, d)
    assert np.allclose(road.to_sd(x, y), (s, d), atol=1e-9)
    # A metre along the centre line is a metre, in the direction of the heading; d grows to the left.
    x0, y0 = road.to_xy(s, np.zeros(1000))
    x1, y1 = road.to_xy(s + 1e-4, np.zeros(1000))
    assert np.allclose(np.hypot(x1 - x0, y1 - y0), 1e-4)
    assert np.allclose((x1 - x0) / 1e-4, np.cos(road.heading(s)), atol=1e-5)
    x2, y2 = road.to_xy(s, np.ones(1000))
    assert np.allclose(x2 - x0, -np.sin(road.heading(s))) and np.allclose(y2 - y0, np.cos(road.heading(s)))


@pytest.mark.parametrize("curvature", [0.0, 1 / 150, -1 / 150])
def test_a_ray_meets_the_ground_where_stepping_finds_it(curvature: float) -> None:
    road = replace(empty_road(curvature), crossings=(12.0,), crossing_width=8.0)
    rng = np.random.default_rng(3)
    azimuth, slope = rng.uniform(-np.pi, np.pi, 400), np.radians(rng.uniform(-40, -3.5, 400))
    ray = np.stack([np.cos(azimuth) * np.cos(slope), np.sin(azimuth) * np.cos(slope), np.sin(slope)])
    origin = np.array([0.3, -1.0, 1.9])
    t, s, d, face = road.hit(tuple(np.full(400, value) for value in origin), tuple(ray))

    steps = np.arange(0.5, 36, 0.005)
    found, kerbs = np.empty(400), 0
    for k in range(400):
        points = origin[:, None] + steps * ray[:, k, None]
        # Height of the ground from first principles: who is beside the carriageway and in no crossing stands higher.
        at_s, at_d = road.to_sd(points[0], points[1])
        high = (np.abs(at_d) > 6.0) & (np.abs(at_s - 12.0) >= 4.0)
        below = points[2] <= np.where(high, 0.15, 0.0)
        first = int(below.argmax())
        found[k] = steps[first]
        on_face = high[first] and points[2, first] < 0.15 - 0.005 * abs(ray[2, k]) - 1e-9 and not high[first - 1]
        kerbs += on_face
        assert on_face == face[k] or abs(points[2, first] - 0.15) < 0.01 or points[2, first] < 0.01
    assert np.all((found - t < 0.005 + 1e-9) & (found - t > -1e-9))
    assert kerbs > 5, "some rays meet the face of the kerb"
    x, y, z = origin[:, None] + t * ray
    assert np.allclose(road.to_sd(x, y), (s, d), atol=1e-4)
    flat = ~face
    assert np.allclose(z[flat], np.where(road.raised(s, d), 0.15, 0.0)[flat], atol=1e-9)
    assert np.all((z[face] >= -1e-9) & (z[face] <= 0.15)) and road.raised(s[face], d[face]).all()


def test_rays_that_do_not_go_down_meet_no_ground() -> None:
    one = np.ones(1)
    t, _, _, face = empty_road().hit((0 * one, 0 * one, 2 * one), (one, 0 * one, 0 * one))
    assert np.isinf(t).all() and not face.any()


def cross_section(road: Road, s: float, d: list[float]) -> list[int]:
    return road.ground_class(np.full(len(d), s), np.array(d)).tolist()


def test_classes_lie_side_by_side_as_the_cross_section_says() -> None:
    road = replace(empty_road(), crossings=(30.0,), crossing_width=8.0, rails=(0.0, 3.0))
    # From the left to the right: grass, sidewalk, verge, road, tracks, road, sidewalk, what is behind.
    places = [12.0, 9.0, 6.7, 5.0, 0.0, -5.0, -8.0, -12.0]
    both = [TERRAIN, SIDEWALK, TERRAIN, ROAD, OTHER_FLAT, ROAD, SIDEWALK]
    assert cross_section(road, -5.0, places) == [*both, SIDEWALK]
    assert cross_section(road, 5.0, places) == [*both, TERRAIN]
    assert cross_section(road, 31.0, places) == [ROAD, ROAD, ROAD, ROAD, OTHER_FLAT, ROAD, ROAD, ROAD]
    assert road.level(np.array([5.0, 5.0, 31.0]), np.array([0.0, 7.0, 7.0])).tolist() == [0.0, 0.15, 0.0]


def test_paint_lies_on_lines_and_zebras_only() -> None:
    road = replace(empty_road(), lines=((2.0, False), (-2.0, True)), zebras=(20.0,), crossings=(40.0,))
    s = np.arange(0, 60, 0.25)

    def along(d: float) -> np.ndarray:
        return painted(road, s, np.full(s.shape, d))

    crossing = np.abs(s - 40.0) < 4.5
    zebra = (s > 20) & (s < 23.5)
    assert (along(2.0) | zebra)[~crossing].all() and not along(2.0)[crossing].any()
    assert 0.3 < along(-2.0)[s < 18].mean() < 0.6
    assert not along(0.75)[~zebra].any()
    across = painted(road, np.full(1000, 21.0), np.linspace(-5.9, 5.9, 1000))
    assert 0.4 < across.mean() < 0.6
    assert not painted(road, np.full(10, 21.0), np.full(10, 6.5)).any()
