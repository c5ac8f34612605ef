"""Change the rules of several network namespaces in all of them or in none.

Each place applies its script as one transaction. No transaction spans several places: when one of them refuses, the
others get their former script again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from kubelab.apimachinery.errors import ApiError, InternalError
from kubelab.linux.nftables import Fragment

Apply = Callable[[str, Fragment], Awaitable[None]]


class NotApplied(Exception):
    """``reason`` is the first failure; ``stayed`` names the places that may still have the new rules."""

    def __init__(self, reason: ApiError, stayed: tuple[str, ...]) -> None:
        super().__init__(f"{reason}; new rules may be in place at: {', '.join(stayed) or 'nowhere'}")
        self.reason, self.stayed = reason, stayed


async def apply_everywhere(apply: Apply, before: Mapping[str, Fragment], after: Mapping[str, Fragment]) -> None:
    """Put each wanted script in place, by name of the place; ``before`` is what was there. Raises NotApplied.

    ``apply`` raises InternalError where nothing has changed, and another ApiError where the outcome is unknown.
    """
    ended = dict(zip(after, await _everywhere(apply, after), strict=True))
    failed = [err for err in ended.values() if err is not None]
    if not failed:
        return
    touched = {place: before[place] for place, err in ended.items() if not isinstance(err, InternalError)}
    again = zip(touched, await _everywhere(apply, touched), strict=True)
    raise NotApplied(failed[0], tuple(place for place, err in again if err is not None))


async def _everywhere(apply: Apply, scripts: Mapping[str, Fragment]) -> list[ApiError | None]:
    """Apply to all places side by side and wait for each, those after a failure included."""

    async def one(place: str, script: Fragment) -> ApiError | None:
        try:
            await apply(place, script)
        except ApiError as err:
            return err
        return None

    return await asyncio.gather(*(one(place, script) for place, script in scripts.items()))
