"""Why a volume cannot be mounted."""

from __future__ import annotations


class VolumeError(Exception):
    """A volume cannot be set up; the message is upstream's, as the event ``FailedMount`` has it."""
