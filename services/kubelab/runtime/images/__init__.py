"""Images: registries, archives, layers, and the store."""
