"""``kctl edit``: changes objects in the user's editor."""
