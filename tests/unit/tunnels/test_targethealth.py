"""In which order a connection tries its targets."""

from __future__ import annotations

import pytest

from kubelab.apimachinery.errors import BadRequest
from kubelab.tunnels.model import Route, TunnelTarget, check_port
from kubelab.tunnels.targethealth import REMEMBERED_SECONDS, TargetHealth

A, B, C = (TunnelTarget(f"node-{n}", f"192.168.49.{n}", 6443) for n in (1, 2, 3))
API, SERVICE = Route((A, B, C), client_first=True), Route((A, B, C))


def test_as_given_while_nothing_is_known() -> None:
    assert TargetHealth().order(SERVICE, 0.0) == [A, B, C]


def test_a_failure_counts_for_a_while_and_a_success_ends_it() -> None:
    target_health = TargetHealth()
    target_health.note(A, healthy=False, now=100.0)
    target_health.note(B, healthy=False, now=101.0)
    assert target_health.order(SERVICE, 102.0) == [C, A, B]
    target_health.note(B, healthy=True, now=103.0)
    assert target_health.order(SERVICE, 103.0) == [B, C, A]
    assert target_health.order(SERVICE, 100.0 + REMEMBERED_SECONDS) == [A, B, C]


def test_what_is_known_to_be_ill_comes_after_what_failed() -> None:
    target_health = TargetHealth(unhealthy={A.address})
    target_health.note(B, healthy=False, now=0.0)
    target_health.note(C, healthy=False, now=0.0)
    assert target_health.order(API, 1.0) == [B, C, A]


def test_a_node_without_its_kubelet_may_have_a_good_api_server() -> None:
    target_health = TargetHealth(unhealthy={"node-1"})
    assert target_health.order(API, 0.0) == [A, B, C]
    assert target_health.order(SERVICE, 0.0) == [B, C, A]


@pytest.mark.parametrize("port", [-1, 65536, 2**31 - 1])
def test_what_is_no_port_to_listen_on(port: int) -> None:
    with pytest.raises(BadRequest, match=f"local_port: {port}: expected a number from 0 to 65535"):
        check_port(port)
    check_port(0)
    check_port(65535)


@pytest.mark.parametrize(
    "address", ["192.168.49.2", ":80", "192.168.49.2:x", "192.168.49.2:0", "a:70000", "a:٣", "a:" + "9" * 5000]
)
def test_addresses_that_make_no_sense(address: str) -> None:
    with pytest.raises(BadRequest, match="expected host:port"):
        TunnelTarget.of("node-1", address)
