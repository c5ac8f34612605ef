"""Failure experiments: Chaos Toolkit extensions with faults, measurements and a report."""
