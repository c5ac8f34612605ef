"""Shuffle sharding: each flow is dealt a few of a level's queues, so that two flows hardly ever share all of theirs
(https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#queuing)."""

from __future__ import annotations

import hashlib


def flow_hash(schema: str, distinguisher: str) -> int:
    """Give the number that stands for a flow, the same in every process: 64 bits."""
    digest = hashlib.sha256(f"{schema}\0{distinguisher}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little")


def deal(number: int, deck: int, hand: int) -> tuple[int, ...]:
    """Give ``hand`` different numbers below ``deck``; which, follows from the number alone. Every hand is as likely as
    every other one for a number that is drawn by lot."""
    cards: list[int] = []
    for left in range(deck, deck - hand, -1):
        number, card = divmod(number, left)
        for taken in sorted(cards):
            card += card >= taken  # the card-th of those that are left
        cards.append(card)
    return tuple(cards)
