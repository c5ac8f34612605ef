"""Rules from typed values: what a text may and may not become."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.linux.nftables import Comment, Fragment, Mac, Name, Protocol, joined, lines, nft, replaced, script

IP = IPv4Address("10.244.0.2")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (nft("ip daddr % tcp dport %", IP, 80), "ip daddr 10.244.0.2 tcp dport 80"),
        (nft("ip saddr %", IPv4Network("10.244.0.0/24")), "ip saddr 10.244.0.0/24"),
        (nft("meta l4proto %", Protocol.SCTP), "meta l4proto sctp"),
        (nft("tcp dport %", [80, 443]), "tcp dport { 80, 443 }"),
        (nft("map %", {0: nft("% . %", IP, 80)}), "map { 0 : 10.244.0.2 . 80 }"),
        (nft("drop comment %", Comment("cp-1 to kubelet@node-1")), 'drop comment "cp-1 to kubelet@node-1"'),
        (nft("ether saddr %", Mac("02:00:00:00:00:01")), "ether saddr 02:00:00:00:00:01"),
        (lines([nft("a"), nft("b %", 1)]), "a\nb 1\n"),
        (joined([nft("a"), nft("b")]), "a b"),
        (replaced(nft("ip x")), "add table ip x\ndelete table ip x\nadd table ip x\n"),
    ],
)
def test_each_type_has_one_look(made: Fragment, expected: str) -> None:
    assert made == expected


@pytest.mark.parametrize("value", ["10.0.0.1", b"80", 1.5, True, None, object(), {"a": 1}, [["x"]], ("drop",)])
def test_nothing_else_becomes_a_part_of_a_rule(value: object) -> None:
    with pytest.raises(TypeError):
        nft("add rule %", cast(Any, value))


@pytest.mark.parametrize("number", [-1, 2**32])
def test_numbers_have_bounds(number: int) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        nft("tcp dport %", number)


def test_a_text_that_was_put_together_by_hand_is_not_taken() -> None:
    good = nft("flush table ip x")
    for bad in (f"{good}", good + "\nflush ruleset", "flush ruleset", good.replace("x", "y")):
        with pytest.raises(TypeError, match="not made of typed values"):
            script(cast(Any, bad))
        with pytest.raises(TypeError, match="not made of typed values"):
            lines([good, cast(Any, bad)])
    assert script(good) == b"flush table ip x"


def test_there_is_a_value_for_each_place() -> None:
    with pytest.raises(TypeError, match="1 values are expected, 2 are given"):
        nft("tcp dport %", 80, 81)


@given(st.text(max_size=200))
def test_names_comments_and_addresses_hold_nothing_that_nft_would_read_as_more(text: str) -> None:
    for kind, allowed in ((Name, "_./-"), (Comment, "_.,:/@ -"), (Mac, ":")):
        try:
            made = kind(text)
        except ValueError:
            continue
        assert all((sign.isascii() and sign.isalnum()) or sign in allowed for sign in made)
    assert Name.near(f"service-{text}").startswith("service-")
