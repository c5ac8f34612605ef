"""Nodes that fall silent: conditions, taints, and what is evicted."""
