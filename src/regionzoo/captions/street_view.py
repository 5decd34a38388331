"""What one camera of one keyframe of a drive sees: its image, and the lidar points that fall into it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from regionzoo.captions.associate import region_points
from regionzoo.captions.captioner import Box
from regionzoo.errors import SceneError
from regionzoo.scenes.camera import project
from regionzoo.scenes.drives import Drive, drive_metadata
from regionzoo.scenes.nuscenes_layout import CAMERAS, IMAGE_SIZE

CLASSES = "nuscenes16"


@dataclass(frozen=True, eq=False)
class CameraImage:
    """An image of a drive. name: keyframe's number and camera, "12/cam_front": unique in the drive's one file.

    path: its file, opened by :meth:`load_color` alone.
    """

    scene_id: str
    name: str
    path: Path

    def load_color(self) -> np.ndarray:
        """uint8 [900, 1600, 3], RGB. :class:`SceneError` if the file is absent, damaged, or of another size or mode."""
        try:
            with Image.open(self.path) as image:
                height, width = IMAGE_SIZE
                if (image.height, image.width) != IMAGE_SIZE or image.mode != "RGB":
                    told = f"{image.width}x{image.height} {image.mode}, expected {width}x{height} RGB"
                    raise SceneError(self.scene_id, self.path, told)
                return np.array(image)
        except FileNotFoundError:
            raise SceneError(self.scene_id, self.path, "missing; unpack the camera's keyframe images") from None
        # Pillow's ways to say that a file is no image, truncated or corrupt.
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            reason = f"not a readable image ({type(error).__name__}); copy it again"
            raise SceneError(self.scene_id, self.path, reason) from None


@dataclass(frozen=True, eq=False)
class StreetView(CameraImage):
    """An image and the m lidar points of its keyframe that fall into it; none hides another (original).

    keyframe: number in the drive. camera: position in CAMERAS. points: int32 [m], positions in the drive, ascending.
    u, v: int32 [m], column and row in whole pixels, fractions dropped. labels: int16 [m], nuscenes16 or -100. group:
    int32 [m], position in ``categories`` of the annotated box that holds the point, -100 for none. categories: raw
    category of each annotated box of the drive.

    labels, group and categories are the annotation: only a simulated captioner may look at them.
    """

    keyframe: int
    camera: int
    points: np.ndarray
    u: np.ndarray
    v: np.ndarray
    labels: np.ndarray
    group: np.ndarray
    categories: tuple[str, ...]

    def region(self, box: Box) -> np.ndarray:
        """Points whose pixel lies strictly inside a box: int32 positions in the drive, ascending."""
        return region_points(self.points, self.u, self.v, box, IMAGE_SIZE, IMAGE_SIZE)


def street_views(drive: Drive, raw_root: Path, keyframes: Sequence[int]) -> Iterator[StreetView]:
    """The views of some keyframes, camera by camera. raw_root: what the drive's image paths are below."""
    labels = drive.labels[CLASSES]
    for keyframe in keyframes:
        start, coords = drive.part(keyframe).start, drive.coords[drive.part(keyframe)]
        for camera, channel in enumerate(CAMERAS):
            ids, u, v, _ = project(
                coords, drive.lidar_to_camera[keyframe, camera], drive.intrinsics[keyframe, camera], IMAGE_SIZE
            )
            points = ids + start
            yield StreetView(
                scene_id=drive.scene_id,
                name=_name(keyframe, channel),
                path=raw_root / drive.images[keyframe][camera],
                keyframe=keyframe,
                camera=camera,
                points=points.astype(np.int32),
                u=u.astype(np.int32),
                v=v.astype(np.int32),
                labels=labels[points],
                group=drive.group[points],
                categories=drive.categories,
            )


def camera_images(path: Path, raw_root: Path, interval: int) -> tuple[CameraImage, ...]:
    """The images of a stored drive's keyframes whose number is a multiple of ``interval``, in the order of
    :func:`street_views`. No point is read. :class:`SceneError` if the drive is absent or damaged."""
    metadata = drive_metadata(path)
    files = json.loads(metadata["images"])
    return tuple(
        CameraImage(metadata["scene_id"], _name(keyframe, channel), raw_root / files[keyframe][camera])
        for keyframe in range(0, len(files), interval)
        for camera, channel in enumerate(CAMERAS)
    )


def _name(keyframe: int, channel: str) -> str:
    return f"{keyframe}/{channel.lower()}"
