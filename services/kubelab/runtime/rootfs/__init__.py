"""A container's root: how it is mounted, what is made in it, whose files it shows."""
