"""Ports of 127.0.0.1 that lead into a cluster's network, in a process of their own."""
