"""Linux features that the standard library does not offer."""
