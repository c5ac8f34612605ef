"""The ranges of a cluster CIDR: no two nodes have one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.controllermanager.nodeipam.cidrpool import CidrPool


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40))
def test_no_range_is_ever_given_twice(steps: list[tuple[str, bool]]) -> None:
    pool = CidrPool("10.244.0.0/22", 24)
    held: dict[str, str] = {}
    for node, come in steps:
        if come:
            given_range = pool.take(node)
            if given_range is None:
                assert len(held) == 4
                continue
            assert held.get(node, given_range) == given_range
            held[node] = given_range
        else:
            pool.release(node)
            held.pop(node, None)
        pool.check_invariants()
        assert len(set(held.values())) == len(held)


def test_ranges_of_existing_nodes_are_kept() -> None:
    pool = CidrPool("10.244.0.0/16", 24)
    assert pool.occupy("a", "10.244.0.0/24")
    assert not pool.occupy("b", "10.244.0.0/24")
    assert not pool.occupy("b", "192.168.0.0/24")
    assert pool.take("b") == "10.244.1.0/24"
    assert pool.take("a") == "10.244.0.0/24"
    with pytest.raises(ValueError, match="has no subnets"):
        CidrPool("10.244.0.0/16", 8)
