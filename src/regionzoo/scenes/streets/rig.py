"""The car's sensors: where they are mounted, what the cameras' lenses do, and when each of them looks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regionzoo.scenes.nuscenes_layout import CAMERAS, LIDAR

CHANNELS = (LIDAR, *CAMERAS)

# Translation (m), rotation (w, x, y, z), focal length and principal point (pixels), and when the camera looks, in
# microseconds before the end of the sweep: when the sweep passes the middle of its view. So has a real car.
_MOUNTED: dict[str, tuple[tuple, tuple, tuple, int]] = {
    "LIDAR_TOP": (
        (0.943713, 0.0, 1.84023),
        (0.7077955119163518, -0.006492242056004365, 0.010646214713995808, -0.7063073142877817),
        (),
        0,
    ),
    "CAM_FRONT": (
        (1.70079118954, 0.0159456324149, 1.51095763913),
        (0.4998015430569128, -0.5030316162024876, 0.4997798114386805, -0.49737083824542755),
        (1266.417203046554, 816.2670197447984, 491.50706579294757),
        35491,
    ),
    "CAM_FRONT_RIGHT": (
        (1.5508477543, -0.493404796419, 1.49574800619),
        (0.2060347966337182, -0.2026940577919598, 0.6824507824531167, -0.6713610884174485),
        (1260.8474446004698, 807.968244525554, 495.3344268742088),
        27612,
    ),
    "CAM_BACK_RIGHT": (
        (1.0148780988, -0.480568219723, 1.56239545128),
        (0.12280980120078765, -0.132400842670559, -0.7004305821388234, 0.690496031265798),
        (1259.5137405846733, 807.2529053838625, 501.19579884916527),
        20058,
    ),
    "CAM_BACK": (
        (0.0283260309358, 0.00345136761476, 1.57910346144),
        (0.5037872666382278, -0.49740249788611096, -0.4941850223835201, 0.5045496097725578),
        (809.2209905677063, 829.2196003259838, 481.77842384512485),
        10426,
    ),
    "CAM_BACK_LEFT": (
        (1.03569100218, 0.484795032713, 1.59097014818),
        (0.6924185592174665, -0.7031619420114925, -0.11648342771943819, 0.11203317912370753),
        (1256.7414812095406, 792.1125740759628, 492.7757465151356),
        528,
    ),
    "CAM_FRONT_LEFT": (
        (1.52387798135, 0.494631336551, 1.50932822144),
        (0.6757265034669446, -0.6736266522251881, 0.21214015046209478, -0.21122827103904068),
        (1272.5979470598488, 826.6154927353808, 479.75165386361925),
        43107,
    ),
}


@dataclass(frozen=True)
class Mounting:
    """One sensor of one car: translation (metres) and rotation (w, x, y, z) into the ego frame.

    matrix: 3 x 3 intrinsics as nested tuples, () of the lidar. before: microseconds from its look to the end of the
    sweep.
    """

    translation: tuple[float, ...]
    rotation: tuple[float, ...]
    matrix: tuple[tuple[float, ...], ...]
    before: int


def mount(rng: np.random.Generator) -> dict[str, Mounting]:
    """The rig of one log: the real one, off by millimetres, hundredths of a degree and a few pixels."""
    rig = {}
    for channel in CHANNELS:
        translation, rotation, lens, before = _MOUNTED[channel]
        shift = rng.normal(0, 0.004, 3)
        turn = _product(np.array([1.0, *rng.normal(0, 0.001, 3)]), np.array(rotation))
        turn /= np.sqrt((turn * turn).sum())
        fx, cx, cy = np.array(lens) + rng.normal(0, 3.0, 3) if lens else (0.0, 0.0, 0.0)
        matrix = ((float(fx), 0.0, float(cx)), (0.0, float(fx), float(cy)), (0.0, 0.0, 1.0)) if lens else ()
        place = tuple(float(value) for value in np.array(translation) + shift)
        rig[channel] = Mounting(place, tuple(float(value) for value in turn), matrix, before)
    return rig


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Product of two quaternions [..., 4], scalar first: the turn ``b``, then ``a``."""
    w, x, y, z = np.moveaxis(a, -1, 0)
    p, q, r, s = np.moveaxis(b, -1, 0)
    rows = (w * p - x * q - y * r - z * s, w * q + x * p + y * s - z * r, w * r - x * s + y * p + z * q)
    return np.stack([*rows, w * s + x * r - y * q + z * p], axis=-1)


def from_angles(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Quaternions [..., 4], scalar first, that turn by roll about x, then pitch about y, then yaw about z (radians)."""
    zero = np.zeros(np.broadcast_shapes(np.shape(yaw), np.shape(pitch), np.shape(roll)))

    def about(angle: np.ndarray, axis: int) -> np.ndarray:
        parts = [np.cos(zero + angle / 2), zero, zero, zero]
        parts[1 + axis] = np.sin(zero + angle / 2)
        return np.stack(parts, axis=-1)

    return _product(about(yaw, 2), _product(about(pitch, 1), about(roll, 0)))
