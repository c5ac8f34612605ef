"""Kinds of authentication.k8s.io: questions that are answered when they are created."""
