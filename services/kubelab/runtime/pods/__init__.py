"""Sandboxes and containers: the engine behind the CRI, and what it keeps of them on disk."""
