"""Rays against solids: the formulas agree with stepping along the ray and asking whether each point is inside."""

from __future__ import annotations

import numpy as np
import pytest

from regionzoo.scenes.streets.shapes import BALL, BOX, FRUSTUM, hit_unit
from regionzoo.scenes.streets.things import Finish, Part, Path, Thing, ball, box, gather, post, rod, wheel

PLAIN = Finish((100, 100, 100))


def inside_unit(kind: int, taper: float, points: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(points, -1, 0)
    if kind == BOX:
        return (np.abs(x) <= 1) & (np.abs(y) <= 1) & (np.abs(z) <= 1)
    if kind == BALL:
        return x**2 + y**2 + z**2 <= 1
    # From radius 1 at the bottom straight to 1 - taper at the top.
    return (np.abs(z) <= 1) & (np.hypot(x, y) <= np.interp(z, [-1, 1], [1, 1 - taper]))


def marched(kind: int, taper: float, origin: np.ndarray, ray: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """First and last step inside, nan for none."""
    t = np.arange(0, 12, step)
    inside = inside_unit(kind, taper, origin[:, None] + t[:, None] * ray[:, None])
    some = inside.any(axis=1)
    first, last = t[inside.argmax(axis=1)], t[::-1][inside[:, ::-1].argmax(axis=1)]
    return np.where(some, first, np.nan), np.where(some, last, np.nan)


@pytest.mark.parametrize(
    ("kind", "taper"), [(BOX, 0.0), (BALL, 0.0), (FRUSTUM, 0.0), (FRUSTUM, 0.3), (FRUSTUM, 0.85), (FRUSTUM, 1.0)]
)
@pytest.mark.parametrize("exact", [np.float64, np.float32])
def test_a_ray_enters_and_leaves_where_stepping_finds_it(kind: int, taper: float, exact: type) -> None:
    rng = np.random.default_rng([kind, int(100 * taper)])
    origin = rng.standard_normal((500, 3))
    origin *= rng.uniform(2, 6, (500, 1)) / np.linalg.norm(origin, axis=1, keepdims=True)
    aim = rng.uniform(-1.2, 1.2, (500, 3)) - origin
    ray = aim / np.linalg.norm(aim, axis=1, keepdims=True)
    # Rays along the axes divide by nothing, and steep ones meet a cone once.
    ray[:3], origin[:3] = np.eye(3), [[-3, 0.1, 0.2], [0.3, -3, 0.1], [0.2, 0.1, -3]]
    ray[3:5], origin[3:5] = [[0, 0, -1], [0, 0, 1]], [[0.3, 0.2, 4], [1.5, 0, -4]]
    step = 0.005
    first, last = marched(kind, taper, origin, ray, step)
    near, far = hit_unit(kind, taper, tuple(origin.astype(exact).T), tuple(ray.astype(exact).T))
    met = np.isfinite(near)
    assert met.sum() > 200 and (~met).sum() > 20
    assert near.dtype == exact
    assert not (~met & (last - first > 5 * step)).any(), "a solid that stepping finds is met"
    thick = met & ~np.isnan(first)
    assert np.all(np.abs(first - near)[thick] <= step + 1e-3)
    assert np.all(np.abs(last - far)[thick] <= step + 1e-3)
    assert np.all((far - near)[met & np.isnan(first)] <= 1.5 * step), "only what is thinner than a step is found alone"


def test_solids_behind_and_around_the_origin_are_missed() -> None:
    for kind in (BOX, BALL, FRUSTUM):
        for origin in ((3.0, 0.0, 0.0), (0.0, 0.0, 0.0)):
            start = tuple(np.array([[value]]) for value in origin)
            ray = tuple(np.array([[value]]) for value in (1.0, 0.0, 0.0))
            assert np.isinf(hit_unit(kind, 0.0, start, ray)[0]).all()


PARTS = {
    "box": box((1.0, 2.0, 3.0), (4.0, 2.0, 1.0), PLAIN, 0.5, 0.3),
    "ball": ball((1.0, 0.0, 2.0), (3.0, 1.0, 2.0), PLAIN),
    "post": post((0.5, 0.5, 0.0), 0.4, 2.0, PLAIN, 0.5),
    "wheel": wheel((1.0, -1.0, 0.4), 0.4, 0.2, PLAIN),
    "rod": rod((0.0, 0.0, 0.0), (1.0, 2.0, 3.0), 0.2, PLAIN),
}


@pytest.mark.parametrize("name", PARTS)
def test_normals_stand_on_the_surface_that_is_met(name: str) -> None:
    """A step along the normal leaves the solid, a step back enters it, and hits beside one lie across the normal."""
    shapes = gather([Thing("vehicle.car", (PARTS[name],), Path(0, 0))]).shapes
    kind, taper = int(shapes.kind[0]), float(shapes.taper[0])
    rng = np.random.default_rng(1)
    start = rng.standard_normal((300, 3))
    start *= 8 / np.linalg.norm(start, axis=1, keepdims=True)
    aim = rng.uniform(-0.7, 0.7, (300, 3))

    def met(target: np.ndarray) -> np.ndarray:
        near, _ = hit_unit(kind, taper, tuple(start.T), tuple((target - start).T))
        near[np.isinf(near)] = np.nan
        return ((start + near[:, None] * (target - start)) * shapes.half[0]) @ shapes.rotation[0].T + shapes.centre[0]

    points, beside = met(aim), [met(aim + shift) for shift in 1e-5 * np.eye(3)]
    ok = np.isfinite(points).all(axis=1) & np.isfinite(beside).all(axis=(0, 2))
    points = points[ok]
    normals = shapes.normals(np.zeros(len(points), int), points)
    assert len(points) > 150
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)

    def inside(moved: np.ndarray) -> np.ndarray:
        return inside_unit(kind, taper, ((moved - shapes.centre[0]) @ shapes.rotation[0]) / shapes.half[0])

    assert inside(points + 1e-4 * normals).mean() < 0.01
    assert inside(points - 1e-4 * normals).mean() > 0.99
    for other in beside:
        way = other[ok] - points
        across = np.abs((way * normals).sum(axis=1)) / np.maximum(np.linalg.norm(way, axis=1), 1e-12)
        assert np.quantile(across, 0.97) < 1e-3


@pytest.mark.parametrize("name", PARTS)
def test_extents_hold_the_surface_tightly(name: str) -> None:
    part: Part = PARTS[name]
    stock = gather([Thing("vehicle.car", (part,), Path(0, 0))])
    rng = np.random.default_rng(2)
    local = rng.uniform(-1, 1, (400_000, 3))
    local = local[inside_unit(part.kind, part.taper, local)]
    points = (local * np.array(part.half)) @ np.array(part.rotation).T + np.array(part.centre)
    slack = 0.12 * np.array(part.half).max()
    assert (points >= stock.low[0]).all() and (points <= stock.high[0]).all()
    assert (points.min(axis=0) - stock.low[0] < slack).all() and (stock.high[0] - points.max(axis=0) < slack).all()


def test_a_rod_runs_from_end_to_end() -> None:
    part = rod((1.0, 2.0, 3.0), (4.0, 2.0, 7.0), 0.1, PLAIN)
    turn = np.array(part.rotation)
    assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) > 0
    ends = [np.array(part.centre) + sign * part.half[2] * turn[:, 2] for sign in (-1, 1)]
    assert np.allclose(ends, [(1, 2, 3), (4, 2, 7)])
