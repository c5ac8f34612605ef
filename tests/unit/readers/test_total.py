"""One object must not stop its readers: each printer, describer, decision and rule builder takes every object.

``accepted`` is what the api-server lets in, ``held`` what etcd may hold besides, from before a check existed.
A failure names its seed: ``world_of(random.Random(SEED), held)`` makes the same world again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.fuzz.objects import accepted, held
from tests.fuzz.readers import READERS, Reader, world_of

WORLDS = 25


@pytest.mark.parametrize("make", [accepted, held], ids=lambda make: make.__name__)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_every_object_can_be_read(reader: Reader, make: Callable[[random.Random, Any], Any]) -> None:
    for seed in range(WORLDS):
        world = world_of(random.Random(seed), make)
        try:
            reader(world)
        except Exception as err:
            err.add_note(f"seed {seed}")
            raise


def test_enough_is_accepted() -> None:
    """The worlds are not empty: of each kind a fair part gets in."""
    counts = dict.fromkeys(world_of(random.Random(0), accepted).objects, 0)
    for seed in range(WORLDS):
        for plural, objects in world_of(random.Random(seed), accepted).objects.items():
            counts[plural] += len(objects)
    assert all(count > WORLDS / 4 for count in counts.values()), counts
