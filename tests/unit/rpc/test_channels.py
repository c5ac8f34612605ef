"""Options of channels: what a caller gives wins, and no name stands there twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from kubelab.rpc import channels
from kubelab.rpc.channels import CHANNEL_OPTIONS, ETCD_KEEPALIVE, TLSIdentity, open_channel, reconnect, unix_channel

Given = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Where channels led to, with which options; none is really opened."""
    there: Given = []

    def note(target: str, *_: object, options: Sequence[tuple[str, Any]]) -> None:
        assert len(dict(options)) == len(options)
        there.append((target, dict(options)))

    monkeypatch.setattr(grpc.aio, "insecure_channel", note)
    monkeypatch.setattr(grpc.aio, "secure_channel", note)
    return there


def test_a_channel_has_the_defaults_but_where_its_caller_says_otherwise(opened: Given) -> None:
    open_channel("a:1", None, options=(*ETCD_KEEPALIVE, *reconnect(1, 2, 3)))
    [(target, options)] = opened
    assert target == "a:1"
    assert options["grpc.keepalive_time_ms"] == 10_000
    assert options["grpc.keepalive_permit_without_calls"] == 0
    assert options["grpc.min_reconnect_backoff_ms"] == 2
    assert options["grpc.enable_http_proxy"] == 0
    assert options.keys() == dict(CHANNEL_OPTIONS).keys()


def test_the_expected_name_is_the_certificate_s(opened: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "client_credentials", lambda identity: identity)  # pyright: ignore[reportUnknownLambdaType]
    open_channel("a:1", TLSIdentity(b"ca"), server_name="kubelet.node-1")
    assert opened[0][1]["grpc.ssl_target_name_override"] == "kubelet.node-1"


def test_a_socket_of_this_machine_is_not_pinged(opened: Given) -> None:
    unix_channel("/run/x.sock", options=reconnect(1, 2, 3))
    [(target, options)] = opened
    assert target == "unix:/run/x.sock"
    assert not [name for name in options if "keepalive" in name or "ping" in name]
    assert options["grpc.initial_reconnect_backoff_ms"] == 1
    assert options["grpc.use_local_subchannel_pool"] == 1
