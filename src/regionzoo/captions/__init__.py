"""Images -> text on points."""
