"""The rooms as plans: classes, furniture that does not collide, and the renderer against ray casting."""

from __future__ import annotations

import numpy as np
import pytest

from regionzoo.classes import class_set
from regionzoo.errors import UserError
from regionzoo.scenes.synthetic import RoomSettings
from regionzoo.scenes.synthetic.generate import TRAIN, VAL, _jobs, place
from regionzoo.scenes.synthetic.geometry import RECT, Piece, collect
from regionzoo.scenes.synthetic.hangings import HUNG
from regionzoo.scenes.synthetic.plans import BASE, CLUTTER, EXTRA, HANGINGS, PLANS
from regionzoo.scenes.synthetic.render import NEAR, Camera, render
from regionzoo.scenes.synthetic.small import SMALL
from regionzoo.scenes.synthetic.table import nyu40_ids


def test_rescans_share_the_room_but_not_the_frame() -> None:
    settings = RoomSettings(train_scenes=10, val_scenes=0, frames=0, vertex_spacing=0.2, seed=1)
    jobs = {job.scene_id: job for job in _jobs(settings, TRAIN)}
    first, second = place(jobs["scene0008_00"]), place(jobs["scene0008_01"])
    assert [s.category for s in first.room.solids] == [s.category for s in second.room.solids]
    assert not np.allclose(first.alignment, second.alignment)
    assert np.allclose(first.patches.moved(first.alignment).origin, second.patches.moved(second.alignment).origin)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_class_occurs_and_novel_classes_are_frequent(seed: int) -> None:
    """Objects of 60 rooms, without any scanning."""
    settings = RoomSettings(train_scenes=60, val_scenes=20, frames=0, vertex_spacing=0.2, seed=seed)
    nyu40 = nyu40_ids()
    for split, at_least in ((TRAIN, 120), (VAL, 90)):
        rooms = [place(job).room for job in _jobs(settings, split)]
        categories = [{s.category for s in room.solids if s.category} for room in rooms]
        labels = [{nyu40[name] for name in names} for names in categories]
        classes = class_set("scannet20")
        share = {
            name: np.mean([nyu in here for here in labels])
            for name, nyu in zip(classes.names, classes.nyu40_ids, strict=True)
        }
        assert min(share.values()) >= 0.15, share
        for novel in ("sofa", "bookshelf", "desk", "toilet"):
            assert share[novel] >= 0.3, (novel, share[novel])
        fine = set.union(*categories) & set(class_set("scannet200").names)
        assert len(fine) >= at_least


def test_the_plans_name_known_things() -> None:
    known = set(nyu40_ids())
    assert set(SMALL) - known == {"toy"} and set(HUNG) <= known
    assert {name for names in CLUTTER.values() for name in names} <= set(SMALL) | {"fan"}
    assert {name for rows in HANGINGS.values() for name, _ in rows} <= set(HUNG) | {"towel"}
    assert {name for _, extras, _, _ in PLANS for name in extras} <= set(EXTRA)
    assert {theme for first, _, second, _ in PLANS for theme in (first, second or first)} == set(BASE)


def test_things_stand_inside_their_room_and_do_not_share_space() -> None:
    settings = RoomSettings(train_scenes=20, val_scenes=0, frames=0, vertex_spacing=0.2, seed=5)
    for job in _jobs(settings, TRAIN):
        room = place(job).room
        for zone in room.zones:
            x0, y0, x1, y1 = zone.rect
            boxes = np.array(zone.boxes)
            assert (boxes[:, :2] >= np.array([x0, y0]) - 0.1).all() and (
                boxes[:, 3:5] <= np.array([x1, y1]) + 0.1
            ).all()
            inner = np.concatenate([boxes[:, :3] + 0.02, boxes[:, 3:] - 0.02], axis=1)
            apart = (inner[:, None, :3] >= inner[None, :, 3:]) | (inner[None, :, :3] >= inner[:, None, 3:])
            clash = ~apart.any(axis=2)
            np.fill_diagonal(clash, False)
            thick = (boxes[:, 3:] - boxes[:, :3]).min(axis=1) > 0.2
            assert not clash[np.ix_(thick, thick)].any()
        points = np.concatenate([np.array([row[0] for row in solid.rows]) for solid in room.solids])
        assert points[:, 2].min() > -0.02 and points[:, 2].max() < 2.9


def test_renderer_against_ray_casting() -> None:
    """The z-buffer equals a brute-force intersection of every ray with every triangle half of every patch."""
    rng = np.random.default_rng(0)
    piece = Piece(1, 1, 1)
    solid = piece.new("box")
    for _ in range(25):
        origin, u, v = rng.uniform(-1.5, 1.5, 3), rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 3)
        solid.quad(tuple(origin), tuple(u), tuple(v), (0, 0, 0), shape=int(rng.integers(3)))
    solid.quad((-4, -4, -2), (8, 0, 0), (0, 8, 0), (0, 0, 0), two_sided=False)
    patches = collect(piece.solids)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[1, 0, 0], [0, -1, 0], [0, 0, -1]])
    pose[:3, 3] = (0.1, -0.2, 2.5)
    camera = Camera(64, 48, 57, 57, 31.5, 23.5)
    view = render(patches, camera, pose)
    ray = np.stack(np.meshgrid((np.arange(64) - 31.5) / 57, (np.arange(48) - 23.5) / 57), axis=2)
    ray = np.concatenate([ray, np.ones((48, 64, 1))], axis=2) @ pose[:3, :3].T
    best = np.full((48, 64), np.inf)
    for p in range(len(patches)):
        system = np.stack([patches.u[p], patches.v[p], np.zeros(3)], axis=1)
        systems = np.broadcast_to(system, (48, 64, 3, 3)).copy()
        systems[..., 2] = -ray
        s, t, z = np.moveaxis(
            np.linalg.solve(systems, np.broadcast_to(pose[:3, 3] - patches.origin[p], ray.shape)[..., None])[..., 0],
            -1,
            0,
        )
        if patches.shape[p] == RECT:
            hit = (s >= 0) & (t >= 0) & (s <= 1) & (t <= 1)
        elif patches.shape[p] == 1:
            hit = (s >= 0) & (t >= 0) & (s + t <= 1)
        else:
            hit = (s - 0.5) ** 2 + (t - 0.5) ** 2 <= 0.25
        best = np.where(hit & (z > NEAR) & (z < best), z, best)
    got = np.where(view.patch >= 0, 1 / np.maximum(view.inverse_depth, 1e-9), np.inf)
    same = np.isclose(got, best, rtol=1e-3) | (np.isinf(got) & np.isinf(best))
    assert same.mean() > 0.999
    flat, patch, s, t = view.surface()
    points = patches.origin[patch] + s[:, None] * patches.u[patch] + t[:, None] * patches.v[patch]
    u, v, z = camera.project(points, pose)
    assert np.abs(u - flat % 64).max() < 0.01 and np.abs(v - flat // 64).max() < 0.01
    assert np.allclose(z, got.reshape(-1)[flat], rtol=1e-3)


@pytest.mark.parametrize(
    "change", [{"train_scenes": -1}, {"val_scenes": 10**6}, {"vertex_spacing": 0.0}, {"frames": -2}, {"seed": -1}]
)
def test_impossible_settings_are_refused(change: dict) -> None:
    good = {"train_scenes": 1, "val_scenes": 1, "frames": 0, "vertex_spacing": 0.04, "seed": 0}
    with pytest.raises(UserError, match=next(iter(change))):
        RoomSettings(**(good | change))
