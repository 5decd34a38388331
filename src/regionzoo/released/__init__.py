"""What the original has published: where it is, how it is fetched, and its checkpoints in and out."""
