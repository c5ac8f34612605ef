"""What a sandbox and a node's range may not be: refused before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.network import pods as network
from kubelab.runtime.pods.state import Sandbox


def sandbox(**config: object) -> Sandbox:
    return Sandbox("s", Path("/nowhere"), cri.PodSandboxConfig(**config), 0)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("hostname", ["", "web", "a" * 64, "ä" * 32])
def test_hostnames(hostname: str) -> None:
    assert sandbox(hostname=hostname).unusable() == ""


@pytest.mark.parametrize("hostname", ["a" * 65, "ä" * 33, "a\0b", "a\n10.0.0.1\tapi"])
def test_hostnames_that_no_kernel_takes(hostname: str) -> None:
    told = f"hostname: {hostname!r}: expected at most 64 bytes of printable text"
    assert sandbox(hostname=hostname).unusable() == told


@pytest.mark.parametrize(
    ("name", "value", "host_network", "told"),
    [
        ("net.ipv4.tcp_syncookies", "1", False, ""),
        ("kernel.shmmax", "1", True, ""),
        ("net.ipv4.tcp_syncookies", "1", True, "is not in a separate kernel namespace"),
        ("vm.swappiness", "1", False, "is not in a separate kernel namespace"),
        ("net/../../etc/passwd", "1", False, "is not in a separate kernel namespace"),
        ("net.ipv4.a\0b", "1", False, "is not in a separate kernel namespace"),
        ("net.ipv4.tcp_syncookies", "1\0", False, "expected text without zero bytes"),
    ],
)
def test_settings(name: str, value: str, host_network: bool, told: str) -> None:
    linux = cri.LinuxPodSandboxConfig(sysctls={name: value})
    if host_network:
        linux.security_context.namespace_options.network = cri.NODE
    answer = sandbox(linux=linux).unusable()
    assert told in answer
    assert bool(told) is bool(answer)


@pytest.mark.parametrize("cidr", ["10.244.1.0/24", "10.0.0.0/8", "10.244.1.0/30"])
def test_ranges(cidr: str) -> None:
    network.check_range(cidr)


@pytest.mark.parametrize("cidr", ["", "all", "10.0.0.1/32", "10.244.1.7/24", "0.0.0.0/0", "fd00::/64", "10.0.0.0/31"])
def test_ranges_that_are_none(cidr: str) -> None:
    with pytest.raises(ValueError, match=r"expected|Expected|has host bits set|Only|octet|Address"):
        network.check_range(cidr)
