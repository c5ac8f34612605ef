"""Which ports a machine's tunnels have."""

from __future__ import annotations

import pytest

from kubelab.component.config import ConfigError
from kubelab.nodeagent.config import NodeAgentConfig


@pytest.mark.parametrize(
    ("text", "ports"),
    [("29100-29107", range(29100, 29108)), ("29100", range(29100, 29101)), ("", range(0))],
)
def test_a_range_of_ports(text: str, ports: range) -> None:
    assert NodeAgentConfig(tunnel_ports=text).ports == ports


@pytest.mark.parametrize("text", ["x", "1-", "2-1", "0-5", "1-70000", "1-2-3", "-5"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ConfigError, match=r"tunnelPorts: .*expected a range of ports such as 29100-29107"):
        _ = NodeAgentConfig(tunnel_ports=text).ports


def test_the_default_ports_are_no_node_ports() -> None:
    ports = NodeAgentConfig().ports
    assert not set(ports) & set(range(30000, 32768))
