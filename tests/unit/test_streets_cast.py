"""Whole grids of rays: nothing is lost by looking at windows only, and what the sensors tell is where things are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tiny_streets import drawn_street, empty_road, level_rig, stand_at, still_street, straight_ride

from regionzoo.scenes.lidarseg import FINE
from regionzoo.scenes.nuscenes_layout import CAMERAS
from regionzoo.scenes.poses import inverse, pose_matrix
from regionzoo.scenes.streets import lidar as lidar_module
from regionzoo.scenes.streets.camera import SHRINK, look, picture
from regionzoo.scenes.streets.cast import Hits
from regionzoo.scenes.streets.lidar import COLUMNS, RINGS, Sweep, own_range, seen_at, sweep
from regionzoo.scenes.streets.rays import Window
from regionzoo.scenes.streets.rig import Mounting, mount
from regionzoo.scenes.streets.road import Road
from regionzoo.scenes.streets.shapes import BALL, BOX, FRUSTUM, Shapes
from regionzoo.scenes.streets.street import Street
from regionzoo.scenes.streets.things import Finish, Stock, Thing, box, gather

ORANGE = Finish((255, 90, 0), 0.5)


def rig(number: int = 0) -> dict[str, Mounting]:
    return mount(np.random.default_rng(number))


def scan(street: Street, speed_of: Street | None = None, end: float = 0.5) -> tuple[Sweep, Stock, dict[str, Mounting]]:
    stock, sensors = gather(street.things), rig()
    return sweep(street.road, stock, street.ride, sensors["LIDAR_TOP"], end, np.random.default_rng(7)), stock, sensors


def to_street(street: Street, sensors: dict[str, Mounting], points: np.ndarray, end: float = 0.5) -> np.ndarray:
    """Points of a sweep in the street's frame."""
    mounted = pose_matrix(sensors["LIDAR_TOP"].rotation, sensors["LIDAR_TOP"].translation)
    pose = street.ride.matrix(street.road, np.array(end)) @ mounted
    return points[:, :3].astype(float) @ pose[:3, :3].T + pose[:3, 3]


def test_windows_of_a_sweep_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    street = drawn_street(1)
    # A part of the things is enough, with all that is near.
    near = [thing for k, thing in enumerate(street.things) if abs(thing.path.s) < 12 or k % 6 == 0]
    street = replace(street, things=near, ride=replace(street.ride, speed=11.0, lean=(0.02, -0.015)))
    fast, _, _ = scan(street)
    monkeypatch.setattr(
        lidar_module,
        "sweep_windows",
        lambda shapes, *rest: [Window(p, 0, COLUMNS, 0, RINGS) for p in range(len(shapes))],
    )
    slow, _, _ = scan(street)
    # Beams beyond the range are lost either way.
    assert np.array_equal(fast.points, slow.points)
    assert np.array_equal(fast.labels, slow.labels) and np.array_equal(fast.thing, slow.thing)
    assert (fast.thing >= 0).mean() > 0.1


def test_windows_of_an_image_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from regionzoo.scenes.streets import camera as camera_module

    street = drawn_street(1)
    # Small windows are left out on purpose; keep what is near.
    near = [thing for thing in street.things if abs(thing.path.s) < 30]
    stock, sensors = gather(near), rig()

    def seen() -> Hits:
        return look(street.road, stock, street.ride, sensors["CAM_FRONT_LEFT"], 0.4).hits

    fast = seen()
    size = 900 // SHRINK, 1600 // SHRINK
    monkeypatch.setattr(
        camera_module,
        "image_windows",
        lambda shapes, *rest: [Window(p, 0, size[0], 0, size[1]) for p in range(len(shapes))],
    )
    slow = seen()
    assert np.array_equal(fast.shape >= 0, slow.shape >= 0)
    assert np.allclose(fast.t[fast.shape >= 0], slow.t[slow.shape >= 0])


def surface_distance(shapes: Shapes, thing: int, points: np.ndarray) -> np.ndarray:
    """Upper bound of the distance of points to the surface of a thing's nearest part."""
    best = np.full(len(points), np.inf)
    for p in np.flatnonzero(shapes.thing == thing):
        local = (points - shapes.centre[p]) @ shapes.rotation[p]
        half = shapes.half[p]
        if shapes.kind[p] == BOX:
            outside = np.maximum(np.abs(local) - half, 0)
            within = np.minimum((np.abs(local) - half).max(axis=1), 0)
            distance = np.linalg.norm(outside, axis=1) + np.abs(within)
        elif shapes.kind[p] == BALL:
            # Along the line to the centre.
            size = np.linalg.norm(local / half, axis=1)
            distance = np.linalg.norm(local, axis=1) * np.abs(1 - 1 / size)
        else:
            assert shapes.kind[p] == FRUSTUM
            up = np.clip(local[:, 2] / half[2], -1, 1)
            radius = half[0] * (1 - shapes.taper[p] * (up + 1) / 2)
            across = np.hypot(local[:, 0], local[:, 1])
            wall = np.hypot(across - radius, local[:, 2] - up * half[2])
            lid = np.hypot(np.maximum(across - radius, 0), np.abs(np.abs(local[:, 2]) - half[2]))
            distance = np.minimum(wall, lid)
        best = np.minimum(best, distance)
    return best


def test_points_lie_on_the_things_that_they_are_said_to_be_of() -> None:
    street = drawn_street(0)
    found, stock, sensors = scan(street)
    points = to_street(street, sensors, found.points)
    _, rotation, translation = stock.place(street.road, seen_at(street.road, street.ride, stock, 0.5))
    shapes = stock.shapes.placed(rotation, translation)
    leafy = {int(shapes.thing[p]) for p in np.flatnonzero(stock.soft > 0)}
    checked, far = 0, []
    for thing in np.unique(found.thing[found.thing >= 0]).tolist():
        mine = found.thing == thing
        assert (found.labels[mine] == FINE.index(street.things[thing].category)).all()
        if thing not in leafy:
            far.append(surface_distance(shapes, thing, points[mine]))
            checked += 1
    distances = np.concatenate(far)
    # Noise of 2 cm along the beam.
    assert checked > 60 and len(distances) > 2000
    assert distances.max() < 0.12 and 0.001 < np.median(distances) < 0.02
    in_crown = [k for k in range(len(street.things)) if k in leafy and (found.thing == k).sum() > 20]
    for thing in in_crown:
        body = points[found.thing == thing]
        low, high = shapes.centre - shapes.reach() - 0.15, shapes.centre + shapes.reach() + 0.15
        parts = np.flatnonzero(shapes.thing == thing)
        inside = ((body[:, None] >= low[parts]) & (body[:, None] <= high[parts])).all(axis=2).any(axis=1)
        assert inside.all()


def test_ground_points_lie_on_the_ground_of_their_class() -> None:
    street = drawn_street(2)
    found, _, sensors = scan(street)
    points = to_street(street, sensors, found.points)
    ground = (found.labels >= 24) & (found.labels <= 27) & (found.thing < 0)
    s, d = street.road.to_sd(points[ground, 0], points[ground, 1])
    height = points[ground, 2]
    up = street.road.raised(s, d)
    face = (height > 0.01) & (height < street.road.kerb - 0.01) & (np.abs(np.abs(d) - street.road.left.edge) < 0.2)
    face |= (
        (np.abs(np.abs(d) - street.road.right.edge) < 0.2)
        | street.road.in_crossing(s - 0.2)
        | street.road.in_crossing(s + 0.2)
    )
    assert ground.sum() > 5000
    assert np.abs(height - np.where(up, street.road.kerb, 0))[~face].max() < 0.15
    same = street.road.ground_class(s, d) == found.labels[ground]
    assert same[~face].mean() > 0.985, "but for points that noise carries over an edge"


def test_the_car_sees_its_own_roof_and_nothing_through_it() -> None:
    street = still_street()
    found, _, sensors = scan(street)
    own = found.labels == FINE.index("vehicle.ego")
    distance = np.linalg.norm(found.points[own, :3], axis=1)
    assert 2500 < own.sum() < 6000 and distance.max() < 3.2
    assert found.points[own, 4].max() <= 14, "beams that look ahead clear the roof"
    assert np.isinf(own_range(sensors["LIDAR_TOP"])[:, 16:]).all()


def test_beams_without_an_answer_tell_where_the_sensor_was() -> None:
    street = replace(drawn_street(), road=empty_road(), things=[], ride=straight_ride(10.0))
    stock, sensors = gather([Thing("vehicle.car", (box((0, 0, 1), (1, 1, 1), ORANGE),), stand_at(30, 0))]), level_rig()
    found = sweep(street.road, stock, street.ride, sensors["LIDAR_TOP"], 3.0, np.random.default_rng(0))
    points = found.points.reshape(COLUMNS, RINGS, 5)
    labels = found.labels.reshape(COLUMNS, RINGS)
    # The top ring looks at the sky. 1083 columns before the end the car was 46.08 us * 1083 * 10 m/s behind.
    top = points[:, 31]
    assert (labels[:, 31] == 0).all()
    assert np.allclose(top[:, 1], -10.0 * 46.08e-6 * np.arange(COLUMNS - 1, -1, -1), atol=1e-6)
    assert np.allclose(top[:, [0, 2]], 0, atol=1e-6)
    assert (top[:, 3] == np.round(top[:, 3])).all() and top[:, 3].min() >= 1


@pytest.mark.parametrize("speed", [0.0, 10.0])
def test_points_are_told_in_the_frame_of_the_end_of_the_sweep(speed: float) -> None:
    """Two walls beside a straight road: where each beam meets them follows from the car's place when it fires."""
    road = Road(0.0, 0.0, empty_road().left, empty_road().right)
    walls = [Thing("static.manmade", (box((0, 0, 5), (400, 1.0, 10), ORANGE),), stand_at(0, d)) for d in (8.5, -8.5)]
    sensors = level_rig()
    found = sweep(road, gather(walls), straight_ride(speed), sensors["LIDAR_TOP"], 2.0, np.random.default_rng(0))
    points = found.points.reshape(COLUMNS, RINGS, 5).astype(float)
    ring = 24
    met = found.labels.reshape(COLUMNS, RINGS)[:, ring] == FINE.index("static.manmade")
    # Clockwise from the left; x is right, y ahead. Ring 24 fires 17 slots of 1.152 us into its column.
    time = 46.08e-6 * np.arange(COLUMNS)
    azimuth = np.radians(179.75) - 2 * np.pi / 0.05 * (time + 17 * 1.152e-6)
    sign = np.sign(np.cos(azimuth))
    ahead = 8.0 * sign * np.tan(azimuth) - speed * (time[-1] - time)
    straight = met & (np.abs(np.tan(azimuth)) < 1.5)
    assert straight.sum() > 400
    assert np.abs(points[straight, ring, 0] - 8.0 * sign[straight]).max() < 0.1
    assert np.abs(points[straight, ring, 1] - ahead[straight]).max() < 0.15
    if speed:
        behind = 8.0 * sign * np.tan(azimuth)
        assert abs(np.median(points[straight, ring, 1][:100] - behind[straight][:100]) + speed * 0.05) < 0.05


def test_lidar_and_cameras_see_the_same_things() -> None:
    street = still_street(0)
    found, stock, sensors = scan(street)
    points = to_street(street, sensors, found.points)
    hard = np.ones(len(stock), bool)
    hard[stock.shapes.thing[stock.soft > 0]] = False
    use = (found.thing >= 0) & hard[found.thing] & (np.linalg.norm(found.points[:, :3], axis=1) < 30)
    same, total, hidden = 0, 0, 0
    for channel in CAMERAS:
        camera = sensors[channel]
        view = look(street.road, stock, street.ride, camera, 0.3)
        pose = street.ride.matrix(street.road, np.array(0.3)) @ pose_matrix(camera.rotation, camera.translation)
        seen = points[use] @ inverse(pose)[:3, :3].T + inverse(pose)[:3, 3]
        image = seen @ np.array(camera.matrix).T
        ahead = seen[:, 2] > 1
        u, v = image[ahead, 0] / seen[ahead, 2], image[ahead, 1] / seen[ahead, 2]
        inside = (u > 1) & (u < 1599) & (v > 1) & (v < 899)
        column, row = (u[inside] // SHRINK).astype(int), (v[inside] // SHRINK).astype(int)
        depth, thing = seen[ahead][inside, 2], found.thing[use][ahead][inside]
        drawn = np.where(view.hits.shape >= 0, stock.shapes.thing[view.hits.shape], -1)
        drawn = np.pad(drawn, 1, constant_values=-1)
        around = [drawn[row + i, column + j] == thing for i in range(3) for j in range(3)]
        covered = view.hits.t[row, column] < depth - 0.25
        same += (np.any(around, axis=0) & ~covered).sum()
        total += (~covered).sum()
        hidden += covered.sum()
    assert total > 3000
    assert same / total > 0.98
    assert hidden / (total + hidden) < 0.2, "few points are hidden from the cameras, which hang a little lower"


def test_a_drawn_box_lies_where_its_corners_are_projected(tmp_path_factory: pytest.TempPathFactory) -> None:
    road = empty_road()
    car = Thing("vehicle.car", (box((0, 0, 1.0), (4.0, 2.0, 2.0), ORANGE),), stand_at(15.0, 3.0, 0.3))
    camera = level_rig()["CAM_FRONT"]
    import io

    file = picture(road, gather([car]), straight_ride(0.0), camera, 0.0)
    image = Image.open(io.BytesIO(file))
    assert image.format == "JPEG" and image.size == (1600, 900) and image.mode == "RGB"
    red, green, blue = np.moveaxis(np.array(image).astype(int), -1, 0)
    rows, columns = np.nonzero((red > 110) & (blue < 60) & (green < 110))
    corners = np.array([[x, y, z] for x in (-2, 2) for y in (-1, 1) for z in (0, 2)], float)
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    world = corners @ turn.T + [15.0, 3.0, 0.0]
    # The camera is 1.5 m high and looks along x: right is -y, down is -z.
    u, v = 1200 * -world[:, 1] / world[:, 0] + 800, 1200 * (1.5 - world[:, 2]) / world[:, 0] + 450
    expected = (u.min(), u.max(), v.min(), v.max())
    assert np.allclose((columns.min(), columns.max(), rows.min(), rows.max()), expected, atol=3)
    assert np.mean(blue[:200]) > np.mean(red[:200]), "the sky is blue"


def test_a_moving_thing_is_where_the_beam_passes_it() -> None:
    """A van that comes towards a standing car is hit where it is when the lidar looks there."""
    road = empty_road()
    van = Thing("vehicle.car", (box((0, 0, 1.5), (6.0, 2.0, 3.0), ORANGE),), replace(stand_at(20.0, 0.0), along=-12.0))
    ride, sensors = straight_ride(0.0), level_rig()
    stock = gather([van])
    found = sweep(road, stock, ride, sensors["LIDAR_TOP"], 0.0, np.random.default_rng(0))
    front = found.points[found.thing == 0]
    # Ahead is a quarter of a turn from the start: 12.5 ms into the 50 ms.
    assert abs(np.median(front[:, 1]) - (17.0 + 12.0 * 0.0375)) < 0.05
    assert abs(float(seen_at(road, ride, stock, 0.0)[0]) + 0.0375) < 1e-9


def test_what_is_hidden_still_counts_as_meeting_the_beams() -> None:
    road, ride, sensors = empty_road(), straight_ride(0.0), level_rig()
    hidden = Thing("vehicle.car", (box((0, 0, 1.5), (2.0, 4.0, 3.0), ORANGE),), stand_at(20.0, 0.0))
    screen = Thing("static.manmade", (box((0, 1.0, 1.5), (0.2, 2.0, 3.0), ORANGE),), stand_at(10.0, 0.0))

    def found(things: list[Thing]) -> tuple[int, int]:
        made = sweep(road, gather(things), ride, sensors["LIDAR_TOP"], 0.0, np.random.default_rng(0))
        return int((made.thing == 0).sum()), int(made.met[0])

    alone, met_alone = found([hidden])
    half, met = found([hidden, screen])
    assert met == met_alone >= alone > 0.98 * met > 100
    assert 0.4 < half / met < 0.6
