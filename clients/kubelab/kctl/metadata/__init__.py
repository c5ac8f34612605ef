"""``kctl label`` and ``kctl annotate``: one command on two maps of an object's metadata."""
