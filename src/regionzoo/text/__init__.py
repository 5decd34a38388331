"""Names -> unit vectors."""
