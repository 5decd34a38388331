"""How the recording car drives along a street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.poses import pose_matrix
from regionzoo.scenes.streets.rig import from_angles
from regionzoo.scenes.streets.road import Road


@dataclass(frozen=True)
class Ride:
    """A ride at constant speed that sways a little.

    speed: m/s. start: s at time 0. lane: d of the lane's middle. sway: metres, the car's way about it. lean: radians,
    roll and pitch. phase: radians [3]. Times are seconds, 0 at the first keyframe.
    """

    speed: float
    start: float
    lane: float
    sway: float
    lean: tuple[float, float]
    phase: tuple[float, float, float]

    def at(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """s and d of the car (middle of the rear axle)."""
        seconds = np.asarray(seconds, float)
        # Nothing sways in a car that stands.
        sway = self.sway if self.speed else 0.0
        return self.start + self.speed * seconds, self.lane + sway * np.sin(0.5 * seconds + self.phase[0])

    def attitude(self, road: Road, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """yaw, pitch, roll [...] (radians) and position [..., 3] of the car in the street frame."""
        seconds = np.asarray(seconds, float)
        s, d = self.at(seconds)
        x, y = road.to_xy(s, d)
        yaw = road.heading(s)
        if self.speed:
            across = 0.5 * self.sway * np.cos(0.5 * seconds + self.phase[0])
            yaw = yaw + np.arctan2(across, self.speed * (1 - road.curvature * d))
        shake = 1.0 if self.speed else 0.0
        pitch = self.lean[0] * (1 + 0.4 * shake * np.sin(1.7 * seconds + self.phase[1]))
        roll = self.lean[1] * (1 + 0.4 * shake * np.sin(1.1 * seconds + self.phase[2]))
        return yaw, pitch, roll, np.stack([x, y, np.zeros_like(x)], axis=-1)

    def matrix(self, road: Road, seconds: np.ndarray) -> np.ndarray:
        """float64 [..., 4, 4] from the car to the street frame."""
        yaw, pitch, roll, position = self.attitude(road, seconds)
        return pose_matrix(from_angles(yaw, pitch, roll), position)
