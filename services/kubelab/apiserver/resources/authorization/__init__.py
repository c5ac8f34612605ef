"""Kinds of authorization.k8s.io: questions that are answered when they are created."""
