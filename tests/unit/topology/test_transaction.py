"""Rules at several places: everywhere, or nowhere."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kubelab.apimachinery.errors import ApiError, InternalError, Timeout
from kubelab.linux.nftables import NOTHING, Fragment, nft
from kubelab.topology.transaction import NotApplied, apply_everywhere

DROP = nft("drop")
BEFORE = dict.fromkeys("abc", NOTHING)
WANTED = dict.fromkeys("abc", DROP)


class Kernel:
    """Has a script at each place. ``refuses`` are places that fail, as often as there are errors for them."""

    def __init__(self, **refuses: Sequence[ApiError]) -> None:
        self.scripts = dict(BEFORE)
        self._refuses = {place: list(errors) for place, errors in refuses.items()}

    async def apply(self, place: str, script: Fragment) -> None:
        if errors := self._refuses.get(place):
            raise errors.pop(0)
        self.scripts[place] = script


async def test_it_is_put_everywhere() -> None:
    kernel = Kernel()
    await apply_everywhere(kernel.apply, BEFORE, WANTED)
    assert kernel.scripts == WANTED


@pytest.mark.parametrize("place", ["a", "b", "c"])
async def test_what_one_place_refuses_is_nowhere(place: str) -> None:
    kernel = Kernel(**{place: [InternalError("no nft")]})
    with pytest.raises(NotApplied) as caught:
        await apply_everywhere(kernel.apply, BEFORE, WANTED)
    assert (caught.value.reason.message, caught.value.stayed) == ("no nft", ())
    assert kernel.scripts == BEFORE


async def test_who_did_not_answer_is_given_the_old_rules_as_well() -> None:
    kernel = Kernel(b=[Timeout("late")])
    kernel.scripts["b"] = DROP  # it was late, and has done it
    with pytest.raises(NotApplied) as caught:
        await apply_everywhere(kernel.apply, BEFORE, WANTED)
    assert (kernel.scripts, caught.value.stayed) == (BEFORE, ())


async def test_what_cannot_be_taken_back_is_named() -> None:
    kernel = Kernel(b=[Timeout("late"), Timeout("late")])
    with pytest.raises(NotApplied) as caught:
        await apply_everywhere(kernel.apply, BEFORE, WANTED)
    assert caught.value.stayed == ("b",)
