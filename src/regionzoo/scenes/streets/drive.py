"""Make one drive: its street, its sweeps and images, and its records."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from regionzoo.scenes.nuscenes_layout import CAMERAS, LIDAR
from regionzoo.scenes.poses import pose_matrix
from regionzoo.scenes.streets.annotate import Place, annotate
from regionzoo.scenes.streets.camera import picture
from regionzoo.scenes.streets.jobs import CLOCK, RIG, STREET, SWEEP, Job
from regionzoo.scenes.streets.lidar import seen_at, sweep
from regionzoo.scenes.streets.records import DriveRecords
from regionzoo.scenes.streets.rig import from_angles, mount
from regionzoo.scenes.streets.street import Street, lay_out
from regionzoo.scenes.streets.things import gather

STEP = 500_000
"""Microseconds from keyframe to keyframe, but for a jitter of up to two milliseconds."""
_FIRST_START = 1_533_000_000_000_000
_BETWEEN = 90_000_000

Write = Callable[[str, bytes], None]


def make_drive(job: Job, write: Write) -> DriveRecords:
    """Give each file of a drive to ``write`` (path below the root, content); returns its records."""
    count = job.settings.keyframes
    street = street_of(job)
    stock = gather(street.things)
    rig = mount(job.rng(RIG))
    clock = job.rng(CLOCK)
    start = _FIRST_START + (job.split * 1000 + job.number) * _BETWEEN + int(clock.integers(30_000_000))
    times = start + STEP * np.arange(count) + clock.integers(-2000, 2001, count)
    times -= times[0] - start
    place = Place(float(clock.uniform(-np.pi, np.pi)), float(clock.uniform(300, 1500)), float(clock.uniform(300, 1500)))
    records = DriveRecords(job.scene, job.settings.seed, start, street.description)
    records.add_rig(rig)
    frames = []
    for k, end in enumerate(times.tolist()):
        records.add_sample(end)
        for channel in (LIDAR, *CAMERAS):
            timestamp = end - rig[channel].before
            seconds = (timestamp - start) / 1e6
            rotation, translation = _ego(street, place, seconds)
            path = records.add_data(channel, timestamp, rotation, translation)
            if channel != LIDAR:
                write(path, picture(street.road, stock, street.ride, rig[channel], seconds))
                continue
            scan = sweep(street.road, stock, street.ride, rig[LIDAR], seconds, job.rng(SWEEP, k))
            write(path, scan.points.astype("<f4").tobytes())
            write(records.add_labels(), scan.labels.tobytes())
            mounted = pose_matrix(rig[LIDAR].rotation, rig[LIDAR].translation)
            lidar_to_global = np.einsum("ij,jk->ik", pose_matrix(rotation, translation), mounted)
            hit = np.bincount(scan.thing[scan.thing >= 0], minlength=len(stock))
            passed = seen_at(street.road, street.ride, stock, seconds)
            frames.append(
                annotate(street.road, stock, place, passed, scan.points[:, :3], lidar_to_global, hit, scan.met)
            )
    categories = [thing.category if thing.boxed else "" for thing in street.things]
    records.annotate(categories, [thing.attribute for thing in street.things], frames)
    return records


def street_of(job: Job) -> Street:
    """The street of a drive."""
    return lay_out(job.rng(STREET), job.number, (job.settings.keyframes - 1) * STEP / 1e6)


def _ego(street: Street, place: Place, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """The car's pose in the global frame: quaternion [4] and translation [3]."""
    yaw, pitch, roll, position = street.ride.attitude(street.road, np.array(seconds))
    return from_angles(yaw + place.yaw, pitch, roll), place.to_global(position)
