"""A node's machine as a process of its own."""
