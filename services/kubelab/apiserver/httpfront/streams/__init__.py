"""Subresources that are streams in both directions: ports of pods, commands in them, and what is proxied."""
