"""Defaults and validation of the kinds."""
