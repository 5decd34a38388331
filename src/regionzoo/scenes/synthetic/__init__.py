"""Synthetic indoor rooms in ScanNet's own raw on-disk format: no reader can tell them from official scans."""

from regionzoo.scenes.synthetic.generate import generate, scene_ids
from regionzoo.scenes.synthetic.settings import GENERATOR_VERSION, RoomSettings

__all__ = ["GENERATOR_VERSION", "RoomSettings", "generate", "scene_ids"]
