"""Decode manifests in YAML and JSON into messages, with file and line of each error, and encode messages."""
