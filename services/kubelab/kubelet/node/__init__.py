"""The Node object, its lease, its routes, and the facts of the machine."""
