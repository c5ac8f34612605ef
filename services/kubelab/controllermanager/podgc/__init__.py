"""Pods that no other component would remove."""
