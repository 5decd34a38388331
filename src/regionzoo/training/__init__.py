"""Scenes and captions -> weights."""
