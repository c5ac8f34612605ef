"""Manifests in YAML and JSON to messages and back, with the file and line of what is wrong."""
