"""Regular expressions of schemas, by RE2: as with Go's, time is linear in the text."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol, cast

MAX_PATTERN = 10_000  # characters


class Pattern(Protocol):
    def search(self, text: str, /) -> object | None:
        """Find the pattern anywhere in a text; None where it is not."""
        ...


class PatternError(ValueError):
    """The text is no regular expression; the message is RE2's."""


@lru_cache(maxsize=2048)
def compiled(pattern: str) -> Pattern:
    """Compile a regular expression; PatternError."""
    import re2  # pyright: ignore[reportMissingTypeStubs]

    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"must have at most {MAX_PATTERN} characters")
    module = cast(Any, re2)
    options = module.Options()
    options.log_errors = False
    try:
        return cast(Pattern, module.compile(pattern, options))
    except module.error as err:
        reason = err.args[0] if err.args else ""
        raise PatternError(reason.decode() if isinstance(reason, bytes) else str(reason)) from err
