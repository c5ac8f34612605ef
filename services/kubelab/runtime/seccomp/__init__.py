"""Seccomp profiles of containers."""
