"""Shuffle sharding, fair queuing and the sharing of seats: pure, on made-up time."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.apiserver.flowcontrol.concurrency import Pool, Share, list_seats, nominal_seats, percent
from kubelab.apiserver.flowcontrol.queueset import (
    CONCURRENCY_LIMIT,
    QUEUE_FULL,
    QueueSet,
    Queuing,
    Rejected,
    Ticket,
)
from kubelab.apiserver.flowcontrol.retryafter import RetryAfter
from kubelab.apiserver.flowcontrol.shuffling import deal, flow_hash


@given(number=st.integers(0, 2**64 - 1), deck=st.integers(1, 200), data=st.data())
def test_a_hand_has_different_queues(number: int, deck: int, data: st.DataObject) -> None:
    hand = data.draw(st.integers(0, min(deck, 8)))
    cards = deal(number, deck, hand)
    assert len(set(cards)) == hand
    assert all(0 <= card < deck for card in cards)


def test_every_hand_is_as_likely_as_every_other() -> None:
    dealt = Counter(deal(number, 5, 3) for number in range(5 * 4 * 3))
    assert dealt == dict.fromkeys(itertools.permutations(range(5), 3), 1)


def test_a_flow_has_the_same_hand_in_every_process() -> None:
    assert flow_hash("service-accounts", "jane") == 3953286924547438427
    assert flow_hash("a", "bc") != flow_hash("ab", "c")


def level(nominal: int, queuing: Queuing, *others: Share, share: Share | None = None) -> QueueSet:
    pool = Pool()
    own = share or Share(nominal=nominal)
    pool.shares = [own, *others]
    return QueueSet(pool, own, queuing)


ONE_EACH = Queuing(queues=16, hand=1, length=50)


def test_what_finds_a_seat_is_executed_at_once_and_more_waits_its_turn() -> None:
    queues = level(2, ONE_EACH)
    first, second, third = (queues.arrive((0,), 1, 0.0) for _ in range(3))
    assert [ticket.waiting for ticket in (first, second, third)] == [False, False, True]
    queues.finish(first, 1.0)
    assert third.started == 1.0
    queues.check_invariants()


def test_a_queue_is_full_and_a_level_without_queues_refuses() -> None:
    queues = level(1, Queuing(queues=2, hand=1, length=1))
    queues.arrive((0,), 1, 0.0)
    queues.arrive((0,), 1, 0.0)
    with pytest.raises(Rejected, match=QUEUE_FULL):
        queues.arrive((0,), 1, 0.0)
    assert queues.arrive((1,), 1, 0.0).waiting
    none = level(1, Queuing())
    none.arrive((), 1, 0.0)
    with pytest.raises(Rejected, match=CONCURRENCY_LIMIT):
        none.arrive((), 1, 0.0)


def test_a_request_wider_than_the_level_is_executed_alone() -> None:
    queues = level(2, ONE_EACH)
    narrow = queues.arrive((0,), 1, 0.0)
    wide = queues.arrive((1,), 5, 0.0)
    later = queues.arrive((2,), 1, 0.0)
    assert wide.waiting
    queues.finish(narrow, 1.0)
    assert [wide.waiting, later.waiting] == [False, True] or [wide.waiting, later.waiting] == [True, False]
    while wide.waiting or later.waiting:
        queues.finish(later if wide.waiting else wide, 2.0)
    queues.check_invariants()


def test_who_leaves_a_queue_makes_room_for_those_behind() -> None:
    queues = level(2, ONE_EACH)
    queues.arrive((0,), 1, 0.0)
    wide = queues.arrive((1,), 2, 0.0)
    behind = queues.arrive((1,), 1, 0.0)
    assert wide.waiting
    assert behind.waiting
    queues.leave(wide, 0.5)
    assert not behind.waiting
    queues.check_invariants()


@given(flood=st.integers(20, 200), each=st.floats(0.001, 0.5), seats=st.integers(1, 4), width=st.integers(1, 3))
def test_a_flow_with_few_requests_gets_its_share_beside_a_flood(
    flood: int, each: float, seats: int, width: int
) -> None:
    """A client that asks one thing after the other waits for at most about one request of the flood for each seat."""
    queues = level(seats, Queuing(queues=16, hand=1, length=1000))
    now, executing = 0.0, list[Ticket]()

    def arrive(hand: int, wide: int) -> Ticket:
        ticket = queues.arrive((hand,), wide, now)
        ticket.granted = lambda: executing.append(ticket)
        if not ticket.waiting:
            executing.append(ticket)
        return ticket

    for _ in range(flood):
        arrive(0, min(width, seats))
    mine = arrive(1, 1)
    waited, asked = [0], 0
    while queues.waiting and asked < 20:
        now += each
        done = executing.pop(0)
        queues.finish(done, now)
        waited[-1] += mine.waiting
        if done is mine:
            asked += 1
            mine = arrive(1, 1)
            waited.append(0)
        queues.check_invariants()
    assert max(waited) <= 2 * seats + 2, waited


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(("arrive", "finish", "leave")), st.integers(0, 5), st.integers(1, 4)), max_size=120
    ),
    nominal=st.integers(1, 6),
)
def test_no_request_is_lost_and_the_seats_are_not_exceeded(steps: list[tuple[str, int, int]], nominal: int) -> None:
    queues = level(nominal, Queuing(queues=6, hand=2, length=5))
    alive: list[Ticket] = []
    for now, (step, which, wide) in enumerate(steps):
        if step == "arrive":
            try:
                alive.append(queues.arrive((which, (which + 1) % 6), wide, float(now)))
            except Rejected:
                assert queues.waiting
            continue
        chosen = [ticket for ticket in alive if ticket.waiting == (step == "leave")]
        if chosen:
            ticket = chosen[which % len(chosen)]
            alive.remove(ticket)
            (queues.leave if step == "leave" else queues.finish)(ticket, float(now))
        queues.check_invariants()
        in_use = sum(ticket.seats for ticket in alive if not ticket.waiting)
        assert queues.share.in_use == in_use
        assert in_use <= nominal or sum(not ticket.waiting for ticket in alive) == 1
        assert in_use or not queues.waiting, "seats are free, and somebody waits"
    for now in range(1000, 2000):
        executing = next((ticket for ticket in alive if not ticket.waiting), None)
        if executing is None:
            break
        alive.remove(executing)
        queues.finish(executing, float(now))
    assert not alive
    assert queues.queues == []


def test_a_level_borrows_what_others_do_not_use_and_they_get_it_back_at_once() -> None:
    lender = Share(nominal=4, lendable=2)
    pool, own = Pool(), Share(nominal=2)
    pool.shares = [own, lender]
    low, high = QueueSet(pool, own, ONE_EACH), QueueSet(pool, lender, ONE_EACH)
    tickets = [low.arrive((0,), 1, 0.0) for _ in range(5)]
    assert [ticket.waiting for ticket in tickets] == [False, False, False, False, True]
    assert not any(high.arrive((n,), 1, 0.0).waiting for n in range(4)), "its own seats are its own"
    low.finish(tickets[0], 1.0)
    assert tickets[4].waiting, "nothing is lent any more"


def test_a_level_borrows_up_to_its_limit() -> None:
    lender, own = Share(nominal=10, lendable=10), Share(nominal=2, borrowing=percent(2, 50))
    pool = Pool()
    pool.shares = [own, lender]
    queues = QueueSet(pool, own, ONE_EACH)
    assert [queues.arrive((0,), 1, 0.0).waiting for _ in range(4)] == [False, False, False, True]


def test_seats_are_shared_in_proportion_and_rounded_up() -> None:
    assert nominal_seats(600, [0, 5, 30, 40, 10, 40, 100, 20]) == [0, 13, 74, 98, 25, 98, 245, 49]
    assert nominal_seats(10, [0, 0]) == [0, 0]


@pytest.mark.parametrize(
    ("objects", "limit", "widest", "seats"),
    [(0, 0, 10, 1), (100, 0, 10, 1), (101, 0, 10, 2), (5000, 0, 10, 10), (5000, 500, 10, 5), (5000, 0, 4, 4)],
)
def test_a_list_takes_seats_by_the_objects_it_goes_through(objects: int, limit: int, widest: int, seats: int) -> None:
    assert list_seats(objects, limit, widest) == seats


def test_who_is_refused_is_told_to_wait_longer_the_more_are_refused() -> None:
    said = RetryAfter(0.0)
    assert said.refused(0.1) == 1
    assert [said.refused(0.2) for _ in range(20)] == [1] * 20
    assert said.refused(1.0) == 2
    assert [said.refused(2.0) for _ in range(20)][-1] == 2
    assert said.refused(3.0) == 4
    assert said.refused(1000.0) == 1
