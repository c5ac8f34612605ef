"""How the server's seats are shared among the priority levels. Pure: no clock, nothing waits.

A level has its nominal seats, by its shares. Some of them it lends: those that it does not use now, up to its
``lendable``. A level with more requests than seats borrows from what is lent just then, up to its ``borrowing``. It
gets its own seats back at once, also those that are lent; so the server executes more than its total until the requests
of the borrowers end. (Upstream moves the limits every ten seconds, by the demand of the time before.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

WIDEST_SHARE, WIDEST = 0.15, 10  # of a level's nominal seats, and seats, that one request may take


@dataclass(slots=True)
class Share:
    """The seats of one level. A level that is exempt has no bound."""

    nominal: int = 0
    lendable: int = 0
    borrowing: float = math.inf
    exempt: bool = False
    in_use: int = 0

    @property
    def spare(self) -> int:
        """The seats that it lends now."""
        return min(self.lendable, max(0, self.nominal - self.in_use))

    @property
    def borrowed(self) -> int:
        return 0 if self.exempt else max(0, self.in_use - self.nominal)

    @property
    def widest(self) -> int:
        """The most seats that one request of the level takes."""
        return max(1, min(WIDEST, math.ceil(self.nominal * WIDEST_SHARE)))


class Pool:
    """The seats of one server."""

    def __init__(self) -> None:
        self.shares: list[Share] = []

    def fits(self, share: Share, seats: int) -> bool:
        """Say whether a request that takes so many seats can be executed now."""
        after = share.in_use + seats
        if share.exempt or after <= share.nominal or (not share.in_use and share.nominal):
            return True  # a request that is wider than its level is executed alone
        if after - share.nominal > share.borrowing:
            return False
        borrowed = sum(one.borrowed for one in self.shares)
        return borrowed + after - max(share.in_use, share.nominal) <= sum(
            one.spare for one in self.shares if one is not share
        )


def nominal_seats(total: int, shares: Iterable[int]) -> list[int]:
    """Share seats in proportion, rounded up."""
    weights = list(shares)
    whole = sum(weights)
    return [math.ceil(total * weight / whole) if whole else 0 for weight in weights]


def percent(seats: int, part: int) -> int:
    """Give a part of a level's seats, rounded to the nearest."""
    return math.floor(seats * part / 100 + 0.5)


def list_seats(objects: int, limit: int, widest: int) -> int:
    """Estimate how many seats a list takes that goes through so many objects: one for each hundred."""
    return max(1, min(widest, math.ceil((min(objects, limit) if limit > 0 else objects) / 100)))
