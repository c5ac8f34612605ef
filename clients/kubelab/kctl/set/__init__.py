"""``kctl set``: changes one part of existing objects, such as a container's image."""
