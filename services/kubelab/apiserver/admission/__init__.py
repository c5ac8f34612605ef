"""Admission: what may be written, besides what a kind's own strategy checks."""
