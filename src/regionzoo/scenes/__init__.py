"""Raw files -> processed scenes."""
