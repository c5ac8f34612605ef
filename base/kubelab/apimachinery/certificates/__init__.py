"""Requests for certificates: what they ask for, and where each stands."""
