"""Descriptors: a process may have as many as the machine lets it."""

from __future__ import annotations

import resource


def raise_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one, and give it (setrlimit(2), RLIMIT_NOFILE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
