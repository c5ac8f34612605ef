"""The checker of histories: the violations that it must find, and none in the answers of a correct register."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.history import Kind, Op, OpOutcome, violations

A_CREATED = Op("a", Kind.CREATE, "k", OpOutcome.DONE, 0, 5, 0.0, 1.0)


def write(client: str, base: int, revision: int, began: float, outcome: OpOutcome = OpOutcome.DONE) -> Op:
    return Op(client, Kind.UPDATE, "k", outcome, base, revision, began, began + 1)


@pytest.mark.parametrize(
    ("ops", "final", "found"),
    [
        ([A_CREATED, write("a", 5, 6, 2), write("b", 6, 8, 3)], 8, ""),
        ([A_CREATED, write("a", 5, 0, 2, OpOutcome.UNKNOWN), write("b", 6, 8, 3)], 8, ""),
        ([A_CREATED, write("a", 5, 6, 2), write("b", 5, 6, 2)], 6, "the same revision was replaced twice"),
        ([A_CREATED, write("a", 5, 6, 2), write("b", 5, 6, 2)], 6, "one write was acknowledged to two"),
        ([A_CREATED, write("a", 5, 7, 2), write("b", 6, 8, 4)], 8, "was overwritten unseen"),
        ([A_CREATED, write("b", 6, 8, 3)], 8, "no write made what it replaced"),
        ([A_CREATED, write("a", 5, 0, 2, OpOutcome.REFUSED)], 5, "but no other client had written"),
        ([A_CREATED, write("a", 5, 0, 2, OpOutcome.REFUSED), write("b", 5, 6, 2)], 6, ""),
        ([A_CREATED, dataclasses.replace(A_CREATED, client="b", revision=6)], 6, "but it was there"),
        ([A_CREATED, dataclasses.replace(A_CREATED, client="b", revision=0, outcome=OpOutcome.REFUSED)], 5, ""),
        ([A_CREATED], 0, "is not there at the end"),
        ([A_CREATED, Op("b", Kind.DELETE, "k", OpOutcome.UNKNOWN, 5, 0, 2, 3)], 0, ""),
        ([A_CREATED, Op("b", Kind.DELETE, "k", OpOutcome.DONE, 5, 7, 2, 3)], 5, "is there at 5"),
        ([A_CREATED, Op("b", Kind.READ, "k", OpOutcome.DONE, 0, 0, 2, 3)], 5, "but no client deleted it"),
        ([A_CREATED, Op("b", Kind.READ, "k", OpOutcome.DONE, 0, 4, 2, 3)], 5, "but before it began"),
        ([A_CREATED, Op("b", Kind.READ, "k", OpOutcome.DONE, 0, 0, 0.5, 3)], 5, ""),
        ([], 5, "no client has written it"),
        ([A_CREATED, write("a", 5, 6, 2), write("b", 0, 7, 3), write("a", 6, 0, 3, OpOutcome.REFUSED)], 7, ""),
    ],
)
def test_what_cannot_have_been(ops: list[Op], final: int, found: str) -> None:
    said = violations([*ops, Op("z", Kind.READ, "k", OpOutcome.UNKNOWN)], {"k": final} if final else {})
    assert bool(said) is bool(found), said
    assert any(found in line for line in said) or not found, said


class Register:
    """One key with compare-and-swap, whose answers may get lost before or after a write has happened."""

    def __init__(self, dice: random.Random) -> None:
        self.dice, self.now, self.revision, self.there = dice, 0.0, 1, 0
        self.ops: list[Op] = []

    def step(self, client: str, known: int) -> int:
        """One request of a client that knows a revision; gives the one that it knows afterwards."""
        began, self.now = self.now, self.now + 2
        kind = self.dice.choice([Kind.UPDATE, Kind.UPDATE, Kind.DELETE, Kind.READ]) if known else Kind.CREATE
        if kind is Kind.READ:
            self.ops.append(Op(client, kind, "k", OpOutcome.DONE, 0, self.there, began, began + 1))
            return self.there
        fits = self.there == known
        lost = self.dice.choice(["", "", "request", "answer"])
        if fits and lost != "request":
            self.revision += 1
            self.there = 0 if kind is Kind.DELETE else self.revision
        outcome = OpOutcome.UNKNOWN if lost else OpOutcome.DONE if fits else OpOutcome.REFUSED
        shown = self.revision if outcome is OpOutcome.DONE else 0
        self.ops.append(Op(client, kind, "k", outcome, known, shown, began, began + 1))
        return self.there

    @property
    def final(self) -> dict[str, int]:
        return {"k": self.there} if self.there else {}


def play(seed: int, steps: int) -> Register:
    register = Register(random.Random(seed))
    known = dict.fromkeys("abc", 0)
    for _ in range(steps):
        client = register.dice.choice("abc")
        known[client] = register.step(client, known[client])
    return register


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 40))
def test_a_right_register_is_never_blamed(seed: int, steps: int) -> None:
    register = play(seed, steps)
    assert violations(register.ops, register.final) == []


@given(seed=st.integers(0, 2**32), steps=st.integers(5, 40))
def test_a_write_that_is_acknowledged_to_a_second_client_is_found(seed: int, steps: int) -> None:
    """What a store does that takes another writer's identical bytes for its own."""
    register = play(seed, steps)
    done = [op for op in register.ops if op.kind is Kind.UPDATE and op.outcome is OpOutcome.DONE]
    if not done:
        return
    op = register.dice.choice(done)
    assert violations([*register.ops, dataclasses.replace(op, client="z")], register.final)


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 40))
def test_an_acknowledged_write_that_is_missing_at_the_end_is_found(seed: int, steps: int) -> None:
    register = play(seed, steps)
    if register.there and register.ops[-1].outcome is OpOutcome.DONE and register.ops[-1].kind is not Kind.READ:
        assert violations(register.ops, {})
