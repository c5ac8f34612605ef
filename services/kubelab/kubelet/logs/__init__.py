"""Containers' logs on disk: reading, following, rotation."""
