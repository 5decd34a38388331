"""Captions and point ids that others made and released -> caption store."""
