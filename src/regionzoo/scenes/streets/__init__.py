"""Synthetic streets in nuScenes' own raw on-disk format: no reader can tell them from the official files."""

from regionzoo.scenes.streets.generate import generate
from regionzoo.scenes.streets.settings import GENERATOR_VERSION, StreetSettings

__all__ = ["GENERATOR_VERSION", "StreetSettings", "generate"]
