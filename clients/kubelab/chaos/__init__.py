"""Failure experiments: Chaos Toolkit extensions, what they do to a cluster, what they measure, their report."""
