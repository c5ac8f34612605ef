"""The end of namespaces: emptied, then let go."""
