"""File descriptors: raise the limit of the process, and share it between its servers."""

from __future__ import annotations

import resource


def raise_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one, and give it (setrlimit(2), RLIMIT_NOFILE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


MOST_CONNECTIONS, FEWEST_CONNECTIONS = 2048, 32


def connections() -> int:
    """Return the most connections of a server of this process at once: half of its descriptors, for the rest of the
    process has files, channels and watches to open too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(FEWEST_CONNECTIONS, min(MOST_CONNECTIONS, soft // 2))
